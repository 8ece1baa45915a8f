import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from mmcontnet import token_linear
from mmcontnet.encoder import MLP
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
def test_gelu_before(tokens, bias):
    layer = TokenLinear(16, 24, bias)
    x = torch.randn(tokens, 16, requires_grad=True)
    outs = layer(x, gelu='before'), F.linear(F.gelu(x), layer.weight, layer.bias)
    assert_equal_gradients(outs, [x, *layer.parameters()])


def test_gelu_before_on_other_devices(monkeypatch):
    monkeypatch.setattr(token_linear, '_is_convolution', lambda tokens: False)
    test_gelu_before(50, True)


@pytest.mark.parametrize('frozen', ['x', 'weight', 'bias'])
def test_gelu_before_with_a_part_frozen(frozen):
    layer = TokenLinear(16, 24)
    inputs = dict(layer.named_parameters(), x=torch.randn(50, 16, requires_grad=True))
    inputs[frozen].requires_grad_(False)
    outs = layer(inputs['x'], gelu='before'), F.linear(F.gelu(inputs['x']), layer.weight, layer.bias)
    assert_equal_gradients(outs, [value for value in inputs.values() if value.requires_grad])


def test_gelu_before_keeps_its_input_alone():
    layer = TokenLinear(16, 24)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x):
        layer(torch.randn(50, 16, requires_grad=True), gelu='before')
    assert sorted(tuple(x.shape) for x in kept) == [(24, 16), (50, 16)]


def test_gelu_before_in_mixed_precision():
    layer = TokenLinear(16, 24)
    x = torch.randn(50, 16, requires_grad=True)
    inputs = [x, *layer.parameters()]
    with torch.autocast('cpu', torch.bfloat16):
        out = layer(x.bfloat16(), gelu='before')
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
def test_gelu_after(fuses, dtype, tokens, bias, monkeypatch):
    monkeypatch.setattr(token_linear, 'FUSES_GELU', fuses)
    layer = TokenLinear(16, 24, bias)
    x = torch.randn(tokens, 16)
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16, enabled=dtype == torch.bfloat16):
        out = layer(x, gelu='after')
    assert out.dtype == dtype and out.is_contiguous()
    tolerance = 1e-5 if dtype == torch.float32 else 0.02
    expected = F.gelu(F.linear(x, layer.weight, layer.bias))
    torch.testing.assert_close(out.float(), expected, rtol=tolerance, atol=tolerance)


def test_gelu_after_has_gradients():
    layer = TokenLinear(16, 24)
    x = torch.randn(50, 16, requires_grad=True)
    outs = layer(x, gelu='after'), F.gelu(F.linear(x, layer.weight, layer.bias))
    assert_equal_gradients(outs, [x, *layer.parameters()])


def test_gelu_after_is_counted():
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        TokenLinear(16, 24)(torch.randn(50, 16), gelu='after')
    assert counter.get_total_flops() == 2 * 50 * 16 * 24


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
@pytest.mark.parametrize('grad', [False, True])
def test_traces_hold_what_every_torch_knows(grad):
    with torch.set_grad_enabled(grad):
        # Not checked, since the check traces without gradients, where GELU stands in another place.
        graph = str(torch.jit.trace(MLP(16, 24, 0.0), torch.randn(50, 16), check_trace=False).inlined_graph)
    assert graph.count('aten::_convolution') == 2 and graph.count('aten::gelu') == 1
    assert 'mkldnn' not in graph and 'PythonOp' not in graph
