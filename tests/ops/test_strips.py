import pytest
import torch

from mmcontnet.ops import in_strips, strips


def cumulate(x):
    """A function of maps for which rows belong together in pairs, and images do not."""
    rows = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, x.shape[1] % 2)).unflatten(1, (-1, 2))
    return rows.cumsum(2).flatten(1, 2)[:, : x.shape[1]]


@pytest.mark.parametrize('tokens', [1, 20, 50, 1000])
@pytest.mark.parametrize('shape', [(1, 1, 1, 2), (5, 4, 5, 2), (3, 7, 6, 2), (0, 4, 5, 2)])
def test_strips_change_nothing(shape, tokens, monkeypatch):
    monkeypatch.setattr(strips, 'CACHED_TOKENS', tokens)
    x = torch.randn(shape)
    with torch.no_grad():
        torch.testing.assert_close(in_strips(cumulate, x, 2), cumulate(x))


def test_only_inference_is_cut(monkeypatch):
    monkeypatch.setattr(strips, 'CACHED_TOKENS', 6)
    seen = []

    def watch(x):
        seen.append(tuple(x.shape))
        return x

    in_strips(watch, torch.zeros(2, 4, 3, 1), 2)
    with torch.no_grad():
        in_strips(watch, torch.zeros(2, 4, 3, 1), 2)
        in_strips(watch, torch.zeros(2, 1, 3, 1), 2)
    assert seen == [(2, 4, 3, 1), *[(1, 2, 3, 1)] * 4, (2, 1, 3, 1)]
