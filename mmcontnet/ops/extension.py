"""Attention inside patches and GELU by C++ operators, on CPUs, where this package was built with them (csrc/)."""

from typing import Any, Optional, Tuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .library import describe
from .target import is_inference

try:
    from . import _C  # noqa: F401 (registers the operators)

    describe('cpu_gelu', lambda x, out: None)
    describe('cpu_gelu_backward', lambda x, grad: None)
    MISSING: Optional[str] = None
except ImportError as error:
    MISSING = str(error)  # Why the operators are not available.


def takes(x: Tensor) -> bool:
    """Whether the operators are available and support ``x``."""
    return MISSING is None and x.dtype == torch.float32


def attention_by_extension(qkv: Tensor, heads: int, patch_size: int, bias: Optional[Tensor] = None) -> Tensor:
    """:func:`~mmcontnet.ops.patch_attention` of float32, without dropout."""
    if is_inference():
        return torch.ops.mmcontnet.cpu_attention(qkv, heads, patch_size, bias)
    return ExtensionFunction.apply(qkv, heads, patch_size, bias)


class ExtensionFunction(torch.autograd.Function):
    """The C++ operator in training; the backward pass recomputes the attention weights."""

    @staticmethod
    def forward(ctx: Any, qkv: Tensor, heads: int, patch_size: int, bias: Optional[Tensor]) -> Tensor:
        """Attends."""
        ctx.heads, ctx.patch_size = heads, patch_size
        ctx.save_for_backward(qkv, bias)
        return torch.ops.mmcontnet.cpu_attention(qkv, heads, patch_size, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        """The gradients of queries, keys, values and the bias."""
        qkv, bias = ctx.saved_tensors
        grad_qkv, grad_bias = torch.ops.mmcontnet.cpu_attention_backward(grad, qkv, ctx.heads, ctx.patch_size, bias)
        return grad_qkv, None, None, None if bias is None else grad_bias


def gelu(x: Tensor) -> Tensor:
    """Exact GELU of a contiguous tensor."""
    out = torch.empty_like(x)
    torch.ops.mmcontnet.cpu_gelu(x, out)
    return out


def gelu_(x: Tensor) -> Tensor:
    """:func:`gelu` in place."""
    torch.ops.mmcontnet.cpu_gelu(x, x)
    return x


def gelu_backward_(grad: Tensor, x: Tensor) -> Tensor:
    """Multiplies ``grad``, contiguous as ``x``, by the derivative of GELU at ``x``."""
    torch.ops.mmcontnet.cpu_gelu_backward(x, grad)
    return grad
