"""PSPNet."""

from typing import Any, Dict, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .inputs import Inputs
from .operators import Operators
from .support import check_option, check_type


class Segmentor(nn.Module):
    """A semantic segmentor, from the picture to its label map.

    Args:
        segmentor (nn.Module): An ``EncoderDecoder`` of mmseg.
        operators (Operators): Not needed.
        dtype (torch.dtype): What the network computes in.

    Raises:
        ValueError: A part of the segmentor cannot be exported.
    """

    outputs = ('label_map',)
    settings: Dict[str, Any] = {}

    def __init__(self, segmentor: nn.Module, operators: Operators, dtype: torch.dtype) -> None:
        super().__init__()
        head = segmentor.decode_head
        check_type(head, ('PSPHead', 'FCNHead'), 'decode_head')
        check_option(segmentor.test_cfg.get('mode', 'whole'), 'whole', 'test_cfg.mode')
        if head.out_channels < 2:
            raise ValueError(f'decode_head.out_channels is {head.out_channels}; an exported model needs two or more')
        self.inputs = Inputs(segmentor.data_preprocessor, dtype)
        self.backbone = segmentor.backbone.to(dtype)
        self.neck = segmentor.neck.to(dtype) if segmentor.with_neck else nn.Identity()
        self.head = replace_pooling(head.to(dtype))

    def forward(self, images: Tensor, size: Tensor) -> Tuple[Tensor]:
        """Segments.

        Args:
            images (Tensor): (B, H, W, 3), RGB, 8 bits.
            size (Tensor): Height and width of the label maps, (2,), 64-bit integers.

        Returns:
            tuple[Tensor]: The classes of the pixels, (B, height, width), 8 bits, 16 for more than 256 classes.
        """
        x = self.inputs(images)
        logits = self.head(self.neck(self.backbone(x))).float()
        logits = self.resize(logits, x.shape[2:])[..., : images.shape[1], : images.shape[2]]  # Without padding.
        height, width = size.tolist()
        torch._check(height > 1)
        torch._check(width > 1)
        labels = self.resize(logits, (height, width)).argmax(1)
        return (labels.to(torch.uint8 if self.head.out_channels <= 256 else torch.int16),)

    def resize(self, logits: Tensor, size: Tuple[int, int]) -> Tensor:
        """(B, C, H, W) to (B, C, \\*size)."""
        return F.interpolate(logits, size, mode='bilinear', align_corners=self.head.align_corners)


class AdaptivePool(nn.Module):
    """``nn.AdaptiveAvgPool2d`` by two matrix products, which exporters take for maps of any size.

    Args:
        size (int): Height and width of the output.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, size, size)."""
        rows, columns = (self.weights(length).to(x.dtype) for length in x.shape[2:])
        return rows @ x @ columns.T

    def weights(self, length: int) -> Tensor:
        """The share of each pixel of an axis in each cell, (size, length)."""
        cells, pixels = torch.arange(self.size)[:, None], torch.arange(length)
        starts = cells * length // self.size
        ends = ((cells + 1) * length + self.size - 1) // self.size
        inside = ((pixels >= starts) & (pixels < ends)).float()
        return inside / (ends - starts)


def replace_pooling(module: nn.Module) -> nn.Module:
    """Exchanges the ``nn.AdaptiveAvgPool2d`` in a module, in place."""
    for name, child in module.named_children():
        if isinstance(child, nn.AdaptiveAvgPool2d):
            setattr(module, name, AdaptivePool(child.output_size))
        else:
            replace_pooling(child)
    return module
