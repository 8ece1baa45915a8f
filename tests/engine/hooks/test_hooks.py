import os
import random
import subprocess
import sys
import time

import mmpretrain_env  # noqa: F401 (for the configs for ImageNet)
import pytest
import torch
import toy_training
from conftest import ROOT
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmcontnet.engine.hooks import atomic_checkpoint
from mmcontnet.engine.hooks.atomic_checkpoint import AtomicBackend, AtomicCheckpointHook

LAST = dict(epochs='epoch_4.pth', iterations='iter_12.pth')


def start(loop, work_dir, *seed):
    """Starts a toy training and waits until it is about to begin."""
    command = [sys.executable, '-W', 'ignore', ROOT / 'tests/toy_training.py', loop, work_dir, *seed]
    with open(f'{work_dir}.log', 'a') as log:
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout.readline() == 'begins\n', open(f'{work_dir}.log').read()
    return process


@pytest.mark.parametrize('loop', LAST)
def test_killed_training_resumes_to_the_same_weights(loop, tmp_path):
    """Whatever the moment of the kills, and with a seed that the run has drawn."""
    process, began = start(loop, tmp_path / 'timed'), time.time()
    assert process.wait() == 0
    duration = time.time() - began
    moments, kills = random.Random(loop), 0
    for _ in range(4):
        process = start(loop, tmp_path / 'killed')
        time.sleep(moments.uniform(0.1, 0.6) * duration)
        process.kill()
        kills += process.wait() == -9
        for checkpoint in (tmp_path / 'killed').glob('*.pth'):
            torch.load(checkpoint, weights_only=True)
    assert kills > 0 and start(loop, tmp_path / 'killed').wait() == 0
    killed = torch.load(tmp_path / 'killed' / LAST[loop], weights_only=True)
    assert start(loop, tmp_path / 'alone', killed['meta']['seed']).wait() == 0
    alone = torch.load(tmp_path / 'alone' / LAST[loop], weights_only=True)
    assert all(torch.equal(value, killed['state_dict'][name]) for name, value in alone['state_dict'].items())


def test_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    file = tmp_path / 'epoch_1.pth'
    AtomicBackend().put(b'old', file)
    monkeypatch.setattr(atomic_checkpoint.os, 'fsync', lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        AtomicBackend().put(b'new', file)
    assert file.read_bytes() == b'old'
    assert list(tmp_path.glob('*.pth')) == [file]


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
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_10.pth')


def test_remote_storage_is_left_alone(tmp_path):
    for options in (dict(out_dir='s3://bucket/runs'), dict(backend_args=dict(backend='local'))):
        hook = CheckpointHook(**options)
        AtomicCheckpointHook.take_over(hook, str(tmp_path))
        assert type(hook) is CheckpointHook


def test_exact_resume_wants_a_config(tmp_path):
    runner = Runner(
        toy_training.Classifier(),
        str(tmp_path),
        train_dataloader=torch.utils.data.DataLoader(toy_training.Noisy(), batch_size=4),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=[dict(type='ExactResumeHook')],
        experiment_name=tmp_path.name,
    )
    with pytest.raises(ValueError, match=r'Runner\.from_cfg'):
        runner.train()


@pytest.mark.parametrize('poison', ['loss', 'weights'])
def test_not_finite_stops_training_and_keeps_the_last_checkpoint(poison, tmp_path, monkeypatch):
    forward = toy_training.Classifier.forward

    def poisoned(self, images, labels, mode):
        losses = forward(self, images, labels, mode)
        if mode == 'loss':
            self.calls = getattr(self, 'calls', 0) + 1
            if self.calls == 6 and poison == 'weights':
                self.ballast.data[7] = float('inf')
            elif self.calls == 5 and poison == 'loss':
                losses['loss'] = losses['loss'] * float('nan')
        return losses

    monkeypatch.setattr(toy_training.Classifier, 'forward', poisoned)
    expected = dict(loss=r'Iteration 5: .*loss=nan', weights='Iteration 6: 1 weights are not finite, ballast')[poison]
    with pytest.raises(FloatingPointError, match=expected):
        toy_training.main('iterations', str(tmp_path))
    assert [path.name for path in tmp_path.glob('*.pth')] == ['iter_3.pth']
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_3.pth')


def test_own_configs_use_the_hooks():
    for path in (ROOT / 'configs').glob('*.py'):
        hooks = [hook.type for hook in Config.fromfile(path).custom_hooks]
        assert hooks[:2] == ['ExactResumeHook', 'FiniteHook']
