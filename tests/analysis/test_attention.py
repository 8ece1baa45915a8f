import pytest
import torch

from mmcontnet import ConTNet
from mmcontnet.analysis.attention import attend, attention_in_block, corner
from mmcontnet.ops.attention import reference_attention


@pytest.mark.parametrize('with_bias', [False, True])
@pytest.mark.parametrize('pixel', [(0, 0), (6, 8), (9, 13), (14, 20)])
def test_weights_give_the_reference(pixel, with_bias):
    heads, size = 2, 7
    qkv = torch.randn(15, 21, 3 * 16, dtype=torch.float64)  # The patches at the bottom are of one row.
    bias = torch.randn(heads, size**2, size**2, dtype=torch.float64) if with_bias else None
    weights = attend(qkv, heads, size, pixel, bias)
    top, left = corner(pixel, size)
    values = qkv[top : top + size, left : left + size, 32:].unflatten(2, (heads, -1))
    found = torch.einsum('nhw, hwnc -> nc', weights, values).flatten()
    torch.testing.assert_close(found, reference_attention(qkv[None], heads, size, bias)[0][pixel])


@pytest.mark.parametrize('position', ['absolute', 'relative'])
def test_both_encoders_of_a_block(tiny, position):
    backbone = ConTNet(**tiny, position=position).eval()
    image = torch.randn(3, 224, 320)
    first, second = attention_in_block(backbone, backbone.stages[1][1], image, (120, 200))
    assert (first.stride, first.patch_size, first.corner) == (8, 7, (14, 21))
    assert (second.stride, second.patch_size, second.corner) == (8, 14, (14, 14))
    assert first.weights.shape == (2, 7, 7) and second.weights.shape == (2, 14, 14)
    for attention in (first, second):
        torch.testing.assert_close(attention.weights.sum((1, 2)), torch.ones(2))
        assert not attention.weights.requires_grad
    assert not backbone.stages[1][1].encoders[0].attn._forward_hooks
