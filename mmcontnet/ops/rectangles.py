"""Attention inside patches as operators, ``torch.ops.mmcontnet.patch_attention`` and the same with a backward pass.

On a CPU, where a call costs little, there is a call for each rectangle of equal patches, of which a map has at most
four: where its sides are no multiples of the patch size, those at the margins are smaller. Nothing is padded.
"""

from math import prod
from typing import Any, Iterator, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .library import register, register_backward
from .padding import padded_attention, padded_attention_backward
from .target import HAS_BFLOAT16, is_inference


def rectangles(x: Tensor, patch_size: int) -> Iterator[Tensor]:
    """The rectangles of equal patches of maps (B, H, W, C), each a view (B, down, across, h, w, C)."""
    for top, bottom, height in _bands(x.shape[1], patch_size):
        for left, right, width in _bands(x.shape[2], patch_size):
            rectangle = x[:, top:bottom, left:right]
            yield rectangle.unflatten(2, (-1, width)).unflatten(1, (-1, height)).transpose(2, 3)


def _bands(length: int, patch_size: int) -> List[Tuple[int, int, int]]:
    """Start, stop and patch size of the whole patches along an axis, and of the smaller one at its end."""
    whole = length // patch_size * patch_size
    bands = [(0, whole, patch_size), (whole, length, length - whole)]
    return [(start, stop, size) for start, stop, size in bands if start < stop]


def crop_bias(bias: Tensor, height: int, width: int) -> Tensor:
    """The bias of whole patches, (heads, p * p, p * p), for patches of height x width: (heads, N, N)."""
    size = round(bias.shape[1] ** 0.5)
    bias = bias.unflatten(2, (size, size)).unflatten(1, (size, size))
    return bias[:, :height, :width, :height, :width].flatten(3, 4).flatten(1, 2)


def _cut(rectangle: Tensor, heads: int) -> Tensor:
    """The patches of a rectangle, as (n, heads, N, C / heads)."""
    count, length, channels = prod(rectangle.shape[:3]), prod(rectangle.shape[3:5]), rectangle.shape[5]
    return rectangle.reshape(count, length, heads, channels // heads).transpose(1, 2)


def _cut_qkv(rectangle: Tensor, heads: int) -> Sequence[Tensor]:
    return _cut(rectangle, 3 * heads).unflatten(1, (3, heads)).unbind(1)


def _join(patches: Tensor, rectangle: Tensor) -> None:
    """Writes patches (n, heads, N, C / heads) to a rectangle of maps."""
    rectangle.copy_(patches.transpose(1, 2).reshape(rectangle.shape))


@torch.compiler.disable  # How many rectangles there are depends on the remainders of the sides.
def attention_by_rectangles(
    qkv: Tensor, heads: int, patch_size: int, bias: Optional[Tensor] = None, dropout: float = 0.0
) -> Tensor:
    """:func:`~mmcontnet.ops.patch_attention` by a call for each rectangle of equal patches."""
    out = _empty_output(qkv)
    # Torch's attention on a CPU reads wrong numbers where the last axis is not contiguous.
    for source, result in zip(rectangles(qkv.contiguous(), patch_size), rectangles(out, patch_size)):
        q, k, v = _cut_qkv(source, heads)
        mask = None if bias is None else crop_bias(bias, *source.shape[3:5]).to(q.dtype)
        if HAS_BFLOAT16 and q.dtype == torch.bfloat16 and is_inference():
            # Patches are small: their logits cost less than a BLAS that does not know the processor's bfloat16.
            logits = q * q.shape[-1] ** -0.5 @ k.mT
            patches = (logits if mask is None else logits + mask).softmax(-1) @ v
        else:
            patches = F.scaled_dot_product_attention(q, k, v, mask, dropout)
        _join(patches, result)
    return out


def _attend_training(qkv: Tensor, heads: int, patch_size: int) -> Tuple[Tensor, Tensor]:
    """The output, and the logarithms of what the attention weights are divided by, (B, H, W, heads)."""
    out, divisors = _empty_outputs(qkv, heads)
    for source, result, divisor in zip(*(rectangles(x, patch_size) for x in (qkv.contiguous(), out, divisors))):
        patches, logsumexp = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(*_cut_qkv(source, heads))
        _join(patches, result)
        _join(logsumexp.unsqueeze(3), divisor)
    return out, divisors


def _attend_backward(grad: Tensor, qkv: Tensor, out: Tensor, divisors: Tensor, heads: int, patch_size: int) -> Tensor:
    """The gradient of queries, keys and values."""
    grad_qkv = torch.empty_like(qkv, memory_format=torch.contiguous_format)
    maps = (grad.contiguous(), qkv.contiguous(), out, divisors, grad_qkv)
    for grad, qkv, out, divisor, result in zip(*(rectangles(x, patch_size) for x in maps)):
        q, k, v = _cut_qkv(qkv, heads)
        grad, out, divisor = (_cut(x, heads) for x in (grad, out, divisor))
        gradients = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
            grad, q, k, v, out, divisor.squeeze(3), 0.0, False
        )
        for gradient, part in zip(gradients, result.chunk(3, 5)):
            _join(gradient, part)
    return grad_qkv


