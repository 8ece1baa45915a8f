import json
import time
import tracemalloc

import numpy as np
import pytest
from pycocotools import mask as mask_api

from mmcontnet.datasets.check_config import check_config
from mmcontnet.datasets.coco import Usage, read_entries

WIDTH, HEIGHT = 64, 48
NAN, INFINITE = float('nan'), float('inf')


def test_healthy_data_pass(coco):
    assert check_config(coco.cfg, workers=2) == []


# What the file holds instead, and words of the problem.
FILES = {
    'half': ('{"images": [', 'JSONDecodeError'),
    'empty': ('', 'JSONDecodeError'),
    'binary': (b'\xff\xfe\0', 'UnicodeDecodeError'),
    'list': ('[]', 'it holds a list'),
    'null': ('null', 'it holds a NoneType'),
    'number': ('1e999', 'it holds a float'),
    'object': ('{}', 'images is None; expected a list'),
    'annotations alone': ('{"annotations": [{"id": 1}]}', 'images is None'),
    'images that are an object': ('{"images": {"1": {}}, "categories": []}', 'expected a list'),
    'annotations that are null': ('{"images": [], "categories": [], "annotations": null}', 'annotations is None'),
    'categories that are text': ('{"images": [], "categories": "cat"}', "categories is 'cat'"),
    'nested deeply': ('[' * 10**6, 'RecursionError'),
    'nested deeply inside': ('{"images": ' + '{"a":' * 10**6, 'RecursionError'),
}


@pytest.mark.parametrize('name', FILES)
def test_file_of_another_structure_is_found(coco, problems, name):
    text, word = FILES[name]
    coco.file.write_bytes(text if isinstance(text, bytes) else text.encode())
    coco.train_alone()
    (detail,) = problems(coco.cfg)['Annotations cannot be read']
    assert detail.startswith(f'{coco.file}: ') and word in detail


# Changes of images and categories, and the problem that has to be found: its kind, and words of its details.
ENTRIES = {
    'image of None': (lambda d: d.content['images'].append(None), 'Image has no id', ['images[3]: None']),
    'image without id': (lambda d: d.content['images'][1].pop('id'), 'Image has no id', ['images[1]', '1.jpg']),
    'image id in a list': (lambda d: d.content['images'][1].update(id=[1]), 'Image has no id', ['images[1]', '[1]']),
    'image id of NaN': (lambda d: d.content['images'][1].update(id=NAN), 'Image has no id', ['images[1]']),
    'image id of True': (lambda d: d.content['images'][1].update(id=True), 'Image has no id', ['images[1]']),
    'no file_name': (lambda d: d.content['images'][1].pop('file_name'), 'Image has no file_name', ['images[1], id 1']),
    'file_name 7': (lambda d: d.content['images'][1].update(file_name=7), 'Image has no file_name', [': 7']),
    'file_name of NUL': (lambda d: d.content['images'][1].update(file_name='\0'), 'Image is missing', ['\0']),
    'long file_name': (lambda d: d.content['images'][1].update(file_name='x' * 9999), 'Image', ['xxx']),
    'surrogate': (lambda d: d.content['images'][1].update(file_name='\ud800'), 'Image is missing', ['\ud800']),
    'no width': (
        lambda d: d.content['images'][1].pop('width'),
        'Image has no size',
        ['images[1], 1.jpg', '(None, 48)'],
    ),
    'width 0': (lambda d: d.content['images'][1].update(width=0), 'Image has no size', ['(0, 48)']),
    'width of text': (lambda d: d.content['images'][1].update(width='64'), 'Image has no size', ["('64', 48)"]),
    'width of NaN': (lambda d: d.content['images'][1].update(width=NAN), 'Image has no size', ['(nan, 48)']),
    'width 1e30': (lambda d: d.content['images'][1].update(width=1e30), 'Image has no size', ['1e+30']),
    'width and height': (
        lambda d: d.content['images'][1].update(width=10**6, height=10**6),
        'Image is larger than OpenCV decodes',
        ['1.jpg: (1000000, 1000000)'],
    ),
    'images of one id': (lambda d: d.content['images'][1].update(id=0), 'Images share an id', ['json: 0']),
    'category of text': (
        lambda d: d.content['categories'].append('dog'),
        'Category has no id',
        ["categories[2]: 'dog'"],
    ),
    'category without id': (lambda d: d.content['categories'][1].pop('id'), 'Category has no id', ['categories[1]']),
    'category without name': (
        lambda d: d.content['categories'][1].pop('name'),
        'Category has no name',
        ['categories[1]', "'id': 2"],
    ),
    'categories of one id': (
        lambda d: d.content['categories'][1].update(id=1),
        'Categories share an id',
        ['json: 1'],
    ),
    'categories of one name': (
        lambda d: d.content['categories'][1].update(name='cat'),
        'Categories share a name: labels shift',
        ["'cat'"],
    ),
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
    'no annotations': (lambda d: d.content.update(annotations=[]), 'No image is left to use', ['instances.json']),
    'no images': (lambda d: d.content.update(images=[]), 'No image is left to use', ['instances.json']),
    'crowds alone': (
        lambda d: [annotation.update(iscrowd=1) for annotation in d.content['annotations']],
        'All annotations are of crowds, ignored or skipped: nothing is left to learn or measure',
        ['instances.json'],
    ),
    'empty boxes alone': (
        lambda d: [annotation.update(bbox=[8, 8, 0, 0]) for annotation in d.content['annotations']],
        'All annotations are of crowds, ignored or skipped: nothing is left to learn or measure',
        ['instances.json'],
    ),
    'annotations of one id': (
        lambda d: d.annotation.update(id=1),
        'Annotations share an id',
        ['instances.json, 1.jpg: 1'],
    ),
    'annotation of None': (
        lambda d: d.content['annotations'].append(None),
        'Annotation is no object',
        ['instances.json, image None: annotations[3]: None'],
    ),
    'annotation in a list': (
        lambda d: d.content['annotations'].append([d.annotation]),
        'Annotation is no object',
        ['annotations[3]'],
    ),
}


