"""The ConT block (paper, section 3.3): two transformer encoders, then a convolution, around a shortcut."""

from typing import Any, Dict, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .encoder_pair import EncoderPair
from .norm import build_norm


class ConTBlock(nn.Module):
    """Pre-activation block of two encoders and a convolution.

    Args:
        channels (int): Number of input channels, C.
        patch_sizes (Sequence[int]): Patch size of the first encoder and of the second.
        norm_cfg (dict): Config of the norm at the entrance.
        encoder (dict): What else the encoders take, see :class:`~mmcontnet.encoder.Encoder`.
        conv (nn.Module | None): The convolution after the encoders; without one the block ends there.
        shortcut (nn.Module | None): Projection of the activated input; without one the input itself is the shortcut.
            Defaults to None.
        dropout (float): Dropout of the block's output. Defaults to 0.
        with_cp (bool): Whether the encoders are computed again in the backward pass. Defaults to False.
    """

    def __init__(
        self,
        channels: int,
        patch_sizes: Sequence[int],
        norm_cfg: Dict[str, Any],
        encoder: Dict[str, Any],
        conv: Optional[nn.Module],
        shortcut: Optional[nn.Module] = None,
        dropout: float = 0.0,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        self.with_cp = with_cp
        self.norm = build_norm(norm_cfg, channels)
        self.encoders = EncoderPair(channels, patch_sizes, **encoder)
        self.conv = conv
        self.shortcut = shortcut
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tuple[Tensor, Optional[Tensor]]:
        """Runs the block.

        Args:
            x (Tensor): (B, C, H, W).

        Returns:
            tuple: What leaves the second encoder, (B, C, H, W), and the output of the block, None where it ends there.
        """
        activated = F.relu(self.norm(x), inplace=True)
        if self.with_cp and torch.is_grad_enabled():
            # The norm stays outside: computed twice, it would update its statistics twice.
            encoded = checkpoint(self.encoders, activated, use_reentrant=False)
        else:
            encoded = self.encoders(activated)
        if self.conv is None:
            return encoded, None
        shortcut = x if self.shortcut is None else self.shortcut(activated)
        output = self.conv(encoded)
        output += shortcut
        return encoded, self.dropout(output)
