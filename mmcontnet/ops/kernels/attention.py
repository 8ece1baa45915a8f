"""Attention inside patches, which are read from the map and written to it.

The forward pass is FlashAttention's: a program takes some queries of a patch and goes through the keys in blocks,
with a running softmax. The backward pass keeps nothing but queries, keys and values. Its first kernel computes the
softmax again and the gradients of the queries, its second one those of keys and values.
"""

from functools import partial
from typing import Any, Optional, Tuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from .launch import Kernel

BLOCK = 64  # Tokens that a program takes at a time, of halves.


@triton.jit
def get_pixels(patch, tokens, height, width, SIZE: tl.constexpr):
    """The pixels of a patch's tokens in a batch of maps, and which of the tokens there are."""
    across = tl.cdiv(width, SIZE)
    count = tl.cdiv(height, SIZE) * across
    image = patch // count
    y = patch % count // across * SIZE + tokens // SIZE
    x = patch % count % across * SIZE + tokens % SIZE
    exists = (tokens < SIZE * SIZE) & (y < height) & (x < width)
    return (image * height + y).to(tl.int64) * width + x, exists


@triton.jit
def _load(maps, pixels, exists, stride, first, DIM: tl.constexpr, COLUMNS: tl.constexpr):
    """Channels from the first on of some pixels, (tokens, COLUMNS); zero where there are none."""
    columns = tl.arange(0, COLUMNS)
    mask = exists[:, None] & (columns < DIM)[None, :]
    return tl.load(maps + pixels[:, None] * stride + (first + columns)[None, :], mask, other=0.0)


@triton.jit
def _load_keys(
    qkv, patch, tokens, heads, head, height, width, SIZE: tl.constexpr, DIM: tl.constexpr, COLUMNS: tl.constexpr
):
    """Keys and values of some tokens of a patch, and which of the tokens there are."""
    pixels, exists = get_pixels(patch, tokens, height, width, SIZE)
    channels, first = heads * DIM, head * DIM
    k = _load(qkv, pixels, exists, 3 * channels, channels + first, DIM, COLUMNS)
    v = _load(qkv, pixels, exists, 3 * channels, 2 * channels + first, DIM, COLUMNS)
    return k, v, exists


@triton.jit
def _store(maps, values, pixels, exists, stride, first, DIM: tl.constexpr, COLUMNS: tl.constexpr):
    columns = tl.arange(0, COLUMNS)
    mask = exists[:, None] & (columns < DIM)[None, :]
    values = values.to(maps.dtype.element_ty)
    tl.store(maps + pixels[:, None] * stride + (first + columns)[None, :], values, mask)


@triton.jit
def get_logits(
    q, k, bias, head, queries, keys, exists, scale, SIZE: tl.constexpr, BIAS: tl.constexpr, PRECISION: tl.constexpr
):
    """(queries, keys), minus infinity for keys that do not exist."""
    logits = tl.dot(q, tl.trans(k), input_precision=PRECISION) * scale
    if BIAS:
        area: tl.constexpr = SIZE * SIZE
        mask = (queries < area)[:, None] & (keys < area)[None, :]
        logits += tl.load(bias + (head * area + queries[:, None]) * area + keys[None, :], mask, other=0.0)
    return tl.where(exists[None, :], logits, float('-inf'))


@triton.jit
def accumulate(logits, v, highest, total, result, PRECISION: tl.constexpr):
    """The running softmax after some more keys: maxima and sums of the queries, and their weighted sums of values."""
    # The first block holds a patch's first pixel, so the maximum is finite from there on.
    before, highest = highest, tl.maximum(highest, tl.max(logits, 1))
    shrink = tl.exp(before - highest)
    weights = tl.exp(logits - highest[:, None])
    total = total * shrink + tl.sum(weights, 1)
    result = result * shrink[:, None] + tl.dot(weights.to(v.dtype), v, input_precision=PRECISION)
    return highest, total, result


