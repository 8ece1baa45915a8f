"""What can be wrong with one data set: its files, images and annotations."""

from collections import Counter
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, Callable, Generator, List, NamedTuple, Optional, Tuple, TypeVar

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.registry import TRANSFORMS
from PIL import Image

from ..progress import track_progress

ORIENTATION = 0x0112  # EXIF's tag; OpenCV obeys it, Pillow does not.

Size = Tuple[int, int]  # Width, height.
T = TypeVar('T')


class Finding(NamedTuple):
    """What kind of thing was found, where exactly, and whether it is merely odd."""

    kind: str
    detail: str
    harmless: bool = False


class Source(NamedTuple):
    """A data set, not yet initialised, the transforms that read it and the metrics that are measured on it."""

    dataset: BaseDataset
    pipeline: List[dict]
    metrics: List[dict]

    @property
    def name(self) -> str:
        """The file of annotations, or else the first folder."""
        return self.paths[0]

    @property
    def paths(self) -> List[str]:
        """The file of annotations, if there is one, and the folders."""
        return [path for path in (self.dataset.ann_file, *self.dataset.data_prefix.values()) if path]

    @property
    def classes(self) -> Tuple[str, ...]:
        """The classes in the order of their labels."""
        return tuple(self.dataset.metainfo.get('classes') or ())


Findings = Generator[Finding, None, Optional[T]]


def attempt(action: Callable[[], T], kind: str, where: str) -> Findings[T]:
    """Returns what the action does, or None and a finding where it raises."""
    try:
        return action()
    except Exception as error:  # Toolboxes and decoders raise all kinds; any would end a training.
        yield Finding(kind, f'{where}: {error!r}')
        return None


def _initialise(source: Source) -> Findings[bool]:
    """Lets the toolbox read the annotations, and returns whether that leaves images to use."""

    def count_images() -> int:
        source.dataset.full_init()
        return len(source.dataset)

    count = yield from attempt(count_images, 'Annotations cannot be read', source.name)
    if count == 0:
        yield Finding('No image is left to use', source.name)
    return bool(count)


def _each_image(check: Callable[[dict], Findings], source: Source, pool: ThreadPool) -> Findings:
    """Checks the images that the toolbox uses, several at once."""
    count = len(source.dataset)
    infos = map(source.dataset.get_data_info, range(count))
    results = pool.imap(lambda info: list(check(info)), infos, chunksize=8)
    for findings in track_progress(results, f'{count} images', count):
        yield from findings


def _image_size(path: str) -> Size:
    """The size of an image as OpenCV turns it; raises where a part is missing, which OpenCV may fill with grey."""
    with Image.open(path) as image:
        image.load()
        return image.size[::-1] if image.getexif().get(ORIENTATION, 1) > 4 else image.size


def _check_image(path: str, expected: Optional[Size] = None) -> Findings[Size]:
    """Decodes an image and returns its size."""
    if not Path(path).is_file():
        yield Finding('Image is missing', path)
        return None
    size = yield from attempt(partial(_image_size, path), 'Image cannot be decoded', path)
    if size and expected and size != expected:
        yield Finding('Image has another size than its annotation', f'{path}: {size}, annotated as {expected}')
    return size


def check_coco(source: Source, pool: ThreadPool) -> Findings:
    """A data set of mmdet in the layout of COCO."""
    from mmdet.datasets.api_wrappers import COCO

    dataset = source.dataset
    if getattr(dataset, 'COCOAPI', None) is not COCO:
        raise ValueError(f'{type(dataset).__name__}: of mmdet, data sets in the layout of COCO alone can be checked')
    coco = yield from attempt(partial(COCO, dataset.ann_file), 'Annotations cannot be read', dataset.ann_file)
    if coco is None:
        return
    yield from _check_categories(coco, source)
    yield from _check_references(coco, source)
    dataset.COCOAPI = lambda path: coco  # Large files are read once.
    if (yield from _initialise(source)):
        masks = any(transform.get('with_mask') for transform in source.pipeline)
        cityscapes = any(metric['type'] == 'CityScapesMetric' for metric in source.metrics)
        yield from _each_image(partial(_check_annotated_image, coco, masks, cityscapes), source, pool)


def _check_categories(coco: Any, source: Source) -> Findings:
    """The categories of a file and the classes of the data set.

    mmdet drops annotations of other categories without a word, and numbers those it keeps in the file's order.
    """
    counts = Counter(annotation['category_id'] for annotation in coco.anns.values())
    names = {category['name']: counts[category['id']] for category in coco.cats.values()}
    for name, number in names.items():
        if name not in source.classes:
            detail = f'{source.name}: {name!r}, {number} annotations'
            yield Finding("Category is not among the config's classes: its annotations are dropped", detail)
    for name in source.classes:
        if name not in names:
            yield Finding('Class is not among the categories: labels shift', f'{source.name}: {name!r}')
    found = [name for name in names if name in source.classes]
    wanted = [name for name in source.classes if name in names]
    for name, other in zip(found, wanted):
        if name != other:
            yield Finding('Categories are in another order than the classes', f'{source.name}: {name!r} for {other!r}')


