"""The layer norm of a sum, in a single pass over memory."""

from functools import cache
from typing import Optional, Tuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from .launch import Kernel

TILE = 4096  # Numbers that a program takes at a time.


@triton.jit
def layer_norm(values, mask, weight, bias, eps, CHANNELS: tl.constexpr, COLUMNS: tl.constexpr):
    """The norms of some rows (rows, COLUMNS) in float32."""
    columns = tl.arange(0, COLUMNS)
    inside = columns < CHANNELS
    centered = tl.where(mask, values - (tl.sum(values, 1) / CHANNELS)[:, None], 0.0)
    scale = tl.rsqrt(tl.sum(centered * centered, 1) / CHANNELS + eps)
    w = tl.load(weight + columns, inside, other=0.0).to(tl.float32)
    b = tl.load(bias + columns, inside, other=0.0).to(tl.float32)
    return centered * scale[:, None] * w[None, :] + b[None, :]


@Kernel
@triton.jit(do_not_specialize=['count'])
def norm_forward(
    x,
    y,
    weight,
    bias,
    out,
    total,
    count,
    eps,
    CHANNELS: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
    KEEP: tl.constexpr,
):
    """Sum and norm of some rows; the sum, too, where it is to be kept."""
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, COLUMNS)
    inside = columns < CHANNELS
    mask = (rows < count)[:, None] & inside[None, :]
    places = rows[:, None] * CHANNELS + columns[None, :]
    values = tl.load(x + places, mask, other=0.0).to(tl.float32) + tl.load(y + places, mask, other=0.0).to(tl.float32)
    if KEEP:
        # The backward pass sees the sum rounded, so this one has to.
        rounded = values.to(total.dtype.element_ty)
        tl.store(total + places, rounded, mask)
        values = rounded.to(tl.float32)
    normalized = layer_norm(values, mask, weight, bias, eps, CHANNELS, COLUMNS)
    tl.store(out + places, normalized.to(out.dtype.element_ty), mask)


@Kernel
@triton.jit(do_not_specialize=['count'])
def norm_backward(
    grad,
    total,
    weight,
    grad_total,
    partial,
    count,
    eps,
    CHANNELS: tl.constexpr,
    COLUMNS: tl.constexpr,
    ROWS: tl.constexpr,
):
    """The gradient of the sum; and for each program its part of the gradients of weight and bias."""
    columns = tl.arange(0, COLUMNS)
    inside = columns < CHANNELS
    w = tl.load(weight + columns, inside, other=0.0).to(tl.float32)
    grad_weight = tl.zeros([COLUMNS], tl.float32)
    grad_bias = tl.zeros([COLUMNS], tl.float32)
    for start in range(tl.program_id(0) * ROWS, count, tl.num_programs(0) * ROWS):
        rows = (start + tl.arange(0, ROWS)).to(tl.int64)
        mask = (rows < count)[:, None] & inside[None, :]
        places = rows[:, None] * CHANNELS + columns[None, :]
        values = tl.load(total + places, mask, other=0.0).to(tl.float32)
        g = tl.load(grad + places, mask, other=0.0).to(tl.float32)
        centered = tl.where(mask, values - (tl.sum(values, 1) / CHANNELS)[:, None], 0.0)
        scale = tl.rsqrt(tl.sum(centered * centered, 1) / CHANNELS + eps)
        normalized = centered * scale[:, None]
        grad_weight += tl.sum(g * normalized, 0)
        grad_bias += tl.sum(g, 0)
        g *= w[None, :]
        mean = tl.sum(g, 1) / CHANNELS
        slope = tl.sum(g * normalized, 1) / CHANNELS
        g = (g - mean[:, None] - normalized * slope[:, None]) * scale[:, None]
        tl.store(grad_total + places, g.to(grad_total.dtype.element_ty), mask)
    row = partial + tl.program_id(0) * 2 * CHANNELS
    tl.store(row + columns, grad_weight, inside)
    tl.store(row + CHANNELS + columns, grad_bias, inside)


def forward(
    x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, eps: float, keep: bool
) -> Tuple[Tensor, Optional[Tensor]]:
    """The normalized sum of ``x`` and ``y``, contiguous both, in the type of ``y``; the sum, if it is to be kept."""
    out = torch.empty_like(y)
    total = torch.empty_like(y) if keep else None
    count, constants = _plan(y)
    if count:
        grid = (-(-count // constants[-1]), 1, 1)
        norm_forward(grid, (x, y, weight, bias, out, total, count, eps), (*constants, keep))
    return out, total


def backward(grad: Tensor, total: Tensor, weight: Tensor, eps: float) -> Tuple[Tensor, Tensor, Tensor]:
    """The gradients of the sum, of weight and of bias."""
    grad_total = torch.empty_like(total)
    count, constants = _plan(total)
    programs = min(-(-count // constants[-1]), 4 * _processors(total.device))
    partial = torch.empty(programs, 2, total.shape[-1], dtype=torch.float32, device=total.device)
    if count:
        norm_backward((programs, 1, 1), (grad, total, weight, grad_total, partial, count, eps), constants)
    grad_weight, grad_bias = partial.sum(0).to(weight.dtype).unbind()
    return grad_total, grad_weight, grad_bias


@cache
def _processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == 'cuda' else 2


def _plan(x: Tensor) -> Tuple[int, Tuple[int, int, int]]:
    """The number of rows, and the kernels' constants."""
    channels = x.shape[-1]
    columns = triton.next_power_of_2(channels)
    return x.numel() // channels, (channels, columns, max(1, TILE // columns))
