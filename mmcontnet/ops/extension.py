"""Attention inside patches by a C++ operator, on CPUs, where this package was built with it (csrc/)."""

from typing import Any, Optional, Tuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .target import is_inference

try:
    from . import _C  # noqa: F401 (registers the operators)

    MISSING: Optional[str] = None
except ImportError as error:
    MISSING = str(error)  # Why there is no operator.


def takes(qkv: Tensor, dropout: float) -> bool:
    """Whether the operator computes attention of ``qkv``."""
    return MISSING is None and qkv.dtype == torch.float32 and not dropout


def attention_by_extension(qkv: Tensor, heads: int, patch_size: int, bias: Optional[Tensor] = None) -> Tensor:
    """:func:`~mmcontnet.ops.patch_attention` of float32, without dropout."""
    if is_inference():
        return torch.ops.mmcontnet.cpu_attention(qkv, heads, patch_size, bias)[0]
    return ExtensionFunction.apply(qkv, heads, patch_size, bias)


class ExtensionFunction(torch.autograd.Function):
    """The C++ operator in training; its backward pass computes the attention weights again."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, heads: int, patch_size: int, bias: Optional[Tensor]) -> Tensor:
        """Attends."""
        out, softmax = torch.ops.mmcontnet.cpu_attention(qkv, heads, patch_size, bias)
        ctx.heads, ctx.patch_size = heads, patch_size
        ctx.save_for_backward(qkv, softmax, bias)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        """The gradients of queries, keys, values and the bias."""
        *kept, bias = ctx.saved_tensors
        grad_qkv, grad_bias = torch.ops.mmcontnet.cpu_attention_backward(grad, *kept, ctx.heads, ctx.patch_size, bias)
        return grad_qkv, None, None, None if bias is None else grad_bias
