import pytest
import torch

from mmcontnet.ops import tile
from mmcontnet.ops.position import reference_tile


@pytest.mark.parametrize('size', [(1, 1), (3, 3), (6, 3), (2, 10), (7, 8)])
def test_tile(size):
    patch = torch.randn(3, 3, 4, requires_grad=True)
    out, expected = tile(patch, *size), reference_tile(patch, *size)
    assert torch.equal(out, expected)
    assert all(torch.equal(out[y, x], patch[y % 3, x % 3]) for y in range(size[0]) for x in range(size[1]))
    gradient = torch.randn_like(out)
    torch.testing.assert_close(*(torch.autograd.grad(maps, patch, gradient)[0] for maps in (out, expected)))
