"""Attention inside patches by a single call for all of them, smaller ones padded: for GPUs and for exporters."""

from functools import lru_cache
from typing import Any, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .target import Target, target

Tables = Tuple[Tuple[Tensor, Tensor, Tensor], Tensor, Tensor]


def padded_attention(
    qkv: Tensor,
    heads: int,
    patch_size: int,
    bias: Optional[Tensor] = None,
    dropout: float = 0.0,
    keep_tables: bool = True,
) -> Tensor:
    """:func:`patch_attention` by a single call for all patches, with the missing pixels of smaller ones masked.

    What depends on the size alone is kept for the next call, unless ``keep_tables`` is False: as in compiled graphs,
    whose memory torch uses again.
    """
    batch, height, width, channels = qkv.shape[0], qkv.shape[1], qkv.shape[2], qkv.shape[3] // 3
    exporting = target(qkv) is Target.EXPORT
    # Under torch's simulations, as of memory, tensors are of classes of their own, and tables are not for keeping.
    # Neither are those that belong to the memory of a CUDA graph.
    capturing = qkv.is_cuda and torch.cuda.is_current_stream_capturing()
    keep = keep_tables and type(qkv) is Tensor and not exporting and not capturing
    tables = _cached_padding_tables if keep else _padding_tables
    parts, missing, places = tables(height, width, patch_size, heads, qkv.device)
    shape = batch * missing.shape[0], heads, patch_size**2, channels // heads
    rows = qkv.reshape(batch, height * width * 3 * heads, shape[3])
    # A single copy each: to patches, and heads before tokens.
    q, k, v = (rows.index_select(1, part).reshape(shape) for part in parts)
    mask = missing.to(q.dtype).repeat(batch, 1).reshape(shape[0], 1, 1, shape[2])
    if bias is not None:
        mask = mask + bias.to(q.dtype)
    by_steps = exporting and not torch.jit.is_tracing()  # Counters of operations trace.
    attend = _attend_by_steps if by_steps else F.scaled_dot_product_attention
    out = attend(q, k, v, mask, dropout)
    out = out.reshape(batch, missing.shape[0] * heads * shape[2], shape[3]).index_select(1, places)
    return out.reshape(batch, height, width, channels)


def _attend_by_steps(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, dropout: float) -> Tensor:
    """``scaled_dot_product_attention`` of products from which exporters make fewer copies."""
    logits = (q * q.shape[3] ** -0.5) @ k.mT + mask
    return F.dropout(logits.softmax(-1), dropout) @ v


def _padding_tables(height: int, width: int, patch_size: int, heads: int, device: torch.device) -> Tables:
    """For a map in padded patches: the rows of queries, of keys and of values, -inf for tokens that are missing, and
    the row of the output for each pixel and head.

    A row is what one head has of one pixel. There is one patch more than the map has: an exporter would otherwise
    assume that there are several.
    """
    area = patch_size**2
    across = (width + patch_size - 1) // patch_size
    count = (height + patch_size - 1) // patch_size * across + 1
    token = torch.arange(count * area, device=device)
    patch, place = token // area, token % area
    # ONNX has no remainder by a number that is not known beforehand.
    y = patch // across * patch_size + place // patch_size
    x = (patch - patch // across * across) * patch_size + place % patch_size
    missing = torch.where((y < height) & (x < width), 0.0, float('-inf')).reshape(count, area)
    pixels = (y.clamp(max=height - 1) * width + x.clamp(max=width - 1)).reshape(count, 1, area)
    head = torch.arange(heads, device=device)
    queries = (pixels * (3 * heads) + head[:, None]).flatten()
    pixel = torch.arange(height * width, device=device)
    y = pixel // width
    x = pixel - y * width
    patch, place = y // patch_size * across + x // patch_size, y % patch_size * patch_size + x % patch_size
    places = (patch * (heads * area) + place)[:, None] + head * area
    return (queries, queries + heads, queries + 2 * heads), missing, places.flatten()


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # What is kept may be needed in training, too.
def _cached_padding_tables(*arguments: Any) -> Tables:
    return _padding_tables(*arguments)
