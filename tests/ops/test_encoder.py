"""The layers of an encoder as single operators."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from mmcontnet.models.encoder import Encoder
from mmcontnet.models.layers import Linear
from mmcontnet.ops import attention, encoder, layers, norm, position
from mmcontnet.ops.target import Target

CASES = [((2, 9, 15, 48), 1, 7, 'relative'), ((1, 15, 17, 16), 1, 14, 'absolute'), ((1, 8, 7, 32), 2, 7, 'absolute')]


def build(shape, heads, size, kind):
    model = Encoder(shape[3], size, heads, 40, 0.1, kind, qkv_bias=True, pre_norm=False).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    return model, torch.randn(shape)


class Recorder(TorchDispatchMode):
    """Notes the operators for layers and their arguments."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, operator, types, arguments=(), options=None):
        if operator in (torch.ops.mmcontnet.attention_layer.default, torch.ops.mmcontnet.mlp_layer.default):
            self.calls.append((operator, arguments))
        return operator(*arguments, **(options or {}))


@pytest.fixture(autouse=True)
def for_gpus(monkeypatch):
    """Takes the form that compilers get for GPUs."""
    for module in (attention, encoder, layers, norm, position):
        monkeypatch.setattr(module, 'target', lambda x: Target.GPU_COMPILER)


def record(model, x):
    with Recorder() as recorder:
        model(x)
    return recorder.calls


@pytest.mark.parametrize('case', CASES, ids=str)
def test_operators_compute_what_their_parts_do(case):
    model, x = build(*case)
    with torch.no_grad():
        expected = model(x)
        assert not record(model, x)  # In float32 the layers are not fused.
        calls = record(model.bfloat16(), x.bfloat16())
        assert len(calls) == 2
        x = x.bfloat16().float()
        expected = model.float()(x)
        for operator, arguments in calls:
            arguments = [y.float() if isinstance(y, torch.Tensor) else y for y in arguments]
            for maps in (x, x.transpose(1, 2)):
                tests = ('test_schema', 'test_faketensor')
                torch.library.opcheck(operator, (maps, *arguments[1:]), test_utils=tests)
            x = operator(x, *arguments[1:])
    torch.testing.assert_close(x, expected)


@pytest.mark.parametrize('case', CASES, ids=str)
def test_under_autocast(case):
    model, x = build(*case)
    with torch.no_grad():
        expected = model(x)
        with torch.autocast('cpu', torch.bfloat16):
            assert len(record(model, x)) == 2
            found = model(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.05)


def test_counters_see_the_operations():
    model, x = build(*CASES[2])
    flops = []
    for autocast in (False, True):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            with torch.autocast('cpu', torch.bfloat16, autocast):
                model(x)
        flops.append(counter.get_total_flops())
    assert flops[0] == flops[1] > 0


def test_what_is_not_fused(monkeypatch):
    monkeypatch.setattr(attention, 'target', lambda x: Target.CPU)  # Operators know no dropout.
    model, x = build(*CASES[0])
    model, x = model.bfloat16(), x.bfloat16()
    assert not record(model, x)  # Gradients are wanted.
    with torch.no_grad():
        assert len(record(model, x)) == 2
        assert not record(model.train(), x)  # There is dropout.
        model.eval().norm1.register_forward_hook(lambda *arguments: None)
        assert len(record(model, x)) == 1
        model.mlp.fc1 = type('Adapter', (Linear,), {})(48, 40).bfloat16()
        assert not record(model, x)
