import json
import runpy
import shutil
import sys
from importlib import import_module

import cv2
import mmpretrain_env  # noqa: F401
import numpy as np
import pytest
from conftest import ROOT
from mmengine.config import Config
from PIL import Image

from mmcontnet.datasets.check_config import check_config, summarise

WIDTH, HEIGHT = 64, 48


def write_image(path, size=(HEIGHT, WIDTH)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (*size, 3)))


def problems(cfg):
    """What breaks something, as details by kind."""
    kinds = {}
    for finding in check_config(cfg, workers=2):
        if not finding.harmless:
            kinds.setdefault(finding.kind, []).append(finding.detail)
    return kinds


class CocoData:
    """A data set of three images with a box and a mask each, which tests damage."""

    def __init__(self, root):
        self.root = root
        annotation = dict(bbox=[8, 8, 20, 16], area=320, iscrowd=0, segmentation=[[8, 8, 28, 8, 28, 24, 8, 24]])
        self.content = dict(
            images=[dict(id=n, file_name=f'{n}.jpg', width=WIDTH, height=HEIGHT) for n in range(3)],
            annotations=[dict(annotation, id=n, image_id=n, category_id=n % 2 + 1) for n in range(3)],
            categories=[dict(id=1, name='cat'), dict(id=2, name='dog')],
        )
        self.annotation = self.content['annotations'][1]
        for image in self.content['images']:
            write_image(self.image(image['id']))
        self.file = root / 'instances.json'
        dataset = dict(
            type='CocoDataset',
            data_root=str(root),
            ann_file='instances.json',
            data_prefix=dict(img='images/'),
            metainfo=dict(classes=('cat', 'dog')),
            filter_cfg=dict(filter_empty_gt=True),
            pipeline=[dict(type='LoadAnnotations', with_bbox=True, with_mask=True)],
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


@pytest.fixture
def coco(tmp_path):
    return CocoData(tmp_path)


def test_healthy_data_pass(coco):
    assert check_config(coco.cfg, workers=2) == []


def test_equal_splits_are_checked_once(coco):
    coco.image(1).unlink()
    assert problems(coco.cfg) == {'Image is missing': [str(coco.image(1))] * 2}  # train, val


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def set_num_classes(coco):
    coco.cfg.model.roi_head.bbox_head.num_classes = 80


def set_metric(coco, path):
    coco.cfg.val_evaluator.ann_file = str(path)


# What happens to the data, and the problem that has to be found: its kind, and words of its details.
DAMAGES = {
    'no folder': (lambda d: shutil.rmtree(d.root / 'images'), 'File or folder is missing', ['images/']),
    'no annotations': (lambda d: d.file.unlink(), 'File or folder is missing', ['instances.json', 'of CocoMetric']),
    'no JSON': (lambda d: d.file.write_text('{"images": ['), 'Annotations cannot be read', ['json', 'JSONDecodeError']),
    'not COCO': (
        lambda d: d.file.write_text('{"annotations": [{"id": 1}]}'),
        'Annotations cannot be read',
        ['image_id'],
    ),
    'truncated image': (lambda d: cut(d.image(1)), 'Image cannot be decoded', ['1.jpg', 'truncated']),
    'no image': (lambda d: d.image(1).write_text('<html>'), 'Image cannot be decoded', ['1.jpg', 'identify']),
    'other size': (
        lambda d: write_image(d.image(1), (50, 70)),
        'Image has another size than its annotation',
        ['1.jpg', '(70, 50)', '(64, 48)'],
    ),
    'num_classes': (
        set_num_classes,
        'Head has another number of classes than the data',
        ['model.roi_head.bbox_head.num_classes is 80', '2 classes'],
    ),
    'missing file of the metric': (lambda d: set_metric(d, 'gone.json'), 'File or folder is missing', ['gone.json']),
    'other file of the metric': (
        lambda d: set_metric(d, shutil.copy(d.file, d.root / 'other.json')),
        'Metric reads other annotations than the data set',
        ['other.json', 'instances.json'],
    ),
}

# Changes of the file of annotations.
EDITS = {
    'renamed category': (
        lambda d: d.content['categories'][1].update(name='Dog'),
        "Category is not among the config's classes: its annotations are dropped",
        ["'Dog', 1 annotations"],
    ),
    'class without category': (
        lambda d: d.content['categories'][1].update(name='Dog'),
        'Class is not among the categories: labels shift',
        ["'dog'"],
    ),
    'order': (
        lambda d: d.content['categories'].reverse(),
        'Categories are in another order than the classes',
        ["'dog' for 'cat'"],
    ),
    'images of one id': (lambda d: d.content['images'][1].update(id=0), 'Images share an id', ['json: 0']),
    'unknown image': (lambda d: d.annotation.update(image_id=7), 'Annotation is of an unknown image', ['image 7']),
    'unknown category': (
        lambda d: d.annotation.update(category_id=7),
        'Annotation is of an unknown category',
        ['annotation 1, category 7'],
    ),
    'no box': (
        lambda d: d.annotation.pop('bbox'),
        'Annotation lacks a box of four numbers or its area',
        ['annotation 1'],
    ),
    'box outside': (
        lambda d: d.annotation.update(bbox=[50, 8, 20, 16]),
        'Box is not inside its image',
        ['1.jpg: annotation 1, box [50, 8, 20, 16], image (64, 48)'],
    ),
    'box of NaN': (
        lambda d: d.annotation.update(bbox=[8, 8, float('nan'), 16]),
        'Box is not inside its image',
        ['nan'],
    ),
    'no mask': (lambda d: d.annotation.update(segmentation=[]), 'Annotation has no mask', ['annotation 1']),
    'two points': (
        lambda d: d.annotation.update(segmentation=[[8, 8, 28, 24]]),
        'Polygon has fewer than three points or half a point',
        ['annotation 1'],
    ),
    'broken run lengths': (
        lambda d: d.annotation.update(segmentation=dict(size=[HEIGHT, WIDTH], counts=[0, 9999])),
        'Mask cannot be decoded',
        ['annotation 1', 'Invalid RLE'],
    ),
    'mask of another size': (
        lambda d: d.annotation.update(segmentation=dict(size=[9, 9], counts=[40, 41])),
        'Mask has another size than its image',
        ['(9, 9), image (64, 48)'],
    ),
    'nothing left': (lambda d: d.content.update(annotations=[]), 'No image is left to use', ['instances.json']),
}


@pytest.mark.parametrize('name', DAMAGES)
def test_damage_is_found(coco, name):
    damage, kind, words = DAMAGES[name]
    damage(coco)
    details = ' '.join(problems(coco.cfg)[kind])
    assert all(word in details for word in words), details


@pytest.mark.parametrize('name', EDITS)
def test_error_in_annotations_is_found(coco, name):
    edit, kind, words = EDITS[name]
    edit(coco)
    coco.save()
    details = ' '.join(problems(coco.cfg)[kind])
    assert all(word in details for word in words), details


def test_oddities_are_remarks(coco):
    coco.content['annotations'][0].update(bbox=[8, 8, 0, 16])
    coco.content['annotations'][1].update(iscrowd=1)
    coco.content['images'].append(dict(id=3, file_name='3.jpg', width=WIDTH, height=HEIGHT))
    write_image(coco.image(3))
    coco.save()
    findings = check_config(coco.cfg, workers=2)
    assert all(finding.harmless for finding in findings)
    assert {finding.kind for finding in findings} == {
        'Box is empty: the data set skips it',
        'Annotation is of a crowd',
        'Image has no annotations',
    }


def test_image_that_exif_rotates_has_the_size_that_mmdet_sees(coco):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (HEIGHT, WIDTH)).save(coco.image(1), exif=exif)
    assert cv2.imread(str(coco.image(1))).shape[:2] == (HEIGHT, WIDTH)
    assert problems(coco.cfg) == {}


