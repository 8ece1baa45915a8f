"""Checks of data sets of mmdet in the layout of COCO: the file of annotations, then the images.

The file is checked before mmdet or pycocotools see it. What they could not read is left out, so that the rest is
checked, too. Each annotation, with its box and its mask, is checked inside one guard.
"""

import json
import math
from collections import Counter
from functools import partial
from multiprocessing.pool import ThreadPool
from reprlib import repr as shorten
from typing import Any, Callable, Dict, NamedTuple

from mmcv.transforms import LoadImageFromFile

from ..progress import track_progress
from .findings import Finding, Findings, Source, attempt, check_each_image, collect, guard, initialize
from .images import Loader, Size, check_image, find_loader
from .masks import check_mask

# OpenCV decodes nothing larger.
LONGEST_SIDE = 2**20
MOST_PIXELS = 2**30

CheckEntry = Callable[[Any, str], Findings[bool]]


class Usage(NamedTuple):
    """What training and evaluation read of the annotations besides ids and boxes."""

    masks: bool = False
    polygons_only: bool = False
    evaluated: bool = False


class Entries(NamedTuple):
    """What mmdet can read of a file of annotations: the entries of its lists by their ids."""

    images: Dict[Any, dict]
    categories: Dict[Any, dict]
    annotations: Dict[Any, dict]


def check_coco(source: Source, pool: ThreadPool) -> Findings:
    """A data set of mmdet in the layout of COCO.

    Raises:
        ValueError: The data set is in another layout.
    """
    from mmdet.datasets.api_wrappers import COCO

    if getattr(source.dataset, 'COCOAPI', None) is not COCO:
        name = type(source.dataset).__name__
        raise ValueError(f'{name}: of mmdet, data sets in the layout of COCO alone can be checked')
    return _check_coco(source, pool, COCO)


def read_entries(path: str, usage: Usage) -> Findings[Entries]:
    """Reads a file of annotations and checks each entry of its lists.

    Returns:
        Entries | None: The entries that mmdet can read; None where the file has another structure.
    """
    content = yield from attempt(partial(read_json, path), 'Annotations cannot be read', path)
    return None if content is None else (yield from check_entries(content, path, usage))


def check_entries(content: Dict[str, list], path: str, usage: Usage) -> Findings[Entries]:
    """Checks each entry of the lists of a file of annotations; returns those that mmdet can read."""
    images = yield from _check_list(content['images'], 'Image', f'{path}: images', _check_image_entry)
    categories = yield from _check_list(content['categories'], 'Category', f'{path}: categories', _check_category)
    for name, count in Counter(category['name'] for category in categories.values()).items():
        if count > 1:
            yield Finding('Categories share a name: labels shift', f'{path}: {name!r}')
    annotations = yield from _check_annotations(content['annotations'], path, images, categories, usage)
    return Entries(images, categories, annotations)


def _check_coco(source: Source, pool: ThreadPool, api: type) -> Findings:
    """The file of annotations, what mmdet makes of it, and the images."""
    path, dataset, usage = source.dataset.ann_file, source.dataset, _find_usage(source)
    entries = yield from read_entries(path, usage)
    if entries is None:
        return
    yield from _check_classes(entries, source)
    annotated = {annotation['image_id'] for annotation in entries.annotations.values()}
    for number, image in entries.images.items():
        if number not in annotated:
            yield Finding('Image has no annotations', f'{path}: {image["file_name"]}', harmless=True)

    coco = api()
    coco.dataset = {name: list(part.values()) for name, part in entries._asdict().items()}
    coco.createIndex()
    coco.cat_img_map, coco.img_ann_map = coco.catToImgs, coco.imgToAnns
    dataset.COCOAPI = lambda path: coco  # The file is read once, and what mmdet cannot read is left out.
    if not (yield from initialize(source)):
        return
    instances = (instance for info in dataset.data_list for instance in info['instances'])
    if (usage.evaluated or not dataset.test_mode) and all(instance['ignore_flag'] for instance in instances):
        yield Finding('All annotations are of crowds, ignored or skipped: nothing is left to learn or measure', path)
    cityscapes = any(str(metric.get('type')).endswith('CityScapesMetric') for metric in source.metrics)
    yield from check_each_image(partial(_check_files, find_loader(source), cityscapes), source, pool)


def _find_usage(source: Source) -> Usage:
    """What the pipeline and the metrics read."""
    with_mask = [part for part in source.transforms if getattr(part, 'with_mask', False)]
    metrics = [metric for metric in source.metrics if metric.get('ann_file') and not metric.get('format_only')]
    return Usage(
        masks=bool(with_mask) or any('segm' in metric.get('metric', ()) for metric in metrics),
        polygons_only=not all(getattr(part, 'poly2mask', True) for part in with_mask),
        evaluated=bool(metrics),
    )


