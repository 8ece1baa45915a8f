"""Repeating what belongs to the pixels of a patch."""

import torch
from torch import Tensor

from .target import Target, target


def tile(patch: Tensor, height: int, width: int) -> Tensor:
    """Repeats a patch (p, p, C) down and across a map: (height, width, C), cut off at its end."""
    size = patch.shape[0]
    if target(patch) in (Target.EXPORT, Target.COMPILER):  # Sizes may be symbols, of which nothing is asked here.
        return reference_tile(patch, height, width)
    return patch.repeat(-(-height // size), -(-width // size), 1)[:height, :width]


def reference_tile(patch: Tensor, height: int, width: int) -> Tensor:
    """What :func:`tile` computes, by the place of each row and column in its patch."""
    rows = torch.arange(height, device=patch.device) % patch.shape[0]
    columns = torch.arange(width, device=patch.device) % patch.shape[1]
    return patch[rows][:, columns]
