"""Adding to each pixel of a map what belongs to its place in its patch."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .launch import Kernel

TILE = 4096  # Numbers that a program takes at a time.


@Kernel
@triton.jit(do_not_specialize=['count', 'height', 'width'])
def position_forward(
    x,
    patch,
    out,
    count,
    height,
    width,
    SIZE: tl.constexpr,
    CHANNELS: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
):
    """The sum for some pixels."""
    pixels = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    places = pixels // width % height % SIZE * SIZE + pixels % width % SIZE
    columns = tl.arange(0, COLUMNS)
    mask = (pixels < count)[:, None] & (columns < CHANNELS)[None, :]
    values = tl.load(x + pixels[:, None] * CHANNELS + columns[None, :], mask).to(tl.float32)
    values += tl.load(patch + places[:, None] * CHANNELS + columns[None, :], mask).to(tl.float32)
    tl.store(out + pixels[:, None] * CHANNELS + columns[None, :], values.to(out.dtype.element_ty), mask)


def forward(x: Tensor, patch: Tensor) -> Tensor:
    """:func:`~mmcontnet.ops.add_tiled`."""
    out = torch.empty_like(x)
    _, height, width, channels = x.shape
    count = x.numel() // channels
    if count:
        columns = triton.next_power_of_2(channels)
        constants = (patch.shape[0], channels, columns, max(1, TILE // columns))
        position_forward((-(-count // constants[-1]), 1, 1), (x, patch, out, count, height, width), constants)
    return out
