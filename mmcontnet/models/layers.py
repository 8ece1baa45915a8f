"""Layers of maps."""

import warnings
from typing import Any, Dict

import torch
from mmcv.cnn import build_norm_layer
from torch import Tensor, nn

from ..ops import conv2d, linear


class Linear(nn.Linear):
    """A linear layer of maps: (B, H, W, in_features) to (B, H, W, out_features)."""

    def forward(self, x: Tensor) -> Tensor:
        """Applies the layer."""
        return linear(x, self.weight, self.bias)


class Conv2d(nn.Conv2d):
    """A convolution without bias, of a square kernel: (B, in_channels, H, W) to (B, out_channels, H', W')."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, dilation: int = 1
    ) -> None:
        padding = dilation * (kernel_size // 2)
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Applies the convolution."""
        return conv2d(x, self.weight, self.stride[0], self.padding[0], self.dilation[0])


def build_norm(norm_cfg: Dict[str, Any], channels: int) -> nn.Module:
    """Builds the norm of so many channels, and tries it.

    Raises:
        ValueError: ``norm_cfg`` is no config of a norm of maps, or none for so many channels.
    """
    try:
        with torch.device('cpu'), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.filterwarnings('error', "input's size")  # All that IN3d has to say of maps.
            trial = build_norm_layer(norm_cfg, channels)[1].eval()
            finite = trial(torch.zeros(1, channels, 2, 2)).isfinite().all()
        momentum = getattr(trial, 'momentum', None)
        if not finite or not 0 < trial.eps < float('inf') or not (momentum is None or 0 <= momentum <= 1):
            raise ValueError(f'eps is {trial.eps!r}, momentum is {momentum!r}')
        return build_norm_layer(norm_cfg, channels)[1]
    except Exception as error:  # Norms raise anything.
        raise ValueError(
            f"norm_cfg is {norm_cfg!r}; expected a norm of maps with {channels} channels, as dict(type='BN') or "
            f"dict(type='GN', num_groups=8): {error!r}"
        ) from error
