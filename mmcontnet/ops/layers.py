"""Convolutions, linear layers and MLPs of maps.

On a CPU linear layers are computed as 1x1 convolutions. oneDNN, which torch uses for convolutions, adds the bias on the
way, and on AMD's processors is more than twice as fast as the BLAS that torch uses otherwise.
"""

from functools import partial
from math import prod
from typing import Any, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import extension, gpu
from .library import register, register_backward
from .recomputed import Recompute
from .target import COMPILERS, Target, autocast, is_inference, target


def conv2d(x: Tensor, weight: Tensor, stride: int = 1, padding: int = 0, dilation: int = 1) -> Tensor:
    """``torch.nn.functional.conv2d`` of maps (B, C, H, W)."""
    if target(x) not in COMPILERS:
        return F.conv2d(x, weight, None, stride, padding, dilation)
    # The compiler cannot lower a convolution of channels-last maps of which batch, height and width are symbols. So it
    # sees an operator of contiguous maps (B, H, W, C).
    x, weight = autocast(x, weight)
    x = x.permute(0, 2, 3, 1).contiguous()
    return torch.ops.mmcontnet.convolution(x, weight, None, stride, padding, dilation).permute(0, 3, 1, 2)


def linear(x: Tensor, weight: Tensor, bias: Optional[Tensor] = None) -> Tensor:
    """``torch.nn.functional.linear`` of maps (B, H, W, C)."""
    where = target(x)
    if where is Target.CPU_COMPILER:
        x, weight, bias = autocast(x, weight, bias)
        return torch.ops.mmcontnet.convolution(x, weight[:, :, None, None], bias, 1, 0, 1)
    if where is Target.CPU:
        return linear_as_convolution(x, weight, bias)
    if where is Target.GPU and bias is not None and not is_inference():
        return LinearFunction.apply(*autocast(x, weight, bias))
    return F.linear(x, weight, bias)


class LinearFunction(torch.autograd.Function):
    """A linear layer in training on a GPU, where torch takes long to sum the gradient of the bias."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Applies the layer."""
        ctx.save_for_backward(x, weight)
        return F.linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tuple[Optional[Tensor], ...]:
        """The gradients of maps, weight and bias."""
        x, weight = ctx.saved_tensors
        return gpu.linear_gradients(grad, x, weight, ctx.needs_input_grad)


def linear_as_convolution(x: Tensor, weight: Tensor, bias: Optional[Tensor] = None) -> Tensor:
    """:func:`linear` on a CPU."""
    if not x.numel():  # which oneDNN does not take
        return F.linear(x, weight, bias)
    return _of_image(F.conv2d(_to_image(x), weight[:, :, None, None], bias), x)


def mlp(
    x: Tensor,
    weight1: Tensor,
    bias1: Tensor,
    weight2: Tensor,
    bias2: Tensor,
    dropout: float = 0.0,
    recompute: Optional[Recompute] = None,
) -> Tensor:
    """Two linear layers with an exact GELU between them, each followed by dropout.

    Args:
        x (Tensor): Maps (B, H, W, C).
        weight1 (Tensor): (D, C).
        bias1 (Tensor): (D,).
        weight2 (Tensor): (C, D).
        bias2 (Tensor): (C,).
        dropout (float): Dropout rate. Defaults to 0.
        recompute (functools.partial | None): Returns ``x`` in the backward pass, which keeps the tensors that are its
            positional arguments instead. Defaults to None.

    Returns:
        Tensor: (B, H, W, C).
    """
    where = target(x)
    weights = weight1, bias1, weight2, bias2
    if not dropout and is_inference():
        if where is Target.CPU:
            return _mlp_on_cpu(*autocast(x, *weights))
        if where is Target.CPU_COMPILER:
            return torch.ops.mmcontnet.mlp(*autocast(x, *weights))
        if where in (Target.GPU, Target.GPU_COMPILER):
            x = autocast(x)[0]
            if where is Target.GPU_COMPILER and gpu.suits_mlp(x):
                return torch.ops.mmcontnet.mlp(*autocast(x, *weights))
            if where is Target.GPU and gpu.takes(x) and gpu.suits_mlp(x):
                return gpu.mlp(*autocast(x, *weights))
    elif not dropout and where in (Target.CPU, Target.GPU):
        return MLPFunction.apply(*autocast(x, *weights), recompute)
    return reference_mlp(x, *weights, dropout)


