"""The C++ operators against plain forms, in float32."""

import copy
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from reference import build, close

from mmcontnet.ops import extension, mlp, patch_attention
from mmcontnet.ops.attention import reference_attention

pytestmark = pytest.mark.skipif(extension.MISSING is not None, reason=f'no C++ operator: {extension.MISSING}')

# Batch, height, width, channels, heads, patch size.
SHAPES = [
    (1, 1, 1, 4, 1, 7),
    (2, 14, 14, 64, 1, 7),
    (1, 15, 29, 128, 2, 14),
    (3, 5, 3, 24, 8, 14),
    (2, 33, 20, 42, 6, 7),  # heads of 7 channels
    (1, 28, 30, 40, 4, 5),
    (2, 9, 31, 96, 1, 14),
    (0, 7, 7, 16, 1, 7),
    (1, 16, 17, 30, 3, 1),
]
CAPABILITIES = ['default', 'avx2', 'avx512']
CAPABILITIES = CAPABILITIES[: CAPABILITIES.index(torch.backends.cpu.get_cpu_capability().lower()) + 1]


def differentiate(out, leaves, gradient):
    return torch.autograd.grad(out, [leaf for leaf in leaves if leaf is not None], gradient)


@pytest.mark.parametrize('with_bias', [False, True])
@pytest.mark.parametrize('shape', SHAPES)
def test_operator_equals_the_reference(shape, with_bias):
    batch, height, width, channels, heads, size = shape
    qkv = 2 * torch.randn(batch, height, width, 3 * channels)
    bias = torch.randn(heads, size**2, size**2) if with_bias else None
    gradient = torch.randn(batch, height, width, channels)
    leaves, exact_leaves = (
        [None if x is None else x.to(dtype).requires_grad_() for x in (qkv, bias)]
        for dtype in (torch.float32, torch.float64)
    )
    assert extension.takes(qkv)
    out = patch_attention(leaves[0], heads, size, leaves[1])
    exact = reference_attention(exact_leaves[0], heads, size, exact_leaves[1])
    assert out.shape == exact.shape
    with torch.no_grad():
        assert torch.equal(patch_attention(qkv, heads, size, bias), out)
    if batch:
        close(out, exact.float(), 3e-6)
        pairs = zip(differentiate(out, leaves, gradient), differentiate(exact, exact_leaves, gradient.double()))
        for found, wanted in pairs:
            close(found, wanted.float(), 1e-5)  # With sharp weights torch's own attention has 5e-6.


@pytest.mark.parametrize('seed', range(12))
def test_random_shapes(seed):
    draw = random.Random(seed)
    heads, size, batch = draw.randint(1, 6), draw.randint(1, 15), draw.randint(1, 3)
    shape = (batch, draw.randint(1, 40), draw.randint(1, 40), heads * draw.randint(1, 40), heads, size)
    test_operator_equals_the_reference(shape, with_bias=draw.random() < 0.5)


def test_parts_of_maps_and_of_the_batch():
    """Not contiguous, and more patches than threads."""
    qkv = torch.randn(4, 40, 50, 100)[::2, 3:30, 1:40, :96]
    close(patch_attention(qkv, 2, 7), reference_attention(qkv, 2, 7), 3e-6)


@pytest.mark.parametrize('scale', [1e-20, 30.0, 1e4])
def test_logits_of_any_size(scale):
    qkv = scale * torch.randn(1, 15, 15, 48)
    qkv[..., 32:] /= scale
    close(patch_attention(qkv, 1, 7), reference_attention(qkv.double(), 1, 7).float(), 1e-3 if scale == 1e4 else 1e-5)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_numbers_that_are_not_finite_stay_in_their_patch(value):
    qkv = torch.randn(1, 14, 14, 48)
    qkv[0, 2, 3, 0] = value
    out = patch_attention(qkv, 1, 7)
    assert out[0, :7, :7].isnan().any()
    assert out[0, 7:].isfinite().all() and out[0, :, 7:].isfinite().all()


def test_a_single_pixel_gives_its_queries_and_keys_no_gradient():
    qkv = torch.randn(3, 1, 1, 48, requires_grad=True)
    patch_attention(qkv, 2, 7).backward(torch.randn(3, 1, 1, 16))
    assert not qkv.grad[..., :32].any() and qkv.grad[..., 32:].any()


def test_second_derivatives_are_refused():
    qkv = torch.randn(1, 7, 7, 48, requires_grad=True)
    (gradient,) = torch.autograd.grad(patch_attention(qkv, 2, 7).square().sum(), qkv, create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'):
        gradient.sum().backward()


@pytest.mark.parametrize('count', [0, 1, 7, 100_003])
def test_gelu_and_its_gradient(count):
    x = torch.linspace(-12, 12, count)
    exact = x.double().requires_grad_()
    expected = F.gelu(exact)
    (derivative,) = torch.autograd.grad(expected.sum(), exact)
    out, grad = extension.gelu(x), extension.gelu_backward_(torch.ones_like(x), x)
    assert ((out - expected).abs() <= 4e-7 * x.abs()).all() and ((grad - derivative).abs() <= 4e-7).all()
    assert torch.equal(extension.gelu_(x.clone()), out)


def test_mlp_equals_the_plain_one():
    """With parameters of which some need no gradient."""
    arguments = [torch.randn(shape) for shape in ((2, 5, 7, 24), (40, 24), (40,), (24, 40), (24,))]
    leaves = [argument.requires_grad_() for argument in arguments[:2]]
    exact = [argument.detach().double() for argument in arguments]
    exact_leaves = [argument.requires_grad_() for argument in exact[:2]]
    out = mlp(*arguments)
    expected = F.linear(F.gelu(F.linear(exact[0], *exact[1:3])), *exact[3:])
    close(out, expected.float(), 3e-6)
    gradient = torch.randn_like(out)
    for found, wanted in zip(differentiate(out, leaves, gradient), differentiate(expected, exact_leaves, gradient)):
        close(found, wanted.float(), 3e-6)


@pytest.mark.parametrize('capability', CAPABILITIES)
@pytest.mark.slow
def test_every_instruction_set_of_the_processor(capability):
    """In a process of its own, since torch reads the variable once."""
    command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', __file__, '-k', 'not instruction_set']
    environment = {**os.environ, 'ATEN_CPU_CAPABILITY': capability}
    environment.pop('PYTEST_XDIST_WORKER', None)
    result = subprocess.run(command, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    'arguments, message',
    [
        ((torch.zeros(1, 7, 7, 48).double(), 2, 7, None), 'float32'),
        ((torch.zeros(1, 7, 7, 48), 3, 7, None), 'heads that divide C'),
        ((torch.zeros(7, 7, 48), 2, 7, None), 'B, H, W, 3C'),
        ((torch.zeros(1, 7, 7, 48), 2, 7, torch.zeros(2, 7, 7)), 'bias'),
    ],
)
def test_what_it_does_not_take_is_refused(arguments, message):
    with pytest.raises(RuntimeError, match=message):
        torch.ops.mmcontnet.cpu_attention(*arguments)


def test_network_computes_the_same_without_it(tiny, monkeypatch):
    model = build(**tiny)
    other = copy.deepcopy(model)
    images = torch.randn(2, 3, 61, 90)
    with torch.no_grad():
        expected = model(images)
        monkeypatch.setattr(extension, 'MISSING', 'patched')
        for actual, wanted in zip(other(images), expected):
            close(actual, wanted, 1e-6)
