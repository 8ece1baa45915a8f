"""ConTNet as a backbone for the OpenMMLab toolboxes."""

__version__ = '0.2.0'

import signal
import sys
from typing import Any

if 'mmcontnet.deploy' in sys.orig_argv and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

from .stacks import check_requirements, list_missing

if not list_missing():  # Otherwise who asks for ConTNet is told what to install.
    check_requirements()

    from .base_configs import register_base_configs, register_distributions
    from .engine import hooks  # noqa: F401 (registers them)
    from .models import ConTNet
    from .weights.reading import register_reading

    register_reading()
    register_base_configs()
    register_distributions()

__all__ = ['ConTNet']


def __getattr__(name: str) -> Any:
    if name in __all__:
        check_requirements()
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
