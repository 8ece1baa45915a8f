"""What cannot be exported is refused by its name."""

import numpy as np
import pytest
import torch
from conftest import ROOT
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmcontnet.deploy import Classes, Detections, LabelMap
from mmcontnet.export.check import TOLERANCES, compare
from mmcontnet.export.families import wrap
from mmcontnet.export.operators import ONNX
from mmcontnet.export.pipeline import read_pipeline
from mmcontnet.export.segmentor import AdaptivePool


def build(name, **options):
    """A model of a config, on no device."""
    cfg = Config.fromfile(ROOT / f'configs/{name}.py')
    cfg.merge_from_dict({f'model.{key}'.replace('__', '.'): value for key, value in options.items()})
    with DefaultScope.overwrite_default_scope(cfg.default_scope), torch.device('meta'):
        return MODELS.build(cfg.model)


@pytest.mark.parametrize(
    'name, options, message',
    [
        (
            'retinanet_r50_coco',
            dict(type='ATSS'),
            'model is ATSS, which cannot be exported; expected RetinaNet or FCOS',
        ),
        (
            'retinanet_r50_coco',
            dict(backbone__dcn=dict(type='DCN', deform_groups=1), backbone__stage_with_dcn=(False, False, False, True)),
            'backbone.layer4.0.conv2 is DeformConv2dPack of mmcv.ops, which cannot be exported',
        ),
        (
            'retinanet_r50_coco',
            dict(bbox_head__type='RetinaSepBNHead', bbox_head__num_ins=5),
            'bbox_head is RetinaSepBNHead',
        ),
        (
            'faster_rcnn_r50_coco',
            dict(roi_head__type='DoubleHeadRoIHead', roi_head__reg_roi_scale_factor=1.3),
            'roi_head is ',
        ),
        (
            'faster_rcnn_r50_coco',
            dict(roi_head__bbox_roi_extractor__roi_layer__sampling_ratio=2),
            'roi_head.bbox_roi_extractor.roi_layers.0.sampling_ratio is 2, which cannot be exported; expected 0',
        ),
        (
            'faster_rcnn_r50_coco',
            dict(test_cfg__rpn=None),
            'test_cfg.rpn of the model is None; an exported model needs its settings',
        ),
        (
            'mask_rcnn_r50_coco',
            dict(test_cfg__rcnn=None),
            'test_cfg.rcnn of the model is None; an exported model needs its settings',
        ),
        (
            'pspnet_r50_cityscapes',
            dict(test_cfg=dict(mode='slide', crop_size=(64, 64), stride=(32, 32))),
            "test_cfg.mode is 'slide', which cannot be exported; expected 'whole'",
        ),
    ],
)
def test_parts_that_cannot_be_exported_are_named(name, options, message):
    with pytest.raises(ValueError) as error:
        wrap(build(name, **options), ONNX, torch.float32)
    assert str(error.value).startswith(message) and '\n' not in str(error.value)


def pipeline(*transforms):
    return read_pipeline(Config(dict(test_dataloader=dict(dataset=dict(pipeline=list(transforms))))))


def test_pipelines():
    load, pack = dict(type='LoadImageFromFile'), dict(type='mmdet.PackDetInputs')
    assert pipeline(load, dict(type='Resize', scale=(1333, 800), keep_ratio=True, _scope_='mmdet'), pack) == dict(
        resize=dict(scale=[1333, 800]), backend='cv2', crop=None
    )
    assert pipeline(load, dict(type='Resize', scale=(30, 20)), pack)['resize'] == dict(size=[30, 20])
    assert pipeline(load, dict(type='Resize', scale=30), pack)['resize'] == dict(size=[30, 30])
    edge = dict(type='ResizeEdge', scale=256, edge='short', backend='pillow')
    assert pipeline(load, edge, dict(type='CenterCrop', crop_size=224), pack) == dict(
        resize=dict(edge='short', length=256), backend='pillow', crop=[224, 224]
    )


@pytest.mark.parametrize(
    'transforms, message',
    [
        (dict(type='RandomFlip', prob=0.5), 'RandomFlip of the test pipeline cannot be exported; expected Resize'),
        (dict(type='Resize', scale_factor=2.0), 'the number of edges in scale of Resize in the test pipeline is 0'),
        (
            dict(type='Resize', scale=(9, 9), interpolation='area'),
            "interpolation of Resize in the test pipeline is 'area'",
        ),
        (
            dict(type='Resize', scale=(9, 9), backend='tensorflow'),
            "backend of Resize in the test pipeline is 'tensorflow'",
        ),
        (
            [dict(type='CenterCrop', crop_size=20), dict(type='Resize', scale=(9, 9))],
            'Resize in the test pipeline follows another transform of the size',
        ),
        (
            [dict(type='Resize', scale=(9, 9)), dict(type='ResizeEdge', scale=20)],
            'ResizeEdge in the test pipeline follows another transform of the size',
        ),
        (dict(type='LoadImageFromFile', color_type='grayscale'), 'color_type of LoadImageFromFile in the test pipe'),
        (dict(type='LoadImageFromFile', imdecode_backend='pillow'), 'imdecode_backend of LoadImageFromFile in the'),
    ],
)
def test_other_transforms_are_refused(transforms, message):
    with pytest.raises(ValueError) as error:
        pipeline(*(transforms if isinstance(transforms, list) else [transforms]))
    assert str(error.value).startswith(message)


