"""Launching Triton kernels quickly.

Triton looks at all arguments at each launch to find the right compiled kernel, which takes longer than many kernels
run. Here that is done once for all tensors of the same types.
"""

from typing import Any, Dict, Optional, Sequence, Tuple

import torch
import triton
from torch import Tensor

# Before Triton 3.3, compiled kernels took no constants.
TAKES_CONSTANTS = tuple(map(int, triton.__version__.split('.')[:2])) >= (3, 3)


class Kernel:
    """A Triton kernel; its arguments are tensors, None, and numbers that it is not specialized for, then constants.

    Args:
        function (Callable): What ``triton.jit`` returns.
        **options: Triton's options, such as ``num_stages``.
    """

    def __init__(self, function: Any, **options: int) -> None:
        self.function = function
        self.options = options
        self.compiled: Dict[Tuple[Any, ...], Any] = {}

    def __call__(self, grid: Sequence[int], arguments: Tuple[Any, ...], constants: Tuple[Any, ...]) -> None:
        """Launches as many programs as ``grid`` says, along three axes, on the device of the first argument."""
        device = arguments[0].device
        if device.type == 'cuda' and device.index != torch.cuda.current_device():
            with torch.cuda.device(device):
                return self(grid, arguments, constants)
        key = (device, *constants, *map(_signature, arguments))
        compiled = self.compiled.get(key)
        if compiled is not None:
            compiled[grid](*arguments, *constants)
            return
        compiled = self.function[grid](*arguments, *constants, **self.options)
        if TAKES_CONSTANTS and compiled is not None:  # Triton's interpreter compiles nothing.
            self.compiled[key] = compiled


def _signature(argument: Any) -> Optional[Tuple[torch.dtype, bool]]:
    """What Triton compiles differently: the type of a tensor, and whether its address divides by 16."""
    if isinstance(argument, Tensor):
        return argument.dtype, argument.data_ptr() % 16 == 0
    return None
