import json
import math
import sys

import pytest
import torch
from conftest import ROOT
from constant_models import write_exported

sys.path.insert(0, str(ROOT / 'tools'))
import benchmark

from mmcontnet.evaluation.cost import bind, build, count_macs, on_meta

SMALL = ['--models', 'conts', 'r18', '--shapes', '1x3x64x64', '2x3x40x72', '--repeats', '3']


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs the command; returns the numbers that it writes."""

    def run(*arguments):
        path = tmp_path / 'benchmark.json'
        monkeypatch.setattr(sys, 'argv', ['benchmark.py', *arguments, '--json', str(path)])
        benchmark.main()
        return json.loads(path.read_text())

    return run


@pytest.mark.parametrize('options', [[], ['--train', '--channels-last', '--dtype', 'bfloat16']])
@pytest.mark.slow
def test_reports_every_model_at_every_shape(run, capsys, options):
    content = run(*SMALL, *options)
    setting, results = content['setting'], content['results']
    assert setting['torch'] == torch.__version__ and setting['threads'] == torch.get_num_threads()
    assert setting['dtype'] == ('bfloat16' if options else 'float32')
    assert setting['layout'] == ('channels-last' if options else 'channels-first')
    assert setting['step'].startswith('training' if options else 'inference')
    order = [('conts', [1, 3, 64, 64]), ('r18', [1, 3, 64, 64]), ('conts', [2, 3, 40, 72]), ('r18', [2, 3, 40, 72])]
    assert [(result['model'], result['shape']) for result in results] == order
    for result in results:
        low, high = result['ratio_quartiles']
        assert 0 < low <= result['ratio'] <= high < math.inf
        assert len(result['seconds']) == 3 and sorted(result['seconds'])[1] == result['median_seconds'] > 0
        assert result['share_of_peak'] > 0 and result['gmacs'] > 0 and result['memory_mib'] > 0
    assert [results[index]['ratio'] for index in (0, 2)] == [1, 1]
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith(('| conts | ', '| r18 | '))]) == 4


def test_models_take_turns(run, monkeypatch):
    turns = []
    monkeypatch.setattr(benchmark, 'measure_time', lambda run, device: turns.append(run) or 1.0)
    run('--models', 'conts', 'r18', '--shapes', '1x3x32x32', '--repeats', '3')
    rounds = turns[-9:]
    assert rounds == rounds[:3] * 3 and len(set(rounds)) == 3


def test_ratio_share_and_mode(run, monkeypatch):
    """Of a first model that takes 2 s, 2 s, 4 s and a second one that takes 1 s, 6 s, 6 s, beside a product of 1 s."""
    product = benchmark.Product(lambda: None, 10**9, 'product')
    monkeypatch.setattr(benchmark, 'find_fastest_product', lambda *_: (product, 1e9))
    times = iter([2.0, 1.0, 1.0, 2.0, 6.0, 1.0, 4.0, 6.0, 1.0])
    monkeypatch.setattr(benchmark, 'measure_time', lambda *_: next(times))
    monkeypatch.setattr(benchmark, 'count_step', lambda *_: 10**9)
    modes, make_step = [], benchmark.make_step

    def remember(model, *rest):
        modes.append(model.training)
        return make_step(model, *rest)

    monkeypatch.setattr(benchmark, 'make_step', remember)
    first, second = run('--models', 'conts', 'r18', '--shapes', '1x3x64x64', '--repeats', '3', '--train')['results']
    assert modes == [True, True]
    assert [first['ratio'], second['ratio']] == [1.0, 1.5] and second['ratio_quartiles'] == [1.0, 2.25]
    assert [first['median_seconds'], second['median_seconds']] == [2.0, 6.0]
    # Two operations for each multiply-accumulate: 2e9 in 2 s beside 1e9 in 1 s.
    assert first['share_of_peak'] == 1.0 and second['share_of_peak'] == pytest.approx(1 / 3)


@pytest.mark.slow
def test_checkpoints_save_memory_and_cost_operations():
    mode = benchmark.Mode('cpu', torch.float32, train=True, compile=False, channels_last=False)
    memory, macs = {}, {}
    for name in ('conts', 'conts+cp'):
        model = build(name)
        model.train(True)
        memory[name] = benchmark.measure_memory(benchmark.make_step(model, torch.rand(1, 3, 224, 224), mode), 'cpu')
        macs[name] = benchmark.count_step(model, (1, 3, 224, 224), mode)
        assert all(parameter.grad is None for parameter in model.parameters())
    assert memory['conts+cp'] < 0.9 * memory['conts']
    forward = count_macs(bind(on_meta(build('conts')), torch.empty(1, 3, 224, 224, device='meta'))).total
    # Of the backward pass the images' gradient is not computed; checkpoints repeat the forward pass of the encoders.
    assert 2.8 * forward < macs['conts'] < 3 * forward < macs['conts+cp'] < 4 * forward


@pytest.mark.slow
def test_onnx_files_run_beside_torch(run, tmp_path, monkeypatch):
    """A network with floating-point images, and an exported segmentor with 8 bits and the size of its label map."""
    monkeypatch.chdir(tmp_path)
    write_exported(tmp_path, 'segmentation')
    with torch.device('cpu'):
        torch.onnx.export(
            torch.nn.Conv2d(3, 4, 3), (torch.rand(1, 3, 64, 64),), 'conv.onnx', dynamo=True, verbose=False
        )
    models = ['conv.onnx', 'model.onnx', 'r18']
    results = run('--models', *models, '--shapes', '1x3x64x64', '--repeats', '3')['results']
    assert [result['model'] for result in results] == models
    for result in results:
        assert result['median_seconds'] > 0 and (result['gmacs'] is None) == (result['model'] != 'r18')


def test_numbers_that_are_not_finite_stop_it():
    with pytest.raises(SystemExit, match='broken gives numbers that are not finite'):
        benchmark.warm_up('broken', lambda: [torch.ones(1), torch.full((1,), math.nan)])


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--models', 'contx'], "there is no model 'contx'; expected one of contti, conts"),
        (['--models', 'configs/_base_/contnet.py'], 'sets no model'),
        (['--models', 'conts@--output=mark'], "there is no commit '--output=mark'"),
        (['--models', 'mmnothing::a.py'], 'mmnothing is not installed'),
        (['--shapes', '3x224x224'], "'3x224x224' is no shape of images; expected Bx3xHxW"),
        (['--shapes', '1x3x0x64'], 'is no shape of images'),
        (['--shapes', '9999999x3x999x999'], 'do not fit into the memory'),
        (['--shapes', f'{10**30}x3x1x1'], 'do not fit into the memory'),
        (['--models', 'mmdet::nope/nope.py'], 'does not exist'),
        (['--models', 'missing.onnx'], 'missing.onnx cannot be opened by onnxruntime: '),
        (['--repeats', '0'], "'0' is no positive integer"),
        (['--dtype', 'int8'], 'invalid choice'),
        (['--json', 'missing/a.json'], 'missing/a.json cannot be written'),
    ],
)
def test_bad_arguments_are_refused(monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', *arguments])
    with pytest.raises(SystemExit):
        benchmark.main()
    assert message in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_missing_gpu_is_said(monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['benchmark.py', '--device', 'cuda'])
    with pytest.raises(SystemExit):
        benchmark.main()
    assert 'torch finds no GPU' in capsys.readouterr().err