def test_config_without_test_data_is_refused():
    with pytest.raises(ValueError, match='test_dataloader is missing; its pipeline says how pictures are resized'):
        read_pipeline(Config(dict(test_dataloader=None)))


@pytest.mark.parametrize('size', [1, 2, 3, 6])
def test_adaptive_pooling_is_that_of_torch(size):
    for shape in ((2, 3, 12, 18), (1, 2, 7, 11), (1, 1, 3, 5)):
        x = torch.randn(shape)
        torch.testing.assert_close(AdaptivePool(size)(x), torch.nn.AdaptiveAvgPool2d(size)(x))


BOXES = np.array([[10.0, 10, 50, 50], [60, 60, 90, 80]], np.float32)

# Thinner than a pixel, and of no area at all.
LINES = np.array([[10.0, 10, 50, 10.01], [60, 60, 90, 60]], np.float32)


def detections(boxes=BOXES, scores=(0.9, 0.2), labels=(0, 1), masks=None):
    return Detections(boxes, np.array(scores), np.array(labels), masks)


SQUARES = np.zeros((2, 100, 100), bool)
SQUARES[0, 20:40, 20:40] = True

# An object of eight pixels.
SMALL = np.zeros((2, 100, 100), bool)
SMALL[0, 20:24, 20:22] = True


@pytest.mark.parametrize(
    'expected, found, message',
    [
        (detections(), detections(), ''),
        (detections(), detections(scores=(0.9004, 0.1)), ''),
        (detections(), detections(BOXES + 0.05), ''),
        (detections(LINES), detections(LINES + [0, 0, 0, 0.001]), ''),
        (detections(LINES), detections(LINES + [0, 0, 0, 0.1]), 'is missing the box'),
        (
            detections(),
            detections(BOXES + 1),
            r'is missing the box \[10.0, 10.0, 50.0, 50.0\] of class 0 with score 0.9',
        ),
        (detections(), detections(labels=(1, 1)), 'is missing the box'),
        (detections(), detections(scores=(0.91, 0.2)), 'is missing the box'),
        (detections(), detections(scores=(0.9, 0.4)), r'is new the box \[60.0'),
        (detections(masks=SQUARES), detections(masks=SQUARES), ''),
        (detections(masks=SQUARES), detections(masks=np.roll(SQUARES, 1, 1)), 'is missing the box'),
        (detections(masks=SMALL), detections(masks=SMALL & (np.arange(100) != 20)), 'is missing the box'),
        (detections(masks=SMALL), detections(masks=SMALL & (np.arange(100) + np.arange(100)[:, None] != 40)), ''),
        (detections(), detections(np.full_like(BOXES, np.nan)), 'finds numbers that are not finite'),
        (detections(scores=(0.2, 0.1)), detections(scores=(0.2, 0.05)), ''),
        (detections(scores=(0.2, 0.1)), detections(scores=(np.nan, 0.1)), 'finds numbers that are not finite'),
        (detections(scores=(0.2, 0.1)), detections(scores=(0.25, 0.1)), r'is missing the box \[10.0'),
        (LabelMap(SQUARES[0]), LabelMap(SQUARES[0]), ''),
        (LabelMap(SQUARES[0]), LabelMap(SQUARES[1]), '96.00% of the pixels agree'),
        (Classes(np.array([0.9, 0.1]), np.array([1, 0])), Classes(np.array([0.9, 0.1]), np.array([1, 0])), ''),
        (
            Classes(np.array([0.9, 0.1]), np.array([1, 0])),
            Classes(np.array([0.9, 0.1]), np.array([0, 1])),
            'by up to 0.8',
        ),
        (Classes(np.array([0.9, 0.1]), np.array([1, 0])), Classes(np.full(2, np.nan), np.array([1, 0])), 'up to nan'),
    ],
)
def test_predictions_that_differ_are_told_apart(expected, found, message):
    if not message:
        assert 'agree' in compare(expected, found, TOLERANCES['float32'], 'a.jpg')
        return
    with pytest.raises(ValueError, match=message):
        compare(expected, found, TOLERANCES['float32'], 'a.jpg')
