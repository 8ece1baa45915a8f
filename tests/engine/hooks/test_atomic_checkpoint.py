import os

import pytest
import torch
import toy_training
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmcontnet import fileio
from mmcontnet.engine.hooks.atomic_checkpoint import AtomicBackend, AtomicCheckpointHook


def test_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / 'epoch_1.pth'
    AtomicBackend().put(b'old', file)
    monkeypatch.setattr(fileio.os, 'fsync', lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        AtomicBackend().put(b'new', file)
    assert file.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.slow
def test_outdated_checkpoint_outlives_the_writing_of_the_next(tmp_path, monkeypatch):
    seen = []
    put = AtomicBackend.put

    def watched_put(self, obj, filepath):
        seen.append(sorted(path.name for path in tmp_path.glob('*.pth')))
        put(self, obj, filepath)

    monkeypatch.setattr(AtomicBackend, 'put', watched_put)
    toy_training.main('iterations', str(tmp_path))
    assert seen == [[], ['iter_3.pth'], ['iter_6.pth'], ['iter_9.pth']]
    assert [path.name for path in tmp_path.glob('*.pth')] == ['iter_12.pth']


def test_empty_pointer_is_repaired(tmp_path):
    hook = CheckpointHook(interval=1)
    for age, name in enumerate(('epoch_9.pth', 'epoch_10.pth', 'epoch_10.pth.part')):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (age, age))
    (tmp_path / 'last_checkpoint').touch()
    AtomicCheckpointHook.take_over(hook, str(tmp_path))
    assert isinstance(hook, AtomicCheckpointHook)
    assert not (tmp_path / 'epoch_10.pth.part').exists()
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_10.pth')


def test_empty_pointer_without_checkpoints_goes(tmp_path):
    (tmp_path / 'last_checkpoint').touch()
    AtomicCheckpointHook.take_over(CheckpointHook(interval=1), str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize('interval', [3, 100])
def test_best_checkpoint_is_one_file(tmp_path, monkeypatch, interval):
    """Also before the first of the other checkpoints."""
    counts = []

    def compute_metrics(self, results):
        counts.append(len(list(tmp_path.glob('best_*'))))
        return dict(zero=len(counts))

    monkeypatch.setattr(toy_training.Nothing, 'compute_metrics', compute_metrics)
    config = toy_training.make_config('iterations', tmp_path)
    config.default_hooks.checkpoint.update(save_best='zero', rule='greater', interval=interval)
    Runner.from_cfg({**config, 'experiment_name': tmp_path.name}).train()
    assert counts == [0, 1, 1, 1, 1, 1]
    assert [path.name for path in tmp_path.glob('best_*')] == ['best_zero_iter_12.pth']
    torch.load(tmp_path / 'best_zero_iter_12.pth', weights_only=True)


def test_remote_storage_is_left_alone(tmp_path):
    for options in (dict(out_dir='s3://bucket/runs'), dict(backend_args=dict(backend='local'))):
        hook = CheckpointHook(**options)
        AtomicCheckpointHook.take_over(hook, str(tmp_path))
        assert type(hook) is CheckpointHook