@Kernel
@triton.jit(do_not_specialize=['heads', 'height', 'width'])
def attention_forward(
    qkv,
    bias,
    out,
    heads,
    height,
    width,
    scale,
    SIZE: tl.constexpr,
    DIM: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCK: tl.constexpr,
    BIAS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """Attention of some queries of a patch."""
    patch, head = tl.program_id(0), tl.program_id(1)
    channels, first = heads * DIM, head * DIM
    queries = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    pixels, exists = get_pixels(patch, queries, height, width, SIZE)
    q = _load(qkv, pixels, exists, 3 * channels, first, DIM, COLUMNS)
    highest = tl.full([BLOCK], float('-inf'), tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    result = tl.zeros([BLOCK, COLUMNS], tl.float32)
    for start in range(0, SIZE * SIZE, BLOCK):
        keys = start + tl.arange(0, BLOCK)
        k, v, there = _load_keys(qkv, patch, keys, heads, head, height, width, SIZE, DIM, COLUMNS)
        logits = get_logits(q, k, bias, head, queries, keys, there, scale, SIZE, BIAS, PRECISION)
        highest, total, result = accumulate(logits, v, highest, total, result, PRECISION)
    _store(out, result / total[:, None], pixels, exists, channels, first, DIM, COLUMNS)


@partial(Kernel, num_stages=1)
@triton.jit(do_not_specialize=['heads', 'height', 'width'])
def attention_backward_queries(
    grad,
    qkv,
    bias,
    grad_qkv,
    grad_bias,
    normalizers,
    means,
    heads,
    height,
    width,
    scale,
    SIZE: tl.constexpr,
    DIM: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCK: tl.constexpr,
    BIAS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """The gradients of queries and bias; for each query the logarithm of its softmax's sum and its mean gradient."""
    patch, head = tl.program_id(0), tl.program_id(1)
    channels, first = heads * DIM, head * DIM
    queries = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    pixels, exists = get_pixels(patch, queries, height, width, SIZE)
    q = _load(qkv, pixels, exists, 3 * channels, first, DIM, COLUMNS)
    grad_out = _load(grad, pixels, exists, channels, first, DIM, COLUMNS)
    highest = tl.full([BLOCK], float('-inf'), tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    mean = tl.zeros([BLOCK], tl.float32)
    for start in range(0, SIZE * SIZE, BLOCK):
        keys = start + tl.arange(0, BLOCK)
        k, v, there = _load_keys(qkv, patch, keys, heads, head, height, width, SIZE, DIM, COLUMNS)
        logits = get_logits(q, k, bias, head, queries, keys, there, scale, SIZE, BIAS, PRECISION)
        before, highest = highest, tl.maximum(highest, tl.max(logits, 1))
        shrink = tl.exp(before - highest)
        weights = tl.exp(logits - highest[:, None])
        grad_weights = tl.dot(grad_out, tl.trans(v), input_precision=PRECISION)
        total = total * shrink + tl.sum(weights, 1)
        mean = mean * shrink + tl.sum(weights * grad_weights, 1)
    normalizer = highest + tl.log(total)
    mean = mean / total
    row = ((patch * heads + head) * tl.num_programs(2) + tl.program_id(2)).to(tl.int64) * BLOCK
    tl.store(normalizers + row + tl.arange(0, BLOCK), normalizer)
    tl.store(means + row + tl.arange(0, BLOCK), mean)
    grad_q = tl.zeros([BLOCK, COLUMNS], tl.float32)
    for start in range(0, SIZE * SIZE, BLOCK):
        keys = start + tl.arange(0, BLOCK)
        k, v, there = _load_keys(qkv, patch, keys, heads, head, height, width, SIZE, DIM, COLUMNS)
        logits = get_logits(q, k, bias, head, queries, keys, there, scale, SIZE, BIAS, PRECISION)
        weights = tl.exp(logits - normalizer[:, None])
        grad_weights = tl.dot(grad_out, tl.trans(v), input_precision=PRECISION)
        grad_logits = weights * (grad_weights - mean[:, None])
        if BIAS:
            area: tl.constexpr = SIZE * SIZE
            mask = exists[:, None] & there[None, :]
            tl.atomic_add(grad_bias + (head * area + queries[:, None]) * area + keys[None, :], grad_logits, mask)
        grad_q += tl.dot(grad_logits.to(k.dtype), k, input_precision=PRECISION)
    _store(grad_qkv, grad_q * scale, pixels, exists, 3 * channels, first, DIM, COLUMNS)


@Kernel
@triton.jit(do_not_specialize=['heads', 'height', 'width'])
def attention_backward_keys(
    grad,
    qkv,
    bias,
    grad_qkv,
    normalizers,
    means,
    heads,
    height,
    width,
    scale,
    SIZE: tl.constexpr,
    DIM: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCK: tl.constexpr,
    BIAS: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """The gradients of keys and values."""
    patch, head = tl.program_id(0), tl.program_id(1)
    channels, first = heads * DIM, head * DIM
    keys = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    pixels, exists = get_pixels(patch, keys, height, width, SIZE)
    k = _load(qkv, pixels, exists, 3 * channels, channels + first, DIM, COLUMNS)
    v = _load(qkv, pixels, exists, 3 * channels, 2 * channels + first, DIM, COLUMNS)
    grad_k = tl.zeros([BLOCK, COLUMNS], tl.float32)
    grad_v = tl.zeros([BLOCK, COLUMNS], tl.float32)
    row = (patch * heads + head).to(tl.int64) * tl.num_programs(2) * BLOCK
    for start in range(0, SIZE * SIZE, BLOCK):
        queries = start + tl.arange(0, BLOCK)
        places, there = get_pixels(patch, queries, height, width, SIZE)
        # Of queries that do not exist the gradients are zero, and so is what they give to keys and values.
        q = _load(qkv, places, there, 3 * channels, first, DIM, COLUMNS)
        grad_out = _load(grad, places, there, channels, first, DIM, COLUMNS)
        logits = get_logits(q, k, bias, head, queries, keys, exists, scale, SIZE, BIAS, PRECISION)
        weights = tl.exp(logits - tl.load(normalizers + row + queries)[:, None])
        grad_weights = tl.dot(grad_out, tl.trans(v), input_precision=PRECISION)
        grad_logits = weights * (grad_weights - tl.load(means + row + queries)[:, None])
        grad_v += tl.dot(tl.trans(weights.to(v.dtype)), grad_out, input_precision=PRECISION)
        grad_k += tl.dot(tl.trans(grad_logits.to(q.dtype)), q, input_precision=PRECISION)
    _store(grad_qkv, grad_k * scale, pixels, exists, 3 * channels, channels + first, DIM, COLUMNS)
    _store(grad_qkv, grad_v, pixels, exists, 3 * channels, 2 * channels + first, DIM, COLUMNS)


def forward(qkv: Tensor, heads: int, patch_size: int, bias: Optional[Tensor] = None) -> Tensor:
    """:func:`~mmcontnet.ops.patch_attention` without dropout."""
    out = qkv.new_empty(*qkv.shape[:3], qkv.shape[3] // 3)
    if out.numel():
        grid, sizes, constants = _plan(qkv, heads, patch_size, bias)
        attention_forward(grid, (qkv, bias, out, *sizes), constants)
    return out


def backward(
    grad: Tensor, qkv: Tensor, heads: int, patch_size: int, bias: Optional[Tensor] = None
) -> Tuple[Tensor, Tensor]:
    """The gradients of ``qkv`` and ``bias``; an empty tensor where there is no bias."""
    grad_qkv = torch.empty_like(qkv)
    grad_bias = qkv.new_zeros(0 if bias is None else bias.shape, dtype=torch.float32)
    if qkv.numel():
        grid, sizes, constants = _plan(qkv, heads, patch_size, bias)
        block = constants[3]
        normalizers, means = qkv.new_empty(2, *grid, block, dtype=torch.float32).unbind()
        inputs = (grad, qkv, bias, grad_qkv)
        attention_backward_queries(grid, (*inputs, grad_bias, normalizers, means, *sizes), constants)
        attention_backward_keys(grid, (*inputs, normalizers, means, *sizes), constants)
    return grad_qkv, grad_bias.to(qkv.dtype if bias is None else bias.dtype)


def _plan(qkv: Tensor, heads: int, patch_size: int, bias: Optional[Tensor]) -> Tuple[Tuple[Any, ...], ...]:
    """Grid, sizes and constants of the kernels."""
    batch, height, width, channels = qkv.shape
    dim = channels // (3 * heads)
    block = 32 if qkv.dtype == torch.float32 else BLOCK
    exact = qkv.dtype == torch.float32 and not _allows_tf32()
    patches = batch * -(-height // patch_size) * -(-width // patch_size)
    return (
        (patches, heads, -(-(patch_size**2) // block)),
        (heads, height, width, dim**-0.5),
        (
            patch_size,
            dim,
            max(16, triton.next_power_of_2(dim)),
            block,
            bias is not None,
            'ieee' if exact else 'tf32',
        ),
    )


def _allows_tf32() -> bool:
    """Whether products of float32 may be rounded to TF32."""
    matmul = torch.backends.cuda.matmul
    # Since torch 2.9 there are two ways to say so, and asking in the older one fails where the newer was used.
    return matmul.fp32_precision == 'tf32' if hasattr(matmul, 'fp32_precision') else matmul.allow_tf32
