"""Layers of maps."""

from typing import Tuple

from torch import Tensor, nn

from ..ops import conv2d, linear


class Linear(nn.Linear):
    """A linear layer of maps: (B, H, W, in_features) to (B, H, W, out_features)."""

    def forward(self, x: Tensor) -> Tensor:
        """Applies the layer."""
        return linear(x, self.weight, self.bias)


class Conv2d(nn.Conv2d):
    """A convolution without bias, of a square kernel: (B, in_channels, H, W) to (B, out_channels, H', W')."""

    padding: Tuple[int, int]

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, dilation: int = 1
    ) -> None:
        padding = dilation * (kernel_size // 2)
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Applies the convolution."""
        return conv2d(x, self.weight, self.stride[0], self.padding[0], self.dilation[0])
