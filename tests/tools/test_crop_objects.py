import json
import runpy
import sys

import cv2
import pytest
import shapes
from conftest import ROOT


@pytest.fixture
def crop(tmp_path, monkeypatch):
    """Runs the tool on a few drawn shapes."""
    monkeypatch.setattr(shapes, 'COUNTS', {'train2017': 8, 'val2017': 6})
    shapes.write_coco(tmp_path / 'coco')

    def crop(*options, coco='coco'):
        arguments = ['crop_objects.py', str(tmp_path / coco), str(tmp_path / 'crops'), *map(str, options)]
        monkeypatch.setattr(sys, 'argv', arguments)
        runpy.run_path(str(ROOT / 'tools/crop_objects.py'), run_name='__main__')

    return crop


def test_every_object_of_the_classes_is_cropped(crop, tmp_path):
    crop('--classes', 3, '--min-size', 80)
    classes = (tmp_path / 'crops/classes.txt').read_text().split()
    assert len(classes) == 3
    for split in ('train', 'val'):
        assert sorted(path.name for path in (tmp_path / 'crops' / split).iterdir()) == classes
        content = json.loads((tmp_path / f'coco/annotations/instances_{split}2017.json').read_text())
        names = {category['id']: category['name'] for category in content['categories']}
        expected = {
            f'{names[annotation["category_id"]]}/{annotation["id"]}.jpg': annotation['bbox'][2:]
            for annotation in content['annotations']
            if names[annotation['category_id']] in classes and min(annotation['bbox'][2:]) >= 80
        }
        crops = {
            str(path.relative_to(tmp_path / 'crops' / split)): path for path in tmp_path.glob(f'crops/{split}/*/*')
        }
        assert crops.keys() == expected.keys()
        for name, (width, height) in expected.items():
            shape = cv2.imread(str(crops[name])).shape
            assert abs(shape[0] - height) <= 1 and abs(shape[1] - width) <= 1


def test_what_is_wrong_is_named(crop, tmp_path):
    with pytest.raises(SystemExit, match=r'nowhere/annotations/instances_train2017\.json: there is no such file'):
        crop(coco='nowhere')
    with pytest.raises(SystemExit, match='--classes 9: only 4 classes'):
        crop('--classes', 9)
    assert not (tmp_path / 'crops').exists()
    crop('--classes', 2)
    with pytest.raises(SystemExit, match='crops exists already'):
        crop('--classes', 2)
