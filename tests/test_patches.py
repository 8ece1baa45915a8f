import pytest
import torch

from mmcontnet.patches import PatchLayout

SIZES = [(1, 1), (7, 7), (14, 14), (28, 42), (5, 30), (13, 8), (15, 21), (23, 37), (29, 1)]


@pytest.mark.parametrize('inner, outer', [(7, 14), (7, 7), (3, 12), (1, 1)])
@pytest.mark.parametrize('height, width', SIZES)
def test_join_reverses_cut(height, width, inner, outer):
    x = torch.randn(2, height, width, 3)
    layout = PatchLayout(2, height, width, inner, outer)
    tokens = layout.cut(x)
    assert tokens.shape == (2 * height * width, 3)
    assert torch.equal(layout.join(tokens), x)


@pytest.mark.parametrize('inner, outer', [(7, 14), (7, 7), (3, 12)])
@pytest.mark.parametrize('height, width', SIZES)
def test_sequences_are_the_patches(height, width, inner, outer):
    """Tokens that carry their own coordinates say which patch and which place in it the layout gives them."""
    batch = 2
    image, row, column = torch.meshgrid(torch.arange(batch), torch.arange(height), torch.arange(width), indexing='ij')
    layout = PatchLayout(batch, height, width, inner, outer)
    tokens = layout.cut(torch.stack([image, row, column], 3))
    for size, sequences in ((inner, layout.inner()), (outer, layout.outer())):
        grid = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing='ij'), 2)
        runs = iter(tokens.split([length for group in sequences for length in group.sizes]))
        seen = set()
        for count, group in sequences:
            patch = torch.cat([next(runs).view(count, run.length, 3) for run in group], 1)
            place = torch.cat([run.arrange(grid) for run in group])
            assert torch.equal(patch[:, :, 1:] % size, place.expand(count, -1, -1))
            names = torch.cat([patch[:, :, :1], patch[:, :, 1:] // size], 2)
            assert (names == names[:, :1]).all()
            for name in names[:, 0].tolist():
                top, left = name[1] * size, name[2] * size
                assert patch.shape[1] == min(size, height - top) * min(size, width - left)
                seen.add(tuple(name))
        assert len(seen) == batch * -(-height // size) * -(-width // size)


def test_no_images():
    layout = PatchLayout(0, 20, 30, 7, 14)
    tokens = layout.cut(torch.randn(0, 20, 30, 4))
    assert tokens.shape == (0, 4)
    assert layout.join(tokens).shape == (0, 20, 30, 4)
