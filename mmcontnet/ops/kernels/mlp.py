"""Two linear layers with a GELU between them, and the norm of their sum with their input, for inference.

What lies between the layers never leaves the processor.
"""

from typing import Optional

import torch
import triton
import triton.language as tl
from torch import Tensor

from .launch import Kernel
from .norm import layer_norm

ROWS = 64  # Tokens that a program takes.
STEP = 64  # Units between the layers that it takes at a time.


@Kernel
@triton.jit(do_not_specialize=['count'])
def mlp_forward(
    x,
    weight1,
    bias1,
    weight2,
    bias2,
    norm_weight,
    norm_bias,
    out,
    count,
    eps,
    CHANNELS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    STEP: tl.constexpr,
    NORM: tl.constexpr,
):
    """The layers for some tokens; the norm, too, where it is wanted."""
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, COLUMNS)
    inside = columns < CHANNELS
    mask = (rows < count)[:, None] & inside[None, :]
    places = rows[:, None] * CHANNELS + columns[None, :]
    tokens = tl.load(x + places, mask, other=0.0)
    result = tl.zeros([ROWS, COLUMNS], tl.float32)
    for start in range(0, WIDTH, STEP):
        units = start + tl.arange(0, STEP)
        exists = units < WIDTH
        to_units = weight1 + units[None, :] * CHANNELS + columns[:, None]
        weight = tl.load(to_units, exists[None, :] & inside[:, None], other=0.0).to(tokens.dtype)
        hidden = tl.dot(tokens, weight) + tl.load(bias1 + units, exists, other=0.0).to(tl.float32)[None, :]
        hidden = 0.5 * hidden * (1.0 + tl.erf(hidden * 0.7071067811865476))
        from_units = weight2 + columns[None, :] * WIDTH + units[:, None]
        weight = tl.load(from_units, exists[:, None] & inside[None, :], other=0.0).to(tokens.dtype)
        result += tl.dot(hidden.to(tokens.dtype), weight)
    result += tl.load(bias2 + columns, inside, other=0.0).to(tl.float32)[None, :]
    if NORM:
        # The layers are rounded as they are where the norm is a kernel of its own.
        values = tokens.to(tl.float32) + result.to(tokens.dtype).to(tl.float32)
        result = layer_norm(values, mask, norm_weight, norm_bias, eps, CHANNELS, COLUMNS)
    tl.store(out + places, result.to(out.dtype.element_ty), mask)


def forward(
    x: Tensor,
    weight1: Tensor,
    bias1: Tensor,
    weight2: Tensor,
    bias2: Tensor,
    norm_weight: Optional[Tensor] = None,
    norm_bias: Optional[Tensor] = None,
    eps: float = 0.0,
) -> Tensor:
    """:func:`~mmcontnet.ops.mlp` without dropout; with a norm :func:`~mmcontnet.ops.mlp_layer`. Contiguous tensors."""
    out = torch.empty_like(x)
    channels, width = x.shape[-1], weight1.shape[0]
    count = x.numel() // channels
    if count:
        weights = weight1, bias1, weight2, bias2, norm_weight, norm_bias
        constants = channels, max(16, triton.next_power_of_2(channels)), width, ROWS, STEP, norm_weight is not None
        mlp_forward((-(-count // ROWS), 1, 1), (x, *weights, out, count, eps), constants)
    return out
