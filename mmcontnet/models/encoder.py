"""The transformer encoder of ConTNet (paper, section 3.2): position, self-attention inside patches, MLP.

It works on maps (B, H, W, C); only attention knows patches.
"""

from typing import Optional, Tuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..ops import (
    add_layer_norm,
    add_tiled,
    attention_layer,
    fuses_attention,
    fuses_mlp,
    mlp,
    mlp_layer,
    patch_attention,
)
from ..ops.recomputed import Recompute
from .layers import Linear


class AbsolutePosition(nn.Module):
    """A learnable vector for each row of a patch and one for each column, added to the tokens.

    Rows go to the first half of the channels and columns to the second.

    Args:
        channels (int): Number of channels, C; even.
        patch_size (int): Height and width of a patch, p.
    """

    def __init__(self, channels: int, patch_size: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.zeros(patch_size, 1, channels // 2))
        self.columns = nn.Parameter(torch.zeros(1, patch_size, channels // 2))

    def forward(self) -> Tuple[Tensor, None]:
        """What is added to the pixels of a patch, (p, p, C), and no bias of the attention logits."""
        size = self.rows.shape[0]
        return torch.cat([self.rows.expand(-1, size, -1), self.columns.expand(size, -1, -1)], 2), None


class RelativePosition(nn.Module):
    """A learnable term of the attention logits for each offset between two pixels of a patch and each head.

    Args:
        heads (int): Number of attention heads.
        patch_size (int): Height and width of a patch, p.
    """

    offsets: Tensor

    def __init__(self, heads: int, patch_size: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros((2 * patch_size - 1) ** 2, heads))
        nn.init.trunc_normal_(self.table, std=0.02)
        span = 2 * patch_size - 1
        line = torch.arange(patch_size)
        # Differences of these are differences of rows and of columns at once.
        pixels = (line[:, None] * span + line).flatten()
        offsets = pixels[:, None] - pixels + (patch_size - 1) * (span + 1)  # (p * p, p * p)
        self.register_buffer('offsets', offsets, persistent=False)

    def forward(self) -> Tuple[None, Tensor]:
        """Nothing to add to pixels, and the bias (heads, p * p, p * p) of the attention logits."""
        return None, self.table[self.offsets].permute(2, 0, 1)


class PatchAttention(nn.Module):
    """Multi-head self-attention inside patches: (B, H, W, C) to (B, H, W, C).

    Args:
        channels (int): Number of channels, C.
        patch_size (int): Height and width of a patch.
        heads (int): Number of heads.
        qkv_bias (bool): Whether queries, keys and values have a bias.
        dropout (float): Dropout rate of the attention weights and of the output.
    """

    def __init__(self, channels: int, patch_size: int, heads: int, qkv_bias: bool, dropout: float) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.heads = heads
        self.dropout = dropout
        self.qkv = Linear(channels, 3 * channels, bias=qkv_bias)
        self.proj = Linear(channels, channels)

    def forward(self, x: Tensor, bias: Optional[Tensor]) -> Tensor:
        """Attends, with a bias (heads, p * p, p * p) of the logits or without."""
        dropout = self.dropout if self.training else 0.0
        x = patch_attention(self.qkv(x), self.heads, self.patch_size, bias, dropout)
        return F.dropout(self.proj(x), dropout)


class MLP(nn.Module):
    """Two linear layers with an exact GELU between them, each followed by dropout: (B, H, W, C) to (B, H, W, C).

    They are computed together, so hooks of the two are not called.

    Args:
        channels (int): Number of channels, C.
        width (int): Channels between the layers.
        dropout (float): Dropout rate.
    """

    def __init__(self, channels: int, width: int, dropout: float) -> None:
        super().__init__()
        self.fc1 = Linear(channels, width)
        self.fc2 = Linear(width, channels)
        self.dropout = dropout

    def forward(self, x: Tensor, recompute: Optional[Recompute] = None) -> Tensor:
        """Applies the layers to maps that the backward pass recomputes or, without ``recompute``, keeps."""
        dropout = self.dropout if self.training else 0.0
        return mlp(x, self.fc1.weight, self.fc1.bias, self.fc2.weight, self.fc2.bias, dropout, recompute)


# What may be computed together with others.
PLAIN = (PatchAttention, MLP, Linear, nn.LayerNorm)


class Encoder(nn.Module):
    """Transformer encoder over the patches of one size: (B, H, W, C) to (B, H, W, C).

    In inference on GPUs its two layers may each be a single kernel; modules with hooks are always called.

    Args:
        channels (int): Number of channels, C.
        patch_size (int): Height and width of a patch, p.
        heads (int): Number of attention heads.
        mlp_width (int): Hidden width of the MLP.
        dropout (float): Dropout rate.
        position (str): ``'absolute'`` or ``'relative'``.
        qkv_bias (bool): Whether queries, keys and values have a bias.
        pre_norm (bool): Whether the norms come before attention and MLP instead of after the sums.
    """

    def __init__(
        self,
        channels: int,
        patch_size: int,
        heads: int,
        mlp_width: int,
        dropout: float,
        position: str,
        qkv_bias: bool,
        pre_norm: bool,
    ) -> None:
        super().__init__()
        self.pre_norm = pre_norm
        absolute = position == 'absolute'
        self.position = AbsolutePosition(channels, patch_size) if absolute else RelativePosition(heads, patch_size)
        self.attn = PatchAttention(channels, patch_size, heads, qkv_bias, dropout)
        self.norm1 = nn.LayerNorm(channels)
        self.mlp = MLP(channels, mlp_width, dropout)
        self.norm2 = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Encodes."""
        patch, bias = self.position()
        if not self.pre_norm:
            x, recompute = self._attention_layer(x, patch, bias)
            return self._mlp_layer(x, recompute)
        x = _add_patch(x, patch)
        x = x + self.attn(self.norm1(x), bias)
        return x + self.mlp(self.norm2(x))

    def _attention_layer(
        self, x: Tensor, patch: Optional[Tensor], bias: Optional[Tensor]
    ) -> Tuple[Tensor, Optional[Recompute]]:
        attn, norm = self.attn, self.norm1
        if fuses_attention(x, attn.heads, attn.patch_size) and self._is_plain(attn, attn.qkv, attn.proj, norm):
            weights = attn.qkv.weight, attn.qkv.bias, attn.proj.weight, attn.proj.bias, norm.weight, norm.bias
            return attention_layer(x, patch, bias, *weights, attn.heads, attn.patch_size, norm.eps), None
        x = _add_patch(x, patch)
        return _add_norm(x, attn(x, bias), norm)

    def _mlp_layer(self, x: Tensor, recompute: Optional[Recompute]) -> Tensor:
        fc1, fc2, norm = self.mlp.fc1, self.mlp.fc2, self.norm2
        if fuses_mlp(x) and self._is_plain(self.mlp, fc1, fc2, norm):
            return mlp_layer(x, fc1.weight, fc1.bias, fc2.weight, fc2.bias, norm.weight, norm.bias, norm.eps)
        return _add_norm(x, self.mlp(x, recompute), norm)[0]

    def _is_plain(self, *modules: nn.Module) -> bool:
        """Whether modules may be computed together: nothing hooks into them, replaces them, or drops anything out."""
        drops = self.training and self.attn.dropout > 0
        plain = all(type(module) in PLAIN and not _has_hooks(module) for module in modules)
        return plain and not drops


def _has_hooks(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)


def _add_patch(x: Tensor, patch: Optional[Tensor]) -> Tensor:
    return x if patch is None else add_tiled(x, patch)


def _add_norm(x: Tensor, y: Tensor, norm: nn.LayerNorm) -> Tuple[Tensor, Optional[Recompute]]:
    return add_layer_norm(x, y, norm.weight, norm.bias, norm.eps)
