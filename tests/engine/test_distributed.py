"""Training on several processes."""

import os
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from helpers import run
from tool_runner import run_tool

from mmcontnet.weights.reading import read_checkpoint

pytestmark = pytest.mark.e2e

# One step without momentum: the weights change by the gradients, so much that they themselves are little beside that.
CONFIG = f"""
_base_ = '{ROOT}/configs/fcos_contm_coco.py'
metainfo = dict(classes=('circle', 'triangle', 'square', 'star'))
data_root = 'work_dirs/demo/shapes/'
tiny = dict(_delete_=True, width=16, depths=(1, 1, 1, 1), mlp_widths=(8, 8, 8, 8))
model = dict(backbone=dict(arch=tiny, norm_eval=True), neck=dict(in_channels=[16, 32, 64, 256]),
             bbox_head=dict(num_classes=4, stacked_convs=1))
train_pipeline = [transform for transform in _base_.train_pipeline if transform.type != 'RandomFlip']
train_pipeline[2].scale = (320, 256)  # on smaller ones rounding in the norms of the coarsest level shows
train_dataloader = dict(batch_size=1, num_workers=0, persistent_workers=False, dataset=dict(
    data_root=data_root, metainfo=metainfo, indices=2, pipeline=train_pipeline))
val_dataloader = val_cfg = val_evaluator = None
train_cfg = dict(type='IterBasedTrainLoop', max_iters=1, _delete_=True)
param_scheduler = None
optim_wrapper = dict(_delete_=True, optimizer=dict(type='SGD', lr=1e6))
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=1))
randomness = dict(seed=0)
"""


def test_gradients_of_two_processes_are_those_of_one(shapes_folder, monkeypatch):
    monkeypatch.chdir(shapes_folder)
    Path('one_step.py').write_text(CONFIG)
    train = ROOT / 'tools/dist_train.sh'
    run(train, 'one_step.py', 2, '--work-dir', 'two', cwd=shapes_folder, PORT='29533', OMP_NUM_THREADS='1')
    both = ['--cfg-options', 'train_dataloader.batch_size=2']
    run_tool('tools/train.py', 'one_step.py', '--work-dir', 'one', *both)
    run_tool('tools/train.py', 'one_step.py', '--work-dir', 'still', *both, 'optim_wrapper.optimizer.lr=0.0')
    before, one, two = (read_checkpoint(f'{name}/iter_1.pth')['state_dict'] for name in ('still', 'one', 'two'))
    moved = 0
    for name in filter(lambda name: before[name].is_floating_point(), before):
        gradient = before[name] - one[name]
        # Sums in another order differ by rounding, up to 1.2e-5 on some processors; a wrong average by a half.
        assert torch.dist(before[name] - two[name], gradient) <= 1e-4 * gradient.norm(), name
        moved += bool(gradient.any())
    assert moved > 50


def test_slurm_starts_a_task_for_each_gpu(tmp_path):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    environment = dict(PATH=f'{tmp_path}:{os.environ["PATH"]}', GPUS='16', SRUN_ARGS='--time=1:00:00 --exclusive')
    command = [ROOT / 'tools/slurm_train.sh', 'gpu', 'job', 'fcos.py', 'out', '--cfg-options', 'a=b c']
    arguments = run(*command, cwd=tmp_path, **environment).splitlines()
    assert {'--partition=gpu', '--ntasks=16', '--ntasks-per-node=8', '--time=1:00:00', '--exclusive'} <= set(arguments)
    assert arguments[-7:] == ['fcos.py', '--work-dir', 'out', '--launcher', 'slurm', '--cfg-options', 'a=b c']
    assert 'PARTITION is missing' in run(ROOT / 'tools/slurm_train.sh', cwd=tmp_path, status=1)
