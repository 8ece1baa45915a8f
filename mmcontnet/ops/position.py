"""Adding to each pixel of a map what belongs to its place in its patch."""

import torch
from torch import Tensor

from . import gpu
from .target import COMPILERS, Target, target


def add_tiled(x: Tensor, patch: Tensor) -> Tensor:
    """Adds a patch (p, p, C), repeated down and across, to maps (B, H, W, C), in the type of the maps."""
    where = target(x)
    if where is Target.GPU and gpu.takes(x):
        return gpu.add_tiled(x, patch)
    patch = patch.to(x.dtype)  # The patch is float32 under autocast, too.
    height, width, size = x.shape[1], x.shape[2], patch.shape[0]
    if where is Target.EXPORT or where in COMPILERS:  # Sizes may be symbols, of which nothing is asked here.
        return reference_add_tiled(x, patch)
    if height % size or width % size:
        return x + patch.repeat(-(-height // size), -(-width // size), 1)[:height, :width]
    patches = x.unflatten(2, (-1, size)).unflatten(1, (-1, size))  # (B, down, p, across, p, C)
    return (patches + patch.unsqueeze(1)).flatten(3, 4).flatten(1, 2)


def reference_add_tiled(x: Tensor, patch: Tensor) -> Tensor:
    """What :func:`add_tiled` computes, by the place of each row and column in its patch."""
    rows = torch.arange(x.shape[1], device=x.device) % patch.shape[0]
    columns = torch.arange(x.shape[2], device=x.device) % patch.shape[1]
    return x + patch.index_select(0, rows).index_select(1, columns)