@pytest.mark.parametrize('name', ENTRIES)
def test_error_in_entries_is_found(coco, problems, name):
    edit, kind, words = ENTRIES[name]
    edit(coco)
    coco.save()
    found = problems(coco.cfg)
    details = ' '.join(detail for name, details in found.items() if name.startswith(kind) for detail in details)
    assert details and all(word in details for word in words), found


UNREADABLE = 'Annotation lacks a box of four numbers or its area'
OUTSIDE = 'Box is not inside its image'
SHAPELESS = 'Polygon has fewer than three points or half a point'
NO_NUMBERS = 'Polygon is no list of numbers x, y, x, y, ...'
FAR = 'Polygon is far outside its image'
RUNS = 'Run lengths are not those of the image'
NO_RUNS = 'Run lengths cannot be read'
UNCHECKED = 'Annotation cannot be checked'


def rle(counts, size=(HEIGHT, WIDTH)):
    return dict(size=list(size), counts=counts)


# What the second annotation, or part of it, is instead, and the problem that has to be found.
ANNOTATIONS = [
    (dict(id=None), 'Annotation has no id'),
    (dict(id=[1]), 'Annotation has no id'),
    (dict(id={}), 'Annotation has no id'),
    (dict(id=True), 'Annotation has no id'),
    (dict(id=NAN), 'Annotation has no id'),
    (dict(id='one'), 'Annotation has an id that the evaluation cannot use'),
    (dict(id=10**400), 'Annotation has an id that the evaluation cannot use'),
    (dict(image_id=None), 'Annotation is of an unknown image'),
    (dict(image_id=7), 'Annotation is of an unknown image'),
    (dict(image_id='1'), 'Annotation is of an unknown image'),
    (dict(image_id=[1]), 'Annotation is of an unknown image'),
    (dict(category_id=None), 'Annotation is of an unknown category'),
    (dict(category_id=7), 'Annotation is of an unknown category'),
    (dict(category_id={'id': 1}), 'Annotation is of an unknown category'),
    (dict(bbox=None), UNREADABLE),
    (dict(bbox=7), UNREADABLE),
    (dict(bbox='8888'), UNREADABLE),
    (dict(bbox=[]), UNREADABLE),
    (dict(bbox=[8, 8, 20]), UNREADABLE),
    (dict(bbox=[[8, 8, 20, 16]]), UNREADABLE),
    (dict(bbox=[8, 8, 20, None]), UNREADABLE),
    (dict(bbox=[8, 8, 20, '16']), UNREADABLE),
    (dict(bbox=[8, 8, True, True]), UNREADABLE),
    (dict(bbox={'x': 8, 'y': 8, 'w': 20, 'h': 16}), UNREADABLE),
    (dict(bbox=[8, 8, 20, 'x' * 10**6]), UNREADABLE),
    (dict(bbox=[8, 8, NAN, 16]), OUTSIDE),
    (dict(bbox=[NAN] * 4), OUTSIDE),
    (dict(bbox=[8, 8, INFINITE, 16]), OUTSIDE),
    (dict(bbox=[8, 8, 1e9, 16]), OUTSIDE),
    (dict(bbox=[1e30, 8, 20, 16]), OUTSIDE),
    (dict(bbox=[8.5, 8, 10**400, 16]), UNCHECKED),
    (dict(bbox=[50, 8, 20, 16]), OUTSIDE),  # Right of the image.
    (dict(bbox=[8, 40, 20, 16]), OUTSIDE),  # Below it.
    (dict(bbox=[-2, 8, 20, 16]), OUTSIDE),  # Left of it.
    (dict(bbox=[8, -2, 20, 16]), OUTSIDE),  # Above it.
    (dict(bbox=[8, 8, -4, 16]), 'Box has a negative width or height'),
    (dict(bbox=[8, 8, 20, -1e30]), 'Box has a negative width or height'),
    (dict(area=None), UNREADABLE),
    (dict(area='320'), UNREADABLE),
    (dict(area=[320]), UNREADABLE),
    (dict(area=NAN), 'Area is not a number of pixels of its image'),
    (dict(area=1e9), 'Area is not a number of pixels of its image'),
    (dict(area=1e30), 'Area is not a number of pixels of its image'),
    (dict(area=10**400), 'Area is not a number of pixels of its image'),
    (dict(iscrowd='no'), 'Annotation lacks 0 or 1 as its iscrowd'),
    (dict(iscrowd=[]), 'Annotation lacks 0 or 1 as its iscrowd'),
    (dict(iscrowd=2), 'Annotation lacks 0 or 1 as its iscrowd'),
    (dict(iscrowd=NAN), 'Annotation lacks 0 or 1 as its iscrowd'),
    (dict(segmentation=None), 'Annotation has no mask'),
    (dict(segmentation=[]), 'Annotation has no mask'),
    (dict(segmentation={}), 'Annotation has no mask'),
    (dict(segmentation=7), 'Mask is neither polygons nor run lengths'),
    (dict(segmentation='mask.png'), 'Mask is neither polygons nor run lengths'),
    (dict(segmentation=[8, 8, 28, 8, 28, 24]), NO_NUMBERS),
    (dict(segmentation=[[[8, 8], [28, 8], [28, 24]]]), NO_NUMBERS),
    (dict(segmentation=[[8, 8, 28, 8, 28, [24]]]), UNCHECKED),
    (dict(segmentation=['8,8,28,8,28,24']), NO_NUMBERS),
    (dict(segmentation=[['8', '8', '28', '8', '28', '24']]), NO_NUMBERS),
    (dict(segmentation=[[8, 8, 28, None, 28, 24]]), NO_NUMBERS),
    (dict(segmentation=[[8, 8, 28, 10**400, 28, 24]]), NO_NUMBERS),
    (dict(segmentation=[None]), NO_NUMBERS),
    (dict(segmentation=[{}]), NO_NUMBERS),
    (dict(segmentation=[[]]), SHAPELESS),
    (dict(segmentation=[[8, 8, 28, 24]]), SHAPELESS),
    (dict(segmentation=[[8, 8, 28, 8, 28, 24, 8]]), SHAPELESS),
    (dict(segmentation=[[8, 8, 28, 8, 28, 24], [8, 8, 28]]), SHAPELESS),
    (dict(segmentation=[[8, 8, NAN, 8, 28, 24]]), FAR),
    (dict(segmentation=[[8, 8, INFINITE, 8, 28, 24]]), FAR),
    (dict(segmentation=[[8, 8, 1e9, 8, 28, 24]]), FAR),
    (dict(segmentation=[[8, 8, 28, -1e30, 28, 24]]), FAR),
    (dict(segmentation=[[429496729, 8, 429496730, 8, 429496729, 24]]), FAR),
    (dict(segmentation=[[0, 0, 60, 40] * 50_000]), 'Polygons are too long to be drawn'),
    (dict(segmentation=[[40, 30, 60, 30, 60, 46, 40, 46]]), 'Mask is apart from its box'),
    (dict(segmentation=[[20, 8, 60, 8, 60, 24, 20, 24]]), 'Mask is apart from its box'),
    (dict(segmentation=rle([])), NO_RUNS),
    (dict(segmentation=rle(None)), NO_RUNS),
    (dict(segmentation=rle({})), NO_RUNS),
    (dict(segmentation=rle(7)), NO_RUNS),
    (dict(segmentation=rle([1.5, HEIGHT * WIDTH - 1.5])), NO_RUNS),
    (dict(segmentation=rle(['0', '3072'])), NO_RUNS),
    (dict(segmentation=rle([0, NAN])), NO_RUNS),
    (dict(segmentation=rle([0, 10**400])), NO_RUNS),
    (dict(segmentation=rle([[0, 3072]])), NO_RUNS),
    (dict(segmentation=rle('')), NO_RUNS),
    (dict(segmentation=rle('P' * 9)), NO_RUNS),  # Each says that the number goes on.
    (dict(segmentation=rle('o' * 99 + '0')), NO_RUNS),
    (dict(segmentation=rle('\0\0')), NO_RUNS),
    (dict(segmentation=rle('ü')), NO_RUNS),
    (dict(segmentation=rle('\ud800')), UNCHECKED),
    (dict(segmentation=rle([0, 9999])), RUNS),
    (dict(segmentation=rle([-5, 3077])), RUNS),
    (dict(segmentation=rle([2**62, 2**62, 2**62, 2**62, 3072])), RUNS),  # The sum wraps around.
    (dict(segmentation=rle('0')), RUNS),
    (dict(segmentation=rle('O0')), RUNS),
    (dict(segmentation=rle([40, 41], (9, 9))), 'Mask has another size than its image'),
    (dict(segmentation=rle([0, 3072], (WIDTH, HEIGHT))), 'Mask has another size than its image'),
    (dict(segmentation=rle([0, 10**18], (10**9, 10**9))), 'Mask has another size than its image'),
    (dict(segmentation=dict(counts=[0, 3072])), 'Mask has another size than its image'),
    (dict(segmentation=dict(size=None, counts=[0, 3072])), 'Mask has another size than its image'),
    (dict(segmentation=rle([0, 3072])), 'Mask is apart from its box'),
]  # fmt: skip


