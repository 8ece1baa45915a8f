"""The network compiled, exported and traced: at sizes that it was not made at, and from several threads."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import onnxruntime
import pytest
import torch
from reference import build, close

SMALL = dict(width=16, depths=(1, 1, 1, 1), mlp_widths=(16, 32, 64, 64))
# Square ones first.
SIZES = [(64, 64), (96, 96), (97, 131), (70, 200), (128, 96), (33, 257), (224, 224), (61, 77), (100, 101), (80, 240)]
SHAPES = [(2, 3, 96, 128), (1, 3, 33, 33), (1, 3, 97, 131), (3, 3, 224, 224), (1, 3, 500, 333), (2, 3, 64, 1333)]
DYNAMIC = dict.fromkeys((0, 2, 3), torch.export.Dim.DYNAMIC)

# Opens an exported network as on a machine where this package is not installed.
RUN_ELSEWHERE = """
import sys
import torch
sys.modules['mmcontnet'] = None
module = torch.export.load('network.pt2').module()
for images, expected in torch.load('expected.pt'):
    for out, wanted in zip(module(images), expected):
        assert (out - wanted).abs().max() <= 1e-5 * wanted.abs().max()
print('equal')
"""


@pytest.mark.slow
def test_compiled_inference_takes_ten_sizes_in_five_compilations():
    model = build(arch=SMALL, out_indices=(0,))
    compiled = torch.compile(model, dynamic=True, fullgraph=True)
    torch._dynamo.utils.counters.clear()
    with torch.no_grad():
        for number, size in enumerate(SIZES):
            images = torch.randn(1 + number % 2, 3, *size)
            for actual, expected in zip(compiled(images), model(images)):
                close(actual, expected)
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] <= 5


@pytest.mark.slow
@pytest.mark.parametrize(
    'settings, dynamic, dtype',
    [
        (dict(position='relative', pre_norm=True, stem='deep', avg_down=True), True, None),
        (dict(strides=(2, 1, 1, 1), dilations=(2, 1, 1, 1)), False, torch.bfloat16),
    ],
)
def test_compiled_inference(settings, dynamic, dtype):
    model = build(arch=SMALL, out_indices=(0, 1), **settings)
    compiled = torch.compile(model, fullgraph=True, dynamic=dynamic)
    images = torch.randn(2 if dynamic else 1, 3, 70, 90)
    with torch.no_grad(), torch.autocast('cpu', dtype, enabled=dtype is not None):
        for actual, expected in zip(compiled(images), model(images)):
            assert actual.dtype == expected.dtype
            close(actual.float(), expected.float(), 1e-5 if dtype is None else 3e-2)


@pytest.fixture(scope='module', params=[('absolute', (3,)), ('relative', (0, 1))])
def exported(request):
    """A network and what torch exports of it."""
    torch.manual_seed(0)
    position, out_indices = request.param
    model = build(arch=SMALL, position=position, out_indices=out_indices)
    return model, torch.export.export(model, (torch.randn(2, 3, 96, 128),), dynamic_shapes=(DYNAMIC,))


@pytest.mark.slow
def test_exported_file_runs_where_the_package_is_not_installed(exported, tmp_path):
    model, program = exported
    torch.export.save(program, tmp_path / 'network.pt2')
    with torch.no_grad():
        pairs = [(images, model(images)) for images in map(torch.randn, SHAPES)]
    torch.save(pairs, tmp_path / 'expected.pt')
    command = [sys.executable, '-W', 'ignore', '-c', RUN_ELSEWHERE]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.stdout == 'equal\n', result.stderr


@pytest.mark.slow
def test_onnx_file_is_exact_at_every_size(exported, tmp_path):
    model, program = exported
    path = tmp_path / 'network.onnx'
    torch.onnx.export(program, (), path, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    for images in map(torch.randn, SHAPES):
        with torch.no_grad():
            expected = model(images)
        outs = session.run(None, {session.get_inputs()[0].name: images.numpy()})
        for actual, wanted in zip(map(torch.from_numpy, outs), expected):
            close(actual, wanted, 1e-4)


@pytest.mark.filterwarnings('ignore::torch.jit.TracerWarning')
@pytest.mark.parametrize('grad', [False, True])
@pytest.mark.parametrize('position', ['absolute', 'relative'])
@pytest.mark.slow
def test_traced_module_is_right_at_other_sizes(position, grad):
    model = build(arch=SMALL, position=position)
    with torch.set_grad_enabled(grad):
        traced = torch.jit.trace(model, torch.randn(1, 3, 70, 90), strict=False)
    graph = str(traced.inlined_graph)
    assert 'mkldnn' not in graph and 'mmcontnet::' not in graph
    for shape in ((1, 3, 70, 90), (1, 3, 90, 70), (2, 3, 97, 131), (1, 3, 20, 200)):
        images = torch.randn(shape)
        for out, expected in zip(traced(images), model(images)):
            close(out, expected)


@pytest.mark.slow
@pytest.mark.parametrize('how', ['eager', 'exported', 'compiled'])
def test_two_models_from_two_threads(how):
    """Each thread gets the outputs of the model that it calls."""
    models = [build(arch=SMALL, out_indices=(0,)) for _ in range(2)]
    images = [torch.randn(1, 3, *size) for size in ((64, 96), (96, 64))]
    with torch.no_grad():
        expected = [[model(image) for image in images] for model in models]
        if how == 'exported':
            models = [
                torch.export.export(model, (torch.randn(2, 3, 96, 128),), dynamic_shapes=(DYNAMIC,)).module()
                for model in models
            ]
        elif how == 'compiled':
            models = [torch.compile(model, dynamic=True) for model in models]

    @torch.no_grad()
    def call(number):
        for actual, wanted in zip(models[number % 2](images[number // 2 % 2]), expected[number % 2][number // 2 % 2]):
            close(actual, wanted)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(call, range(40))) == [None] * 40
