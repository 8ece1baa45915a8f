"""The two layers of an encoder, each with its sum and norm, as a single kernel: for inference on GPUs."""

from typing import Any, Optional, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from . import gpu
from .attention import count_flops
from .layers import count_mlp_flops
from .library import register
from .padding import padded_attention
from .position import reference_add_tiled
from .target import COMPILERS, Target, autocast, is_inference, target


def fuses_attention(x: Tensor, heads: int, patch_size: int) -> bool:
    """Whether :func:`attention_layer` is faster than its parts."""
    return _fuses(x) and gpu.suits_attention_layer(autocast(x)[0], heads, patch_size)


def fuses_mlp(x: Tensor) -> bool:
    """Whether :func:`mlp_layer` is faster than its parts."""
    return _fuses(x) and gpu.suits_mlp(autocast(x)[0])


def _fuses(x: Tensor) -> bool:
    where = target(x)
    return is_inference() and (where is Target.GPU_COMPILER or (where is Target.GPU and gpu.takes(x)))


def attention_layer(
    x: Tensor,
    patch: Optional[Tensor],
    bias: Optional[Tensor],
    qkv_weight: Tensor,
    qkv_bias: Optional[Tensor],
    proj_weight: Tensor,
    proj_bias: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    heads: int,
    patch_size: int,
    eps: float,
) -> Tensor:
    """The norm of the sum of maps and what attention makes of them.

    Args:
        x (Tensor): Maps (B, H, W, C).
        patch (Tensor | None): (p, p, C), added to the maps first, repeated down and across.
        bias (Tensor | None): (heads, p * p, p * p), added to the logits.
        qkv_weight (Tensor): (3C, C), of the linear layer before attention.
        qkv_bias (Tensor | None): (3C,).
        proj_weight (Tensor): (C, C), of the linear layer after it.
        proj_bias (Tensor): (C,).
        norm_weight (Tensor): (C,).
        norm_bias (Tensor): (C,).
        heads (int): Number of heads; divides C.
        patch_size (int): Height and width of a patch, p.
        eps (float): Added to the variance.

    Returns:
        Tensor: (B, H, W, C).
    """
    # The kernels read biases in any type.
    x, patch, qkv_weight, proj_weight = autocast(x, patch, qkv_weight, proj_weight)
    layer = torch.ops.mmcontnet.attention_layer if target(x) in COMPILERS else _attention_layer_on_gpu
    tensors = patch, bias, qkv_weight, qkv_bias, proj_weight, proj_bias, norm_weight, norm_bias
    return layer(x, *tensors, heads, patch_size, eps)


def mlp_layer(
    x: Tensor,
    weight1: Tensor,
    bias1: Tensor,
    weight2: Tensor,
    bias2: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    eps: float,
) -> Tensor:
    """The norm of the sum of maps and what an MLP, :func:`~mmcontnet.ops.mlp`, makes of them.

    Args:
        x (Tensor): Maps (B, H, W, C).
        weight1 (Tensor): (D, C).
        bias1 (Tensor): (D,).
        weight2 (Tensor): (C, D).
        bias2 (Tensor): (C,).
        norm_weight (Tensor): (C,).
        norm_bias (Tensor): (C,).
        eps (float): Added to the variance.

    Returns:
        Tensor: (B, H, W, C).
    """
    x, weight1, weight2 = autocast(x, weight1, weight2)
    layer = torch.ops.mmcontnet.mlp_layer if target(x) in COMPILERS else _mlp_layer_on_gpu
    return layer(x, weight1, bias1, weight2, bias2, norm_weight, norm_bias, eps)


# The functions below are what operators run. They do not ask for the target: while one thread exports, torch tells all
# threads that they do.


def _attention_layer(x: Tensor, *arguments: Any) -> Tensor:
    patch, bias, qkv_weight, qkv_bias, proj_weight, proj_bias, norm_weight, norm_bias, heads, patch_size, eps = (
        arguments
    )
    if patch is not None:
        x = reference_add_tiled(x, patch.to(x.dtype))
    y = padded_attention(_linear(x, qkv_weight, qkv_bias), heads, patch_size, bias, keep_tables=False)
    return _add_norm(x, _linear(y, proj_weight, proj_bias), norm_weight, norm_bias, eps)


def _attention_layer_on_gpu(x: Tensor, *arguments: Any) -> Tensor:
    *tensors, heads, patch_size, eps = arguments
    if gpu.takes(x):
        return gpu.attention_layer(x, *tensors, heads=heads, patch_size=patch_size, eps=eps)
    return _attention_layer(x, *arguments)


def _mlp_layer(x: Tensor, *arguments: Any) -> Tensor:
    weight1, bias1, weight2, bias2, norm_weight, norm_bias, eps = arguments
    y = _linear(F.gelu(_linear(x, weight1, bias1)), weight2, bias2)
    return _add_norm(x, y, norm_weight, norm_bias, eps)


def _mlp_layer_on_gpu(x: Tensor, *arguments: Any) -> Tensor:
    *weights, eps = arguments
    return gpu.mlp_layer(x, *weights, eps=eps) if gpu.takes(x) else _mlp_layer(x, *arguments)


def _linear(x: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
    return F.linear(x, weight, None if bias is None else bias.to(x.dtype))


def _add_norm(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    total = x.float() + y.float()
    return F.layer_norm(total, weight.shape, weight.float(), bias.float(), eps).to(x.dtype)


def _shape(x: Tensor, *arguments: Any) -> Tensor:
    return x.new_empty(x.shape)


def _count_attention_layer_flops(x: Sequence[int], *arguments: Any, **kwargs: Any) -> int:
    """The operations of attention and of its linear layers, which have 4C weights for each of C channels."""
    *_, heads, patch_size, _ = arguments
    channels = x[3]
    linear = 2 * x[0] * x[1] * x[2] * 4 * channels * channels
    return linear + count_flops((*x[:3], 3 * channels), heads, patch_size)


register(
    'attention_layer('
    'Tensor x, Tensor? patch, Tensor? bias, Tensor qkv_weight, Tensor? qkv_bias, Tensor proj_weight, Tensor proj_bias, '
    'Tensor norm_weight, Tensor norm_bias, int heads, int patch_size, float eps) -> Tensor',
    _attention_layer,
    _shape,
    gpu=_attention_layer_on_gpu,
    flops=_count_attention_layer_flops,
)
register(
    'mlp_layer('
    'Tensor x, Tensor weight1, Tensor bias1, Tensor weight2, Tensor bias2, Tensor norm_weight, Tensor norm_bias, '
    'float eps) -> Tensor',
    _mlp_layer,
    _shape,
    gpu=_mlp_layer_on_gpu,
    flops=count_mlp_flops,
)
