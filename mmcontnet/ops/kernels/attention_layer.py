"""Position, self-attention with its linear layers, sum and norm in a single pass over memory, for inference.

A program takes some pixels of a patch. Queries, keys and values never leave the processor; those of a patch's keys are
computed again for each such block.
"""

from typing import Optional

import torch
import triton
import triton.language as tl
from torch import Tensor

from .attention import BLOCK, accumulate, get_logits, get_pixels
from .launch import Kernel
from .norm import layer_norm


@triton.jit
def _load(
    x,
    positions,
    patch,
    tokens,
    height,
    width,
    SIZE: tl.constexpr,
    CHANNELS: tl.constexpr,
    COLUMNS: tl.constexpr,
    POSITION: tl.constexpr,
):
    """Tokens of a patch with their positions, (tokens, COLUMNS); their pixels, and which of them there are."""
    pixels, exists = get_pixels(patch, tokens, height, width, SIZE)
    columns = tl.arange(0, COLUMNS)
    mask = exists[:, None] & (columns < CHANNELS)[None, :]
    values = tl.load(x + pixels[:, None] * CHANNELS + columns[None, :], mask, other=0.0)
    if POSITION:
        places = positions + tokens[:, None] * CHANNELS + columns[None, :]
        values = (values.to(tl.float32) + tl.load(places, mask, other=0.0).to(tl.float32)).to(values.dtype)
    return values, pixels, exists


@triton.jit
def _project(
    tokens,
    weight,
    bias,
    first,
    CHANNELS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DIM: tl.constexpr,
    UNITS: tl.constexpr,
    HAS_BIAS: tl.constexpr,
):
    """What a linear layer returns in DIM of its units, (tokens, UNITS)."""
    columns, units = tl.arange(0, COLUMNS), tl.arange(0, UNITS)
    mask = (columns < CHANNELS)[:, None] & (units < DIM)[None, :]
    places = weight + (first + units)[None, :] * CHANNELS + columns[:, None]
    result = tl.dot(tokens, tl.load(places, mask, other=0.0))
    if HAS_BIAS:
        result += tl.load(bias + first + units, units < DIM, other=0.0).to(tl.float32)[None, :]
    return result.to(tokens.dtype)


@Kernel
@triton.jit(do_not_specialize=['height', 'width'])
def attention_layer_forward(
    x,
    positions,
    bias,
    qkv_weight,
    qkv_bias,
    proj_weight,
    proj_bias,
    norm_weight,
    norm_bias,
    out,
    height,
    width,
    scale,
    eps,
    SIZE: tl.constexpr,
    CHANNELS: tl.constexpr,
    COLUMNS: tl.constexpr,
    HEADS: tl.constexpr,
    UNITS: tl.constexpr,
    BLOCK: tl.constexpr,
    POSITION: tl.constexpr,
    BIAS: tl.constexpr,
    QKV_BIAS: tl.constexpr,
):
    """The layer for some pixels of a patch."""
    patch = tl.program_id(0)
    dim: tl.constexpr = CHANNELS // HEADS
    queries = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    own, pixels, exists = _load(x, positions, patch, queries, height, width, SIZE, CHANNELS, COLUMNS, POSITION)
    columns, units = tl.arange(0, COLUMNS), tl.arange(0, UNITS)
    inside = columns < CHANNELS
    projected = tl.zeros([BLOCK, COLUMNS], tl.float32)
    for head in tl.static_range(HEADS):
        first = head * dim
        q = _project(own, qkv_weight, qkv_bias, first, CHANNELS, COLUMNS, dim, UNITS, QKV_BIAS)
        highest = tl.full([BLOCK], float('-inf'), tl.float32)
        total = tl.zeros([BLOCK], tl.float32)
        result = tl.zeros([BLOCK, UNITS], tl.float32)
        for start in range(0, SIZE * SIZE, BLOCK):
            keys = start + tl.arange(0, BLOCK)
            tokens, _, there = _load(x, positions, patch, keys, height, width, SIZE, CHANNELS, COLUMNS, POSITION)
            k = _project(tokens, qkv_weight, qkv_bias, CHANNELS + first, CHANNELS, COLUMNS, dim, UNITS, QKV_BIAS)
            v = _project(tokens, qkv_weight, qkv_bias, 2 * CHANNELS + first, CHANNELS, COLUMNS, dim, UNITS, QKV_BIAS)
            logits = get_logits(q, k, bias, head, queries, keys, there, scale, SIZE, BIAS, 'tf32')
            highest, total, result = accumulate(logits, v, highest, total, result, 'tf32')
        mask = (units < dim)[:, None] & inside[None, :]
        places = proj_weight + columns[None, :] * CHANNELS + (first + units)[:, None]
        projected += tl.dot((result / total[:, None]).to(own.dtype), tl.load(places, mask, other=0.0))
    projected += tl.load(proj_bias + columns, inside, other=0.0).to(tl.float32)[None, :]
    mask = exists[:, None] & inside[None, :]
    # The layers and the sum are rounded as they are where each is a kernel of its own.
    values = own.to(tl.float32) + projected.to(own.dtype).to(tl.float32)
    values = layer_norm(values, mask, norm_weight, norm_bias, eps, CHANNELS, COLUMNS)
    tl.store(out + pixels[:, None] * CHANNELS + columns[None, :], values.to(out.dtype.element_ty), mask)


def forward(
    x: Tensor,
    positions: Optional[Tensor],
    bias: Optional[Tensor],
    qkv_weight: Tensor,
    qkv_bias: Optional[Tensor],
    proj_weight: Tensor,
    proj_bias: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    heads: int,
    patch_size: int,
    eps: float,
) -> Tensor:
    """:func:`~mmcontnet.ops.attention_layer` of contiguous tensors."""
    out = torch.empty_like(x)
    batch, height, width, channels = x.shape
    patches = batch * -(-height // patch_size) * -(-width // patch_size)
    dim = channels // heads
    if out.numel():
        weights = qkv_weight, qkv_bias, proj_weight, proj_bias, norm_weight, norm_bias
        attention_layer_forward(
            (patches, -(-(patch_size**2) // BLOCK), 1),
            (x, positions, bias, *weights, out, height, width, dim**-0.5, eps),
            (
                patch_size,
                channels,
                max(16, triton.next_power_of_2(channels)),
                heads,
                max(16, triton.next_power_of_2(dim)),
                BLOCK,
                positions is not None,
                bias is not None,
                qkv_bias is not None,
            ),
        )
    return out
