from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from mmcontnet.ops import conv2d, extension, linear, mlp

SHAPES = [(0, 4, 5, 16), (1, 1, 1, 16), (2, 5, 7, 16)]


def weights(bias=True):
    """Of two layers, 16 to 24 to 16 channels."""
    shapes = [(24, 16), (24,), (16, 24), (16,)]
    return [torch.randn(shape, requires_grad=True) if bias or len(shape) > 1 else None for shape in shapes]


def layer_by_layer(x, weight1, bias1, weight2, bias2):
    return F.linear(F.gelu(F.linear(x, weight1, bias1)), weight2, bias2)


def assert_equal_gradients(outs, inputs):
    torch.testing.assert_close(*outs)
    gradient = torch.randn_like(outs[0])
    for actual, expected in zip(*(torch.autograd.grad(out, inputs, gradient) for out in outs)):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('shape', SHAPES)
@pytest.mark.parametrize('bias', [False, True])
@pytest.mark.parametrize('contiguous', [False, True])
def test_linear(shape, bias, contiguous):
    weight, bias, *_ = weights(bias)
    x = torch.randn(shape, requires_grad=True)
    maps = x if contiguous else x.transpose(1, 2)
    outs = linear(maps, weight, bias), F.linear(maps, weight, bias)
    assert outs[0].is_contiguous()
    assert_equal_gradients(outs, [x, weight, *([bias] if bias is not None else [])])


@pytest.mark.parametrize('shape', SHAPES)
def test_mlp(shape):
    x, layers = torch.randn(shape, requires_grad=True), weights()
    expected = layer_by_layer(x, *layers)
    assert_equal_gradients((mlp(x, *layers), expected), [x, *layers])
    with torch.no_grad():
        out = mlp(x, *layers)
        assert out.is_contiguous()
        torch.testing.assert_close(out, expected.detach())


@pytest.mark.parametrize('frozen', range(5))
def test_mlp_with_a_part_frozen(frozen):
    inputs = [torch.randn(2, 5, 7, 16, requires_grad=True), *weights()]
    inputs[frozen].requires_grad_(False)
    outs = mlp(*inputs), layer_by_layer(*inputs)
    assert_equal_gradients(outs, [value for value in inputs if value.requires_grad])


def test_mlp_does_not_keep_what_gelu_returns():
    inputs = [torch.randn(2, 5, 7, 16, requires_grad=True), *weights()]
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        mlp(*inputs)
    assert sorted(tuple(x.shape) for x in kept) == [(2, 5, 7, 16), (2, 5, 7, 24), (16, 24), (24, 16)]


@pytest.mark.parametrize('half', [False, True])
def test_mlp_keeps_what_its_input_is_computed_from(half):
    source = torch.randn(2, 5, 7, 16)
    inputs = [(2 * source).requires_grad_(), *weights()]
    kept, gradients = [], []
    for recompute in (None, partial(lambda source, factor: factor * source, source, factor=2)):
        with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
            with torch.autocast('cpu', torch.bfloat16, enabled=half):
                out = mlp(*inputs, recompute=recompute)
        gradients.append(torch.autograd.grad(out.sum(), inputs))
    assert any(x is source for x in kept) and all(map(torch.equal, *gradients))


def test_mlp_with_dropout():
    x = torch.ones(64, 5, 7, 16)
    layers = [torch.eye(24, 16), torch.zeros(24), torch.eye(16, 24), torch.zeros(16)]
    torch.manual_seed(0)
    out = mlp(x, *layers, dropout=0.5)
    value = F.gelu(torch.ones(())).item()
    # Both dropouts leave a quarter, four times as large.
    assert out.unique().tolist() == pytest.approx([0, 4 * value])
    assert (out > 0).float().mean().item() == pytest.approx(0.25, abs=0.01)


