import pytest
import torch
from torch._C import DispatchKey, DispatchKeySet
from torch._subclasses import FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmcontnet.ops import patch_attention
from mmcontnet.ops.attention import reference_attention
from mmcontnet.ops.padding import _cached_padding_tables, padded_attention
from mmcontnet.ops.rectangles import attention_by_rectangles, rectangles

SIZES = [(1, 1), (7, 7), (14, 28), (5, 16), (13, 8), (15, 21), (23, 17), (29, 1)]
OPERATORS = torch.ops.mmcontnet


def inputs(batch, size, heads, patch_size, with_bias, dtype=torch.float64):
    qkv = torch.randn(batch, *size, 3 * 16, dtype=dtype, requires_grad=True)
    bias = torch.randn(heads, patch_size**2, patch_size**2, dtype=dtype, requires_grad=True) if with_bias else None
    return qkv, bias


@pytest.mark.parametrize('batch', [0, 1, 3])
@pytest.mark.parametrize('with_bias', [False, True])
@pytest.mark.parametrize('heads, patch_size', [(1, 7), (2, 14), (4, 5)])
@pytest.mark.parametrize('size', SIZES)
def test_forms_equal_the_reference(batch, size, heads, patch_size, with_bias):
    qkv, bias = inputs(batch, size, heads, patch_size, with_bias)
    expected = reference_attention(qkv, heads, patch_size, bias)
    gradient = torch.randn_like(expected)
    leaves = [leaf for leaf in (qkv, bias) if leaf is not None]
    expected_gradients = torch.autograd.grad(expected, leaves, gradient, materialize_grads=True)
    for form in (patch_attention, padded_attention, attention_by_rectangles):
        actual = form(qkv, heads, patch_size, bias)
        assert actual.is_contiguous()
        torch.testing.assert_close(actual, expected)
        for found, wanted in zip(
            torch.autograd.grad(actual, leaves, gradient, materialize_grads=True), expected_gradients
        ):
            torch.testing.assert_close(found, wanted)
    with torch.no_grad():
        torch.testing.assert_close(patch_attention(qkv, heads, patch_size, bias), expected.detach())


@pytest.mark.parametrize('dtype, tolerance', [(torch.float32, 1e-5), (torch.bfloat16, 3e-2), (torch.float16, 5e-3)])
@pytest.mark.parametrize('with_bias', [False, True])
def test_types(dtype, tolerance, with_bias):
    qkv, bias = inputs(2, (15, 23), 2, 7, with_bias, dtype)
    exact = reference_attention(qkv.double(), 2, 7, None if bias is None else bias.double())
    outs = [patch_attention(qkv, 2, 7, bias)]
    with torch.no_grad():
        outs += [patch_attention(qkv, 2, 7, bias), padded_attention(qkv, 2, 7, bias)]
    for out in outs:
        assert out.dtype == dtype
        torch.testing.assert_close(out.double(), exact, rtol=tolerance, atol=tolerance)


def test_maps_that_are_not_contiguous():
    qkv = torch.randn(2, 48, 15, 23).permute(0, 2, 3, 1).requires_grad_()
    expected = reference_attention(qkv, 2, 7)
    actual = patch_attention(qkv, 2, 7)
    torch.testing.assert_close(actual, expected)
    gradient = torch.randn(2, 16, 15, 23).permute(0, 2, 3, 1)
    found, wanted = (torch.autograd.grad(out, qkv, gradient)[0] for out in (actual, expected))
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize('form', [patch_attention, padded_attention, attention_by_rectangles])
def test_dropout_drops_weights(form):
    """Of equal values the output is the sum of the weights, 1 without dropout and 1 on average with it."""
    qkv = torch.zeros(4, 28, 30, 48, requires_grad=True)
    with torch.no_grad():
        qkv[..., 32:] = 1
    out = form(qkv, 2, 7, None, 0.3)
    assert out.std() > 0.01 and out.mean().item() == pytest.approx(1, abs=0.02)
    torch.testing.assert_close(form(qkv, 2, 7, None, 0.0), torch.ones(4, 28, 30, 16))


