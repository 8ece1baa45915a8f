import pytest
import torch

from mmcontnet.ops import add_tiled
from mmcontnet.ops.position import reference_add_tiled


@pytest.mark.parametrize('batch', [0, 2])
@pytest.mark.parametrize('size', [(1, 1), (3, 3), (6, 3), (2, 10), (7, 8), (9, 12)])
def test_add_tiled(size, batch):
    x = torch.randn(batch, *size, 4, requires_grad=True)
    patch = torch.randn(3, 3, 4, requires_grad=True)
    out, expected = add_tiled(x, patch), reference_add_tiled(x, patch)
    assert torch.equal(out, expected)
    for y in range(size[0]):
        for z in range(size[1]):
            assert torch.equal(out[:, y, z], x[:, y, z] + patch[y % 3, z % 3])
    gradient = torch.randn_like(out)
    for actual, wanted in zip(*(torch.autograd.grad(maps, [x, patch], gradient) for maps in (out, expected))):
        torch.testing.assert_close(actual, wanted)
