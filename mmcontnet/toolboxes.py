"""The toolboxes that configs are written for, their entry points and their installation."""

import sys
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import List

from mmengine.config import Config

TOOLBOXES = ('mmdet', 'mmseg', 'mmpretrain')


def read_config(path: str) -> Config:
    """Reads a config, without what it imports.

    Raises:
        SystemExit: There is no such config, or it inherits from a toolbox that is not installed.
    """
    if not Path(path).is_file():
        sys.exit(f'{path}: there is no such config')
    try:
        return Config.fromfile(path, import_custom_modules=False)
    except ModuleNotFoundError as error:  # A base config is of a toolbox that is not installed.
        sys.exit(f'{path}: {error}\n{_how_to_install()}')


def find_entry_point(cfg: Config, script: str) -> Path:
    """The script of the toolbox that a config names as its ``default_scope``.

    Args:
        cfg (Config): The config.
        script (str): ``'train.py'`` or ``'test.py'``.

    Raises:
        SystemExit: The toolbox is unknown or not installed, or cannot be imported.
    """
    scope = cfg.get('default_scope')
    if scope not in TOOLBOXES:
        sys.exit(f'{cfg.filename}: default_scope is {scope!r}; expected one of {TOOLBOXES}')
    spec = find_spec(scope)
    if spec is None:
        sys.exit(f'{cfg.filename} is for {scope}, which is not installed\n{_how_to_install()}')
    if scope == 'mmpretrain':
        _check_mmpretrain()
    entry_point = Path(spec.submodule_search_locations[0], '.mim', 'tools', script)
    if not entry_point.is_file():
        sys.exit(f'{entry_point} is missing; install {scope} from its wheel')
    return entry_point


def _check_mmpretrain() -> None:
    """Ends the program where mmpretrain cannot be imported, as beside a torchvision that is built for another torch."""
    try:
        import_module('mmpretrain.models')
    except (AttributeError, ImportError, OSError, RuntimeError) as error:  # Torchvision raises any of them.
        sys.exit(f'mmpretrain cannot be imported: {error}\n{_how_to_install()}')


def mmpretrain_requirements() -> List[str]:
    """Arguments of ``pip install`` for mmpretrain with the torchvision that is built for the torch installed."""
    torch = version('torch')
    build = torch.partition('+')[2]  # 'cpu' or 'cu121' where torch comes from PyTorch's own index, not from PyPI.
    index = ['--extra-index-url', f'https://download.pytorch.org/whl/{build}'] if build else []
    return ['mmpretrain', 'torchvision', f'torch=={torch}', *index]


def _how_to_install() -> str:
    return (
        'mmdet and mmseg are installed by install.py; mmpretrain, with the torchvision that fits torch, by\n'
        f'  pip install --upgrade {" ".join(mmpretrain_requirements())}'
    )
