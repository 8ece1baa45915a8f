"""Runs the Triton kernels by Triton's interpreter, without a GPU, and prints as JSON by how much they are wrong.

The interpreter is chosen when Triton is imported, so this is a process of its own.
"""

import copy
import json
import os
from functools import partial

os.environ['TRITON_INTERPRET'] = '1'

import torch
import torch.nn.functional as F

from mmcontnet import ConTNet
from mmcontnet.models.encoder import Encoder
from mmcontnet.ops import attention, encoder, gpu, kernels, layers, norm, position
from mmcontnet.ops.attention import reference_attention
from mmcontnet.ops.position import reference_add_tiled
from mmcontnet.ops.target import Target

# Batch, height, width, heads, channels of a head, patch size, relative positions.
MAPS = [
    (2, 9, 16, 2, 16, 7, False),
    (1, 14, 15, 1, 48, 14, True),
    (1, 14, 14, 1, 64, 14, False),
    (1, 16, 13, 2, 8, 7, True),
    (1, 3, 5, 3, 20, 7, True),
    (0, 7, 7, 1, 16, 7, True),
]


def largest(*pairs):
    """The largest difference of several pairs of tensors; NaN where there is one."""
    differences = [(x.double() - y.double()).detach().abs().flatten() for x, y in pairs]
    return float(torch.cat([*differences, torch.zeros(1)]).max())


def use_kernels():
    """Lets the functions for GPUs take tensors on a CPU."""
    gpu.takes = lambda x: x.dtype != torch.float64
    gpu._kernels = lambda: kernels


def operator_errors():
    """The functions that the compiler's operators run on a GPU, with tensors that are not contiguous."""
    use_kernels()
    qkv = torch.randn(2, 3 * 32, 9, 8, requires_grad=True)
    bias = torch.randn(49, 49, 2, requires_grad=True)
    arguments = qkv.permute(0, 2, 3, 1), 2, 7, bias.permute(2, 0, 1)
    out = reference_attention(*arguments)
    grad = torch.randn(2, 32, 9, 8).permute(0, 2, 3, 1)
    expected = torch.autograd.grad(out, (arguments[0], arguments[3]), grad)
    with torch.no_grad():
        found = attention._attention_on_gpu(*arguments)
        gradients = attention._backward_on_gpu(grad, *arguments)
    return {'attention': largest((found, out), *zip(gradients, expected))}


def attention_errors(dtype):
    """Forward and backward at maps with and without margins."""
    errors = {}
    for case in MAPS:
        batch, height, width, heads, channels, size, relative = case
        qkv = torch.randn(batch, height, width, 3 * heads * channels, dtype=dtype).double().requires_grad_()
        bias = torch.randn(heads, size**2, size**2).double().requires_grad_() if relative else None
        out = reference_attention(qkv, heads, size, bias)
        grad = torch.randn_like(out).to(dtype).double()
        inputs = [qkv] + ([bias] if relative else [])
        expected = torch.autograd.grad(out, inputs, grad)
        single = None if bias is None else bias.detach().float()
        arguments = qkv.detach().to(dtype), heads, size, single
        found = kernels.attention.forward(*arguments)
        gradients = kernels.attention.backward(grad.to(dtype), *arguments)
        errors[str(case)] = largest((found, out), *zip(gradients, expected))
    return errors