@pytest.mark.parametrize('change, kind', ANNOTATIONS, ids=lambda value: str(value)[:60])
def test_error_in_annotation_is_found(coco, change, kind):
    coco.annotation.update(change)
    coco.save()
    found = {}
    for finding in read_entries(str(coco.file), Usage(masks=True, evaluated=True)):
        assert not finding.harmless
        found.setdefault(finding.kind, []).append(finding.detail)
    assert kind in found, found
    image = f'image {change["image_id"]}' if 'image_id' in change else '1.jpg'
    name = 'annotations[1]' if 'id' in change and kind == 'Annotation has no id' else 'annotation '
    for detail in found[kind]:
        assert detail.startswith(str(coco.file)) and image.replace('image 1', "image '1'") in detail and name in detail
        assert len(detail) < 1000


def test_all_annotations_at_once_are_found(coco):
    """In one file, each is named by its position, and none keeps the others from being checked."""
    entries = [dict(coco.annotation, id=100 + number, **{k: v for k, v in change.items() if k != 'id'})
               for number, (change, _) in enumerate(ANNOTATIONS)]  # fmt: skip
    coco.content['annotations'] += entries
    coco.save()
    findings = [finding for finding in check_config(coco.cfg, workers=2) if not finding.harmless]
    assert not any('Data cannot be checked' in finding.kind for finding in findings)
    text = ' '.join(finding.detail for finding in findings)
    for entry, (change, _) in zip(entries, ANNOTATIONS):
        assert f'annotation {entry["id"]}' in text or 'id' in change


