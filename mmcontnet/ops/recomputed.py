"""What the backward pass computes again instead of keeping it: a norm's output, attention weights."""

from functools import partial
from typing import Any, Callable, Optional, Tuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .target import is_inference

# Returns a tensor again; the backward pass keeps its positional arguments, which are tensors.
Recompute = partial[Tensor]


def attend(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    qkv: Tensor,
    heads: int,
    patch_size: int,
    bias: Optional[Tensor],
) -> Tensor:
    """:func:`~mmcontnet.ops.patch_attention` without dropout.

    Args:
        forward (Callable): Takes the arguments after ``backward`` and returns the result.
        backward (Callable): Takes the gradient of the result and the same arguments; returns the gradients of ``qkv``
            and ``bias``.
        qkv (Tensor): Queries, keys and values (B, H, W, 3C).
        heads (int): Number of heads.
        patch_size (int): Height and width of a whole patch, p.
        bias (Tensor | None): (heads, p * p, p * p).
    """
    if is_inference():
        return forward(qkv, heads, patch_size, bias)
    return RecomputedAttention.apply(forward, backward, qkv, heads, patch_size, bias)


class RecomputedAttention(torch.autograd.Function):
    """Attention with the backward pass that it is given."""

    @staticmethod
    def forward(
        ctx: Any,
        forward: Callable[..., Any],
        backward: Callable[..., Any],
        qkv: Tensor,
        heads: int,
        patch_size: int,
        bias: Optional[Tensor],
    ) -> Tensor:
        """Attends."""
        ctx.form, ctx.heads, ctx.patch_size = backward, heads, patch_size
        ctx.save_for_backward(qkv, bias)
        return forward(qkv, heads, patch_size, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        """The gradients of queries, keys, values and the bias."""
        qkv, bias = ctx.saved_tensors
        grad_qkv, grad_bias = ctx.form(grad, qkv, ctx.heads, ctx.patch_size, bias)
        return None, None, grad_qkv, None, None, None if bias is None else grad_bias
