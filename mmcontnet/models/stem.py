"""The stem of the network: an image to a map of a quarter of its size."""

from typing import Any, Dict

from torch import nn

from .layers import Conv2d
from .norm import build_norm

STEMS = ('conv', 'deep')


def build_stem(kind: str, in_channels: int, width: int, norm_cfg: Dict[str, Any]) -> nn.Sequential:
    """Builds a stem, (B, in_channels, H, W) to (B, width, H / 4, W / 4).

    Args:
        kind (str): ``'conv'``, one 7x7 convolution, or ``'deep'``, three of 3x3 with norms; max pooling follows both.
        in_channels (int): Channels of the image.
        width (int): Channels of the output.
        norm_cfg (dict): Config of the norms.
    """
    pool = nn.MaxPool2d(3, stride=2, padding=1)
    if kind == 'conv':
        return nn.Sequential(Conv2d(in_channels, width, 7, stride=2), pool)
    layers = []
    channels = in_channels
    for out_channels, stride in ((width // 2, 2), (width // 2, 1), (width, 1)):
        norm = build_norm(norm_cfg, out_channels)
        layers += [Conv2d(channels, out_channels, 3, stride), norm, nn.ReLU(inplace=True)]
        channels = out_channels
    return nn.Sequential(*layers, pool)
