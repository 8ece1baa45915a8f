import pytest
import torch
import torch.nn.functional as F

from mmcontnet.ops import add_layer_norm

SHAPES = [(2, 7, 5, 64), (1, 3, 3, 20), (0, 7, 7, 64)]


@pytest.mark.parametrize('shape', SHAPES)
def test_equals_torch_in_double_precision(shape):
    x, y = torch.randn(2, *shape).unbind()
    weight, bias = torch.randn(2, shape[-1]).unbind()
    expected = F.layer_norm((x + y).double(), shape[-1:], weight.double(), bias.double(), 1e-3)
    out, recompute = add_layer_norm(x, y, weight, bias, 1e-3)
    assert torch.allclose(out.double(), expected, atol=2e-6)
    assert torch.equal(recompute(), out)


def test_gradients():
    x, y = torch.randn(2, 1, 2, 3, 16, dtype=torch.float64, requires_grad=True).unbind()
    weight, bias = torch.randn(2, 16, dtype=torch.float64, requires_grad=True).unbind()
    assert torch.autograd.gradcheck(lambda *inputs: add_layer_norm(*inputs)[0], (x, y, weight, bias))


def test_type_is_that_of_the_second():
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        x, y = torch.randn(2, 1, 2, 2, 16).unbind()
        out, recompute = add_layer_norm(x, y.bfloat16(), torch.ones(16), torch.zeros(16))
    assert out.dtype == torch.bfloat16
    assert torch.equal(recompute(), out)  # outside of autocast, as in the backward pass
