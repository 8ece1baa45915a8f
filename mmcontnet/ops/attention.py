"""Multi-head self-attention inside patches of a map (paper, section 3.2).

A map is cut into patches of p x p pixels; a pixel attends to those of its patch. Where p does not divide the map, the
patches at the bottom and right margin are smaller.
"""

from functools import cache, partial
from math import prod
from typing import Any, Callable, Optional, Sequence, Tuple

import torch
from torch import Tensor

from . import extension, gpu
from .extension import attention_by_extension
from .library import describe, register, register_backward
from .padding import padded_attention
from .rectangles import attention_by_rectangles, crop_bias
from .target import COMPILERS, Target, target


def patch_attention(
    qkv: Tensor, heads: int, patch_size: int, bias: Optional[Tensor] = None, dropout: float = 0.0
) -> Tensor:
    """Scaled dot product attention inside patches.

    Args:
        qkv (Tensor): Queries, keys and values (B, H, W, 3C); along the last axis three times heads times C / heads.
        heads (int): Number of heads; divides C.
        patch_size (int): Height and width of a whole patch, p.
        bias (Tensor | None): (heads, p * p, p * p), added to the logits of a whole patch; smaller patches take the
            rows and columns of their pixels. Defaults to None.
        dropout (float): Dropout rate of the attention weights. Defaults to 0.

    Returns:
        Tensor: (B, H, W, C).
    """
    where = target(qkv)
    if where is Target.CPU:
        return _attention_on_cpu(qkv, heads, patch_size, bias, dropout)
    if where is Target.GPU:
        return _attention_on_gpu(qkv, heads, patch_size, bias, dropout)
    if dropout and where in COMPILERS:
        return _outside_of_graphs(qkv, heads, patch_size, bias, dropout)
    if dropout or where is Target.EXPORT:
        return padded_attention(qkv, heads, patch_size, bias, dropout)
    return torch.ops.mmcontnet.patch_attention(qkv, heads, patch_size, bias)


def _attention_on_cpu(
    qkv: Tensor, heads: int, patch_size: int, bias: Optional[Tensor] = None, dropout: float = 0.0
) -> Tensor:
    if extension.takes(qkv) and not dropout:
        return attention_by_extension(qkv, heads, patch_size, bias)
    return attention_by_rectangles(qkv, heads, patch_size, bias, dropout)


def _attention_on_gpu(
    qkv: Tensor,
    heads: int,
    patch_size: int,
    bias: Optional[Tensor] = None,
    dropout: float = 0.0,
    keep_tables: bool = True,
) -> Tensor:
    if gpu.takes_attention(qkv, heads, bias) and not dropout:
        return gpu.attention_by_triton(qkv, heads, patch_size, bias)
    return padded_attention(qkv, heads, patch_size, bias, dropout, keep_tables)


def _outside_of_graphs(qkv: Tensor, *arguments: Any) -> Tensor:
    # The operator knows no dropout, and other forms ask for the sizes of a map.
    return _outside()(qkv, *arguments)


@cache
def _outside() -> Callable[..., Tensor]:
    # Not a decorator, which would import the compiler wherever this package is imported.
    return torch.compiler.disable(patch_attention)