def read_json(path: str) -> Dict[str, list]:
    """The lists of a file of annotations; that of annotations may be missing, as in test sets."""
    with open(path) as file:  # In the encoding that pycocotools takes.
        content = json.load(file)
    if not isinstance(content, dict):
        raise ValueError(f'it holds a {type(content).__name__}; expected images, annotations and categories')
    content.setdefault('annotations', [])
    for name in Entries._fields:
        if not isinstance(content.get(name), list):
            raise ValueError(f'{name} is {shorten(content.get(name))}; expected a list')
    return content


def _check_list(entries: list, kind: str, where: str, check: CheckEntry) -> Findings[Dict[Any, dict]]:
    """The entries of a list by id, without those that cannot be used."""
    kept: Dict[Any, dict] = {}
    for position, entry in enumerate(entries):
        place = f'{where}[{position}]'
        if (yield from guard(check(entry, place), f'{kind} cannot be checked', place)):
            yield from _keep(entry, kept, kind, where.rpartition(':')[0])
    return kept


def _keep(entry: dict, kept: Dict[Any, dict], kind: str, path: str) -> Findings:
    """Adds an entry, unless its id is taken."""
    if entry['id'] in kept:
        plural = 'Categories' if kind == 'Category' else f'{kind}s'
        yield Finding(f'{plural} share an id', f'{path}: {shorten(entry["id"])}')
    kept.setdefault(entry['id'], entry)


def is_number(value: Any) -> bool:
    """Whether a value is a number of JSON."""
    return type(value) in (int, float)  # Not bool.


def _is_id(value: Any) -> bool:
    """Whether a value can be looked up: numbers and text, but not NaN."""
    return type(value) in (int, str) or (type(value) is float and math.isfinite(value))


def _check_image_entry(image: Any, where: str) -> Findings[bool]:
    if not (isinstance(image, dict) and _is_id(image.get('id'))):
        yield Finding('Image has no id', f'{where}: {shorten(image)}')
        return False
    name, size = image.get('file_name'), (image.get('width'), image.get('height'))
    if not (isinstance(name, str) and name):
        yield Finding('Image has no file_name', f'{where}, id {shorten(image["id"])}: {shorten(name)}')
    elif not all(is_number(side) and 0 < side <= LONGEST_SIDE and side == int(side) for side in size):
        detail = f'{where}, {name}: width and height {shorten(size)}; expected whole numbers up to {LONGEST_SIDE}'
        yield Finding('Image has no size', detail)
    elif size[0] * size[1] > MOST_PIXELS:
        yield Finding('Image is larger than OpenCV decodes', f'{where}, {name}: {size}, {MOST_PIXELS} pixels at most')
    else:
        return True
    return False


def _check_category(category: Any, where: str) -> Findings[bool]:
    if not (isinstance(category, dict) and _is_id(category.get('id'))):
        yield Finding('Category has no id', f'{where}: {shorten(category)}')
        return False
    if not (isinstance(category.get('name'), str) and category['name']):
        yield Finding('Category has no name', f'{where}: {shorten(category)}')
        return False
    return True


def _check_annotations(
    entries: list, path: str, images: Dict[Any, dict], categories: Dict[Any, dict], usage: Usage
) -> Findings[Dict[Any, dict]]:
    """The annotations that mmdet can read, by id."""
    kept: Dict[Any, dict] = {}
    for position, annotation in enumerate(track_progress(entries, f'{len(entries)} annotations')):
        check = _check_annotation(annotation, images, categories, usage)
        usable, findings = collect(guard(check, 'Annotation cannot be checked', ''))
        if findings:
            where = _describe(annotation, position, path, images)
            yield from (finding._replace(detail=where + finding.detail) for finding in findings)
        if usable:
            yield from _keep(annotation, kept, 'Annotation', f'{path}, {images[annotation["image_id"]]["file_name"]}')
    return kept


def _describe(annotation: Any, position: int, path: str, images: Dict[Any, dict]) -> str:
    """The file, the image and the id of an annotation, or its position in the list where it has none."""
    entry = annotation if isinstance(annotation, dict) else {}
    image, number = entry.get('image_id'), entry.get('id')
    known = _is_id(image) and image in images
    name = images[image]['file_name'] if known else f'image {shorten(image)}'
    return f'{path}, {name}: ' + (f'annotation {shorten(number)}' if _is_id(number) else f'annotations[{position}]')


