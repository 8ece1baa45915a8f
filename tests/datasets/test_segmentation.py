import cv2
import numpy as np
import pytest
from PIL import Image

WIDTH, HEIGHT = 64, 48


def test_healthy_label_maps_pass(segmentation, problems, remarks):
    assert problems(segmentation[1]) == remarks(segmentation[1]) == {}


def full(value, dtype=np.uint8, shape=(HEIGHT, WIDTH)):
    return np.full(shape, value, dtype)


@pytest.mark.parametrize(
    'labels, kind, words',
    [
        (full(26), 'Labels are out of range', ['0_gtFine', '[26]', '0 to 18 and 255']),
        (full(19), 'Labels are out of range', ['[19]']),  # The number of classes.
        (full(0, shape=(9, 8)), 'Label map has another size than its image', ['0_gtFine', '(8, 9), image (64, 48)']),
        (full(0, shape=(WIDTH, HEIGHT)), 'Label map has another size than its image', ['(48, 64), image (64, 48)']),
        (full(0, shape=(HEIGHT, WIDTH, 3)), 'Label map holds colors, not labels', ['0_gtFine', '(48, 64, 3)']),
        (full(0, shape=(HEIGHT, WIDTH, 4)), 'Label map holds colors, not labels', ['0_gtFine', '(48, 64, 4)']),
        (full(26001, np.uint16), 'Labels do not fit into 8 bits', ['0_gtFine', '26001', 'uint16']),
        (full(256, np.uint16), 'Labels do not fit into 8 bits', ['256 to 256']),  # The lowest 8 bits are in range.
        (None, 'Label map cannot be read', ['0_gtFine', 'No such file']),
        (b'', 'Label map cannot be read', ['0_gtFine']),
        (b'<html>', 'Label map cannot be read', ['0_gtFine']),
    ],
    ids=str,
)
def test_bad_label_map_is_found(segmentation, problems, labels, kind, words):
    root, cfg = segmentation
    path = root / 'labels/0_gtFine_labelTrainIds.png'
    path.unlink()
    if isinstance(labels, bytes):
        path.write_bytes(labels)
    elif labels is not None:
        cv2.imwrite(str(path), labels)
    found = problems(cfg)
    assert list(found) == [kind]
    (detail,) = found[kind]
    assert all(word in detail for word in words), detail


def palette(path):
    image = Image.fromarray(full(3))
    image.putpalette([0, 0, 255] * 256)
    image.save(path)


# Maps that train as they should, and what is remarked of them.
FINE = {
    'palette': (palette, None),
    'one bit': (lambda path: Image.new('1', (WIDTH, HEIGHT)).save(path), None),
    'small labels in 16 bits': (
        lambda path: cv2.imwrite(str(path), full(18, np.uint16)),
        'Label map has more than 8 bits',
    ),
    'ignored': (lambda path: cv2.imwrite(str(path), full(255)), 'Label map is ignored everywhere'),
}


@pytest.mark.parametrize('name', FINE)
def test_unusual_label_map_passes(segmentation, problems, remarks, name):
    root, cfg = segmentation
    write, remark = FINE[name]
    write(root / 'labels/0_gtFine_labelTrainIds.png')
    assert problems(cfg) == {}
    assert list(remarks(cfg)) == ([remark] if remark else [])


def test_maps_that_are_all_ignored_are_found(segmentation, problems):
    root, cfg = segmentation
    for path in (root / 'labels').iterdir():
        cv2.imwrite(str(path), full(255))
    assert problems(cfg) == {'All labels are ignored: nothing is left to train on': [f'{root}/images']}


def test_label_map_without_image_is_found(segmentation, problems):
    root, cfg = segmentation
    (root / 'images/1_leftImg8bit.png').rename(root / '1_leftImg8bit.png')
    assert problems(cfg) == {
        'Label map has no image: it is not used': [f'{root}/labels/1_gtFine_labelTrainIds.png'],
    }
    (root / 'val').mkdir()
    (root / '1_leftImg8bit.png').rename(root / 'val/1_leftImg8bit.png')
    dataset = cfg.train_dataloader.dataset
    cfg.val_dataloader = dict(dataset=dict(dataset, data_prefix=dict(img_path='val', seg_map_path='labels')))
    assert problems(cfg) == {}  # Another split uses it.


def test_image_without_label_map_is_found(segmentation, problems):
    _, cfg = segmentation
    cfg.train_dataloader.dataset.data_prefix = dict(img_path='images')
    assert len(problems(cfg)['Label map cannot be read']) == 2


def test_data_without_images_are_found(segmentation, problems):
    root, cfg = segmentation
    cfg.train_dataloader.dataset.img_suffix = '.jpg'
    cfg.model.auxiliary_head[0].num_classes = 21
    cfg.model.decode_head.num_classes = 18
    found = problems(cfg)
    assert found['No image is left to use'] == [f'{root}/images']
    heads = found['Head has another number of classes than the data']
    assert [detail.split(',')[0] for detail in heads] == [
        'model.decode_head.num_classes is 18',
        'model.auxiliary_head.0.num_classes is 21',
    ]
