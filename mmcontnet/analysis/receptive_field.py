"""Effective receptive fields (Luo et al., 2016, https://arxiv.org/abs/1701.04128)."""

import math
from typing import Iterable, List, NamedTuple, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Field(NamedTuple):
    """The effective receptive field of a map: where in the image the gradient of its pixels has its energy.

    Args:
        stride (int): Stride of the map.
        picture (Tensor): Share of the energy by offset from the center of the map's pixel, (2R, 2R); the sum is below 1
            where the field is larger.
        profile (Tensor): Share of the energy by distance from there, rounded to whole pixels of the image, (D,).
    """

    stride: int
    picture: Tensor
    profile: Tensor

    def radius(self, share: float) -> int:
        """The smallest distance, in pixels of the image, that holds a share of the energy."""
        return int((self.profile.cumsum(0) < share * self.profile.sum()).sum())


def measure_fields(backbone: nn.Module, batches: Iterable[Tensor]) -> List[Field]:
    """Measures the effective receptive field of each map, averaged over images and pixels.

    Of each image, a random pixel in the middle third of each map is taken. The energy is the squared gradient with
    respect to the image, for random signs of the pixel's channels: their plain sum is constant after a layer norm.

    Args:
        backbone (nn.Module): Maps images to a tuple of maps; in evaluation mode.
        batches (Iterable[Tensor]): Images (B, 3, H, W), all of one size; H and W are multiples of 32.

    Returns:
        list[Field]: One for each map.
    """
    takes_patches = _takes_patches(backbone)
    strides: List[int] = []
    pictures: List[List[Tensor]] = []
    profiles: List[List[Tensor]] = []
    for images in batches:
        images = images.detach().requires_grad_()
        maps = backbone(images)
        strides = [images.shape[2] // x.shape[2] for x in maps]
        pictures = pictures or [[] for _ in maps]
        profiles = profiles or [[] for _ in maps]
        for x, stride, shown, measured in zip(maps, strides, pictures, profiles):
            pixels = [_draw_pixel(x.shape[2:]) for _ in images]
            signs = torch.zeros_like(x)
            for sign, (row, column) in zip(signs, pixels):
                sign[:, row, column] = torch.randint(0, 2, x.shape[1:2], device=x.device) * 2 - 1
            (gradient,) = torch.autograd.grad(x, images, signs, retain_graph=True)
            for energy, pixel in zip(gradient.double().square().sum(1), pixels):
                energy /= energy.sum()
                # Strided convolutions and pooling are centered on the first of the pixels that a patch covers.
                center = [stride * index + ((stride - 1) / 2 if takes_patches else 0) for index in pixel]
                shown.append(_crop(energy, center))
                measured.append(_sum_by_distance(energy, center))
    return [
        Field(stride, torch.stack(shown).mean(0), torch.stack(measured).mean(0))
        for stride, shown, measured in zip(strides, pictures, profiles)
    ]


def _takes_patches(backbone: nn.Module) -> bool:
    """Whether the first convolution takes patches that do not overlap, as in Swin Transformer or ConvNeXt."""
    first = next((module for module in backbone.modules() if isinstance(module, nn.Conv2d)), None)
    return first is not None and first.kernel_size == first.stride != (1, 1)


def _draw_pixel(size: Sequence[int]) -> Tuple[int, ...]:
    """The row and column of a random pixel in the middle third of a map of (height, width)."""
    return tuple(int(torch.randint(length // 3, length - length // 3, ())) for length in size)


def _crop(energy: Tensor, center: Sequence[float]) -> Tensor:
    """The square around a center, a third of the shorter side to each direction; zeros outside of the image."""
    radius = min(energy.shape) // 3
    top, left = map(math.ceil, center)
    return F.pad(energy, [radius] * 4)[top : top + 2 * radius, left : left + 2 * radius]


def _sum_by_distance(energy: Tensor, center: Sequence[float]) -> Tensor:
    """The energy at each whole distance from a center, up to the diagonal."""
    rows, columns = (
        torch.arange(length, device=energy.device, dtype=energy.dtype) - position
        for length, position in zip(energy.shape, center)
    )
    distances = torch.hypot(rows[:, None], columns).round().long()
    return torch.bincount(distances.flatten(), energy.flatten(), sum(energy.shape))