def reference_attention(qkv: Tensor, heads: int, patch_size: int, bias: Optional[Tensor] = None) -> Tensor:
    """What :func:`patch_attention` computes, one patch after the other."""
    out = torch.zeros_like(qkv[..., : qkv.shape[3] // 3])
    for top in range(0, qkv.shape[1], patch_size):
        for left in range(0, qkv.shape[2], patch_size):
            window = (slice(None), slice(top, top + patch_size), slice(left, left + patch_size))
            height, width = qkv[window].shape[1:3]
            # (B, heads, N, C / heads)
            q, k, v = qkv[window].flatten(1, 2).unflatten(2, (3, heads, -1)).permute(2, 0, 3, 1, 4)
            logits = q @ k.mT * q.shape[-1] ** -0.5
            if bias is not None:
                logits = logits + crop_bias(bias, height, width)
            out[window] = (logits.softmax(-1) @ v).transpose(1, 2).reshape(-1, height, width, out.shape[3])
    return out


def count_flops(qkv: Sequence[int], heads: int, patch_size: int, *args: Any, **kwargs: Any) -> int:
    """The operations of the two products, from the shape of queries, keys and values; nothing for margins."""
    batch, height, width, channels = qkv
    pairs = [length // patch_size * patch_size**2 + (length % patch_size) ** 2 for length in (height, width)]
    return 2 * 2 * batch * prod(pairs) * channels // 3


def _count_backward_flops(grad: Sequence[int], qkv: Sequence[int], *args: Any, **kwargs: Any) -> int:
    """Two products for each of the forward pass; those that are computed again are not counted."""
    return 2 * count_flops(qkv, *args)


def _backward(
    form: Callable[..., Tensor], grad: Tensor, qkv: Tensor, heads: int, patch_size: int, bias: Optional[Tensor]
) -> Tuple[Tensor, Tensor]:
    """The gradients of ``qkv`` and ``bias``, with attention computed again; an empty tensor where there is no bias."""
    with torch.enable_grad():
        qkv = qkv.detach().requires_grad_()
        bias = None if bias is None else bias.detach().requires_grad_()
        out = form(qkv, heads, patch_size, bias)
    gradients = torch.autograd.grad(out, [x for x in (qkv, bias) if x is not None], grad)
    grad_qkv, grad_bias = gradients if bias is not None else (*gradients, qkv.new_empty(0))
    return grad_qkv.contiguous(), grad_bias.contiguous()


# For compiled graphs.
_padded = partial(padded_attention, keep_tables=False)


def _backward_on_gpu(
    grad: Tensor, qkv: Tensor, heads: int, patch_size: int, bias: Optional[Tensor]
) -> Tuple[Tensor, Tensor]:
    if gpu.takes_attention(qkv, heads, bias):
        return gpu.attention_backward(grad, qkv, heads, patch_size, bias)
    return _backward(_padded, grad, qkv, heads, patch_size, bias)


def _shape(qkv: Tensor, *args: Any) -> Tensor:
    return qkv.new_empty(*qkv.shape[:3], qkv.shape[3] // 3)


def _backward_shapes(
    grad: Tensor, qkv: Tensor, heads: int, patch_size: int, bias: Optional[Tensor]
) -> Tuple[Tensor, Tensor]:
    return qkv.new_empty(qkv.shape), qkv.new_empty(0) if bias is None else bias.new_empty(bias.shape)


def _save(ctx: Any, inputs: Tuple[Any, ...], output: Tensor) -> None:
    qkv, ctx.heads, ctx.patch_size, bias = inputs
    ctx.save_for_backward(qkv, bias)


def _differentiate(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
    qkv, bias = ctx.saved_tensors
    operator = torch.ops.mmcontnet.patch_attention_backward
    grad_qkv, grad_bias = operator(grad, qkv, ctx.heads, ctx.patch_size, bias)
    return grad_qkv, None, None, None if bias is None else grad_bias


register(
    'patch_attention(Tensor qkv, int heads, int patch_size, Tensor? bias) -> Tensor',
    _padded,
    _shape,
    torch.no_grad()(_attention_on_cpu),
    torch.no_grad()(partial(_attention_on_gpu, keep_tables=False)),
    flops=count_flops,
)
register(
    'patch_attention_backward(Tensor grad, Tensor qkv, int heads, int patch_size, Tensor? bias) -> (Tensor, Tensor)',
    partial(_backward, _padded),
    _backward_shapes,
    partial(_backward, _attention_on_cpu),
    _backward_on_gpu,
    flops=_count_backward_flops,
)
register_backward('patch_attention', _save, _differentiate)
if extension.MISSING is None:
    describe('cpu_attention', _shape, count_flops)
    describe('cpu_attention_backward', _backward_shapes, _count_backward_flops)