def boxes_alone(d):
    for dataset in (d.cfg.train_dataloader.dataset.dataset, d.cfg.val_dataloader.dataset):
        dataset.pipeline[1].with_mask = False
    d.cfg.pop('test_dataloader')
    d.annotation.update(segmentation='nothing reads it')


def only_trained(**changes):
    def edit(d):
        d.train_alone()
        d.annotation.update(changes)

    return edit


def renumber(d):
    for number, name in enumerate('abc'):
        d.content['images'][number]['id'] = d.content['annotations'][number]['image_id'] = name


def compress(d):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8, order='F')
    mask[8:24, 8:28] = np.random.default_rng(0).integers(0, 2, (16, 20))
    runs = mask_api.encode(mask)
    d.annotation.update(segmentation=dict(runs, counts=runs['counts'].decode()))


def test_set(d):
    d.cfg.pop('train_dataloader')
    d.cfg.pop('val_dataloader')
    d.cfg.test_evaluator.format_only = True
    d.content.pop('annotations')


test_set.__test__ = False

# Data that train as they should, and the kinds of what is remarked.
FINE = {
    'counted from 1': (
        lambda d: d.annotation.update(bbox=[-1, -1, 66, 50], area=66 * 50, segmentation=[[0, 0, 64, 0, 64, 48, 0, 48]]),
        [],
    ),
    'fractions': (lambda d: d.annotation.update(bbox=[8.25, 8.5, 19.5, 15.25], area=280.75), []),
    'polygon that sticks out': (
        lambda d: d.annotation.update(bbox=[0, 8, 20, 16], segmentation=[[-20, 8, 20, 8, 20, 24, -20, 24]]),
        [],
    ),
    'parts': (lambda d: d.annotation.update(segmentation=[[8, 8, 12, 8, 12, 24], [20, 8, 28, 8, 28, 24]]), []),
    'box of more than can be seen': (lambda d: d.annotation.update(segmentation=[[8, 8, 12, 8, 12, 12, 8, 12]]), []),
    'run lengths': (
        lambda d: d.annotation.update(segmentation=rle([8 * 48 + 8, *[16, 32] * 19, 16, 24 + 36 * 48])),
        [],
    ),
    'compressed run lengths': (compress, []),
    'boxes alone': (boxes_alone, []),
    'ids of text': (renumber, []),
    'large id': (lambda d: d.annotation.update(id=2**70), []),
    'id of text, not evaluated': (only_trained(id='one'), []),
    'sizes that are floats': (lambda d: [image.update(width=64.0) for image in d.content['images']], []),
    'no iscrowd, not evaluated': (lambda d: (d.train_alone(), d.annotation.pop('iscrowd')), []),
    'unknown keys': (lambda d: d.content.update(info=None, licenses=7), []),
    'id 0': (lambda d: d.annotation.update(id=0), ['Annotation has the id 0: a detection of it counts as wrong']),
    'crowd': (lambda d: d.annotation.update(iscrowd=1), ['Annotation is of a crowd']),
    'ignored': (lambda d: d.annotation.update(ignore=1), ['Annotation is ignored']),
    'empty box': (lambda d: d.annotation.update(bbox=[8, 8, 0, 16]), ['Box is empty: the data set skips it']),
    'empty area': (lambda d: d.annotation.update(area=0), ['Box is empty: the data set skips it']),
    'empty mask': (lambda d: d.annotation.update(segmentation=rle([3072])), ['Mask is empty']),
    'point': (lambda d: d.annotation.update(segmentation=[[9, 9, 9, 9, 9, 9]]), ['Mask is empty']),
    'image without annotations': (lambda d: d.content['annotations'].pop(1), ['Image has no annotations']),
    'unused image that is missing': (
        lambda d: (d.train_alone(), d.content['annotations'].pop(1), d.image(1).unlink()),
        ['Image has no annotations'],
    ),
    'test set': (test_set, ['Image has no annotations']),
}