def reference_mlp(
    x: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor, dropout: float = 0.0
) -> Tensor:
    """What :func:`mlp` computes, layer by layer."""
    x = F.dropout(F.gelu(linear(x, weight1, bias1)), dropout)
    return F.dropout(linear(x, weight2, bias2), dropout)


def _to_image(x: Tensor) -> Tensor:
    """Maps (B, H, W, C) as a channels-last image (1, C, 1, B * H * W), the shape in which oneDNN is fastest."""
    return x.reshape(1, 1, -1, x.shape[3]).permute(0, 3, 1, 2)


def _of_image(image: Tensor, x: Tensor) -> Tensor:
    """An image (1, C, 1, B * H * W) as maps (B, H, W, C), with the batch, height and width of ``x``."""
    return image.permute(0, 2, 3, 1).reshape(*x.shape[:3], image.shape[1])


# The functions below are what operators run. They do not ask for the target: while one thread exports, torch tells all
# threads that they do.


def _convolution(x: Tensor, weight: Tensor, bias: Optional[Tensor], stride: int, padding: int, dilation: int) -> Tensor:
    x = F.conv2d(x.permute(0, 3, 1, 2), weight, bias, stride, padding, dilation)
    return x.permute(0, 2, 3, 1).contiguous()


def _convolution_on_cpu(
    x: Tensor, weight: Tensor, bias: Optional[Tensor], stride: int, padding: int, dilation: int
) -> Tensor:
    if stride == 1 and weight.shape[2:] == (1, 1):
        return linear_as_convolution(x, weight[:, :, 0, 0], bias)
    return _convolution(x, weight, bias, stride, padding, dilation)