def test_mlp_in_mixed_precision():
    inputs = [torch.randn(2, 5, 7, 16, requires_grad=True), *weights()]
    exact = layer_by_layer(*inputs)
    with torch.autocast('cpu', torch.bfloat16):
        out = mlp(*inputs)
        with torch.no_grad():
            inferred = mlp(*inputs)
    assert out.dtype == inferred.dtype == torch.bfloat16
    gradient = torch.randn_like(exact)
    gradients = torch.autograd.grad(out, inputs, gradient.bfloat16()), torch.autograd.grad(exact, inputs, gradient)
    for actual, expected in [(out, exact), (inferred, exact), *zip(*gradients)]:
        assert (actual - expected).norm() < 0.02 * expected.norm()
    assert all(actual.dtype == torch.float32 for actual in gradients[0])


@pytest.mark.parametrize('missing', [extension.MISSING, 'patched'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64, torch.bfloat16])
def test_mlp_with_and_without_extension(missing, dtype, monkeypatch):
    monkeypatch.setattr(extension, 'MISSING', missing)
    inputs = [tensor.detach().to(dtype) for tensor in (torch.randn(2, 5, 7, 16), *weights())]
    with torch.no_grad():
        out, expected = mlp(*inputs), layer_by_layer(*(tensor.double() for tensor in inputs))
    assert out.dtype == dtype
    assert (out - expected).norm() < (0.02 if dtype == torch.bfloat16 else 1e-6) * expected.norm()


def test_flops_of_an_mlp_are_counted():
    inputs = [tensor.detach() for tensor in (torch.randn(2, 5, 7, 16), *weights())]
    for device in ('cpu', 'meta'):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            mlp(*(tensor.to(device) for tensor in inputs))
        assert counter.get_total_flops() == 2 * 2 * (2 * 5 * 7) * 16 * 24


GEOMETRIES = [(1, 1, 0, 1), (1, 2, 0, 1), (3, 1, 1, 1), (3, 2, 1, 1), (3, 1, 2, 2), (7, 2, 3, 1)]


@pytest.mark.parametrize('kernel, stride, padding, dilation', GEOMETRIES)
@pytest.mark.parametrize('bias', [False, True])
def test_convolution_operator(kernel, stride, padding, dilation, bias):
    """What the compiler sees in the place of convolutions and linear layers."""
    x = torch.randn(2, 16, 13, 10, dtype=torch.double, requires_grad=True)
    weight = torch.randn(16, 16, kernel, kernel, dtype=torch.double, requires_grad=True)
    bias = torch.randn(16, dtype=torch.double, requires_grad=True) if bias else None
    expected = F.conv2d(x, weight, bias, stride, padding, dilation)
    arguments = (x.permute(0, 2, 3, 1).contiguous(), weight, bias, stride, padding, dilation)
    out = torch.ops.mmcontnet.convolution(*arguments)
    assert out.is_contiguous()
    leaves = [x, weight, *([] if bias is None else [bias])]
    assert_equal_gradients((out.permute(0, 3, 1, 2), expected), leaves)
    without_bias = F.conv2d(x, weight, None, stride, padding, dilation)
    torch.testing.assert_close(conv2d(x, weight, stride, padding, dilation), without_bias)


@pytest.mark.parametrize('kernel, stride, padding, dilation', [(1, 1, 0, 1), (3, 2, 1, 1)])
def test_operators_are_registered_as_torch_expects(kernel, stride, padding, dilation):
    x = torch.randn(2, 5, 7, 16, requires_grad=True)
    weight = torch.randn(16, 16, kernel, kernel, requires_grad=True)
    tests = ('test_schema', 'test_faketensor', 'test_autograd_registration', 'test_aot_dispatch_dynamic')
    arguments = (x, weight, None, stride, padding, dilation)
    torch.library.opcheck(torch.ops.mmcontnet.convolution, arguments, test_utils=tests)
    frozen = [tensor.detach() for tensor in (x, *weights())]
    torch.library.opcheck(torch.ops.mmcontnet.mlp, tuple(frozen), test_utils=tests[:2])
