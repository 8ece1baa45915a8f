"""Lets ``torch.load(weights_only=True)``, the default since torch 2.6, read the checkpoints that mmengine writes.

They hold the history of the logged values: numpy arrays in objects of mmengine's ``HistoryBuffer``, which are stored
with four of that class's own methods, and those as calls of ``getattr``. Allowing ``getattr`` itself would let a file
reach any attribute of any allowed object, so a function that hands out those four methods alone takes its place.
"""

import pickle
from typing import Any, Callable, cast

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

_METHODS = ('min', 'max', 'current', 'mean')


def history_buffer_method(owner: Any, name: str) -> Callable[..., Any]:
    """Stands in for ``getattr`` in a checkpoint.

    Raises:
        pickle.UnpicklingError: Anything but one of the methods that ``HistoryBuffer`` stores is asked for.
    """
    if owner is not HistoryBuffer or name not in _METHODS:
        raise pickle.UnpicklingError(f'the checkpoint asks for {name!r} of {owner!r}, which is not allowed')
    return vars(HistoryBuffer)[name]


def register_safe_globals() -> None:
    """Registers what mmengine's checkpoints need and nothing else."""
    scalars = [np.float32, np.float64, np.int64]
    reconstruct, scalar = (cast(Callable[..., Any], value.__reduce__()[0]) for value in (np.empty(0), np.float64(0)))
    # numpy 2 moved numpy.core to numpy._core; files come from both.
    moved = [
        (function, f'numpy.{core}.multiarray.{function.__name__}')
        for core in ('core', '_core')
        for function in (reconstruct, scalar)
    ]
    torch.serialization.add_safe_globals(
        [
            HistoryBuffer,
            (history_buffer_method, 'builtins.getattr'),
            *moved,
            np.ndarray,
            np.dtype,
            *(type(np.dtype(kind)) for kind in scalars),
        ]
    )
