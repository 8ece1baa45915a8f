"""Attention inside patches by a call for each rectangle of equal patches: for CPUs, where a call costs little.

A map has at most four of them: where its sides are no multiples of the patch size, the patches at the margins are
smaller. Nothing is padded.
"""

from math import prod
from typing import Iterator, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .target import HAS_BFLOAT16, is_inference


def rectangles(x: Tensor, patch_size: int) -> Iterator[Tensor]:
    """The rectangles of equal patches of maps (B, H, W, C), each a view (B, down, across, h, w, C)."""
    for top, bottom, height in _bands(x.shape[1], patch_size):
        for left, right, width in _bands(x.shape[2], patch_size):
            rectangle = x[:, top:bottom, left:right]
            yield rectangle.unflatten(2, (-1, width)).unflatten(1, (-1, height)).transpose(2, 3)


def _bands(length: int, patch_size: int) -> List[Tuple[int, int, int]]:
    """Start, stop and patch size of the whole patches along an axis, and of the smaller one at its end."""
    whole = length // patch_size * patch_size
    bands = [(0, whole, patch_size), (whole, length, length - whole)]
    return [(start, stop, size) for start, stop, size in bands if start < stop]


def crop_bias(bias: Tensor, height: int, width: int) -> Tensor:
    """The bias of whole patches, (heads, p * p, p * p), for patches of height x width: (heads, N, N)."""
    size = round(bias.shape[1] ** 0.5)
    bias = bias.unflatten(2, (size, size)).unflatten(1, (size, size))
    return bias[:, :height, :width, :height, :width].flatten(3, 4).flatten(1, 2)


def _cut(rectangle: Tensor, heads: int) -> Sequence[Tensor]:
    """Queries, keys and values of the patches of a rectangle, each (n, heads, N, C / heads)."""
    count, length, channels = prod(rectangle.shape[:3]), prod(rectangle.shape[3:5]), rectangle.shape[5]
    return rectangle.reshape(count, length, 3, heads, channels // (3 * heads)).permute(2, 0, 3, 1, 4).unbind()


def attention_by_rectangles(
    qkv: Tensor, heads: int, patch_size: int, bias: Optional[Tensor] = None, dropout: float = 0.0
) -> Tensor:
    """:func:`~mmcontnet.ops.patch_attention` by a call for each rectangle of equal patches."""
    out = qkv.new_empty(*qkv.shape[:3], qkv.shape[3] // 3)
    # Torch's attention on a CPU reads wrong numbers where the last axis is not contiguous.
    for source, result in zip(rectangles(qkv.contiguous(), patch_size), rectangles(out, patch_size)):
        q, k, v = _cut(source, heads)
        mask = None if bias is None else crop_bias(bias, *source.shape[3:5]).to(q.dtype)
        if HAS_BFLOAT16 and q.dtype == torch.bfloat16 and is_inference():
            # Patches are small: their logits cost less than a BLAS that does not know the processor's bfloat16.
            logits = q * q.shape[-1] ** -0.5 @ k.mT
            patches = (logits if mask is None else logits + mask).softmax(-1) @ v
        else:
            patches = F.scaled_dot_product_attention(q, k, v, mask, dropout)
        result.copy_(patches.transpose(1, 2).reshape(result.shape))
    return out
