import pytest
import torch
import torch.nn.functional as F

from mmcontnet.encoder import TokenLinear


@pytest.mark.parametrize('tokens', [0, 1, 50])
@pytest.mark.parametrize('bias', [False, True])
def test_token_linear_is_linear(tokens, bias):
    layer = TokenLinear(8, 12, bias)
    x = torch.randn(tokens, 8, requires_grad=True)
    inputs = [x, *layer.parameters()]
    outs = layer(x), F.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(*outs)
    assert outs[0].is_contiguous()
    gradient = torch.randn(tokens, 12)
    for actual, expected in zip(*(torch.autograd.grad(out, inputs, gradient) for out in outs)):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)
