"""Configs that others inherit from: of this package, as ``_base_ = ['mmcontnet::retinanet_contm_coco.py']``, and of the
toolboxes of either stack.
"""

import functools
from pathlib import Path
from typing import Optional, Tuple

from mmengine.config import Config, utils
from mmengine.hub import hub
from mmengine.utils import is_installed

from .stacks import DEFAULT, DISTRIBUTIONS, find_stack

CONFIGS = Path(__file__).parent / '.mim' / 'configs'
SCOPE = 'mmcontnet::'


def find_base_config(name: str) -> Path:
    """The path of a config of this package.

    Args:
        name (str): Its name in ``configs/``, as ``'retinanet_contm_coco.py'``.

    Raises:
        FileNotFoundError: There is no such config.
    """
    path = CONFIGS / name
    if not path.is_file():
        known = ', '.join(sorted(path.name for path in CONFIGS.glob('*.py')))
        raise FileNotFoundError(f'{SCOPE}{name}: there is no such config; expected one of {known}')
    return path


def register_base_configs() -> None:
    """Teaches mmengine the prefix ``mmcontnet::``, and to read the toolboxes' lists of configs only once.

    mmengine knows only the toolboxes' prefixes, and wants a folder after a prefix.
    """
    original = Config._get_cfg_path
    if getattr(original, 'knows_mmcontnet', False):
        return

    @functools.wraps(original)
    def get_cfg_path(cfg_path: str, filename: str) -> Tuple[str, Optional[str]]:
        if cfg_path.startswith(SCOPE):
            return str(find_base_config(cfg_path[len(SCOPE) :])), None
        return original(cfg_path, filename)

    get_cfg_path.knows_mmcontnet = True
    Config._get_cfg_path = staticmethod(get_cfg_path)
    # It reads these lists for each config that another inherits from, which takes longer than everything else.
    utils.load = functools.cache(utils.load)


def register_distributions() -> None:
    """Tells mmengine which distributions provide the toolboxes, and keeps ``mmengine.hub`` from installing them.

    OneDL's mmengine looks for OpenMMLab's distributions, and would install them over OneDL's files.
    """
    names = DISTRIBUTIONS[find_stack() or DEFAULT]
    known = utils.MODULE2PACKAGE
    known.update((module, name) for module, name in names.items() if module in known)
    hub.install_package = _check_installed


def _check_installed(name: str) -> None:
    if not is_installed(name):
        raise ModuleNotFoundError(f'{name} is not installed: pip install {name}')
