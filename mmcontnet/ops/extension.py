"""Attention inside patches and GELU by C++ operators, on CPUs, where this package was built with them (csrc/)."""

from importlib import import_module
from typing import Optional

import torch
from torch import Tensor

from .library import describe
from .recomputed import attend

try:
    import_module(f'{__package__}._C')  # Registers the operators.

    describe('cpu_gelu', lambda x, out: None)
    describe('cpu_gelu_backward', lambda x, grad: None)
    MISSING: Optional[str] = None
except ImportError as error:
    MISSING = str(error)  # Why the operators are not available.


def takes(x: Tensor) -> bool:
    """Whether the operators are available and support ``x``."""
    return MISSING is None and x.is_cpu and x.dtype == torch.float32


def attention_by_extension(qkv: Tensor, heads: int, patch_size: int, bias: Optional[Tensor] = None) -> Tensor:
    """:func:`~mmcontnet.ops.patch_attention` of float32, without dropout."""
    operators = torch.ops.mmcontnet
    return attend(operators.cpu_attention, operators.cpu_attention_backward, qkv, heads, patch_size, bias)


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
