"""Hands a config over to the toolbox that it is written for."""

import runpy
import sys
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import List

from mmengine.config import Config

TOOLBOXES = ('mmdet', 'mmseg', 'mmpretrain')


def run_entry_point(script: str, usage: str) -> None:
    """Runs a script of the toolbox that the config on the command line names as its ``default_scope``.

    The script sees the command line unchanged, so all its options work, those of launchers too.

    Args:
        script (str): ``'train.py'`` or ``'test.py'``.
        usage (str): What to print where the command line has no config.

    Raises:
        SystemExit: There is no config, or its toolbox is unknown or not installed, or cannot be imported.
    """
    configs = [argument for argument in sys.argv[1:] if argument.endswith('.py')]
    if not configs:
        print(usage)
        sys.exit(0 if {'-h', '--help'} & set(sys.argv[1:]) else 2)
    config = configs[0]
    if not Path(config).is_file():
        sys.exit(f'{config}: there is no such config')
    try:
        scope = Config.fromfile(config, import_custom_modules=False).get('default_scope')
    except ModuleNotFoundError as error:  # A base config is of a toolbox that is not installed.
        sys.exit(f'{config}: {error}\n{_how_to_install()}')
    if scope not in TOOLBOXES:
        sys.exit(f'{config}: default_scope is {scope!r}; expected one of {TOOLBOXES}')
    spec = find_spec(scope)
    if spec is None:
        sys.exit(f'{config} is for {scope}, which is not installed\n{_how_to_install()}')
    if scope == 'mmpretrain':
        _check_mmpretrain()
    entry_point = Path(spec.submodule_search_locations[0], '.mim', 'tools', script)
    if not entry_point.is_file():
        sys.exit(f'{entry_point} is missing; install {scope} from its wheel')
    runpy.run_path(str(entry_point), run_name='__main__')


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
