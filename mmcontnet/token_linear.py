"""Linear layers of tokens, on a CPU as 1x1 convolutions.

oneDNN, which torch uses for convolutions, adds the bias on the way, can apply GELU there, too, and on AMD's processors
is more than twice as fast as the BLAS that torch uses for linear layers.
"""

from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .mode import is_compiling
from .onednn import FUSES_GELU, HAS_BFLOAT16


class TokenLinear(nn.Linear):
    """A linear layer of tokens, alone or with the exact GELU next to it."""

    def forward(self, tokens: Tensor, gelu: Optional[str] = None) -> Tensor:
        """Maps (T, in_features) to (T, out_features).

        Args:
            tokens (Tensor): (T, in_features).
            gelu (str | None): ``'before'`` maps GELU of the tokens, which the backward pass computes again; ``'after'``
                returns GELU of what the tokens are mapped to. Defaults to None, no GELU.
        """
        weight, bias = self.weight, self.bias
        traced = is_compiling() or torch.jit.is_tracing()
        if gelu is None:
            return _linear(tokens, weight, bias)
        if gelu == 'before':
            if traced:
                return _linear(F.gelu(tokens), weight, bias)
            return _LinearOfGELU.apply(tokens, *_cast(weight, bias, tokens.dtype))
        dtype = None if traced else _fused_dtype(tokens)
        if dtype is None:
            return F.gelu(_linear(tokens, weight, bias))
        return _gelu_of_linear(tokens.to(dtype), *_cast(weight, bias, dtype))


class _LinearOfGELU(torch.autograd.Function):
    """Keeps GELU's input for the backward pass, and not its output."""

    @staticmethod
    def forward(tokens: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
        return _linear(F.gelu(tokens), weight, bias)

    @staticmethod
    def setup_context(ctx, inputs: Tuple[Tensor, Tensor, Optional[Tensor]], output: Tensor) -> None:
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> Tuple[Optional[Tensor], Optional[Tensor], Optional[Tensor]]:
        tokens, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        activated = F.gelu(tokens) if wanted[1] else tokens  # Of the tokens themselves only the size is used.
        grad_tokens, grad_weight, grad_bias = _linear_backward(grad, activated, weight, wanted)
        if wanted[0]:  # In place, since this is the largest of all gradients.
            torch.ops.aten.gelu_backward.grad_input(grad_tokens, tokens, grad_input=grad_tokens)
        return grad_tokens, grad_weight, grad_bias


def _linear(tokens: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
    if not _is_convolution(tokens):
        return F.linear(tokens, weight, bias)
    return _to_tokens(F.conv2d(_to_image(tokens), weight[:, :, None, None], bias))


def _gelu_of_linear(tokens: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
    """GELU by oneDNN; without a backward pass."""
    image = torch.ops.mkldnn._convolution_pointwise(
        _to_image(tokens),
        weight[:, :, None, None],
        bias,
        [0, 0],  # padding
        [1, 1],  # stride
        [1, 1],  # dilation
        1,  # groups
        'gelu',
        [],
        'none',  # of GELU's approximations
    )
    return _to_tokens(image)


def _linear_backward(
    grad: Tensor, tokens: Tensor, weight: Tensor, wanted: Tuple[bool, bool, bool]
) -> Tuple[Optional[Tensor], Optional[Tensor], Optional[Tensor]]:
    """The gradients of tokens, weight and bias, as far as they are wanted."""
    if not _is_convolution(tokens):
        return (
            grad @ weight if wanted[0] else None,
            grad.T @ tokens if wanted[1] else None,
            grad.sum(0) if wanted[2] else None,
        )
    image, kernel, bias = torch.ops.aten.convolution_backward(
        _to_image(grad),
        _to_image(tokens),
        weight[:, :, None, None],
        [len(weight)],
        [1, 1],  # stride
        [0, 0],  # padding
        [1, 1],  # dilation
        False,  # transposed
        [0, 0],  # output padding
        1,  # groups
        wanted,
    )
    return _to_tokens(image) if wanted[0] else None, kernel.flatten(1) if wanted[1] else None, bias


def _is_convolution(tokens: Tensor) -> bool:
    return tokens.device.type == 'cpu' and tokens.shape[0] > 0


def _to_image(tokens: Tensor) -> Tensor:
    """Tokens (T, C) as an image (1, C, 1, T), channels-last."""
    if is_compiling():  # Of axes of length 1 the compiler loses the strides, and then the memory format.
        size, channels = tokens.shape
        return tokens.contiguous().as_strided((1, channels, 1, size), (tokens.numel(), 1, tokens.numel(), channels))
    return tokens[None, None].permute(0, 3, 1, 2)


def _to_tokens(image: Tensor) -> Tensor:
    """An image (1, C, 1, T) as tokens (T, C)."""
    # squeeze, since the gradient of an index would be copied into zeros.
    return image.squeeze(2).squeeze(0).T


def _cast(weight: Tensor, bias: Optional[Tensor], dtype: torch.dtype) -> Tuple[Tensor, Optional[Tensor]]:
    return weight.to(dtype), bias if bias is None else bias.to(dtype)


def _fused_dtype(tokens: Tensor) -> Optional[torch.dtype]:
    """In which dtype oneDNN may apply GELU; None where it may not."""
    if not (FUSES_GELU and torch.backends.mkldnn.enabled and _is_convolution(tokens)) or torch.is_grad_enabled():
        return None
    dtype = torch.get_autocast_dtype('cpu') if torch.is_autocast_enabled('cpu') else tokens.dtype
    return dtype if dtype == torch.float32 or (dtype == torch.bfloat16 and HAS_BFLOAT16) else None
