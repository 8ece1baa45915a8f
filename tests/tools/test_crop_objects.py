import json
import runpy
import sys

import cv2
import mmcv
import numpy as np
import pytest
import shapes
from conftest import ROOT


@pytest.fixture
def crop(tmp_path, monkeypatch):
    """Runs the tool on a few drawn shapes."""
    monkeypatch.setattr(shapes, 'COUNTS', {'train2017': 8, 'val2017': 6})
    shapes.write_coco(tmp_path / 'coco')

    def crop(*options, coco='coco', out='crops'):
        arguments = ['crop_objects.py', str(tmp_path / coco), str(tmp_path / out), *map(str, options)]
        monkeypatch.setattr(sys, 'argv', arguments)
        runpy.run_path(str(ROOT / 'tools/crop_objects.py'), run_name='__main__')

    return crop


def annotations(tmp_path, split):
    return json.loads((tmp_path / f'coco/annotations/instances_{split}2017.json').read_text())


def change(tmp_path, edit, splits=('train', 'val')):
    for split in splits:
        content = annotations(tmp_path, split)
        edit(content)
        (tmp_path / f'coco/annotations/instances_{split}2017.json').write_text(json.dumps(content))


def frequencies(tmp_path, split, min_size):
    """How many objects of that size each class has."""
    content = annotations(tmp_path, split)
    names = {category['id']: category['name'] for category in content['categories']}
    large = [names[one['category_id']] for one in content['annotations'] if min(one['bbox'][2:]) >= min_size]
    return {name: large.count(name) for name in large}


@pytest.mark.slow
def test_every_object_of_the_classes_is_cropped(crop, tmp_path):
    crop('--classes', 3, '--min-size', 80)
    classes = (tmp_path / 'crops/classes.txt').read_text().split()
    assert len(classes) == 3
    for split in ('train', 'val'):
        assert sorted(path.name for path in (tmp_path / 'crops' / split).iterdir()) == classes
        content = annotations(tmp_path, split)
        names = {category['id']: category['name'] for category in content['categories']}
        files = {image['id']: image['file_name'] for image in content['images']}
        expected = {
            f'{names[annotation["category_id"]]}/{annotation["id"]}.jpg': annotation
            for annotation in content['annotations']
            if names[annotation['category_id']] in classes and min(annotation['bbox'][2:]) >= 80
        }
        crops = {
            str(path.relative_to(tmp_path / 'crops' / split)): path for path in tmp_path.glob(f'crops/{split}/*/*')
        }
        assert crops.keys() == expected.keys()
        for name, annotation in expected.items():
            found = cv2.imread(str(crops[name])).astype(int)
            x, y, width, height = map(int, annotation['bbox'])
            image = cv2.imread(str(tmp_path / f'coco/{split}2017' / files[annotation['image_id']]))
            wanted = image[y : y + height, x : x + width].astype(int)
            assert found.shape == wanted.shape
            assert np.abs(found - wanted).mean() < 5 < np.abs(found[:, :-9] - wanted[:, 9:]).mean()


def test_classes_are_the_most_frequent_of_train(crop, tmp_path):
    def spread(content, categories):
        for annotation, category in zip(content['annotations'], categories):
            annotation['category_id'] = category
        del content['annotations'][len(categories) :]

    change(tmp_path, lambda content: spread(content, [1, 2, 3, 4, 2, 4, 2, 4, 2, 4, 4]), ['train'])
    change(tmp_path, lambda content: spread(content, [1, 1, 1, 1, 2, 3, 3, 3]), ['val'])  # Without the most frequent.
    names = {category['id']: category['name'] for category in annotations(tmp_path, 'train')['categories']}
    crop('--classes', 1)
    assert (tmp_path / 'crops/classes.txt').read_text().split() == [names[2]]


def test_classes_are_the_same_where_ids_differ(crop, tmp_path):
    def renumber(content):
        for entry, key in [(one, 'category_id') for one in content['annotations']] + [
            (one, 'id') for one in content['categories']
        ]:
            entry[key] = 90 - entry[key]

    change(tmp_path, renumber, ['val'])
    crop('--classes', 4)
    for split in ('train', 'val'):
        assert {path.name: len(list(path.iterdir())) for path in (tmp_path / 'crops' / split).iterdir()} == frequencies(
            tmp_path, split, 16
        )


def set_all(key, value):
    def edit(content):
        for annotation in content['annotations']:
            annotation[key] = value

    return edit


def set_first(part, **values):
    return lambda content: content[part][0].update(values)


def rename(*names):
    def edit(content):
        for category, name in zip(content['categories'], names):
            category['name'] = name

    return edit


