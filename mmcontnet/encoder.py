"""The transformer encoder of ConTNet (paper, section 3.2): position, self-attention inside patches, MLP."""

from typing import List, Optional

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .mode import is_inference
from .onednn import HAS_BFLOAT16
from .patches import Run, Sequences, concatenate, split
from .token_linear import TokenLinear


class AbsolutePosition(nn.Module):
    """A learnable vector for each row of a patch and one for each column, added to the tokens.

    Rows go to the first half of the channels and columns to the second.

    Args:
        channels (int): Number of channels, C; even.
        patch_size (int): Height and width of a whole patch, p.
    """

    def __init__(self, channels: int, patch_size: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.zeros(patch_size, 1, channels // 2))
        self.columns = nn.Parameter(torch.zeros(1, patch_size, channels // 2))

    def forward(self, tokens: Tensor, sequences: List[Sequences]) -> Tensor:
        """Adds the position of each token: (T, C) to (T, C)."""
        size = self.rows.shape[0]
        grid = torch.cat([self.rows.expand(-1, size, -1), self.columns.expand(size, -1, -1)], 2)  # (p, p, C)
        runs = [(group.count, run) for group in sequences for run in group.runs]
        parts = split(tokens, [count * run.length for count, run in runs])
        return concatenate(
            [
                (part.unflatten(0, (count, run.length)) + run.arrange(grid)).flatten(0, 1)
                for part, (count, run) in zip(parts, runs)
            ]
        )


class RelativePosition(nn.Module):
    """A learnable term of the attention logits for each offset between two tokens of a patch and each head.

    Args:
        heads (int): Number of attention heads.
        patch_size (int): Height and width of a whole patch, p.
    """

    def __init__(self, heads: int, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.table = nn.Parameter(torch.zeros((2 * patch_size - 1) ** 2, heads))
        nn.init.trunc_normal_(self.table, std=0.02)

    def forward(self, runs: List[Run]) -> Tensor:
        """The bias (1, heads, N, N) of the logits of sequences that are made of the runs, N tokens in all."""
        span = 2 * self.patch_size - 1
        line = torch.arange(self.patch_size, device=self.table.device)
        # Differences of these are differences of rows and of columns at once.
        grid = line[:, None] * span + line
        order = concatenate([run.arrange(grid) for run in runs])
        offsets = order[:, None] - order + (self.patch_size - 1) * (span + 1)  # (N, N)
        return self.table[offsets].permute(2, 0, 1).unsqueeze(0)


class PatchAttention(nn.Module):
    """Multi-head self-attention of the tokens of each sequence.

    Args:
        channels (int): Number of channels, C.
        heads (int): Number of heads.
        qkv_bias (bool): Whether queries, keys and values have a bias.
        dropout (float): Dropout of the attention weights and of the output.
    """

    def __init__(self, channels: int, heads: int, qkv_bias: bool, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.qkv = TokenLinear(channels, 3 * channels, bias=qkv_bias)
        self.proj = TokenLinear(channels, channels)

    def forward(self, tokens: Tensor, sequences: List[Sequences], position: Optional[RelativePosition]) -> Tensor:
        """Attends inside each sequence: (T, C) to (T, C)."""
        qkv = self.qkv(tokens)  # (T, 3C)
        runs = iter(split(qkv, [size for group in sequences for size in group.sizes]))
        dropout = self.dropout if self.training else 0.0
        outputs = []
        for count, group in sequences:
            x = concatenate([next(runs).unflatten(0, (count, run.length)) for run in group], 1)  # (n, N, 3C)
            # In this order the gradient of the three is put together by a single copy.
            q, k, v = (part.transpose(1, 2) for part in x.unflatten(2, (3, self.heads, -1)).unbind(2))
            bias = None if position is None else position(group).to(q.dtype)
            x = _attend(q, k, v, bias, dropout)
            x = x.transpose(1, 2).flatten(2)  # (n, N, C)
            if not is_inference():  # The backward pass then keeps no copy of what attention keeps already.
                x = self.proj(x.flatten(0, 1)).unflatten(0, x.shape[:2])
            outputs += [part.flatten(0, 1) for part in split(x, [run.length for run in group], 1)]
        x = concatenate(outputs)
        if is_inference():
            x = self.proj(x)  # All at once is faster.
        return F.dropout(x, self.dropout, self.training)


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Optional[Tensor], dropout: float) -> Tensor:
    """Scaled dot product attention of (n, heads, N, C / heads), to which the bias (1, heads, N, N) is added."""
    if HAS_BFLOAT16 and is_inference() and not dropout and q.device.type == 'cpu' and q.dtype == torch.bfloat16:
        # Patches are small: their logits cost less than a BLAS that does not know the processor's bfloat16.
        logits = q * q.shape[-1] ** -0.5 @ k.mT
        return (logits if bias is None else logits + bias).softmax(-1) @ v
    return F.scaled_dot_product_attention(q, k, v, bias, dropout)


class MLP(nn.Module):
    """Two linear layers with an exact GELU between them, each followed by dropout: (T, C) to (T, C)."""

    def __init__(self, channels: int, width: int, dropout: float) -> None:
        super().__init__()
        self.fc1 = TokenLinear(channels, width)
        self.fc2 = TokenLinear(width, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Runs the layers."""
        drops = self.training and self.dropout.p > 0
        if not is_inference() and not drops:
            # GELU's outputs, a quarter of all that training keeps, are computed again; that takes little time.
            return self.fc2(self.fc1(tokens), gelu='before')
        return self.dropout(self.fc2(self.dropout(self.fc1(tokens, gelu='after'))))


class ResidualNorm(nn.LayerNorm):
    """The norm of the sum of tokens and what is added to them, both (T, C); one pass over them where it is compiled."""

    def forward(self, tokens: Tensor, residual: Tensor) -> Tensor:
        """Adds and normalises."""
        return super().forward(tokens + residual)


class Encoder(nn.Module):
    """Transformer encoder over the patches of one size.

    Args:
        channels (int): Number of channels, C.
        patch_size (int): Height and width of a whole patch.
        heads (int): Number of attention heads.
        mlp_width (int): Hidden width of the MLP.
        dropout (float): Dropout rate.
        position (str): ``'absolute'`` or ``'relative'``.
        qkv_bias (bool): Whether queries, keys and values have a bias.
        pre_norm (bool): Whether the norms come before attention and MLP instead of after the residual.
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
        self.absolute = position == 'absolute'
        self.position = AbsolutePosition(channels, patch_size) if self.absolute else RelativePosition(heads, patch_size)
        self.attn = PatchAttention(channels, heads, qkv_bias, dropout)
        norm = nn.LayerNorm if pre_norm else ResidualNorm
        self.norm1 = norm(channels)
        self.mlp = MLP(channels, mlp_width, dropout)
        self.norm2 = norm(channels)

    def forward(self, tokens: Tensor, sequences: List[Sequences]) -> Tensor:
        """Tokens (T, C), stored as the sequences say, to tokens (T, C)."""
        if self.absolute:
            tokens, bias = self.position(tokens, sequences), None
        else:
            bias = self.position
        if self.pre_norm:
            tokens = tokens + self.attn(self.norm1(tokens), sequences, bias)
            return tokens + self.mlp(self.norm2(tokens))
        tokens = self.norm1(tokens, self.attn(tokens, sequences, bias))
        return self.norm2(tokens, self.mlp(tokens))
