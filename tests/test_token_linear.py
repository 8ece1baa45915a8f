import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from mmcontnet import token_linear
from mmcontnet.token_linear import TokenLinear

TOKENS = [0, 1, 50]


def assert_equal_gradients(outs, inputs):
    torch.testing.assert_close(*outs)
    gradient = torch.randn_like(outs[0])
    for actual, expected in zip(*(torch.autograd.grad(out, inputs, gradient) for out in outs)):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('tokens', TOKENS)
@pytest.mark.parametrize('bias', [False, True])
def test_is_linear(tokens, bias):
    layer = TokenLinear(16, 24, bias)
    x = torch.randn(tokens, 16, requires_grad=True)
    outs = layer(x), F.linear(x, layer.weight, layer.bias)
    assert outs[0].is_contiguous()
    assert_equal_gradients(outs, [x, *layer.parameters()])


@pytest.mark.parametrize('tokens', TOKENS)
@pytest.mark.parametrize('bias', [False, True])
def test_of_gelu(tokens, bias):
    layer = TokenLinear(16, 24, bias)
    x = torch.randn(tokens, 16, requires_grad=True)
    outs = layer.of_gelu(x), F.linear(F.gelu(x), layer.weight, layer.bias)
    assert_equal_gradients(outs, [x, *layer.parameters()])


def test_of_gelu_on_other_devices(monkeypatch):
    monkeypatch.setattr(token_linear, '_is_convolution', lambda tokens: False)
    test_of_gelu(50, True)


@pytest.mark.parametrize('frozen', ['x', 'weight', 'bias'])
def test_of_gelu_with_a_part_frozen(frozen):
    layer = TokenLinear(16, 24)
    inputs = dict(layer.named_parameters(), x=torch.randn(50, 16, requires_grad=True))
    inputs[frozen].requires_grad_(False)
    outs = layer.of_gelu(inputs['x']), F.linear(F.gelu(inputs['x']), layer.weight, layer.bias)
    assert_equal_gradients(outs, [value for value in inputs.values() if value.requires_grad])


def test_of_gelu_keeps_its_input_alone():
    layer = TokenLinear(16, 24)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        layer.of_gelu(torch.randn(50, 16, requires_grad=True))
    assert sorted(tuple(x.shape) for x in kept) == [(24, 16), (50, 16)]


def test_of_gelu_in_mixed_precision():
    layer = TokenLinear(16, 24)
    x = torch.randn(50, 16, requires_grad=True)
    inputs = [x, *layer.parameters()]
    with torch.autocast('cpu', torch.bfloat16):
        out = layer.of_gelu(x.bfloat16())
    assert out.dtype == torch.bfloat16
    expected = layer(F.gelu(x))
    gradient = torch.randn(50, 24)
    gradients = torch.autograd.grad(out, inputs, gradient.bfloat16()), torch.autograd.grad(expected, inputs, gradient)
    for actual, exact in zip(*gradients):
        assert actual.dtype == torch.float32
        assert (actual - exact).norm() < 0.02 * exact.norm()


@pytest.mark.parametrize('fuses', [False, token_linear.FUSES_GELU])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('tokens', TOKENS)
@pytest.mark.parametrize('bias', [False, True])
def test_then_gelu(fuses, dtype, tokens, bias, monkeypatch):
    monkeypatch.setattr(token_linear, 'FUSES_GELU', fuses)
    layer = TokenLinear(16, 24, bias)
    x = torch.randn(tokens, 16)
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16, enabled=dtype == torch.bfloat16):
        out = layer.then_gelu(x)
    assert out.dtype == dtype and out.is_contiguous()
    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    expected = F.gelu(F.linear(x, layer.weight, layer.bias))
    torch.testing.assert_close(out.float(), expected, rtol=tolerance, atol=tolerance)


def test_then_gelu_has_gradients():
    layer = TokenLinear(16, 24)
    x = torch.randn(50, 16, requires_grad=True)
    outs = layer.then_gelu(x), F.gelu(F.linear(x, layer.weight, layer.bias))
    assert_equal_gradients(outs, [x, *layer.parameters()])


def test_then_gelu_is_counted_and_traced_as_what_it_is():
    layer = TokenLinear(16, 24)
    x = torch.randn(50, 16)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        layer.then_gelu(x)
    assert counter.get_total_flops() == 2 * 50 * 16 * 24
    with torch.no_grad(), pytest.warns(torch.jit.TracerWarning):
        traced = torch.jit.trace_module(layer, dict(then_gelu=x))
    assert 'mkldnn' not in str(traced.then_gelu.graph)
