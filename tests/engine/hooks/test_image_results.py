"""The tests of three tiny models, in this process: their results as a whole, by image and resampled."""

import json

import cv2
import mmpretrain_env  # noqa: F401 (for the classifier)
import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from test_end_to_end import CONFIG as DETECTOR
from tool_runner import run_tool

from mmcontnet.engine.hooks.image_results import RESULTS

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SEGMENTOR = f"""
_base_ = '{ROOT}/configs/pspnet_contm_cityscapes.py'
model = dict(backbone=dict(arch=dict(_delete_=True, width=16, depths=(1, 1, 1, 1), mlp_widths=(8, 8, 8, 8))),
             decode_head=dict(in_channels=256, channels=16), auxiliary_head=dict(in_channels=64, channels=16),
             data_preprocessor=dict(size=(64, 128)))
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (128, 64)
test_dataloader = dict(num_workers=0, persistent_workers=False,
                       dataset=dict(data_root='streets', pipeline=test_pipeline))
"""
CLASSIFIER = f"""
_base_ = '{ROOT}/configs/contm_imagenet.py'
model = dict(backbone=dict(arch=dict(_delete_=True, width=16, depths=(1, 1, 1, 1), mlp_widths=(16, 16, 16, 16))),
             head=dict(in_channels=256, num_classes=5))
data_preprocessor = dict(num_classes=5)
test_dataloader = dict(num_workers=0, persistent_workers=False, batch_size=2,
                       dataset=dict(data_root='classes', classes=list('abcde')))
"""
CONFIGS = dict(detector=DETECTOR, segmentor=SEGMENTOR, classifier=CLASSIFIER)
IMAGES = dict(detector='work_dirs/demo/shapes/val2017', segmentor='streets/leftImg8bit', classifier='classes')
METRICS = dict(detector='coco/bbox_mAP', segmentor='mIoU', classifier='accuracy/top1')


@pytest.fixture(scope='module')
def folder(shapes_folder):
    """Three images for each model, and random weights."""
    rng = np.random.default_rng(0)
    for number in range(3):
        for path, high, size in (
            ('streets/leftImg8bit/val/town/{}_leftImg8bit.png', 256, (64, 128, 3)),
            ('streets/gtFine/val/town/{}_gtFine_labelTrainIds.png', 19, (64, 128)),
            (f'classes/val/{"abc"[number]}/{{}}.png', 256, (60, 80, 3)),
        ):
            file = shapes_folder / path.format(number)
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), rng.integers(0, high, size, np.uint8))
    for name in 'de':  # The classifier tells five classes.
        (shapes_folder / 'classes/val' / name).mkdir()
    for name, text in CONFIGS.items():
        (shapes_folder / f'{name}.py').write_text(text)
        cfg = Config.fromfile(shapes_folder / f'{name}.py')
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            preprocessor = cfg.get('data_preprocessor')
            model = MODELS.build({**(dict(data_preprocessor=preprocessor) if preprocessor else {}), **cfg.model})
        torch.save(model.state_dict(), shapes_folder / f'{name}.pth')
    return shapes_folder


@pytest.fixture(params=CONFIGS)
def run_test(request, folder, monkeypatch):
    """Tests a model with a hook; returns the metric's name and the folder of the results."""
    monkeypatch.chdir(folder)
    name = request.param

    def run_test(hook, option):
        out = folder / f'{name}_{hook}'
        options = [f'default_hooks.{hook}.type={hook}', f'default_hooks.{hook}.{option}', f'visualizer.name={out.name}']
        run_tool('tools/test.py', f'{name}.py', f'{name}.pth', '--work-dir', out, '--cfg-options', *options)
        return name, out

    return run_test


def test_results_by_image_and_resampled(run_test):
    name, out = run_test('ImageResultsHook', 'resamples=20')
    content = json.loads((out / RESULTS).read_text())
    metric = METRICS[name]
    assert content['images'] == 3 and 0 <= content['metrics'][metric] <= 100
    assert len(content['resampled']) == 20 and len(content['by_image']) == 3
    images = sorted((out.parent / IMAGES[name]).resolve().rglob('*.*g'))
    assert content['paths'] == [str(path) for path in images]
    values = [entry[metric] for entry in content['resampled'] + content['by_image']]
    assert all(value is None or 0 <= value <= 100 for value in values)
    rng = np.random.default_rng(0)
    draws = [sorted(rng.integers(3, size=3)) for _ in range(20)]
    same = {}
    for draw, value in zip(draws, values):  # Equal draws have equal results, that of all images is the whole's.
        assert same.setdefault(tuple(draw), value) == value
    if (0, 1, 2) in same:
        assert same[0, 1, 2] == pytest.approx(content['metrics'][metric], abs=1e-3)


def test_results_without_resampling(run_test):
    name, out = run_test('ImageResultsHook', 'resamples=0')
    content = json.loads((out / RESULTS).read_text())
    assert set(content) == {'metrics', 'images'} and METRICS[name] in content['metrics']


def test_few_pictures_are_drawn(run_test):
    name, out = run_test('FewPicturesHook', 'indices=[2,0]')
    pictures = [cv2.imread(str(out / f'{number}.png')) for number in range(2)]
    height, width = dict(detector=(384, 960), segmentor=(64, 256), classifier=(224, 298))[name]
    assert [picture.shape for picture in pictures] == [(height, width, 3)] * 2
    assert not (out / '2.png').exists() and (pictures[0] != pictures[1]).any()