def _check_annotation(
    annotation: Any, images: Dict[Any, dict], categories: Dict[Any, dict], usage: Usage
) -> Findings[bool]:
    """Returns whether mmdet can read an annotation, after a look at its box and its mask.

    Here and below, details are what follows the name of the annotation, which is made for findings only.
    """
    if not isinstance(annotation, dict):
        yield Finding('Annotation is no object', f': {shorten(annotation)}')
        return False
    faults = list(_find_faults(annotation, images, categories, usage))
    yield from faults
    if faults:
        return False
    if usage.evaluated and annotation['id'] == 0:  # By 0, pycocotools marks detections of nothing.
        yield Finding('Annotation has the id 0: a detection of it counts as wrong', '', harmless=True)
    if annotation.get('ignore'):
        yield Finding('Annotation is ignored', '', harmless=True)
    elif annotation.get('iscrowd'):
        yield Finding('Annotation is of a crowd', '', harmless=True)
    image = images[annotation['image_id']]
    size = (int(image['width']), int(image['height']))
    used = yield from _check_box(annotation, size)
    if usage.masks and (used or usage.evaluated):
        if usage.polygons_only and isinstance(annotation.get('segmentation'), dict) and not annotation.get('iscrowd'):
            yield Finding('Mask is no polygon: poly2mask=False ignores the annotation', '')
        yield from check_mask(annotation.get('segmentation'), annotation['bbox'] if used else None, size)
    return True


def _find_faults(annotation: dict, images: Dict[Any, dict], categories: Dict[Any, dict], usage: Usage) -> Findings:
    """What mmdet, or the evaluation by pycocotools, could not read."""
    number, image, category = (annotation.get(key) for key in ('id', 'image_id', 'category_id'))
    if not _is_id(number):
        yield Finding('Annotation has no id', f': {shorten(number)}')
    elif usage.evaluated and (isinstance(number, str) or abs(number) > 1e308):  # It is put among floats.
        yield Finding('Annotation has an id that the evaluation cannot use', '')
    if not (_is_id(image) and image in images):
        yield Finding('Annotation is of an unknown image', f', image {shorten(image)}')
    if not (_is_id(category) and category in categories):
        yield Finding('Annotation is of an unknown category', f', category {shorten(category)}')
    box, area = annotation.get('bbox'), annotation.get('area')
    if not (isinstance(box, list) and len(box) == 4 and all(map(is_number, box)) and is_number(area)):
        detail = f': box {shorten(box)}, area {shorten(area)}'
        yield Finding('Annotation lacks a box of four numbers or its area', detail)
    crowd = annotation.get('iscrowd')
    if not (crowd in (0, 1) or (crowd is None and not usage.evaluated)):
        yield Finding('Annotation lacks 0 or 1 as its iscrowd', f': {shorten(crowd)}')


def _check_box(annotation: dict, size: Size) -> Findings[bool]:
    """Returns whether a box is used; it may stick out by a pixel, as some tools count them from 1."""
    x, y, width, height = annotation['bbox']
    detail = f', box {annotation["bbox"]!r:.200}'
    if not (x >= -1 and y >= -1 and x + width <= size[0] + 1 and y + height <= size[1] + 1):
        yield Finding('Box is not inside its image', f'{detail}, image {size}')
    elif width < 0 or height < 0:
        yield Finding('Box has a negative width or height', detail)
    elif not annotation['area'] <= (size[0] + 2) * (size[1] + 2):
        yield Finding('Area is not a number of pixels of its image', f'{detail}, area {annotation["area"]}')
    elif width < 1 or height < 1 or annotation['area'] <= 0:
        yield Finding('Box is empty: the data set skips it', detail, harmless=True)
    else:
        return True
    return False


def _check_classes(entries: Entries, source: Source) -> Findings:
    """The categories of a file and the classes of the data set.

    mmdet drops annotations of other categories without a word, and numbers those it keeps in the file's order.
    """
    path = source.dataset.ann_file
    counts = Counter(annotation['category_id'] for annotation in entries.annotations.values())
    names = {category['name']: counts[number] for number, category in entries.categories.items()}
    for name, count in names.items():
        if name not in source.classes:
            detail = f'{path}: {name!r}, {count} annotations'
            yield Finding("Category is not among the config's classes: its annotations are dropped", detail)
    for name in source.classes:
        if name not in names:
            yield Finding('Class is not among the categories: labels shift', f'{path}: {name!r}')
    found = [name for name in names if name in source.classes]
    wanted = [name for name in source.classes if name in names]
    for name, other in zip(found, wanted):
        if name != other:
            yield Finding('Categories are in another order than the classes', f'{path}: {name!r} for {other!r}')


def _check_files(load: Loader, cityscapes: bool, info: dict) -> Findings:
    """An image, and the map that the metric of Cityscapes compares with."""
    path, size = info['img_path'], (info['width'], info['height'])
    yield from check_image(path, load, size)
    if cityscapes:
        instances = path.replace('leftImg8bit.png', 'gtFine_instanceIds.png').replace('leftImg8bit', 'gtFine')
        yield from check_image(instances, LoadImageFromFile(color_type='unchanged', imdecode_backend='pillow'), size)
