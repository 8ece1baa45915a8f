import json
import shutil
from importlib import import_module

import pytest


@pytest.fixture(autouse=True)
def registered():
    import_module('mmpretrain.datasets')


def test_healthy_folders_pass(classification, problems, remarks):
    assert problems(classification[1]) == remarks(classification[1]) == {}


def test_damage_is_found(classification, problems):
    root, cfg = classification
    image = root / 'train/cat/0.jpg'
    image.write_bytes(image.read_bytes()[:-200])
    shutil.rmtree(root / 'val/cat')
    found = problems(cfg)
    assert 'truncated' in found['Image cannot be decoded'][0]
    assert found['Class has no folder: labels shift'] == [f"{root}/val: 'cat'"]


def test_class_without_images_is_a_remark(classification, problems, remarks):
    root, cfg = classification
    (root / 'train/cat/0.jpg').unlink()
    assert problems(cfg) == {}
    assert remarks(cfg) == {'Class has no image': [f"{root}/train: 'cat'"]}


@pytest.mark.parametrize(
    'text, kind, words',
    [
        ('cat/0.jpg -1', 'Labels are out of range', ['cat/0.jpg: -1; allowed are 0 to 1']),
        ('cat/0.jpg 2', 'Labels are out of range', ['cat/0.jpg: 2; allowed are 0 to 1']),
        ('cat/0.jpg 99999999999999999999', 'Label', ['cat/0.jpg']),
        ('cat/0.jpg one', 'Annotations cannot be read', ['list.txt', 'one']),
        ('cat/0.jpg', 'Annotations cannot be read', ['list.txt']),
        ('cat/0.jpg 1.0', 'Annotations cannot be read', ['list.txt']),
        ('cat/../../../gone.jpg 1', 'Image is missing', ['gone.jpg']),
        ('\0 1', 'Image is missing', []),
        ('', 'No image is left to use', ['list.txt']),
    ],
)
def test_bad_line_is_found(classification, problems, text, kind, words):
    root, cfg = classification
    (root / 'list.txt').write_text(text)
    cfg.train_dataloader.dataset.update(ann_file='list.txt', metainfo=dict(classes=('cat', 'dog')))
    found = problems(cfg)
    details = ' '.join(detail for name, details in found.items() if kind in name for detail in details)
    assert details and all(word in details for word in words), found


@pytest.mark.parametrize('label, kind', [
    (1, None), ([0, 1], None), ([], None),
    ('cat', 'Labels are not whole numbers'), (None, 'Labels are not whole numbers'), (0.5, 'Labels are not whole'),
    ([0, 2], 'Labels are out of range'), ([0, None], 'Labels are not whole'), ([[0], 1], 'Image cannot be checked'),
    (float('nan'), 'Labels are not whole'), (True, 'Labels are not whole'), ({'a': 1}, 'Labels are not whole'),
    ({}, 'Labels are not whole'), (..., 'Image has no label'),
], ids=str)  # fmt: skip
def test_any_label_is_checked(classification, problems, label, kind):
    root, cfg = classification
    info = dict(img_path='cat/0.jpg') if label is ... else dict(img_path='cat/0.jpg', gt_label=label)
    content = dict(metainfo=dict(classes=['cat', 'dog']), data_list=[info])
    (root / 'list.json').write_text(json.dumps(content))
    cfg.train_dataloader.dataset.update(type='mmpretrain.BaseDataset', ann_file='list.json')
    cfg.pop('val_dataloader')
    found = problems(cfg)
    assert len(found) == bool(kind), found
    if kind:
        (name,) = found
        assert kind in name and 'cat/0.jpg' in found[name][0]


def test_images_without_labels_pass_where_none_are_wanted(classification, problems):
    _, cfg = classification
    cfg.pop('val_dataloader')
    cfg.train_dataloader.dataset.update(with_label=False)
    assert problems(cfg) == {}
