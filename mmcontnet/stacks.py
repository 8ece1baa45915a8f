"""The two stacks of toolboxes: OpenMMLab's, and OneDL's, which continue them under the same module names.

install.py runs this file before anything is installed, so it imports nothing but Python's own library.
"""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Dict, List, Optional

# By stack: the distribution of each module.
DISTRIBUTIONS: Dict[str, Dict[str, str]] = {
    'openmmlab': dict(
        mmcv='mmcv',
        mmdet='mmdet',
        mmengine='mmengine',
        mmpretrain='mmpretrain',
        mmseg='mmsegmentation',
        mim='openmim',
    ),
    'onedl': dict(
        mmcv='onedl-mmcv',
        mmdet='onedl-mmdetection',
        mmengine='onedl-mmengine',
        mmpretrain='onedl-mmpretrain',
        mmseg='onedl-mmsegmentation',
        mim='onedl-mim',
    ),
}
DEFAULT = 'openmmlab'


def list_installed(stack: str) -> List[str]:
    """The distributions of a stack that are installed."""
    return [name for name in DISTRIBUTIONS[stack].values() if _is_installed(name)]


def find_stack() -> Optional[str]:
    """The stack that is installed, or None.

    Raises:
        ImportError: Both are: each overwrites files of the other.
    """
    found = {stack: names for stack in DISTRIBUTIONS if (names := list_installed(stack))}
    if len(found) > 1:
        names = [name for names in found.values() for name in names]
        raise ImportError(
            'distributions of both OpenMMLab and OneDL are installed, and they overwrite files of each other: '
            f'{", ".join(names)}. Remove all of them: pip uninstall {" ".join(names)}; then install one stack: '
            'python install.py --stack openmmlab, or --stack onedl'
        )
    return next(iter(found), None)


def list_missing() -> List[str]:
    """What the backbone needs and ``pip install mmcontnet`` leaves to the extra of a stack, where it is missing."""
    return [name for name in ('torch', 'mmengine') if find_spec(name) is None]


def check_requirements() -> None:
    """Checks what the backbone needs.

    Raises:
        ImportError: torch or mmengine is missing, torch is too old, or both stacks are installed.
    """
    find_stack()
    missing = list_missing()
    if missing:
        raise ImportError(
            f'mmcontnet needs {" and ".join(missing)}: pip install "mmcontnet[openmmlab]", or "mmcontnet[onedl]"'
        )
    import torch

    if tuple(map(int, torch.__version__.split('.')[:2])) < (2, 6):
        raise ImportError(
            f'torch {torch.__version__} may run code that is in a checkpoint; mmcontnet needs torch 2.6 or newer'
        )


def distribution_of(module: str) -> str:
    """What to install for a module, such as ``'mmsegmentation'`` for ``'mmseg'``, beside the stack that is there."""
    return DISTRIBUTIONS[find_stack() or DEFAULT][module]


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
