"""Two linear layers with a GELU between them; what lies between them never leaves the processor."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .launch import Kernel

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
    out,
    count,
    CHANNELS: tl.constexpr,
    COLUMNS: tl.constexpr,
    WIDTH: tl.constexpr,
    ROWS: tl.constexpr,
    STEP: tl.constexpr,
):
    """The layers for some tokens."""
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
    tl.store(out + places, result.to(out.dtype.element_ty), mask)


def forward(x: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor) -> Tensor:
    """:func:`~mmcontnet.ops.mlp` without dropout."""
    out = torch.empty_like(x)
    channels, width = x.shape[-1], weight1.shape[0]
    count = x.numel() // channels
    if count:
        constants = (channels, max(16, triton.next_power_of_2(channels)), width, ROWS, STEP)
        grid = (-(-count // ROWS), 1, 1)
        mlp_forward(grid, (x, weight1, bias1, weight2, bias2, out, count), constants)
    return out