@pytest.mark.parametrize('name', FINE)
def test_unusual_data_pass(coco, problems, remarks, name):
    edit, kinds = FINE[name]
    edit(coco)
    coco.save()
    assert problems(coco.cfg) == {}
    assert list(remarks(coco.cfg)) == kinds


def test_run_lengths_without_poly2mask_are_found(coco, problems):
    coco.train_alone().pipeline[1].poly2mask = False
    coco.annotation.update(segmentation=rle([8 * 48 + 8, *[16, 32] * 19, 16, 24 + 36 * 48]))
    coco.save()
    assert list(problems(coco.cfg)) == ['Mask is no polygon: poly2mask=False ignores the annotation']


def test_missing_iscrowd_ends_the_evaluation(coco, problems):
    coco.annotation.pop('iscrowd')
    coco.save()
    assert list(problems(coco.cfg)) == ['Annotation lacks 0 or 1 as its iscrowd']


def test_map_of_the_metric_of_cityscapes_is_checked(coco, problems):
    coco.cfg.val_evaluator = [coco.cfg.val_evaluator, dict(type='CityScapesMetric')]
    for image in coco.content['images']:
        (coco.root / f'images/{image["id"]}.jpg').rename(coco.root / f'images/{image["id"]}_leftImg8bit.png')
        image['file_name'] = f'{image["id"]}_leftImg8bit.png'
    coco.save()
    assert len(problems(coco.cfg)['Image is missing']) == 3


