import pytest
import torch
from torch import nn

from mmcontnet import ConTNet
from mmcontnet.analysis.receptive_field import Field, measure_fields


class Maps(nn.Sequential):
    """The outputs of all layers."""

    def forward(self, x):
        maps = []
        for layer in self:
            x = layer(x)
            maps.append(x)
        return tuple(maps)


def constant(channels, kernel, stride):
    conv = nn.Conv2d(channels, 1, kernel, stride, kernel // 2, bias=False)
    nn.init.ones_(conv.weight)
    return conv


def test_fields_of_averages_are_their_kernels():
    network = Maps(constant(3, 3, 2), constant(1, 3, 2))
    first, second = measure_fields(network, [torch.randn(2, 3, 96, 96) for _ in range(3)])
    assert (first.stride, second.stride) == (2, 4)
    # A square of 3x3 around the center, at distances 0, 1 (4 pixels) and 1.4 (4 pixels, rounded to 1).
    assert first.profile[:3].tolist() == pytest.approx([1 / 9, 8 / 9, 0])
    assert first.picture.shape == (64, 64) and first.picture[31:34, 31:34].sum() == pytest.approx(1)
    # One of 3x3 of these, 2 apart: gradients 1, 2 and 4 where 1, 2 and 4 of them overlap.
    line = torch.tensor([1, 1, 2, 1, 2, 1, 1], dtype=torch.float64).square()
    expected = line[:, None] * line / line.sum() ** 2
    torch.testing.assert_close(second.picture[29:36, 29:36], expected, rtol=1e-5, atol=1e-7)
    assert second.profile.sum() == pytest.approx(1)


def test_fields_of_patches_are_centered_on_them():
    conv = nn.Conv2d(3, 1, 4, 4, bias=False)
    nn.init.ones_(conv.weight)
    merging = nn.Conv2d(1, 1, 2, 2, bias=False)
    nn.init.ones_(merging.weight)
    first, second = measure_fields(Maps(conv, merging), [torch.randn(1, 3, 96, 96) for _ in range(3)])
    # Four of the pixels of 4x4 at the distance 0.7, eight at 1.6 and four at 2.1, rounded.
    assert first.profile[:4].tolist() == pytest.approx([0, 4 / 16, 12 / 16, 0])
    for field, side in ((first, 4), (second, 8)):
        inside = slice(32 - side // 2, 32 + side // 2)
        assert field.picture[inside, inside].sum() == pytest.approx(1)


@pytest.mark.parametrize('share, radius', [(0.1, 0), (0.3, 1), (0.5, 1), (0.6, 2), (1.0, 3)])
def test_radius_holds_the_share(share, radius):
    assert Field(4, torch.zeros(2, 2), torch.tensor([0.25, 0.25, 0.25, 0.25, 0.0])).radius(share) == radius


def test_layer_norm_does_not_hide_the_field(tiny):
    """Maps that a layer norm ends have a constant sum."""
    fields = measure_fields(ConTNet(**tiny).eval(), [torch.randn(1, 3, 64, 96)])
    assert [field.stride for field in fields] == [4, 8, 16, 32]
    for field in fields:
        assert field.profile.sum() == pytest.approx(1)
    assert 0 < fields[0].radius(0.5) < fields[3].radius(0.5)


def test_field_reaches_no_farther_than_the_patches(tiny):
    """Patches of 14 pixels of stride 4 end where a convolution of 7 pixels takes over."""
    (field,) = measure_fields(ConTNet(**tiny, out_indices=(0,)).eval(), [torch.randn(1, 3, 224, 224)] * 4)
    farthest = round((14 * 4 + 8) * 2**0.5)
    assert field.profile[farthest:].sum() == 0 < field.profile[14 * 2 : farthest].sum()
