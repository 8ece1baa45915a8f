import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors import safe_open
from tool_runner import run_tool

from mmcontnet.weights.publishing import publish

# Opens a file as on a machine where only torch, or safetensors, is installed.
OPEN = """
import json, sys
sys.modules.update(dict.fromkeys(['mmcontnet', 'mmengine', 'mmcv', 'mmdet', 'numpy']))
import torch
file = torch.load(sys.argv[1], weights_only=True)
print(json.dumps([list(file), sorted(file['meta']), {name: list(w.shape) for name, w in file['state_dict'].items()}]))
"""
CFG = "model = dict(type='RetinaNet')"
META = dict(
    cfg=CFG,
    dataset_meta=dict(classes=('cat', 'dog'), palette=np.array([[1, 2, 3], [4, 5, 6]])),
    epoch=12,
    iter=900,
    seed=3,
    experiment_name='secret_folder',
    hook_msgs=dict(last_ckpt='/home/me/work_dirs/epoch_12.pth'),
)


@pytest.fixture
def checkpoint(tmp_path):
    """What mmengine writes in training, with a weight that is a part of a larger tensor."""
    large = torch.arange(100000.0)
    content = dict(
        state_dict={'module.head.weight': large[:6].view(2, 3), 'module.head.steps': torch.tensor(3)},
        optimizer=dict(state={0: dict(exp_avg=torch.zeros(100))}),
        message_hub=dict(log_scalars={'train/loss': HistoryBuffer([1.0, 0.5], [1, 1])}),
        meta=META,
    )
    torch.save(content, tmp_path / 'epoch_12.pth')
    return tmp_path / 'epoch_12.pth'


def test_opens_where_only_torch_is_installed(checkpoint, tmp_path):
    file = publish(checkpoint, tmp_path / 'cats.pth')
    assert file.name == f'cats-{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}.pth'
    result = subprocess.run([sys.executable, '-c', OPEN, file], capture_output=True, text=True)
    keys, meta, shapes = json.loads(result.stdout or result.stderr)
    assert keys == ['state_dict', 'meta'] and shapes == {'head.weight': [2, 3], 'head.steps': []}
    assert meta == ['cfg', 'dataset_meta', 'epoch', 'iter']
    content = torch.load(file, weights_only=True)
    assert content['meta']['cfg'] == CFG and content['meta']['dataset_meta']['classes'] == ['cat', 'dog']
    assert content['state_dict']['head.weight'].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert file.stat().st_size < 5000


def test_safetensors_keep_the_config_in_their_metadata(checkpoint, tmp_path):
    file = publish(checkpoint, tmp_path / 'cats.safetensors')
    with safe_open(file, 'pt') as content:
        assert sorted(content.keys()) == ['head.steps', 'head.weight']
        assert content.get_tensor('head.weight').tolist() == [[0, 1, 2], [3, 4, 5]]
        meta = content.metadata()
    assert meta['cfg'] == CFG and meta['epoch'] == '12'
    assert json.loads(meta['dataset_meta']) == dict(classes=['cat', 'dog'], palette=[[1, 2, 3], [4, 5, 6]])


def test_equal_weights_have_equal_names(checkpoint, tmp_path):
    assert publish(checkpoint, tmp_path / 'a.pth') == publish(checkpoint, tmp_path / 'a.pth')
    assert len(list(tmp_path.glob('a-*.pth'))) == 1


def test_weights_without_a_training_are_published_as_they_are(tmp_path):
    torch.save({'weight': torch.ones(2)}, tmp_path / 'bare.pth')
    content = torch.load(publish(tmp_path / 'bare.pth', tmp_path / 'out.pth'), weights_only=True)
    assert list(content['state_dict']) == ['weight'] and content['meta'] == {}


def test_file_without_weights_is_refused(tmp_path):
    torch.save(dict(state_dict={'weight': 3}), tmp_path / 'bad.pth')
    with pytest.raises(ValueError, match=r'bad\.pth: weight is int; expected tensors as weights'):
        publish(tmp_path / 'bad.pth', tmp_path / 'out.pth')
    assert not list(tmp_path.glob('out*'))


SPARSE = torch.eye(3).to_sparse()
QUANTIZED = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)


@pytest.mark.parametrize(
    'weight, classes, out, message',
    [
        (SPARSE, (), 'out.pth', 'bad.pth: weight is sparse, nested or without values; expected dense tensors'),
        (SPARSE.to_sparse_csr(), (), 'out.pth', 'weight is sparse, nested or without values'),
        (torch.ones(3, device='meta'), (), 'out.pth', 'weight is sparse, nested or without values'),
        (QUANTIZED, (), 'out.safetensors', 'safetensors cannot hold weight, torch.qint8; let OUT end in .pth'),
        (torch.ones(3), {('cat', 'dog'): 1}, 'out.pth', 'bad.pth: meta.dataset_meta cannot be kept: keys must be str'),
        (torch.ones(3), {'cat', 1}, 'out.pth', 'bad.pth: meta.dataset_meta cannot be kept: '),
        (torch.ones(3), b'cat', 'out.pth', 'meta.dataset_meta cannot be kept: it holds bytes; expected what JSON can'),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path, weight, classes, out, message):
    torch.save(dict(state_dict=dict(weight=weight), meta=dict(dataset_meta=classes)), tmp_path / 'bad.pth')
    with pytest.raises(ValueError) as error:
        publish(tmp_path / 'bad.pth', tmp_path / out)
    assert message in str(error.value) and '\n' not in str(error.value)
    assert not list(tmp_path.glob('out*'))


def test_sets_become_lists(tmp_path):
    torch.save(dict(state_dict=dict(weight=QUANTIZED), meta=dict(dataset_meta={'dog', 'cat'})), tmp_path / 'set.pth')
    content = torch.load(publish(tmp_path / 'set.pth', tmp_path / 'out.pth'), weights_only=True)
    assert content['meta']['dataset_meta'] == ['cat', 'dog'] and content['state_dict']['weight'].is_quantized


def test_missing_safetensors_says_what_to_install(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'safetensors.torch', None)
    with pytest.raises(ImportError, match='pip install safetensors'):
        publish(checkpoint, tmp_path / 'cats.safetensors')


def test_command_prints_the_name(checkpoint, tmp_path):
    text, _ = run_tool('tools/publish.py', checkpoint, tmp_path / 'cats.pth')
    (file,) = tmp_path.glob('cats-*.pth')
    assert str(file) in text