@pytest.mark.parametrize('size', SIZES)
def test_rectangles_cover_every_pixel_once_by_whole_patches(size):
    pixels = torch.arange(size[0] * size[1]).view(1, *size, 1)
    seen = []
    for rectangle in rectangles(pixels, 7):
        for patch in rectangle[0].flatten(0, 1):  # (h, w, 1)
            y, x = patch // size[1], patch % size[1]
            assert len((y // 7).unique()) == len((x // 7).unique()) == 1
            seen += patch.flatten().tolist()
    assert sorted(seen) == list(range(size[0] * size[1]))


@pytest.mark.parametrize('size', SIZES)
def test_flops_are_those_of_the_reference(size):
    qkv, _ = inputs(2, size, 2, 7, False)
    with FlopCounterMode(display=False) as expected:
        reference_attention(qkv.detach(), 2, 7)
    for example in (qkv.detach(), qkv.detach().to('meta')):
        # Torch does not count its fused attention on a CPU.
        with FlopCounterMode(display=False) as counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            patch_attention(example, 2, 7)
        assert counter.get_total_flops() == expected.get_total_flops()
    with FlopCounterMode(display=False) as counter:
        patch_attention(qkv.detach().to('meta').requires_grad_(), 2, 7).sum().backward()
    assert counter.get_total_flops() == 3 * expected.get_total_flops()


@pytest.mark.parametrize('size', [(14, 14), (23, 37)])
@pytest.mark.slow
def test_operators_are_registered_as_torch_expects(size):
    qkv, bias = inputs(2, size, 2, 7, True, torch.float32)
    tests = ('test_schema', 'test_faketensor', 'test_autograd_registration', 'test_aot_dispatch_dynamic')
    torch.library.opcheck(OPERATORS.patch_attention, (qkv, 2, 7, bias), test_utils=tests)
    torch.library.opcheck(OPERATORS.patch_attention, (qkv, 2, 7, None), test_utils=tests)


def test_tables_made_in_inference_mode_serve_training():
    qkv, _ = inputs(1, (31, 17), 2, 7, False)
    with torch.inference_mode():
        expected = padded_attention(qkv, 2, 7)
    out = padded_attention(qkv, 2, 7)
    out.sum().backward()
    torch.testing.assert_close(out, expected.clone())


def test_tables_of_a_simulation_are_not_kept():
    with FakeTensorMode():
        padded_attention(torch.empty(1, 19, 27, 48), 2, 7)
    qkv, _ = inputs(1, (19, 27), 2, 7, False)
    torch.testing.assert_close(padded_attention(qkv, 2, 7), reference_attention(qkv, 2, 7))


def test_operators_keep_no_tables():
    """In compiled graphs the tables would lie in memory that torch uses again."""
    kept = _cached_padding_tables.cache_info().currsize
    qkv, bias = inputs(1, (18, 29), 2, 7, True)
    for keys in (DispatchKey.CompositeExplicitAutograd, DispatchKey.CUDA):
        out = OPERATORS.patch_attention.default.redispatch(DispatchKeySet(keys), qkv.detach(), 2, 7, bias)
        torch.testing.assert_close(out, reference_attention(qkv, 2, 7, bias))
    assert _cached_padding_tables.cache_info().currsize == kept
    padded_attention(qkv, 2, 7, bias)
    assert _cached_padding_tables.cache_info().currsize == kept + 1


@pytest.mark.parametrize('bias_dtype', [None, torch.float32, torch.bfloat16])
def test_backward_operator_announces_what_it_returns(bias_dtype):
    """The compiler reads memory by these types; under autocast a bias is of another than queries, keys and values."""
    qkv = torch.randn(1, 7, 7, 3 * 8, dtype=torch.bfloat16)
    bias = None if bias_dtype is None else torch.randn(1, 49, 49, dtype=bias_dtype)
    arguments = torch.randn(1, 7, 7, 8, dtype=torch.bfloat16), qkv, 1, 7, bias
    found = torch.ops.mmcontnet.patch_attention_backward(*arguments)
    with FakeTensorMode() as mode:
        fakes = [mode.from_tensor(x) if isinstance(x, torch.Tensor) else x for x in arguments]
        announced = torch.ops.mmcontnet.patch_attention_backward(*fakes)
    assert [(x.shape, x.dtype) for x in found] == [(x.shape, x.dtype) for x in announced]
