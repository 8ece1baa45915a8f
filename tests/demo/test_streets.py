import json

import cv2
import numpy as np
import pytest
import streets
import torch
from cityscapesscripts.helpers.labels import id2label, name2label
from conftest import ROOT
from mmdet.datasets import CityscapesDataset
from mmdet.evaluation import CityScapesMetric
from mmengine.config import Config
from pycocotools.coco import COCO

from mmcontnet.datasets.check_config import check_config

pytestmark = pytest.mark.slow

CLASSES = CityscapesDataset.METAINFO['classes']


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder as the configs expect it, with a few images of each split in data/cityscapes."""
    folder = tmp_path_factory.mktemp('project')
    counts, streets.COUNTS = streets.COUNTS, {'train': 4, 'val': 2, 'test': 1}
    streets.write_cityscapes(folder / 'data/cityscapes')
    streets.COUNTS = counts
    return folder


@pytest.fixture
def root(folder):
    return folder / 'data/cityscapes'


def maps(root, name):
    return {
        path.name[: -len(f'_{name}.png')]: cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        for path in sorted(root.glob(f'gtFine/*/*/*_{name}.png'))
    }


def test_layout_is_that_of_cityscapes(root):
    suffixes = ['color.png', 'instanceIds.png', 'labelIds.png', 'labelTrainIds.png', 'polygons.json']
    for split, count in dict(train=4, val=2, test=1).items():
        images = sorted(root.glob(f'leftImg8bit/{split}/*/*.png'))
        assert len(images) == count
        for image in images:
            assert image.name.endswith('_leftImg8bit.png')
            assert cv2.imread(str(image)).shape == (streets.HEIGHT, streets.WIDTH, 3)
            stem = str(image).replace('leftImg8bit', 'gtFine')[: -len('.png')]
            assert sorted(map(str, root.glob(f'gtFine/{split}/*/{image.name[:-16]}*'))) == [
                f'{stem}_{suffix}' for suffix in suffixes
            ]


def test_polygons_match_label_maps(root):
    labels = maps(root, 'labelIds')
    for path in root.glob('gtFine/*/*/*_polygons.json'):
        content = json.loads(path.read_text())
        drawn = np.zeros((content['imgHeight'], content['imgWidth']), np.uint8)
        for part in content['objects']:
            cv2.fillPoly(drawn, [np.array(part['polygon'])], name2label[part['label']].id)
        assert (drawn == labels[path.name[: -len('_polygons.json')]]).mean() > 0.99


def test_maps_agree(root):
    train_ids, instances, colors = (maps(root, name) for name in ('labelTrainIds', 'instanceIds', 'color'))
    for name, labels in maps(root, 'labelIds').items():
        assert (train_ids[name] == np.vectorize(lambda label: id2label[label].trainId)(labels)).all()
        assert (np.where(instances[name] < 1000, instances[name], instances[name] // 1000) == labels).all()
        color = np.array([id2label[label].color for label in range(34)])[labels]
        assert (colors[name][..., 2::-1] == color).all()


def test_converted_annotations_are_the_instances(root):
    instances = maps(root, 'instanceIds')
    for split in streets.COUNTS:
        coco = COCO(root / f'annotations/instancesonly_filtered_gtFine_{split}.json')
        assert tuple(category['name'] for category in coco.dataset['categories']) == CLASSES
        for number, image in coco.imgs.items():
            expected = instances[image['segm_file'].split('/')[1].replace('_labelIds.png', '')]
            annotations = coco.imgToAnns[number]
            assert len(annotations) == (np.unique(expected) >= 1000).sum() > 0
            for annotation in annotations:
                found = np.unique(expected[coco.annToMask(annotation) == 1])
                assert len(found) == 1 and found[0] // 1000 == annotation['category_id']


def test_all_things_that_cityscapes_counts_occur():
    rng = np.random.default_rng(0)
    seen = {region.label for _ in range(12) for region in streets.draw_street(rng)[1]}
    assert set(CLASSES) == set(streets.THINGS) == seen - set(streets.STUFF)


def test_seed_decides():
    pictures = [streets.draw_street(np.random.default_rng(seed))[0] for seed in (0, 0, 1)]
    assert (pictures[0] == pictures[1]).all() and (pictures[0] != pictures[2]).any()


@pytest.mark.parametrize('name', ['mask_rcnn_contm_cityscapes', 'pspnet_contm_cityscapes'])
def test_configs_find_their_data(folder, name, monkeypatch):
    monkeypatch.chdir(folder)
    findings = check_config(Config.fromfile(ROOT / f'configs/{name}.py'), workers=1)
    # Few pictures show few classes, and the instances are counted from 0, as by mmdet's converter.
    assert {(finding.kind.split(':')[0], finding.harmless) for finding in findings} <= {
        ('Class is in no label map', True),
        ('Annotation has the id 0', True),
    }


def test_map_of_the_metric_is_missed(folder, monkeypatch):
    monkeypatch.chdir(folder)
    path = next(folder.glob('data/cityscapes/gtFine/val/*/*_instanceIds.png')).relative_to(folder)
    path.rename('away.png')
    try:
        findings = check_config(Config.fromfile(ROOT / 'configs/mask_rcnn_contm_cityscapes.py'), workers=1)
    finally:
        (folder / 'away.png').rename(path)
    assert [tuple(finding) for finding in findings if not finding.harmless] == [('Image is missing', str(path), False)]


def test_metric_of_cityscapes_finds_the_instances(root, tmp_path):
    """mmdet's metric and the cityscapesscripts below it work with the packages installed."""
    metric = CityScapesMetric(str(tmp_path), seg_prefix=str(root / 'gtFine/val'))
    metric.dataset_meta = dict(classes=CLASSES)
    for path in root.glob('leftImg8bit/val/*/*.png'):
        instances = maps(root, 'instanceIds')[path.name.replace('leftImg8bit.png', 'gtFine')]
        numbers = [number for number in np.unique(instances) if number >= 1000]
        predicted = dict(
            labels=torch.tensor([CLASSES.index(id2label[number // 1000].name) for number in numbers]),
            masks=torch.tensor(np.stack([instances == number for number in numbers])),
            scores=torch.ones(len(numbers)),
        )
        metric.process({}, [dict(img_path=str(path), pred_instances=predicted)])
    assert metric.evaluate(2) == {'cityscapes/mAP': 1, 'cityscapes/AP@50': 1}
