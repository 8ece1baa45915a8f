"""Hands a config over to the toolbox that it is written for."""

import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

from mmengine.config import Config

TOOLBOXES = ('mmdet', 'mmseg', 'mmpretrain')


def run_entry_point(script: str, usage: str) -> None:
    """Runs a script of the toolbox that the config on the command line names as its ``default_scope``.

    The script sees the command line unchanged, so all its options work, those of launchers too.

    Args:
        script (str): ``'train.py'`` or ``'test.py'``.
        usage (str): What to print where the command line has no config.

    Raises:
        SystemExit: There is no config, or its toolbox is unknown or not installed.
    """
    configs = [argument for argument in sys.argv[1:] if argument.endswith('.py')]
    if not configs:
        print(usage)
        sys.exit(0 if {'-h', '--help'} & set(sys.argv[1:]) else 2)
    config = configs[0]
    if not Path(config).is_file():
        sys.exit(f'{config}: there is no such config')
    scope = Config.fromfile(config, import_custom_modules=False).get('default_scope')
    if scope not in TOOLBOXES:
        sys.exit(f'{config}: default_scope is {scope!r}; expected one of {TOOLBOXES}')
    spec = find_spec(scope)
    if spec is None:
        sys.exit(f'{config} is for {scope}, which is not installed; install it with install.py')
    entry_point = Path(spec.submodule_search_locations[0], '.mim', 'tools', script)
    if not entry_point.is_file():
        sys.exit(f'{entry_point} is missing; install {scope} from its wheel')
    runpy.run_path(str(entry_point), run_name='__main__')
