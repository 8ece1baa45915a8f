import copy
from types import SimpleNamespace

import pytest
import torch
import torch._inductor.config
from reference import build, close

from mmcontnet import ConTNet
from mmcontnet.engine.compilation import compile_encoders
from mmcontnet.engine.hooks import CompileHook
from mmcontnet.models.encoder import Encoder

# Square ones first.
SIZES = [(16, 16), (24, 24), (25, 33), (17, 50), (9, 65), (56, 56), (25, 26), (20, 60)]


@pytest.mark.slow
@pytest.mark.parametrize('position', ['absolute', 'relative'])
def test_compiled_training_has_the_gradients_of_eager(position):
    eager = Encoder(16, 7, 2, 24, 0.0, position, qkv_bias=True, pre_norm=False)
    compiled = copy.deepcopy(eager)
    compile_encoders(compiled)
    torch._dynamo.utils.counters.clear()
    for number, size in enumerate(SIZES):
        x = torch.randn(1 + number % 2, *size, 16)
        weights = torch.randn_like(x)
        inputs = []
        for model in (eager, compiled):
            model.zero_grad()
            inputs.append(x.clone().requires_grad_())
            (model(inputs[-1]) * weights).sum().backward()
        close(inputs[1].grad, inputs[0].grad, 1e-4)
        for actual, expected in zip(compiled.parameters(), eager.parameters()):
            close(actual.grad, expected.grad, 1e-4)
    assert 0 < torch._dynamo.utils.counters['stats']['unique_graphs'] <= 5


@pytest.mark.slow
def test_compiled_training_in_bfloat16():
    """The gradients of relative positions, which stay float32, under autocast."""
    encoder = Encoder(32, 7, 2, 48, 0.0, 'relative', True, False)
    compiled = copy.deepcopy(encoder)
    compiled.compile(dynamic=True)
    x, weights = torch.randn(2, 2, 9, 15, 32).unbind()
    for model in (encoder, compiled):
        with torch.autocast('cpu', torch.bfloat16):
            (model(x) * weights).sum().backward()
    expected, found = (model.position.table.grad for model in (encoder, compiled))
    assert (found - expected).norm() < 0.05 * expected.norm()


@pytest.mark.slow
@torch._inductor.config.patch(fallback_random=True)
def test_compiled_training_with_dropout():
    """As ConT-B has it; with torch's own random numbers the gradients are those of eager training."""
    arch = dict(width=16, depths=(1, 1, 1, 1), mlp_widths=(16, 32, 64, 64), dropouts=(0.1,) * 4)
    eager = build(arch=arch, out_indices=(0,)).train()
    compiled = copy.deepcopy(eager)
    compile_encoders(compiled)
    for size in ((64, 64), (96, 96), (97, 131)):
        images = torch.randn(2, 3, *size)
        for model in (eager, compiled):
            torch.manual_seed(1)
            model.zero_grad()
            model(images)[0].square().mean().backward()
        for actual, expected in zip(compiled.parameters(), eager.parameters()):
            close(actual.grad, expected.grad, 1e-4)


def test_model_without_encoders_is_refused():
    with pytest.raises(ValueError, match='nothing to compile'):
        compile_encoders(torch.nn.Linear(2, 2))


def test_hook_compiles_before_training(tiny):
    model = ConTNet(**tiny)
    CompileHook().before_train(SimpleNamespace(model=model))
    assert all(module._compiled_call_impl is not None for module in model.modules() if isinstance(module, Encoder))
