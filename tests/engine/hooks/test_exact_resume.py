import random
import subprocess
import sys
import time
from types import SimpleNamespace

import mmpretrain_env  # noqa: F401 (for the configs for ImageNet)
import pytest
import torch
import toy_training
from conftest import ROOT
from mmengine.config import Config
from mmengine.runner import Runner

from mmcontnet.engine.hooks.exact_resume import Segments, start_anew

LAST = dict(epochs='epoch_4.pth', iterations='iter_12.pth')


def start(loop, work_dir, *seed):
    """Starts a toy training and waits until it is about to begin."""
    command = [sys.executable, '-W', 'ignore', ROOT / 'tests/toy_training.py', loop, work_dir, *seed]
    with open(f'{work_dir}.log', 'a') as log:
        process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout.readline() == 'begins\n', open(f'{work_dir}.log').read()
    return process


def train(loop, work_dir, seed=None):
    """The same training in this process; returns how long it took and what its last checkpoint holds."""
    config = toy_training.make_config(loop, work_dir, seed)
    runner = Runner.from_cfg({**config, 'experiment_name': str(work_dir)})
    threads, began = torch.get_num_threads(), time.time()
    torch.set_num_threads(1)  # More would add in another order.
    try:
        runner.train()
    finally:
        torch.set_num_threads(threads)
    return time.time() - began, torch.load(work_dir / LAST[loop], weights_only=True)


@pytest.mark.slow
@pytest.mark.e2e
@pytest.mark.parametrize('loop', LAST)
def test_killed_training_resumes_to_the_same_weights(loop, tmp_path):
    """Whatever the moment of the kills, and with a seed that the run has drawn."""
    duration, _ = train(loop, tmp_path / 'timed')
    moments, kills = random.Random(loop), 0
    for _ in range(3):
        process = start(loop, tmp_path / 'killed')
        time.sleep(moments.uniform(0.1, 0.6) * duration)
        process.kill()
        kills += process.wait() == -9
        for checkpoint in (tmp_path / 'killed').glob('*.pth'):
            torch.load(checkpoint, weights_only=True)
    assert kills > 0 and start(loop, tmp_path / 'killed').wait() == 0
    killed = torch.load(tmp_path / 'killed' / LAST[loop], weights_only=True)
    _, alone = train(loop, tmp_path / 'alone', killed['meta']['seed'])
    assert all(torch.equal(value, killed['state_dict'][name]) for name, value in alone['state_dict'].items())


@pytest.fixture(params=LAST)
def runner(request, tmp_path):
    config = toy_training.make_config(request.param, tmp_path, 1)
    config.train_dataloader.update(num_workers=0, persistent_workers=False)
    runner = Runner.from_cfg({**config, 'experiment_name': tmp_path.name})
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    return runner


def draw(runner, position):
    """The order of the data, the seed of the sampler and a random number."""
    loader = start_anew(runner, position)
    indices = iter(loader.sampler)
    return [next(indices) for _ in range(12)], torch.rand(1).item(), random.random()


def test_each_position_has_its_own_order_and_random_numbers(runner):
    first, again, second = draw(runner, 0), draw(runner, 0), draw(runner, 3)
    assert first == again
    assert all(one != other for one, other in zip(first, second))
    runner._seed = 2
    assert all(one != other for one, other in zip(first, draw(runner, 0)))


def test_ranks_draw_different_numbers_in_one_order(runner, monkeypatch):
    drawn = []
    for rank in (0, 1):
        monkeypatch.setattr('mmengine.runner.utils.get_rank', lambda rank=rank: rank)
        drawn.append(draw(runner, 0))
    assert drawn[0][0] == drawn[1][0]
    assert all(one != other for one, other in zip(drawn[0][1:], drawn[1][1:]))


def test_smallest_interval_of_two_counts(tmp_path):
    config = toy_training.make_config('iterations', tmp_path, 1)
    config.custom_hooks.append(dict(type='CheckpointHook', by_epoch=False, interval=2, save_last=False))
    config.train_cfg.max_iters = 1
    runner = Runner.from_cfg({**config, 'experiment_name': tmp_path.name})
    runner.train()
    assert runner.train_loop.dataloader_iterator.interval == 2


class Drawing:
    """The batches of a loop that draws and drops those already trained on."""

    def __init__(self, loader=None):
        pass

    def __next__(self):
        return 'batch'


class Skipping(Drawing):
    """Those of a loop that asks for it, or, with ``fast_forward_on_resume``, goes on at once."""

    def skip_iter(self, num_iters):
        raise NotImplementedError


@pytest.mark.parametrize('batches, dropped', [(Drawing, [None, None]), (Skipping, [])])
def test_resumed_loop_loses_no_batch(batches, dropped, monkeypatch):
    monkeypatch.setattr('mmcontnet.engine.hooks.exact_resume.start_anew', lambda runner, position: None)
    segments = Segments(SimpleNamespace(iter=2, train_loop=SimpleNamespace(dataloader_iterator=batches())), interval=3)
    segments.skip_iter(2)
    assert [next(segments) for _ in range(len(dropped) + 1)] == [*dropped, 'batch']


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


@pytest.mark.slow
def test_own_configs_use_the_hooks():
    for path in (ROOT / 'configs').glob('*.py'):
        hooks = [hook.type for hook in Config.fromfile(path).custom_hooks]
        assert hooks[:2] == ['ExactResumeHook', 'FiniteHook']
