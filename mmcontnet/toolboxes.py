"""The toolboxes that configs are written for, their entry points and their installation."""

import difflib
import inspect
import logging
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, Iterable, List, Union, get_args, get_origin, get_type_hints

import matplotlib
from mmengine.config import Config
from mmengine.fileio import load
from mmengine.registry import OPTIMIZERS
from mmengine.runner import Runner

from .commands import about, describe
from .stacks import distribution_of

TOOLBOXES = ('mmdet', 'mmseg', 'mmpretrain')
# What mmengine and the toolboxes read off a config besides the arguments of the runner.
OTHER_KEYS = (
    'activation_checkpointing',
    'compile',
    'find_unused_parameters',
    'model_wrapper_cfg',
    'runner_type',
    'sync_bn',
    'tta_model',
    'tta_pipeline',
)
CHECKED = {dict: 'a dict', list: 'a list', str: 'a string', bool: 'True or False'}


def read_config(path: str, options: Dict[str, Any] = {}, import_custom_modules: bool = True) -> Config:
    """Reads a config and changes it.

    Args:
        path (str): The config.
        options (dict): Changes, as of ``--cfg-options``.
        import_custom_modules (bool): Whether to import what the config asks for.

    Raises:
        ValueError: There is no such config, it cannot be read, it inherits from a toolbox that is not installed, an
            option names no part of it, or a part is of a type that mmengine's runner cannot take.
    """
    with about(path):
        if Path(path).suffix != '.py' and not isinstance(load(path), dict):
            raise ValueError('it holds something else than names with values')
        try:
            cfg = Config.fromfile(path, import_custom_modules=import_custom_modules)
        except ModuleNotFoundError as error:
            is_toolbox = any(toolbox in str(error) for toolbox in TOOLBOXES)
            raise ValueError(f'{error}; {_how_to_install()}' if is_toolbox else str(error)) from error
        except SystemExit as error:
            raise ValueError(f'the config ends the program with status {error.code}') from error
        check_options(cfg, options)
        cfg.merge_from_dict(options)
        check_types(cfg)
    return cfg


def check_options(cfg: Config, options: Iterable[str]) -> None:
    """Refuses options whose first name nothing reads: mmengine would take a mistyped one in silence.

    Raises:
        ValueError: There is one.
    """
    names = {*cfg, *inspect.signature(Runner).parameters, *OTHER_KEYS}
    for option in options:
        name = option.split('.')[0]
        if name not in names:
            similar = difflib.get_close_matches(name, names, 1)
            hint = f'; did you mean {similar[0]}?' if similar else f'; it has {", ".join(sorted(cfg))}'
            raise ValueError(f'--cfg-options {option}: there is no {name} in {cfg.filename}{hint}')


def check_types(cfg: Config) -> None:
    """Refuses parts of a config that are not what mmengine's runner is annotated with.

    Raises:
        ValueError: There is one.
    """
    for name, hint in get_type_hints(Runner.__init__).items():
        # Optional[Union[DataLoader, Dict]] is {DataLoader, dict, NoneType}.
        types = {get_origin(part) or part for part in (get_args(hint) if get_origin(hint) is Union else [hint])}
        expected = [description for kind, description in CHECKED.items() if kind in types]
        if list in types:
            types.add(tuple)
        if str in types:
            types.add(type(None))  # The toolboxes' scripts set what is None.
        if expected and name in cfg and not isinstance(cfg[name], tuple(types)):
            raise ValueError(f'{name} is {cfg[name]!r}; expected {" or ".join(expected)}')
    if not isinstance(logging.getLevelName(cfg.get('log_level') or 'INFO'), int):  # A name of none is given back.
        raise ValueError(f"log_level is {cfg.log_level!r}; expected 'DEBUG', 'INFO', 'WARNING' or 'ERROR'")


