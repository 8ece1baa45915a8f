"""What a forward pass launches on an accelerator, counted on the meta device."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmcontnet import ConTNet


class Counter(TorchDispatchMode):
    """Counts operators, kernels among them, and refuses what would read a tensor's values."""

    def __init__(self):
        super().__init__()
        self.operators = self.kernels = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        assert func not in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        self.operators += 1
        self.kernels += not (func.is_view or func is torch.ops.aten.empty.memory_format)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize('shape', [(2, 3, 800, 1216), (2, 3, 896, 1344), (1, 3, 427, 640)])
def test_launches(shape):
    with torch.device('meta'):
        model, images = ConTNet('m').eval(), torch.empty(shape)
    with torch.no_grad(), Counter() as counter:
        model(images)
    assert counter.kernels <= 320 and counter.operators <= 900


@pytest.mark.parametrize('shape', [(2, 3, 896, 1344), (1, 3, 427, 640)])
def test_launches_of_training(shape):
    with torch.device('meta'):
        model, images = ConTNet('m').train(), torch.empty(shape)
    with Counter() as counter:
        sum(x.mean() for x in model(images)).backward()
    assert counter.kernels <= 3 * 320 and counter.operators <= 3 * 900
