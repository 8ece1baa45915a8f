"""ConTNet as a backbone for the OpenMMLab toolboxes."""

__version__ = '0.1.0'

from .engine import hooks  # noqa: F401 (registers them)
from .models import ConTNet
from .weights.reading import register_reading

register_reading()

__all__ = ['ConTNet']
