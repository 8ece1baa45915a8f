import json

import cv2
import mmpretrain_env  # noqa: F401
import numpy as np
import pytest
from mmengine.config import Config

from mmcontnet.datasets.check_config import check_config

WIDTH, HEIGHT = 64, 48


def _write_image(path, size=(HEIGHT, WIDTH)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (*size, 3)))


def _findings(cfg, harmless):
    kinds = {}
    for finding in check_config(cfg, workers=2):
        if finding.harmless == harmless:
            kinds.setdefault(finding.kind, []).append(finding.detail)
    return kinds


@pytest.fixture
def write_image():
    """Writes an image of noise, (height, width)."""
    return _write_image


@pytest.fixture
def problems():
    """What breaks something in a config's data, as details by kind."""
    return lambda cfg: _findings(cfg, False)


@pytest.fixture
def remarks():
    """What is merely odd in a config's data, as details by kind."""
    return lambda cfg: _findings(cfg, True)


class CocoData:
    """A data set of three images with a box and a mask each, which tests damage."""

    def __init__(self, root):
        self.root = root
        annotation = dict(bbox=[8, 8, 20, 16], area=320, iscrowd=0, segmentation=[[8, 8, 28, 8, 28, 24, 8, 24]])
        self.content = dict(
            images=[dict(id=n, file_name=f'{n}.jpg', width=WIDTH, height=HEIGHT) for n in range(3)],
            annotations=[dict(annotation, id=n + 1, image_id=n, category_id=n % 2 + 1) for n in range(3)],
            categories=[dict(id=1, name='cat'), dict(id=2, name='dog')],
        )
        self.annotation = self.content['annotations'][1]
        for image in self.content['images']:
            _write_image(self.image(image['id']))
        self.file = root / 'instances.json'
        dataset = dict(
            type='CocoDataset',
            data_root=str(root),
            ann_file='instances.json',
            data_prefix=dict(img='images/'),
            metainfo=dict(classes=('cat', 'dog')),
            filter_cfg=dict(filter_empty_gt=True),
            pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True)],
        )
        heads = dict(bbox_head=dict(num_classes=2), mask_head=dict(num_classes=2))
        self.cfg = Config(
            dict(
                default_scope='mmdet',
                model=dict(type='MaskRCNN', roi_head=dict(heads)),
                train_dataloader=dict(dataset=dict(type='RepeatDataset', times=2, dataset=dataset)),
                val_dataloader=dict(dataset=dict(dataset, test_mode=True)),
                test_dataloader=dict(dataset=dict(dataset, test_mode=True)),
                val_evaluator=dict(type='CocoMetric', ann_file=str(self.file)),
                test_evaluator=dict(type='CocoMetric', ann_file=str(self.file)),
            )
        )
        self.save()

    def image(self, number):
        return self.root / 'images' / f'{number}.jpg'

    def save(self):
        self.file.write_text(json.dumps(self.content))

    def train_alone(self):
        """Leaves the split that is not evaluated; returns its data set's config."""
        for key in ('val_dataloader', 'test_dataloader', 'val_evaluator', 'test_evaluator'):
            self.cfg.pop(key)
        return self.cfg.train_dataloader.dataset.dataset


@pytest.fixture
def coco(tmp_path):
    return CocoData(tmp_path)


@pytest.fixture
def segmentation(tmp_path):
    """The root of a data set of two images in the layout of Cityscapes, and its config."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[:19], labels[19:22] = np.arange(19)[:, None], 255
    (tmp_path / 'labels').mkdir()
    for number in range(2):
        _write_image(tmp_path / f'images/{number}_leftImg8bit.png')
        cv2.imwrite(str(tmp_path / f'labels/{number}_gtFine_labelTrainIds.png'), labels)
    dataset = dict(
        type='CityscapesDataset',
        data_root=str(tmp_path),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')],
    )
    model = dict(type='EncoderDecoder', decode_head=dict(num_classes=19), auxiliary_head=[dict(num_classes=19)])
    return tmp_path, Config(dict(default_scope='mmseg', model=model, train_dataloader=dict(dataset=dataset)))


@pytest.fixture
def classification(tmp_path):
    """The root of two splits with a folder for each of two classes, and their config."""
    for split in ('train', 'val'):
        for name in ('cat', 'dog'):
            _write_image(tmp_path / split / name / '0.jpg')
    dataset = dict(type='CustomDataset', data_root=str(tmp_path), pipeline=[])
    cfg = dict(
        default_scope='mmpretrain',
        model=dict(head=dict(num_classes=2)),
        train_dataloader=dict(dataset=dict(dataset, data_prefix='train')),
        val_dataloader=dict(dataset=dict(dataset, data_prefix='val')),
    )
    return tmp_path, Config(cfg)
