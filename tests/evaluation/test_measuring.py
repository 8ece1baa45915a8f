import pytest
import torch

from mmcontnet.evaluation.measuring import measure_memory


def test_memory_of_known_tensors():
    size = 1 << 20

    def run():
        a = torch.ones(size)
        b = torch.ones(2 * size)
        del a
        return b, torch.ones(size // 2)

    assert measure_memory(run, 'cpu') == 3 * size * 4


def test_memory_counts_what_the_backward_pass_keeps():
    x = torch.rand(1 << 20, requires_grad=True)

    def run():
        y = x
        for _ in range(8):
            y = y.exp()
        y = y.sum()
        y.backward()
        x.grad = None

    size = x.nbytes
    # The results of all eight, and a gradient; later there are two, but one result less. Scalars take a few bytes.
    assert measure_memory(run, 'cpu') == pytest.approx(9 * size, abs=64)
    with torch.no_grad():
        assert measure_memory(lambda: x.exp().exp().exp(), 'cpu') == 2 * size