def check_optimizer(cfg: Config) -> None:
    """Refuses an optimizer that is not known, of which mmengine says that None is not callable.

    Raises:
        ValueError: The config names one, and imports no modules that could define it.
    """
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer')
    name = optimizer.get('type') if isinstance(optimizer, dict) else None
    modules = (cfg.get('custom_imports') or {}).get('imports') or []
    if not isinstance(name, str) or set(modules) - {'mmcontnet'}:
        return
    with OPTIMIZERS.switch_scope_and_registry(cfg.default_scope) as registry:
        if registry.get(name) is None:
            similar = difflib.get_close_matches(name, OPTIMIZERS.module_dict, 1)
            hint = f'; did you mean {similar[0]}?' if similar else ', which is unknown'
            raise ValueError(f'optim_wrapper.optimizer.type is {name!r}{hint}')


def find_entry_point(cfg: Config, script: str) -> Path:
    """The script of the toolbox that a config names as its ``default_scope``.

    Args:
        cfg (Config): The config.
        script (str): ``'train.py'`` or ``'test.py'``.

    Raises:
        ImportError: The toolbox is not installed, or cannot be imported.
        ValueError: The toolbox is unknown.
    """
    scope = cfg.get('default_scope')
    if scope not in TOOLBOXES:
        raise ValueError(f'{cfg.filename}: default_scope is {scope!r}; expected one of {TOOLBOXES}')
    spec = find_spec(scope)
    if spec is None:
        raise ImportError(f'{cfg.filename} is for {scope}, which is not installed; {_how_to_install()}')
    if scope == 'mmpretrain':
        _try_import('mmpretrain.models', mmpretrain_requirements())
    entry_point = Path(spec.submodule_search_locations[0], '.mim', 'tools', script)
    if not entry_point.is_file():
        raise ImportError(f'{entry_point} is missing; install {scope} from its wheel')
    return entry_point


def check_torchvision(cfg: Config) -> None:
    """Tries to import torchvision where the weights of a config's model are torchvision's.

    Raises:
        ImportError: It is missing or broken.
    """
    if 'torchvision://' in str(cfg.get('model')):
        _try_import('torchvision', torchvision_requirements())


def check_tensorboard() -> None:
    """Tries to import what writes logs for TensorBoard.

    Raises:
        ImportError: It is missing or broken.
    """
    try:
        import_module('torch.utils.tensorboard')
    except (AttributeError, ImportError, TypeError) as error:  # Of its protobuf, too.
        raise ImportError(f'--tensorboard: {describe(error)}; pip install tensorboard') from error


def draw_names_as_written() -> None:
    """Keeps matplotlib, by which mmdet and mmpretrain draw, from reading names with dollar signs as formulas."""
    matplotlib.rcParams['text.parse_math'] = False


def _try_import(module: str, requirements: List[str]) -> None:
    """Imports a module that is missing, or broken beside a torchvision that is built for another torch."""
    try:
        import_module(module)
    except (AttributeError, ImportError, OSError, RuntimeError) as error:  # Torchvision raises any of them.
        name = module.split('.')[0]
        raise ImportError(f'{name} cannot be imported: {describe(error)}; {_how_to_install(requirements)}') from error


def torchvision_requirements() -> List[str]:
    """Arguments of ``pip install`` for the torchvision that is built for the torch installed."""
    torch = version('torch')
    build = torch.partition('+')[2]  # 'cpu' or 'cu121' where torch comes from PyTorch's own index, not from PyPI.
    index = ['--extra-index-url', f'https://download.pytorch.org/whl/{build}'] if build else []
    return ['torchvision', f'torch=={torch}', *index]


def mmpretrain_requirements() -> List[str]:
    """Arguments of ``pip install`` for mmpretrain with the torchvision that is built for the torch installed."""
    return [distribution_of('mmpretrain'), *torchvision_requirements()]


def _how_to_install(requirements: List[str] = []) -> str:
    packages = ' '.join(requirements or mmpretrain_requirements())
    return f'install.py installs mmdet and mmseg; for others: pip install --upgrade {packages}'