def _empty_output(qkv: Tensor) -> Tensor:
    return qkv.new_empty(*qkv.shape[:3], qkv.shape[3] // 3)


def _empty_outputs(qkv: Tensor, heads: int) -> Tuple[Tensor, Tensor]:
    dtype = torch.promote_types(qkv.dtype, torch.float32)
    return _empty_output(qkv), qkv.new_empty(*qkv.shape[:3], heads, dtype=dtype)


def _save(ctx: Any, inputs: tuple, output: tuple) -> None:
    qkv, ctx.heads, ctx.patch_size = inputs
    ctx.save_for_backward(qkv, *output)
    ctx.mark_non_differentiable(output[1])


def _backward(ctx: Any, grad: Tensor, _: Any) -> tuple:
    grad_qkv = torch.ops.mmcontnet.patch_attention_backward(grad, *ctx.saved_tensors, ctx.heads, ctx.patch_size)
    return grad_qkv, None, None


def count_flops(qkv: Sequence[int], heads: int, patch_size: int, *args: Any, **kwargs: Any) -> int:
    """The operations of the two products, from the shape of queries, keys and values; nothing for margins."""
    batch, height, width, channels = qkv
    pairs = [
        sum((stop - start) * size for start, stop, size in _bands(length, patch_size)) for length in (height, width)
    ]
    return 2 * 2 * batch * prod(pairs) * channels // 3


register(
    'patch_attention(Tensor qkv, int heads, int patch_size, Tensor? bias) -> Tensor',
    padded_attention,
    lambda qkv, *args: _empty_output(qkv),
    attention_by_rectangles,
    count_flops,
)
register(
    'patch_attention_training(Tensor qkv, int heads, int patch_size) -> (Tensor, Tensor)',
    lambda qkv, heads, *args: (padded_attention(qkv, heads, *args), _empty_outputs(qkv, heads)[1]),
    lambda qkv, heads, *args: _empty_outputs(qkv, heads),
    _attend_training,
    count_flops,
)
register(
    'patch_attention_backward(Tensor grad, Tensor qkv, Tensor out, Tensor divisors, int heads, int patch_size)'
    ' -> Tensor',
    padded_attention_backward,
    lambda grad, qkv, *args: torch.empty_like(qkv, memory_format=torch.contiguous_format),
    _attend_backward,
    # Two products for each of the forward pass; those that are computed again are not counted.
    lambda grad, qkv, out, divisors, *args, **kwargs: 2 * count_flops(qkv, *args),
)
register_backward('patch_attention_training', _save, _backward)
