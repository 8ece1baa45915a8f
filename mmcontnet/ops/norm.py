"""Sums with layer norms."""

from functools import partial
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from . import gpu
from .recomputed import Recompute
from .target import Target, target


def add_layer_norm(
    x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5
) -> Tuple[Tensor, Optional[Recompute]]:
    """Layer norm, over the last axis, of the sum of two maps.

    Args:
        x (Tensor): (B, H, W, C).
        y (Tensor): (B, H, W, C).
        weight (Tensor): (C,).
        bias (Tensor): (C,).
        eps (float): Added to the variance. Defaults to 1e-5.

    Returns:
        tuple: The norm (B, H, W, C), in the type of ``y``, and a function that computes it again from the sum, which
        is kept for the backward pass anyway; None on GPUs.
    """
    if target(x) is Target.GPU and gpu.takes(y):
        return gpu.add_layer_norm(x, y, weight, bias, eps), None
    total = x + y
    # The type that autocast has for norms; it is off in the backward pass.
    dtype = weight.dtype if total.dtype in gpu.HALVES else total.dtype
    total = total.to(dtype)
    recompute = partial(_layer_norm, total, weight.to(dtype), bias.to(dtype), eps=eps, dtype=y.dtype)
    return recompute(), recompute


def _layer_norm(total: Tensor, weight: Tensor, bias: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    # Under autocast float32 would take twice as long to read.
    return F.layer_norm(total, weight.shape, weight, bias, eps).to(dtype)
