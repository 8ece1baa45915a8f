import numpy as np
import pytest
import torch

from mmcontnet.weights.comparison import compare, first_few, format_problems

EXPECTED = {
    'weight': torch.zeros(2, 3),
    'norm.running_var': torch.ones(2),
    'norm.num_batches_tracked': torch.tensor(0),
    'mask': torch.tensor(True),
}


def found(**changes):
    return {**EXPECTED, **changes}


def test_equal_weights_have_no_problems():
    assert compare(EXPECTED, EXPECTED) == {}
    assert compare({name: value.to('meta') for name, value in EXPECTED.items()}, EXPECTED) == {}


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_other_precision_fits(dtype):
    assert compare(EXPECTED, found(weight=torch.ones(2, 3, dtype=dtype))) == {}


def test_counter_of_old_files_may_be_missing():
    weights = found()
    del weights['norm.num_batches_tracked']
    assert compare(EXPECTED, weights) == {}


@pytest.mark.parametrize(
    'value, kind, detail',
    [
        *((value, 'no tensors', '') for value in (None, 'a', [0.0], 1.0, b'a', np.zeros((2, 3)), {'a': 1})),
        (torch.zeros(2, 3).to_sparse(), 'no dense tensors', 'sparse'),
        (torch.zeros(2, 3).to_sparse_csr(), 'no dense tensors', 'sparse'),
        (torch.zeros(2, 3, device='meta'), 'no dense tensors', 'meta'),
        (torch.zeros(1).expand(2, 3), 'no dense tensors', 'expanded'),
        (torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]), 'no dense tensors', 'nested'),
        (torch.quantize_per_tensor(torch.zeros(2, 3), 1.0, 0, torch.qint8), 'no dense tensors', 'quantized'),
        (torch.zeros(3, 2), 'of another shape', '(3, 2) for (2, 3)'),
        (torch.zeros(()), 'of another shape', '() for (2, 3)'),
        *((torch.zeros(2, 3, dtype=dtype), 'of another type', '') for dtype in (torch.int64, torch.bool, torch.cfloat)),
        (torch.zeros(2, 3).to(torch.float8_e5m2), 'of another type', 'float8_e5m2 for float32'),
        (torch.full((2, 3), np.nan), 'not finite', ''),
        (torch.full((2, 3), -np.inf), 'not finite', ''),
        (torch.full((2, 3), 1e300, dtype=torch.float64), 'not finite', ''),
    ],
)
def test_values_that_do_not_fit(value, kind, detail):
    problems = compare(EXPECTED, found(weight=value))
    assert list(problems) == [kind] and list(problems[kind]) == ['weight']
    assert detail in problems[kind]['weight']
    assert format_problems(problems).startswith(f'{kind}: weight')


def test_negative_variances():
    changes = {'norm.running_var': torch.tensor([1.0, -1e-9])}
    assert list(compare(EXPECTED, found(**changes))) == ['negative variances']


def test_missing_and_left_over():
    weights = {name: value for name, value in EXPECTED.items() if name != 'weight'}
    assert compare(EXPECTED, {**weights, 'extra': torch.zeros(1)}) == {
        'missing': {'weight': ''},
        'left over': {'extra': ''},
    }


def test_long_lists_are_cut():
    assert first_few(range(10), 3) == '0, 1, 2 and 7 more'
