import copy

import pytest
import torch

from mmcontnet import ConTNet
from mmcontnet.engine.compilation import compile_encoders

SIZES = [(64, 64), (97, 131), (70, 200), (128, 96), (33, 257), (224, 224), (100, 101), (56, 60), (150, 90), (80, 240)]


def test_training_over_ten_sizes_compiled_has_the_losses_of_eager(tiny):
    models = [ConTNet(**tiny, frozen_stages=0).train()]
    models.append(copy.deepcopy(models[0]))
    compile_encoders(models[1])
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.05) for model in models]
    torch._dynamo.utils.counters.clear()
    graphs = []
    for step in range(30):
        images = torch.randn(2, 3, *SIZES[step % len(SIZES)])
        losses = []
        for model, optimizer in zip(models, optimizers):
            loss = sum(out.square().mean() for out in model(images))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[1] == pytest.approx(losses[0], rel=1e-4)
        graphs.append(torch._dynamo.utils.counters['stats']['unique_graphs'])
    assert 0 < graphs[-1] == graphs[len(SIZES)]


def test_model_without_encoders_is_refused():
    with pytest.raises(ValueError, match='nothing to compile'):
        compile_encoders(torch.nn.Linear(2, 2))


@pytest.mark.parametrize('position', ['absolute', 'relative'])
def test_export_takes_any_batch_and_size(tiny, position):
    model = ConTNet(**tiny, position=position).eval()
    auto = torch.export.Dim.AUTO
    program = torch.export.export(
        model, (torch.randn(2, 3, 96, 128),), dynamic_shapes=[{0: auto, 2: auto, 3: auto}], strict=False
    )
    for shape in ((2, 3, 96, 128), (1, 3, 97, 131), (3, 3, 224, 224), (1, 3, 500, 333)):
        images = torch.randn(shape)
        with torch.no_grad():
            for actual, expected in zip(program.module()(images), model(images)):
                torch.testing.assert_close(actual, expected)


def test_inference_on_a_cpu_compiles_for_all_sizes(tiny):
    model = ConTNet(**tiny).eval()
    compiled = torch.compile(model, dynamic=True)
    torch._dynamo.utils.counters.clear()
    with torch.no_grad():
        for size in SIZES[:5]:
            images = torch.randn(1, 3, *size)
            for actual, expected in zip(compiled(images), model(images)):
                torch.testing.assert_close(actual, expected)
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] <= 2