# Changes of the annotations, and words of the one line that the tool ends with.
REFUSED = {
    'evil category': (rename('../../evil'), [r"category '../../evil' cannot name a folder"]),
    'absolute category': (rename('/tmp/evil'), ["'/tmp/evil' cannot name a folder"]),
    'category ..': (rename('..'), ["'..' cannot name a folder"]),
    'category .': (rename('.'), ["'.' cannot name a folder"]),
    'category of a backslash': (rename('a\\b'), ['cannot name a folder']),
    'category of NUL': (rename('a\0'), ['cannot name a folder']),
    'category of a surrogate': (rename('\ud800'), ['cannot name a folder']),
    'long category': (rename('x' * 300), ['too long']),
    'category of None': (rename(None), ['Category has no name', 'categories[0]']),
    'categories of one name': (rename('a', 'a'), ['Categories share a name']),
    'evil id': (set_first('annotations', id='../x'), ["annotation '../x': expected a whole number"]),
    'id 0.5': (set_first('annotations', id=0.5), ['annotation 0.5: expected a whole number']),
    'equal ids': (set_all('id', 7), ['Annotations share an id', 'problems in all']),
    'box outside': (set_first('annotations', bbox=[9000, 8, 99, 99]), ['Box is not inside its image']),
    'box of NaN': (set_first('annotations', bbox=[float('nan')] * 4), ['Box is not inside its image']),
    'box of 1e30': (set_first('annotations', bbox=[0, 0, 1e30, 1e30]), ['Box is not inside its image']),
    'box of text': (set_first('annotations', bbox='8888'), ['lacks a box of four numbers', 'annotation ']),
    'empty boxes': (set_all('bbox', [8, 8, 0, 0]), ['only 0 classes']),
    'crowds': (set_all('iscrowd', 1), ['only 0 classes']),
    'annotation of None': (lambda content: content['annotations'].append(None), ['Annotation is no object']),
    'images of None': (lambda content: content.update(images=None), ['images is None; expected a list']),
    'evil image': (
        lambda content: [one.update(file_name=f'../gone/{one["id"]}') for one in content['images']],
        ['can be used', 'gone'],
    ),
    'other sizes': (
        lambda content: [one.update(width=one['width'] + 1) for one in content['images']],
        ['annotated as (481, 384)'],
    ),
}


@pytest.mark.parametrize('name', REFUSED)
def test_wrong_data_are_refused(crop, tmp_path, name):
    edit, words = REFUSED[name]
    change(tmp_path, edit)
    before = sorted(tmp_path.rglob('*'))
    with pytest.raises(SystemExit) as end:
        crop('--classes', 4)
    assert all(word in end.value.code for word in words), end.value.code
    assert '\n' not in end.value.code
    assert sorted(tmp_path.rglob('*')) == before  # Nothing is written anywhere, nothing half-written is left.


def test_images_that_cannot_be_read_are_left_out_and_counted(crop, tmp_path, capsys):
    images = sorted((tmp_path / 'coco/train2017').iterdir())
    images[0].unlink()
    images[1].write_bytes(images[1].read_bytes()[:-300])
    crop('--classes', 4)
    assert 'train: images left out: 2, the first: ' in capsys.readouterr().out
    left_out = {image['id'] for image in annotations(tmp_path, 'train')['images'] if image['file_name'] in
                {path.name for path in images[:2]}}  # fmt: skip
    ids = {one['id'] for one in annotations(tmp_path, 'train')['annotations'] if one['image_id'] in left_out}
    assert not ids & {int(path.stem) for path in tmp_path.glob('crops/train/*/*')}


@pytest.mark.parametrize('error', [KeyboardInterrupt, OSError(28, 'No space left on device')])
def test_what_is_interrupted_leaves_nothing(crop, tmp_path, monkeypatch, error):
    write, calls = mmcv.imwrite, []

    def fail(*arguments):
        calls.append(arguments)
        if len(calls) == 5:
            raise error
        return write(*arguments)

    monkeypatch.setattr(mmcv, 'imwrite', fail)
    before = sorted(tmp_path.rglob('*'))
    with pytest.raises(SystemExit, match='130' if error is KeyboardInterrupt else 'is not written'):
        crop('--classes', 2)
    assert len(calls) == 5 and sorted(tmp_path.rglob('*')) == before


def test_what_is_wrong_is_named(crop, tmp_path):
    with pytest.raises(SystemExit, match=r'nowhere/annotations/instances_train2017\.json: there is no such file'):
        crop(coco='nowhere')
    with pytest.raises(SystemExit, match='--classes 9: only 4 classes'):
        crop('--classes', 9)
    for options in (['--classes', 0], ['--min-size', -1], ['--classes', 'nan']):
        with pytest.raises(SystemExit, match='2'):
            crop(*options)
    assert not (tmp_path / 'crops').exists()
    with pytest.raises(SystemExit, match='is not written'):
        crop('--classes', 2, out='coco/annotations/instances_val2017.json/crops')
    crop('--classes', 2)
    with pytest.raises(SystemExit, match='2'):
        crop('--classes', 2)
    (tmp_path / 'link').symlink_to('gone')
    with pytest.raises(SystemExit, match='2'):
        crop('--classes', 2, out='link')
