"""A checkpoint that would run code is refused on every way in, whichever mmengine is installed."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch
import toy_training
from conftest import ROOT
from mmengine.model import BaseModule
from mmengine.runner import CheckpointLoader, Runner
from mmengine.runner import checkpoint as loaders
from tool_runner import run_tool

from mmcontnet import ConTNet
from mmcontnet.weights.pretrained import load_pretrained


class Malicious:
    """Would create the file that its pickle names."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), 'w')


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The checkpoint, in a folder where its address on the web would be cached, and the file that it would create."""
    path, mark = tmp_path / 'checkpoints/evil.pth', tmp_path / 'mark'
    path.parent.mkdir()
    content = {'state_dict': {'weight': torch.zeros(1)}, 'meta': {'epoch': 1, 'iter': 1}, 'optimizer': Malicious(mark)}
    torch.save(content, path)
    monkeypatch.setattr('torch.hub.get_dir', lambda: str(tmp_path))
    yield path, mark
    assert not mark.exists()


@pytest.mark.parametrize('scheme', ['', 'https://example.org/', 'torchvision://', 'open-mmlab://', 'mmcls://'])
def test_addresses(scheme, files, monkeypatch):
    path, _ = files
    for models in ('get_torchvision_models', 'get_external_models', 'get_mmcls_models'):
        monkeypatch.setattr(loaders, models, lambda: {'evil.pth': 'https://example.org/evil.pth'})
    monkeypatch.chdir(path.parent)
    with pytest.raises(Exception, match=r'weights_only|may run code'):
        CheckpointLoader.load_checkpoint(f'{scheme}evil.pth')


@pytest.mark.parametrize('address', ['open-mmlab://evil.pth', 's3://evil.pth', 'pavi://evil.pth'])
def test_addresses_of_other_storages(address, files, monkeypatch):
    path, _ = files
    monkeypatch.setenv('MMENGINE_HOME', str(path.parent))
    monkeypatch.setattr(loaders, 'get_external_models', lambda: {'evil.pth': 'evil.pth'})
    monkeypatch.setattr(loaders, 'get_deprecated_model_names', lambda: {})
    backend = SimpleNamespace(get=lambda name: path.read_bytes())
    monkeypatch.setattr(loaders, 'get_file_backend', lambda name, backend_args: backend)
    model = SimpleNamespace(name='evil.pth', download=lambda file: open(file, 'wb').write(path.read_bytes()))
    pavi = ModuleType('pavi')
    pavi.modelcloud = {'evil.pth': model}
    monkeypatch.setitem(sys.modules, 'pavi', pavi)
    with pytest.raises(Exception, match=r'weights_only|Weights only'):
        CheckpointLoader.load_checkpoint(address)


@pytest.mark.parametrize('module', [ConTNet, BaseModule])
def test_init_cfg(module, files, tiny):
    path, _ = files
    arguments = tiny if module is ConTNet else {}
    network = module(**arguments, init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    with pytest.raises(ValueError, match='may run code'):
        network.init_weights()


def test_pretrained_weights(files, tiny):
    with pytest.raises(ValueError, match='may run code'):
        load_pretrained(ConTNet(**tiny), files[0])


@pytest.mark.slow
@pytest.mark.parametrize('resume', [True, False])
def test_runner(resume, files, tmp_path):
    """``load_from``, alone and with ``resume``."""
    config = toy_training.make_config('iterations', tmp_path / 'run')
    settings = dict(load_from=str(files[0]), resume=resume, experiment_name=tmp_path.name)
    with pytest.raises(ValueError, match='may run code'):
        Runner.from_cfg({**config, **settings}).train()


@pytest.mark.slow
def test_runner_resumes_from_the_latest(files, tmp_path):
    config = toy_training.make_config('iterations', tmp_path / 'run')
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run/last_checkpoint').write_text(str(files[0]))
    with pytest.raises(ValueError, match='may run code'):
        Runner.from_cfg({**config, 'experiment_name': tmp_path.name}).train()


@pytest.mark.slow
def test_config_in_a_checkpoint_is_not_run(tmp_path):
    """mmengine runs the text that mmcv 1 called ``config`` when it resumes."""
    run, mark = tmp_path / 'run', tmp_path / 'mark'
    config = toy_training.make_config('iterations', run)
    Runner.from_cfg({**config, 'experiment_name': f'{tmp_path.name}_whole'}).train()
    path = min(run.glob('iter_*.pth'))
    checkpoint = torch.load(path, weights_only=True)
    checkpoint['meta']['config'] = f'open({str(mark)!r}, "w")'
    torch.save(checkpoint, path)
    settings = dict(load_from=str(path), resume=True, experiment_name=f'{tmp_path.name}_resumed')
    Runner.from_cfg({**config, **settings}).train()
    assert not mark.exists()


CONFIG = str(ROOT / 'configs/retinanet_contm_coco.py')


@pytest.mark.slow
@pytest.mark.parametrize(
    'command',
    [
        ['tools/convert_checkpoint.py', '{}', 'converted.pth'],
        ['tools/predict.py', CONFIG, '{}', str(ROOT / 'docs/demo.jpg')],
        ['tools/receptive_field.py', 'conts', '--weights', '{}', '--out', 'fields.png'],
        ['tools/test.py', CONFIG, '{}'],
        ['tools/train.py', CONFIG, '--resume', '{}'],
        ['tools/train.py', CONFIG, '--cfg-options', 'load_from={}'],
    ],
    ids=lambda command: ' '.join(command[:1] + command[-1:]).replace('tools/', ''),
)
def test_tools(command, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script, *arguments = (part.format(files[0]) for part in command)
    assert 'may run code' in run_tool(script, *arguments, status=1)[1]
