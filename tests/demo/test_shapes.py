import json
import xml.etree.ElementTree as ET

import cv2
import numpy as np
import pytest
import shapes
from pycocotools.coco import COCO
from tool_runner import run_tool


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.setattr(shapes, 'COUNTS', {'train2017': 12, 'val2017': 6})

    def write(name, seed=0):
        shapes.write_coco(tmp_path / name, seed)
        return tmp_path / name

    return write


def test_annotations_fit_the_pictures(write):
    root = write('a')
    for split, count in shapes.COUNTS.items():
        coco = COCO(root / 'annotations' / f'instances_{split}.json')
        assert len(coco.imgs) == count == len(list((root / split).iterdir()))
        assert [category['name'] for category in coco.cats.values()] == list(shapes.CLASSES)
        for image in coco.imgs.values():
            assert cv2.imread(str(root / split / image['file_name'])).shape == (image['height'], image['width'], 3)
        for annotation in coco.anns.values():
            x, y, width, height = annotation['bbox']
            assert x >= 0 and y >= 0 and x + width <= shapes.WIDTH and y + height <= shapes.HEIGHT
            mask = coco.annToMask(annotation)
            assert mask.sum() == annotation['area'] > 0
            ys, xs = np.nonzero(mask)
            assert (xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1) == (x, y, width, height)


def test_layouts_hold_the_same_boxes(write, tmp_path):
    """Those of Pascal VOC count pixels from 1, those of YOLO are shares of the image."""
    root = write('coco')
    shapes.write_voc(tmp_path / 'voc')
    shapes.write_yolo(tmp_path / 'yolo')
    for split, short in (('train2017', 'train'), ('val2017', 'val')):
        coco = COCO(root / 'annotations' / f'instances_{split}.json')
        names = (tmp_path / f'voc/ImageSets/Main/{short}.txt').read_text().split()
        assert len(names) == len(coco.imgs)
        for number, name in zip(coco.imgs, names):
            expected = [(shapes.CLASSES[one['category_id'] - 1], *one['bbox']) for one in coco.imgToAnns[number]]
            page = ET.parse(tmp_path / f'voc/Annotations/{name}.xml').getroot()
            found = []
            for element in page.iter('object'):
                left, top, right, bottom = (int(edge.text) for edge in element.find('bndbox'))
                found.append((element.findtext('name'), left - 1, top - 1, right - left + 1, bottom - top + 1))
            assert found == expected
            found = []
            for line in (tmp_path / f'yolo/labels/{short}/{number:06d}.txt').read_text().splitlines():
                label, x, y, width, height = map(float, line.split())
                box = np.array([x - width / 2, y - height / 2, width, height]) * ([shapes.WIDTH, shapes.HEIGHT] * 2)
                found.append((shapes.CLASSES[int(label)], *np.round(box, 1)))
            assert found == expected
            picture = (root / split / f'{number:06d}.jpg').read_bytes()
            assert picture == (tmp_path / f'voc/JPEGImages/{name}.jpg').read_bytes()
            assert picture == (tmp_path / f'yolo/images/{short}/{number:06d}.jpg').read_bytes()


@pytest.mark.parametrize('seed', range(20))
def test_mark_in_the_disc_or_outside_of_its_box(seed):
    """Near and far differ in the two spots of each disc, and in nothing else."""
    near, far = (shapes.DRAWERS[mark](np.random.default_rng(seed)) for mark in ('near', 'far'))
    assert len(near[1]) > 0
    changed = (near[0] != far[0]).any(2)
    for first, second in zip(near[1], far[1], strict=True):
        assert first.label == second.label and (first.outline == second.outline).all()
        x, y = first.outline.mean(0).round().astype(int)
        assert near[0][y, x].tolist() == list(shapes.COLORS[first.label])
        assert far[0][y, x].tolist() == list(shapes.GRAY)
        left, top = np.floor(first.outline.min(0)).astype(int)
        right, bottom = np.ceil(first.outline.max(0)).astype(int)
        size = round(shapes.MARK) + 2
        spot = slice(y - size, y + size + 1), slice(x - size, x + size + 1)
        inside = changed[top:bottom, left:right].sum()
        assert inside == changed[spot].sum() > 0  # Of the box, the mark alone.
        changed[spot] = False
    assert 0 < changed.sum() < len(near[1]) * (2 * size + 1) ** 2  # At the ends of the lines.


def test_marked_pictures_have_the_same_boxes(tmp_path):
    for mark in ('near', 'far'):
        run_tool('demo/shapes.py', tmp_path / mark, '--images', 4, '--mark', mark)
    name = 'annotations/instances_train2017.json'
    assert (tmp_path / 'near' / name).read_text() == (tmp_path / 'far' / name).read_text()
    name = 'train2017/000001.jpg'
    assert (tmp_path / 'near' / name).read_bytes() != (tmp_path / 'far' / name).read_bytes()


def test_number_of_images(tmp_path):
    run_tool('demo/shapes.py', tmp_path, '--layout', 'yolo', '--images', 5)
    assert [len(list((tmp_path / 'images' / split).iterdir())) for split in ('train', 'val')] == [5, 2]


def test_seed_and_split_decide(write):
    first, again, other = write('a'), write('b'), write('c', seed=1)
    for path in sorted(first.rglob('*.*')):
        same = again / path.relative_to(first)
        assert path.read_bytes() == same.read_bytes()
        assert path.read_bytes() != (other / path.relative_to(first)).read_bytes()
    train, val = (json.loads((first / f'annotations/instances_{split}.json').read_text()) for split in shapes.COUNTS)
    assert train['annotations'][0]['bbox'] != val['annotations'][0]['bbox']


@pytest.mark.parametrize(
    'arguments, status, message',
    [
        ([__file__], 2, 'is no folder'),
        ([f'{__file__}/a'], 1, 'Not a directory'),
        (['a', '--images', '0'], 2, "'0' is no positive integer"),
        (['a', '--layout', 'cityscapes', '--images', '3'], 2, 'streets are always as many'),
        (['a', '--layout', 'cityscapes', '--mark', 'far'], 2, 'streets have none'),
        (['a', '--seed', '-1'], 2, "'-1' is no integer from 0"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, status, message):
    assert message in run_tool('demo/shapes.py', *arguments, status=status)[1].splitlines()[-1]