def test_boxes_alone_need_no_masks(coco):
    for dataset in (coco.cfg.train_dataloader.dataset.dataset, coco.cfg.val_dataloader.dataset):
        dataset.pipeline[0].with_mask = False
    coco.cfg.pop('test_dataloader')
    coco.annotation.pop('segmentation')
    coco.save()
    assert problems(coco.cfg) == {}


@pytest.fixture
def segmentation(tmp_path):
    """The root of a data set of two images in the layout of Cityscapes, and its config."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[:9], labels[9:12] = 18, 255
    for number in range(2):
        write_image(tmp_path / f'images/{number}_leftImg8bit.png')
        (tmp_path / 'labels').mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f'labels/{number}_gtFine_labelTrainIds.png'), labels)
    dataset = dict(
        type='CityscapesDataset',
        data_root=str(tmp_path),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')],
    )
    model = dict(type='EncoderDecoder', decode_head=dict(num_classes=19), auxiliary_head=[dict(num_classes=19)])
    return tmp_path, Config(dict(default_scope='mmseg', model=model, train_dataloader=dict(dataset=dataset)))


def test_healthy_label_maps_pass(segmentation):
    assert check_config(segmentation[1], workers=2) == []


@pytest.mark.parametrize(
    'labels, kind, words',
    [
        (np.full((HEIGHT, WIDTH), 26), 'Labels are out of range', ['0_gtFine', '[26]', '0 to 18 and 255']),
        (np.zeros((9, 8)), 'Label map has another size than its image', ['0_gtFine', '(8, 9), image (64, 48)']),
        (np.zeros((HEIGHT, WIDTH, 3)), 'Label map has another size than its image', ['0_gtFine']),
        (None, 'Label map cannot be read', ['0_gtFine', 'No such file']),
    ],
    ids=['ids that are no train ids', 'other size', 'colours', 'missing'],
)
def test_bad_label_map_is_found(segmentation, labels, kind, words):
    root, cfg = segmentation
    path = root / 'labels/0_gtFine_labelTrainIds.png'
    path.unlink()
    if labels is not None:
        cv2.imwrite(str(path), labels)
    (detail,) = problems(cfg)[kind]
    assert all(word in detail for word in words)


def test_segmentation_without_images_is_found(segmentation):
    root, cfg = segmentation
    cfg.train_dataloader.dataset.img_suffix = '.jpg'
    cfg.model.auxiliary_head[0].num_classes = 21
    found = problems(cfg)
    assert found['No image is left to use'] == [f'{root}/images']
    assert found['Head has another number of classes than the data'][0].startswith(
        'model.auxiliary_head.0.num_classes is 21'
    )


def test_classification(tmp_path):
    import_module('mmpretrain.datasets')
    for split in ('train', 'val'):
        for name in ('cat', 'dog'):
            write_image(tmp_path / split / name / '0.jpg')
    dataset = dict(type='CustomDataset', data_root=str(tmp_path), pipeline=[])
    cfg = Config(
        dict(
            default_scope='mmpretrain',
            model=dict(head=dict(num_classes=2)),
            train_dataloader=dict(dataset=dict(dataset, data_prefix='train')),
            val_dataloader=dict(dataset=dict(dataset, data_prefix='val')),
        )
    )
    assert check_config(cfg, workers=2) == []
    cut(tmp_path / 'train/cat/0.jpg')
    shutil.rmtree(tmp_path / 'val/cat')
    found = problems(cfg)
    assert 'truncated' in found['Image cannot be decoded'][0]
    assert found['Class has no folder: labels shift'] == [f"{tmp_path}/val: 'cat'"]


def run_tool(monkeypatch, *arguments):
    """Runs the tool as a command; returns what ends it."""
    monkeypatch.setattr(sys, 'argv', ['check_data.py', *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / 'tools/check_data.py'), run_name='__main__')
    return end.value.code


def test_tool_reports(coco, monkeypatch, capsys):
    config = coco.root / 'config.py'
    coco.cfg.dump(config)
    assert run_tool(monkeypatch, config) == 0
    assert 'Problems: none\nRemarks: none' in capsys.readouterr().out
    assert run_tool(monkeypatch, config, '--cfg-options', 'model.roi_head.mask_head.num_classes=1') == 1
    assert '  Head has another number of classes than the data: 2\n    model.roi_head.mask' in capsys.readouterr().out


def test_tool_says_what_it_cannot_check(coco, monkeypatch):
    assert run_tool(monkeypatch, 'gone.py') == 2
    config = coco.root / 'config.py'
    coco.cfg.train_dataloader.dataset = dict(
        type='VOCDataset', data_root=str(coco.root), data_prefix=dict(img='images')
    )
    coco.cfg.dump(config)
    assert 'VOCDataset: of mmdet' in run_tool(monkeypatch, config)
    coco.cfg.default_scope = 'mmtrack'
    coco.cfg.dump(config)
    assert "default_scope is 'mmtrack'" in run_tool(monkeypatch, config)


def test_summary_shows_five_of_each_kind(coco):
    coco.content['images'] = [dict(coco.content['images'][0], id=n) for n in range(9)]
    coco.content['annotations'] = [dict(coco.annotation, id=n, image_id=n, bbox=[60, 0, 9, 9]) for n in range(9)]
    coco.save()
    coco.cfg.pop('val_dataloader')
    coco.cfg.pop('test_dataloader')
    text = summarise(check_config(coco.cfg, workers=2))
    assert '  Box is not inside its image: 9\n' in text and text.count('box [60') == 5 and '    ...' in text