def _check_references(coco: Any, source: Source) -> Findings:
    """What the entries of a file need of each other."""
    images = Counter(image['id'] for image in coco.dataset.get('images', []))
    for image, count in images.items():
        if count > 1:
            yield Finding('Images share an id', f'{source.name}: {image}')
    for number, image in coco.imgs.items():
        if number not in coco.imgToAnns:
            yield Finding('Image has no annotations', f'{source.name}: {image.get("file_name")}', harmless=True)
    for annotation in coco.anns.values():
        where = f'{source.name}: annotation {annotation["id"]}'
        if annotation['image_id'] not in coco.imgs:
            yield Finding('Annotation is of an unknown image', f'{where}, image {annotation["image_id"]}')
        if annotation['category_id'] not in coco.cats:
            yield Finding('Annotation is of an unknown category', f'{where}, category {annotation["category_id"]}')
        if len(annotation.get('bbox') or ()) != 4 or 'area' not in annotation:
            yield Finding('Annotation lacks a box of four numbers or its area', where)


def _check_annotated_image(coco: Any, masks: bool, cityscapes: bool, info: dict) -> Findings:
    """An image with its annotations, and with the map that the metric of Cityscapes compares with."""
    path, size = info['img_path'], (info['width'], info['height'])
    yield from _check_image(path, size)
    if cityscapes:
        instances = path.replace('leftImg8bit.png', 'gtFine_instanceIds.png').replace('leftImg8bit', 'gtFine')
        yield from _check_image(instances, size)
    for annotation in coco.imgToAnns.get(info['img_id'], []):
        where = f'{path}: annotation {annotation["id"]}'
        if annotation.get('iscrowd'):
            yield Finding('Annotation is of a crowd', where, harmless=True)
        yield from _check_box(annotation, size, where)
        if masks:
            yield from _check_mask(coco, annotation, size, where)


def _check_box(annotation: dict, size: Size, where: str) -> Findings:
    """A box may stick out by a pixel, as some tools count them from 1."""
    x, y, width, height = annotation['bbox']
    where = f'{where}, box {annotation["bbox"]}'
    if not (x >= -1 and y >= -1 and x + width <= size[0] + 1 and y + height <= size[1] + 1):
        yield Finding('Box is not inside its image', f'{where}, image {size}')
    elif width < 1 or height < 1 or annotation['area'] <= 0:
        yield Finding('Box is empty: the data set skips it', where, harmless=True)


def _check_mask(coco: Any, annotation: dict, size: Size, where: str) -> Findings:
    """A mask of polygons or run lengths."""
    segmentation = annotation.get('segmentation')
    if not segmentation:
        yield Finding('Annotation has no mask', where)
        return
    if isinstance(segmentation, list) and any(len(polygon) < 6 or len(polygon) % 2 for polygon in segmentation):
        yield Finding('Polygon has fewer than three points or half a point', where)
        return
    mask = yield from attempt(partial(coco.annToMask, annotation), 'Mask cannot be decoded', where)
    if mask is None:
        return
    if mask.shape[::-1] != size:
        yield Finding('Mask has another size than its image', f'{where}: {mask.shape[::-1]}, image {size}')
    elif not mask.any():
        yield Finding('Mask is empty', where, harmless=True)


def check_segmentation(source: Source, pool: ThreadPool) -> Findings:
    """A data set of mmseg."""
    if (yield from _initialise(source)):
        loaders = [config for config in source.pipeline if config['type'] == 'LoadAnnotations']
        load = TRANSFORMS.build(loaders[0]) if loaders else None
        yield from _each_image(partial(_check_label_map, source, load), source, pool)


def _check_label_map(source: Source, load: Optional[Callable], info: dict) -> Findings:
    """An image and its label map, read as the pipeline does."""
    size = yield from _check_image(info['img_path'])
    if load is None:
        return
    path, ignored = info['seg_map_path'], source.dataset.ignore_index
    data = yield from attempt(partial(load, info), 'Label map cannot be read', path)
    if data is None:
        return
    labels = data['gt_seg_map']
    if size and labels.shape[::-1] != size:
        yield Finding('Label map has another size than its image', f'{path}: {labels.shape[::-1]}, image {size}')
    wrong = np.unique(labels[(labels >= len(source.classes)) & (labels != ignored)]).tolist()
    if wrong:
        allowed = f'0 to {len(source.classes) - 1} and {ignored}'
        yield Finding('Labels are out of range', f'{path}: {wrong}; allowed are {allowed}')


def check_classification(source: Source, pool: ThreadPool) -> Findings:
    """A data set of mmpretrain with one label for each image."""
    if (yield from _initialise(source)):
        yield from _each_image(partial(_check_labelled_image, source), source, pool)


def _check_labelled_image(source: Source, info: dict) -> Findings:
    """An image and its label, if it has one."""
    yield from _check_image(info['img_path'])
    label = info.get('gt_label', 0)
    if source.classes and not 0 <= label < len(source.classes):
        detail = f'{info["img_path"]}: {label}; allowed are 0 to {len(source.classes) - 1}'
        yield Finding('Labels are out of range', detail)
