"""ConTNet as a backbone for the OpenMMLab toolboxes."""

__version__ = '0.1.0'

from .base_configs import register_base_configs
from .engine import hooks  # noqa: F401 (registers them)
from .models import ConTNet
from .weights.reading import register_reading

register_reading()
register_base_configs()

__all__ = ['ConTNet']