def _convolution_shape(x: Tensor, weight: Tensor, _: Any, stride: int, padding: int, dilation: int) -> Tensor:
    sides = [
        (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        for side, kernel in zip(x.shape[1:3], weight.shape[2:])
    ]
    return x.new_empty(x.shape[0], *sides, weight.shape[0])


def _convolution_backward(
    grad: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, dilation: int, wanted: Sequence[bool]
) -> Tuple[Tensor, ...]:
    """The gradients of maps, weight and bias; empty tensors where they are not wanted."""
    if stride == 1 and weight.shape[2:] == (1, 1):
        grad_x, grad_weight, grad_bias = _linear_backward(grad, x, weight[:, :, 0, 0], wanted)
        gradients = grad_x, grad_weight if grad_weight is None else grad_weight[:, :, None, None], grad_bias
    else:
        images = grad.permute(0, 3, 1, 2), x.permute(0, 3, 1, 2)
        grad_x, grad_weight, grad_bias = _image_gradients(*images, weight, stride, padding, dilation, wanted)
        gradients = grad_x if grad_x is None else grad_x.permute(0, 2, 3, 1), grad_weight, grad_bias
    return tuple(x.new_empty(0) if gradient is None else gradient.contiguous() for gradient in gradients)


def _linear_backward(
    grad: Tensor, x: Tensor, weight: Tensor, wanted: Sequence[bool]
) -> Tuple[Optional[Tensor], Optional[Tensor], Optional[Tensor]]:
    """The gradients of maps, weight and bias that are wanted."""
    if not x.is_cpu:
        return gpu.linear_gradients(grad, x, weight, wanted)
    if not x.numel():  # which oneDNN does not take
        zeros = [torch.zeros_like(y) if want else None for y, want in zip((x, weight, weight[:, 0]), wanted)]
        return zeros[0], zeros[1], zeros[2]
    images = _to_image(grad), _to_image(x)
    grad_x, grad_weight, grad_bias = _image_gradients(*images, weight[:, :, None, None], 1, 0, 1, wanted)
    if grad_x is not None:
        grad_x = _of_image(grad_x, x)
    return grad_x, grad_weight if grad_weight is None else grad_weight[:, :, 0, 0], grad_bias


def _image_gradients(
    grad: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, dilation: int, wanted: Sequence[bool]
) -> Tuple[Optional[Tensor], Optional[Tensor], Optional[Tensor]]:
    """The gradients of a convolution of images (B, C, H, W) that are wanted."""
    return torch.ops.aten.convolution_backward(
        grad,
        x,
        weight,
        [weight.shape[0]],
        [stride, stride],
        [padding, padding],
        [dilation, dilation],
        False,  # transposed
        [0, 0],  # output padding
        1,  # groups
        list(wanted),
    )


def _convolution_gradient_shapes(grad: Tensor, x: Tensor, weight: Tensor, *others: Any) -> Tuple[Tensor, ...]:
    shapes = (x.shape, weight.shape, weight.shape[:1])
    return tuple(x.new_empty(shape if wanted else 0) for shape, wanted in zip(shapes, others[-1]))


def _gelu(x: Tensor) -> Tensor:
    return extension.gelu(x) if extension.takes(x) else F.gelu(x)


def _gelu_backward_(grad: Tensor, x: Tensor) -> Tensor:
    """In place, since this is the largest of all gradients."""
    if extension.takes(x):
        return extension.gelu_backward_(grad, x)
    return torch.ops.aten.gelu_backward.grad_input(grad, x, grad_input=grad)


def _mlp(x: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor) -> Tensor:
    return F.linear(F.gelu(F.linear(x, weight1, bias1)), weight2, bias2)


def _mlp_on_gpu(x: Tensor, *weights: Tensor) -> Tensor:
    return gpu.mlp(x, *weights) if gpu.takes(x) and gpu.suits_mlp(x) else _mlp(x, *weights)


def _mlp_on_cpu(x: Tensor, weight1: Tensor, bias1: Tensor, weight2: Tensor, bias2: Tensor) -> Tensor:
    hidden = linear_as_convolution(x, weight1, bias1)
    hidden = extension.gelu_(hidden) if extension.takes(hidden) else F.gelu(hidden)
    return linear_as_convolution(hidden, weight2, bias2)


class MLPFunction(torch.autograd.Function):
    """An MLP in training that computes GELU again in its backward pass, and its input where it is told how.

    GELU's outputs are a quarter of all that the training of an encoder would keep.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight1: Tensor,
        bias1: Tensor,
        weight2: Tensor,
        bias2: Tensor,
        recompute: Optional[Recompute],
    ) -> Tensor:
        """Applies the layers."""
        layer = linear_as_convolution if x.is_cpu else F.linear
        hidden = layer(x, weight1, bias1)
        ctx.recompute = recompute and partial(recompute.func, **recompute.keywords)
        ctx.save_for_backward(hidden, weight1, weight2, *(recompute.args if recompute else (x,)))
        return layer(_gelu(hidden), weight2, bias2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Sequence[Optional[Tensor]]:
        """The gradients of maps, weights and biases."""
        hidden, weight1, weight2, *kept = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        first = any(wanted[:3])
        grad_hidden, *second = _linear_backward(grad, _gelu(hidden), weight2, [first, *wanted[3:5]])
        if grad_hidden is None:
            return None, None, None, *second, None
        grad_hidden = _gelu_backward_(grad_hidden, hidden)
        x = ctx.recompute(*kept).to(hidden.dtype) if ctx.recompute else kept[0]
        return *_linear_backward(grad_hidden, x, weight1, wanted[:3]), *second, None


def count_mlp_flops(x: Sequence[int], weight1: Sequence[int], *args: Any, **kwargs: Any) -> int:
    """The operations of two products, from the shapes of the arguments."""
    return 2 * 2 * prod(x) * weight1[0]


def _save_convolution(ctx: Any, inputs: Tuple[Any, ...], output: Tensor) -> None:
    x, weight, _, *ctx.geometry = inputs
    ctx.save_for_backward(x, weight)


def _backward_of_convolution(ctx: Any, grad: Tensor) -> Sequence[Optional[Tensor]]:
    wanted = list(ctx.needs_input_grad[:3])
    gradients = torch.ops.mmcontnet.convolution_backward(grad, *ctx.saved_tensors, *ctx.geometry, wanted)
    return *(gradient if want else None for gradient, want in zip(gradients, wanted)), None, None, None


register(
    'convolution(Tensor x, Tensor weight, Tensor? bias, int stride, int padding, int dilation) -> Tensor',
    _convolution,
    _convolution_shape,
    _convolution_on_cpu,
)
register(
    'convolution_backward('
    'Tensor grad, Tensor x, Tensor weight, int stride, int padding, int dilation, bool[] wanted)'
    ' -> (Tensor, Tensor, Tensor)',
    _convolution_backward,
    _convolution_gradient_shapes,
)
register_backward('convolution', _save_convolution, _backward_of_convolution)
register(
    'mlp(Tensor x, Tensor weight1, Tensor bias1, Tensor weight2, Tensor bias2) -> Tensor',
    _mlp,
    lambda x, *weights: x.new_empty(x.shape),
    _mlp_on_cpu,
    _mlp_on_gpu,
    flops=count_mlp_flops,
)