def row_errors():
    """Sums with norms, positions and MLPs."""
    use_kernels()
    errors = {}
    for rows, channels in [(37, 48), (300, 64), (3, 512), (0, 16)]:
        x, y, grad = torch.randn(3, rows, channels).unbind()
        weight, bias = torch.randn(2, channels).unbind()
        inputs = [tensor.clone().requires_grad_() for tensor in (x, y, weight, bias)]
        out = F.layer_norm(inputs[0] + inputs[1], (channels,), *inputs[2:], 1e-3)
        expected = torch.autograd.grad(out, inputs[1:], grad)
        found, total = kernels.norm.forward(x, y, weight, bias, 1e-3, keep=True)
        alone, _ = kernels.norm.forward(x, y, weight, bias, 1e-3, keep=False)
        gradients = kernels.norm.backward(grad, total, weight, 1e-3)
        errors[f'norm {rows}x{channels}'] = largest((found, out), (alone, out), *zip(gradients, expected))
    for shape, size in [((2, 9, 16, 24), 7), ((1, 28, 14, 64), 14), ((1, 3, 5, 8), 7), ((0, 7, 7, 8), 7)]:
        x, patch = torch.randn(shape), torch.randn(size, size, shape[3], requires_grad=True)
        out = reference_add_tiled(x, patch)
        grad = torch.randn_like(x)
        (expected,) = torch.autograd.grad(out, patch, grad)
        found = kernels.position.forward(x, patch.detach())
        errors[f'position {shape}'] = largest((found, out), (gpu.sum_tiles(grad, size), expected))
    for shape, width in [((2, 9, 8, 48), 20), ((1, 5, 7, 64), 128), ((0, 7, 7, 16), 16)]:
        x = torch.randn(shape).half()
        weights = [0.1 * torch.randn(width, shape[3]), torch.randn(width), 0.1 * torch.randn(shape[3], width)]
        weights = [weight.half() for weight in (*weights, torch.randn(shape[3]))]
        expected = layers.reference_mlp(x.double(), *(weight.double() for weight in weights))
        errors[f'MLP {shape}'] = largest((kernels.mlp.forward(x, *weights), expected))
        transposed = [weight.mT.contiguous().mT if weight.dim() == 2 else weight for weight in weights]
        errors[f'MLP {shape}, transposed weights'] = largest((gpu.mlp(x, *transposed), expected))
    return errors


def encoder_errors():
    """Encoders in halves, whose layers are single kernels, against the same in float64."""
    use_kernels()
    for module in (attention, encoder, layers, norm, position):
        module.target = lambda x: Target.GPU
    calls = []
    for name in ('attention_layer', 'mlp'):
        kernel = getattr(kernels, name)
        kernel.forward = partial(_record, calls, kernel.forward, name)
    errors = {}
    for shape, heads, size, kind in [
        ((2, 9, 15, 48), 1, 7, 'relative'),
        ((1, 15, 17, 16), 1, 14, 'absolute'),
        ((1, 8, 7, 128), 2, 7, 'absolute'),
        ((1, 3, 5, 24), 3, 7, 'relative'),
        ((0, 7, 7, 16), 1, 7, 'absolute'),
    ]:
        model = Encoder(shape[3], size, heads, 40, 0.1, kind, qkv_bias=heads < 3, pre_norm=False).eval().half()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.15)
        x = torch.randn(shape).half()
        with torch.no_grad():
            expected = copy.deepcopy(model).double()(x.double())
            calls.clear()
            errors[f'{shape}, {heads} heads, patches of {size}, {kind}'] = largest((model(x), expected))
            assert calls == ['attention_layer', 'mlp'], calls
            model.norm1.register_forward_hook(lambda *arguments: None)
            errors[f'{shape}, with a hook'] = largest((model(x), expected))
            assert calls == ['attention_layer', 'mlp', 'mlp'], calls
    return errors


def _record(calls, function, name, *arguments):
    calls.append(name)
    return function(*arguments)


def network_errors():
    """Maps and gradients of whole networks that take the forms of a GPU, against the same in float64."""
    use_kernels()
    for module in (attention, encoder, layers, norm, position):
        module.target = lambda x: Target.GPU
    errors = {}
    arch = dict(width=8, depths=(1, 1, 1, 1), mlp_widths=(16, 20, 16, 16))
    for options in (dict(out_indices=(0, 1)), dict(position='relative', pre_norm=True, out_indices=(0,))):
        model = ConTNet(arch, **options)
        exact = ConTNet(arch, **options).double()
        exact.load_state_dict(model.state_dict())
        images = torch.rand(1, 3, 40, 36)
        results = []
        for network in (model, exact):
            network.zero_grad()
            with torch.no_grad():
                maps = network.eval()(images.to(network.stem[0].weight.dtype))
            trained = network.train()(images.to(network.stem[0].weight.dtype))
            sum((x * torch.linspace(0, 1, x.numel()).view_as(x)).mean() for x in trained).backward()
            gradients = torch.cat([parameter.grad.flatten() for parameter in network.parameters()])
            results.append((*maps, gradients / gradients.abs().max()))
        errors[str(options)] = largest(*zip(*results))
    return errors


PARTS = {
    'attention-float32': partial(attention_errors, torch.float32),
    'attention-float16': partial(attention_errors, torch.float16),
    'operators': operator_errors,
    'rows': row_errors,
    'network': network_errors,
    'encoder': encoder_errors,
}

if __name__ == '__main__':
    torch.manual_seed(0)
    print(json.dumps({name: errors() for name, errors in PARTS.items()}))
