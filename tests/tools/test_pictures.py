"""A segmentor's predictions as pictures: all of them in a test, and some of each validation in TensorBoard."""

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from tool_runner import run_tool

# mmengine keeps a visualizer of a name for the life of a process, so each test gives its own.
pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CONFIG = f"""
_base_ = '{ROOT}/configs/pspnet_contm_cityscapes.py'
model = dict(backbone=dict(arch=dict(_delete_=True, width=16, depths=(1, 1, 1, 1), mlp_widths=(8, 8, 8, 8))),
             decode_head=dict(in_channels=256, channels=16), auxiliary_head=dict(in_channels=64, channels=16),
             data_preprocessor=dict(size=(64, 128)))
train_pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (128, 64)
train_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
train_cfg = dict(max_iters=2, val_interval=2)
default_hooks = dict(logger=dict(interval=1))
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Three pictures in the layout of Cityscapes, a config, and random weights."""
    folder = tmp_path_factory.mktemp('segmentor')
    (folder / 'tiny.py').write_text(CONFIG)
    rng = np.random.default_rng(0)
    for split in ('train', 'val'):
        for kind in ('leftImg8bit', 'gtFine'):
            (folder / f'data/cityscapes/{kind}/{split}/town').mkdir(parents=True)
        for number in range(3):
            stem = f'{split}/town/{number}_'
            image, labels = rng.integers(0, 256, (64, 128, 3), np.uint8), rng.integers(0, 19, (64, 128), np.uint8)
            cv2.imwrite(str(folder / f'data/cityscapes/leftImg8bit/{stem}leftImg8bit.png'), image)
            cv2.imwrite(str(folder / f'data/cityscapes/gtFine/{stem}gtFine_labelTrainIds.png'), labels)
    cfg = Config.fromfile(folder / 'tiny.py')
    with DefaultScope.overwrite_default_scope('mmseg'):
        torch.save(MODELS.build(cfg.model).state_dict(), folder / 'weights.pth')
    return folder


def test_test_draws_every_image(folder, monkeypatch):
    monkeypatch.chdir(folder)
    options = ['--work-dir', 'test', '--show-dir', 'pictures', '--cfg-options', 'visualizer.name=test']
    run_tool('tools/test.py', 'tiny.py', 'weights.pth', *options)
    pictures = list(folder.glob('pictures/vis_data/vis_image/*.png'))
    assert len(pictures) == 3
    assert cv2.imread(str(pictures[0])).shape == (64, 256, 3)  # Ground truth and prediction.


def test_tensorboard_has_curves_and_validation_pictures(folder, monkeypatch):
    accumulator = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    monkeypatch.chdir(folder)
    options = ['--work-dir', 'train', '--tensorboard', '--cfg-options', 'visualizer.name=train']
    run_tool('tools/train.py', 'tiny.py', *options)
    (events,) = folder.glob('train/*/vis_data/events.out.tfevents.*')
    tags = accumulator.EventAccumulator(str(events)).Reload().Tags()
    assert {'loss', 'mIoU'} <= set(tags['scalars'])
    assert len(tags['images']) == 3
