"""ConTNet as a backbone for the OpenMMLab toolboxes."""

__version__ = '0.1.0'

from . import hooks  # noqa: F401 (registers them)
from .contnet import ConTNet
from .safe_globals import register_safe_globals

register_safe_globals()

__all__ = ['ConTNet']
