"""Multi-head self-attention inside patches of a map (paper, section 3.2).

A map is cut into patches of p x p pixels; a pixel attends to those of its patch. Where p does not divide the map, the
patches at the bottom and right margin are smaller.
"""

from typing import Optional

import torch
from torch import Tensor

from .padding import padded_attention
from .rectangles import attention_by_rectangles, crop_bias
from .target import Target, is_inference, target


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
    if where in (Target.EXPORT, Target.OTHER):
        return padded_attention(qkv, heads, patch_size, bias, dropout)
    if is_inference() and where is not Target.CPU:
        return torch.ops.mmcontnet.patch_attention(qkv, heads, patch_size, bias)
    # The operator's backward pass knows neither dropout nor a bias.
    if is_inference() or dropout or bias is not None:
        return attention_by_rectangles(qkv, heads, patch_size, bias, dropout)
    return torch.ops.mmcontnet.patch_attention_training(qkv, heads, patch_size)[0]


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
