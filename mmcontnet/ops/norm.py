"""Sums with layer norms."""

import torch.nn.functional as F
from torch import Tensor

from . import gpu
from .target import Target, target


def add_layer_norm(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """Layer norm, over the last axis, of the sum of two maps.

    Args:
        x (Tensor): (B, H, W, C).
        y (Tensor): (B, H, W, C).
        weight (Tensor): (C,).
        bias (Tensor): (C,).
        eps (float): Added to the variance. Defaults to 1e-5.

    Returns:
        Tensor: (B, H, W, C), in the type of ``y``.
    """
    if target(x) is Target.GPU and gpu.takes(y):
        return gpu.add_layer_norm(x, y, weight, bias, eps)
    # Autocast has norms in float32, and reading them would take twice as long.
    return F.layer_norm(x + y, weight.shape, weight, bias, eps).to(y.dtype)
