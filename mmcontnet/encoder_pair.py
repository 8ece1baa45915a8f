"""The two encoders of a ConT block, from map to map."""

import json
from functools import lru_cache
from typing import Any, List, Sequence, Tuple

import torch
from torch import Tensor, nn

from .encoder import Encoder
from .mode import is_compiling, is_exporting, is_inference
from .patches import PatchLayout, in_strips

# How many tokens of a map pass through the encoders at once in inference on a CPU; docs/performance.md has others.
CACHED_TOKENS = 8192
# Older versions of torch do not take it.
HAS_OPERATOR = hasattr(torch.library, 'register_fake')


class EncoderPair(nn.ModuleList):
    """Two encoders in sequence that attend inside patches of two sizes.

    Args:
        channels (int): Number of channels, C.
        patch_sizes (Sequence[int]): Patch size of the first encoder and of the second.
        encoder: What else the encoders take, see :class:`Encoder`.
    """

    def __init__(self, channels: int, patch_sizes: Sequence[int], **encoder: Any) -> None:
        super().__init__([Encoder(channels, size, **encoder) for size in patch_sizes])
        self.patch_sizes = patch_sizes
        self.settings = json.dumps(dict(channels=channels, patch_sizes=patch_sizes, **encoder))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        cpu_inference = x.device.type == 'cpu' and is_inference()
        if HAS_OPERATOR and not self.training and (is_exporting() or (cpu_inference and is_compiling())):
            return torch.ops.mmcontnet.encode(x, list(self.parameters()), self.settings)
        x = x.permute(0, 2, 3, 1)  # (B, H, W, C)
        if cpu_inference:
            # Nothing is kept for a backward pass, so all that a strip needs in between stays in the processor's cache.
            x = in_strips(self.encode, x, self.patch_sizes[1], CACHED_TOKENS)
        else:
            x = self.encode(x)
        return x.permute(0, 3, 1, 2)

    def encode(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to (B, H, W, C)."""
        batch, height, width = map(int, x.shape[:3])  # Tensors, where torch.jit traces.
        layout = PatchLayout(batch, height, width, *self.patch_sizes)
        tokens = layout.cut(x)
        tokens = self[0](tokens, layout.inner())
        tokens = self[1](tokens, layout.outer())
        return layout.join(tokens)


@lru_cache(maxsize=None)
def _build(settings: str) -> Tuple[EncoderPair, List[str]]:
    """A pair without weights, and their names."""
    with torch.device('meta'):
        pair = EncoderPair(**json.loads(settings)).eval()
    return pair, [name for name, _ in pair.named_parameters()]


def _encode(x: Tensor, weights: List[Tensor], settings: str) -> Tensor:
    """What an exported network calls, and a compiled one on a CPU: a pair in inference, with its weights and settings.

    How a map is cut depends on the remainders of its sides. A graph of symbolic sizes has no form for that, and one of
    fixed sizes would have to unroll all strips.
    """
    pair, names = _build(settings)
    encoded = torch.func.functional_call(pair, dict(zip(names, weights)), (x,))
    return encoded.contiguous(memory_format=torch.channels_last)


if HAS_OPERATOR:
    # Not torch.library.custom_op, which takes a millisecond a call.
    torch.library.define('mmcontnet::encode', '(Tensor x, Tensor[] weights, str settings) -> Tensor')
    torch.library.impl('mmcontnet::encode', 'default', _encode)
    torch.library.register_fake(
        'mmcontnet::encode', lambda x, weights, settings: torch.empty_like(x, memory_format=torch.channels_last)
    )
