import json

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
        (['a', '--seed', '-1'], 2, "'-1' is no integer from 0"),
    ],
)
def test_what_is_wrong_is_one_line(arguments, status, message):
    assert message in run_tool('demo/shapes.py', *arguments, status=status)[1].splitlines()[-1]
