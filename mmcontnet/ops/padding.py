"""Attention inside patches by a single call for all of them, smaller ones padded: for GPUs and for exporters."""

from functools import lru_cache
from typing import Any, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .target import Target, target


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
    pixels, missing, places = tables(height, width, patch_size, qkv.device)
    patches = qkv.reshape(batch, height * width, 3 * channels).index_select(1, pixels)
    patches = patches.reshape(batch * missing.shape[0], patch_size**2, 3, heads, channels // heads)
    q, k, v = (x.transpose(1, 2) for x in patches.unbind(2))  # (n, heads, p * p, C / heads)
    mask = missing.to(q.dtype).repeat(batch, 1).reshape(batch * missing.shape[0], 1, 1, patch_size**2)
    if bias is not None:
        mask = mask + bias.to(q.dtype)
    out = F.scaled_dot_product_attention(q, k, v, mask, dropout)
    out = out.transpose(1, 2)
    if exporting:  # Elsewhere torch's attention may lay it out in another way than here.
        out = out.clone(memory_format=torch.contiguous_format)
    out = out.reshape(batch, pixels.shape[0], channels).index_select(1, places)
    return out.reshape(batch, height, width, channels)


def _padding_tables(height: int, width: int, patch_size: int, device: torch.device) -> Tuple[Tensor, Tensor, Tensor]:
    """For a map in padded patches: the pixel of each token, -inf for tokens that are missing, the token of each pixel.

    There is one patch more than the map has: an exporter would otherwise assume that there are several.
    """
    area = patch_size**2
    across = (width + patch_size - 1) // patch_size
    count = (height + patch_size - 1) // patch_size * across + 1
    token = torch.arange(count * area, device=device)
    patch, place = token // area, token % area
    # ONNX has no remainder by a number that is not known beforehand.
    y = patch // across * patch_size + place // patch_size
    x = (patch - patch // across * across) * patch_size + place % patch_size
    pixels = y.clamp(max=height - 1) * width + x.clamp(max=width - 1)
    missing = torch.where((y < height) & (x < width), 0.0, float('-inf')).reshape(count, area)
    pixel = torch.arange(height * width, device=device)
    y = pixel // width
    x = pixel - y * width
    places = (y // patch_size * across + x // patch_size) * area + y % patch_size * patch_size + x % patch_size
    return pixels, missing, places


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # What is kept may be needed in training, too.
def _cached_padding_tables(*arguments: Any) -> Tuple[Tensor, Tensor, Tensor]:
    return _padding_tables(*arguments)
