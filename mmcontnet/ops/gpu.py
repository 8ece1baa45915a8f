"""The functions of this package by Triton kernels, on GPUs for which Triton is installed."""

import warnings
from functools import cache
from typing import Any, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from .recomputed import attend
from .target import is_inference

HALVES = (torch.bfloat16, torch.float16)
MAX_HEAD = 64  # Channels: what a program keeps of its patch must fit the shared memory of small GPUs.
MAX_LAYER = 128  # Channels: above, torch's matrix products are faster.
MAX_BLOCKS = 4  # Of 64 pixels of a patch, times heads: above, queries, keys and values are better computed once.


@cache
def _kernels() -> Any:
    """The kernels; None where Triton is not installed or cannot work. The first call takes a second."""
    try:
        from triton.runtime import driver

        driver.active.get_current_device()  # Builds Triton's own helper, for which it needs a C compiler.
        from . import kernels
    except ImportError:
        return None
    except Exception as error:  # Triton, compilers and drivers raise anything.
        warnings.warn(f'Triton does not work here, so torch computes attention, which takes longer: {error}')
        return None
    return kernels


@cache
def _has_tensor_cores(device: torch.device) -> bool:
    """Whether a GPU has what the kernels were written for: NVIDIA's matrix units of Ampere and later."""
    return torch.version.hip is None and torch.cuda.get_device_capability(device) >= (8, 0)


def takes(x: Tensor) -> bool:
    """Whether there are kernels for ``x``."""
    known = type(x) is Tensor and x.is_cuda and (x.dtype in HALVES or x.dtype == torch.float32)
    return known and _has_tensor_cores(x.device) and _kernels() is not None


def takes_attention(qkv: Tensor, heads: int, bias: Optional[Tensor] = None) -> bool:
    """Whether :func:`attention_by_triton` supports the arguments."""
    # The gradients of a bias are added up in the order in which patches happen to come.
    ordered = bias is None or not torch.are_deterministic_algorithms_enabled()
    return takes(qkv) and qkv.shape[3] // (3 * heads) <= MAX_HEAD and ordered


def suits_mlp(x: Tensor) -> bool:
    """Whether :func:`mlp` and :func:`mlp_layer` are faster than torch's products, where there are kernels."""
    return x.dtype in HALVES and x.shape[3] <= MAX_LAYER


def suits_attention_layer(x: Tensor, heads: int, patch_size: int) -> bool:
    """Whether :func:`attention_layer` is faster than its parts, where there are kernels."""
    channels, blocks = x.shape[3], heads * -(-(patch_size**2) // 64)
    small = channels <= MAX_LAYER and channels // heads <= MAX_HEAD and blocks <= MAX_BLOCKS
    return x.dtype in HALVES and small


def attention_by_triton(qkv: Tensor, heads: int, patch_size: int, bias: Optional[Tensor] = None) -> Tensor:
    """:func:`~mmcontnet.ops.patch_attention` without dropout."""
    bias = None if bias is None else bias.contiguous()
    return attend(_kernels().attention.forward, attention_backward, qkv.contiguous(), heads, patch_size, bias)


def attention_backward(
    grad: Tensor, qkv: Tensor, heads: int, patch_size: int, bias: Optional[Tensor] = None
) -> Tuple[Tensor, Tensor]:
    """The gradients of ``qkv`` and ``bias``; an empty tensor where there is no bias."""
    bias = None if bias is None else bias.contiguous()
    return _kernels().attention.backward(grad.contiguous(), qkv.contiguous(), heads, patch_size, bias)


def mlp(x: Tensor, *weights: Tensor) -> Tensor:
    """:func:`~mmcontnet.ops.mlp` in inference, without dropout."""
    return _kernels().mlp.forward(*_contiguous(x, *weights))


def mlp_layer(x: Tensor, *weights: Tensor, eps: float) -> Tensor:
    """:func:`~mmcontnet.ops.encoder.mlp_layer`."""
    return _kernels().mlp.forward(*_contiguous(x, *weights), eps)


def attention_layer(x: Tensor, *tensors: Optional[Tensor], heads: int, patch_size: int, eps: float) -> Tensor:
    """:func:`~mmcontnet.ops.encoder.attention_layer`."""
    return _kernels().attention_layer.forward(*_contiguous(x, *tensors), heads, patch_size, eps)


def _contiguous(*tensors: Optional[Tensor]) -> Tuple[Optional[Tensor], ...]:
    return tuple(None if tensor is None else tensor.contiguous() for tensor in tensors)


def add_layer_norm(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """:func:`~mmcontnet.ops.add_layer_norm`."""
    x, y, weight, bias = (tensor.contiguous() for tensor in (x, y, weight, bias))
    if is_inference():
        return _kernels().norm.forward(x, y, weight, bias, eps, keep=False)[0]
    return AddLayerNorm.apply(x, y, weight, bias, eps)


class AddLayerNorm(torch.autograd.Function):
    """Sum and norm in training; keeps the sum."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
        """Adds and normalizes."""
        out, total = _kernels().norm.forward(x, y, weight, bias, eps, keep=any(ctx.needs_input_grad))
        ctx.eps, ctx.dtype = eps, x.dtype
        ctx.save_for_backward(total, weight)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        """The gradients of both maps, of weight and of bias."""
        total, weight = ctx.saved_tensors
        grad, grad_weight, grad_bias = _kernels().norm.backward(grad.contiguous(), total, weight, ctx.eps)
        return grad.to(ctx.dtype), grad, grad_weight, grad_bias, None


def add_tiled(x: Tensor, patch: Tensor) -> Tensor:
    """:func:`~mmcontnet.ops.add_tiled`."""
    x, patch = x.contiguous(), patch.contiguous()
    return _kernels().position.forward(x, patch) if is_inference() else AddTiled.apply(x, patch)


class AddTiled(torch.autograd.Function):
    """The sum with a repeated patch in training."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, patch: Tensor) -> Tensor:
        """Adds."""
        ctx.size, ctx.dtype = patch.shape[0], patch.dtype
        return _kernels().position.forward(x, patch)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tuple[Tensor, Optional[Tensor]]:
        """The gradients of maps and patch."""
        return grad, sum_tiles(grad, ctx.size).to(ctx.dtype) if ctx.needs_input_grad[1] else None


def sum_tiles(x: Tensor, size: int) -> Tensor:
    """The sum (p, p, C) of the patches of maps (B, H, W, C)."""
    _, height, width, channels = x.shape
    x = F.pad(x, (0, 0, 0, -width % size, 0, -height % size))
    rows = x.reshape(-1, size * x.shape[2] * channels)
    return sum_rows(rows).reshape(size, -1, size, channels).sum(1)


def linear_gradients(
    grad: Tensor, x: Tensor, weight: Tensor, wanted: Sequence[bool]
) -> Tuple[Optional[Tensor], Optional[Tensor], Optional[Tensor]]:
    """The gradients of maps (B, H, W, C), weight and bias of a linear layer that are wanted."""
    rows = grad.reshape(-1, grad.shape[-1])
    return (
        (rows @ weight).reshape(x.shape) if wanted[0] else None,
        rows.mT @ x.reshape(-1, x.shape[-1]) if wanted[1] else None,
        sum_rows(rows) if wanted[2] else None,
    )


def sum_rows(x: Tensor) -> Tensor:
    """``x.sum(0)`` of a matrix, by a product, which for many rows is three times as fast."""
    return (x.new_ones(1, len(x)) @ x)[0]