@pytest.mark.slow
def test_boxes_are_checked_in_little_more_time_than_they_are_read(tmp_path):
    annotation = dict(image_id=1, category_id=1, bbox=[8, 8, 20, 16], area=320, segmentation=[[8, 8, 28, 8, 28, 24]])
    content = dict(
        images=[dict(id=1, file_name='1.jpg', width=WIDTH, height=HEIGHT)],
        categories=[dict(id=1, name='cat')],
        annotations=[dict(annotation, id=number) for number in range(100_000)],
    )
    file = tmp_path / 'instances.json'
    file.write_text(json.dumps(content))
    start = time.perf_counter()
    json.loads(file.read_text())
    read = time.perf_counter() - start
    assert list(read_entries(str(file), Usage())) == []
    assert time.perf_counter() - start - read < 20 * read


@pytest.mark.parametrize(
    'segmentation', [[[0, 0, 30000, 0, 30000, 30000, 0, 30000]], rle([0, 9 * 10**8], (30000, 30000))]
)
def test_memory_is_that_of_outlines(tmp_path, segmentation):
    annotation = dict(image_id=1, category_id=1, bbox=[0, 0, 30000, 30000], area=9 * 10**8, segmentation=segmentation)
    content = dict(
        images=[dict(id=1, file_name='1.jpg', width=30000, height=30000)],
        categories=[dict(id=1, name='cat')],
        annotations=[dict(annotation, id=number) for number in range(5)],
    )
    (tmp_path / 'instances.json').write_text(json.dumps(content))
    tracemalloc.start()
    assert list(read_entries(str(tmp_path / 'instances.json'), Usage(masks=True))) == []
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()
