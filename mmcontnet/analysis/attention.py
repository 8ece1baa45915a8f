"""The attention of a pixel to those of its patch."""

from typing import List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

from ..models.encoder import PatchAttention


class PixelAttention(NamedTuple):
    """The attention of a pixel of a map in an encoder.

    Args:
        stride (int): Stride of the map.
        patch_size (int): Height and width of a whole patch, in pixels of the map.
        corner (tuple[int]): Row and column of the patch's upper left pixel.
        weights (Tensor): Weights of the patch's pixels, (heads, h, w); those of a head sum to 1.
    """

    stride: int
    patch_size: int
    corner: Tuple[int, int]
    weights: Tensor


def attend(qkv: Tensor, heads: int, patch_size: int, pixel: Sequence[int], bias: Optional[Tensor] = None) -> Tensor:
    """Computes the attention of one pixel, as :func:`mmcontnet.ops.attention.reference_attention` does of all.

    Args:
        qkv (Tensor): Queries, keys and values of a map, (H, W, 3C).
        heads (int): Number of heads.
        patch_size (int): Height and width of a whole patch, p.
        pixel (Sequence[int]): Row and column.
        bias (Tensor | None): (heads, p * p, p * p), added to the logits. Defaults to None.

    Returns:
        Tensor: Weights of the pixels of its patch, (heads, h, w).
    """
    (row, column), (top, left) = pixel, corner(pixel, patch_size)
    queries, keys, _ = qkv.unflatten(2, (3, heads, -1)).unbind(2)  # (H, W, heads, C / heads)
    query = queries[row, column]
    patch = keys[top : top + patch_size, left : left + patch_size]  # (h, w, heads, C / heads)
    logits = torch.einsum('hwnc, nc -> nhw', patch, query) * query.shape[1] ** -0.5
    height, width = patch.shape[:2]
    if bias is not None:
        inside = (row - top) * patch_size + column - left
        logits = logits + bias[:, inside].unflatten(1, (patch_size, patch_size))[:, :height, :width]
    return logits.flatten(1).softmax(1).unflatten(1, (height, width))


def corner(pixel: Sequence[int], patch_size: int) -> Tuple[int, ...]:
    """Row and column of the upper left pixel of the patch that a pixel is in."""
    return tuple(index // patch_size * patch_size for index in pixel)


def attention_in_block(
    backbone: nn.Module, block: nn.Module, image: Tensor, pixel: Sequence[int]
) -> List[PixelAttention]:
    """The attention in both encoders of a block for a pixel of an image.

    Args:
        backbone (ConTNet): The network, in evaluation mode.
        block (ConTBlock): One of its blocks, ``backbone.stages[i][j]``.
        image (Tensor): (3, H, W), sides multiples of 32.
        pixel (Sequence[int]): Row and column in the image.

    Returns:
        list[PixelAttention]: Of the first encoder and of the second, for the pixel of the map that is there.
    """
    found: List[PixelAttention] = []

    def record(module: PatchAttention, args: Tuple[Tensor, Optional[Tensor]], output: Tensor) -> None:
        x, bias = args
        size, stride = module.patch_size, image.shape[1] // x.shape[1]
        here = [index // stride for index in pixel]
        with torch.no_grad():
            weights = attend(module.qkv(x)[0], module.heads, size, here, bias)
        found.append(PixelAttention(stride, size, corner(here, size), weights))

    handles = [encoder.attn.register_forward_hook(record) for encoder in block.encoders]
    try:
        with torch.enable_grad():  # In inference, maps pass through the encoders in strips.
            backbone(image[None])
    finally:
        for handle in handles:
            handle.remove()
    return found
