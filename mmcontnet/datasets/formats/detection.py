"""Boxes of all layouts as COCO JSON, which mmdet reads."""

import os
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ...commands import about
from ..findings import Finding, Findings
from ..images import Size
from .common import split_off

TOLERANCE = 1  # Pixels that a box may stick out, as in mmcontnet/datasets/coco.py.


class DetectionSplit(NamedTuple):
    """COCO's lists, the folder that their file names start at, and the user's own file if it holds just them."""

    content: Dict[str, List[dict]]
    images: Path
    file: Optional[Path] = None

    @property
    def classes(self) -> Tuple[str, ...]:
        """The names of the categories."""
        return tuple(category['name'] for category in self.content['categories'])

    @property
    def sizes(self) -> List[Size]:
        """Width and height of each image."""
        return [(int(image['width']), int(image['height'])) for image in self.content['images']]


class Box(NamedTuple):
    """An object: its label, left, top, right and bottom edge in pixels, perhaps polygons, and where it is written."""

    label: int
    edges: Tuple[float, float, float, float]
    where: str
    polygon: Optional[List[float]] = None
    difficult: bool = False


class Picture(NamedTuple):
    """An image with its size and objects."""

    path: Path
    size: Size
    boxes: List[Box]


def make_split(pictures: Sequence[Picture], classes: Sequence[str]) -> Findings[DetectionSplit]:
    """Writes pictures as COCO's lists."""
    if len({picture.path.is_absolute() for picture in pictures}) == 2:
        pictures = [picture._replace(path=Path(os.path.abspath(picture.path))) for picture in pictures]
    folder = Path(os.path.commonpath([picture.path.parent for picture in pictures]))
    images: List[dict] = []
    annotations: List[dict] = []
    for picture in pictures:
        width, height = picture.size
        name = picture.path.relative_to(folder).as_posix()
        images.append(dict(id=len(images) + 1, file_name=name, width=width, height=height))
        for box in picture.boxes:
            edges = yield from _clip(box, picture.size)
            if edges is None:
                continue
            left, top, right, bottom = (round(edge, 2) for edge in edges)
            polygon = box.polygon
            annotation: Dict[str, Any] = dict(
                id=len(annotations) + 1,
                image_id=len(images),
                category_id=box.label + 1,
                bbox=[left, top, round(right - left, 2), round(bottom - top, 2)],
                area=round(_polygon_area(polygon) if polygon else (right - left) * (bottom - top), 2),
                iscrowd=int(box.difficult),  # Neither learnt nor counted, as mmdet converts them.
            )
            if polygon:
                annotation['segmentation'] = [[round(number, 2) for number in polygon]]
            annotations.append(annotation)
    categories = [dict(id=label + 1, name=name) for label, name in enumerate(classes)]
    return DetectionSplit(dict(images=images, annotations=annotations, categories=categories), folder)


def split_by_chance(split: DetectionSplit) -> Dict[str, DetectionSplit]:
    """A training part and a validation part of the images with objects that count, and of the others.

    Raises:
        ValueError: There are too few.
    """
    images, annotations = split.content['images'], split.content['annotations']
    counting = {one['image_id'] for one in annotations if not (one.get('iscrowd') or one.get('ignore'))}
    with about(str(split.file or split.images)):
        val = split_off([image['id'] for image in images if image['id'] in counting])[1]
    others = [image['id'] for image in images if image['id'] not in counting]
    if len(others) > 1:
        val += split_off(others)[1]
    chosen, parts = set(val), {}
    for name, is_val in (('train', False), ('val', True)):
        numbers = {image['id'] for image in images if (image['id'] in chosen) == is_val}
        content = dict(
            split.content,
            images=[image for image in images if image['id'] in numbers],
            annotations=[one for one in annotations if one['image_id'] in numbers],
        )
        parts[name] = split._replace(content=content, file=None)
    return parts


def check_counts(splits: Dict[str, DetectionSplit]) -> Findings:
    """Classes without an object in a split, and images in both."""
    for name, split in splits.items():
        used = {annotation['category_id'] for annotation in split.content['annotations']}
        for category in split.content['categories']:
            if category['id'] not in used:
                yield Finding(f'Class has no object in the {name} part', repr(category['name']), harmless=True)
        for path, count in Counter(image['file_name'] for image in split.content['images']).items():
            if count > 1:
                yield Finding(f'Image is listed {count} times', str(split.images / path), harmless=True)
        if not split.content['annotations']:
            yield Finding(f'There is no object in the {name} part', str(split.file or split.images))
    train, val = (
        {os.path.realpath(split.images / image['file_name']) for image in split.content['images']}
        for split in splits.values()
    )
    for path in sorted(train & val):
        yield Finding('Image is in both parts: validation measures what was learnt', path, harmless=True)


def _clip(box: Box, size: Size) -> Findings[Tuple[float, ...]]:
    """The edges inside the picture, or a finding."""
    left, top, right, bottom = box.edges
    detail = f'{box.where}: {tuple(round(edge, 2) for edge in box.edges)} (left, top, right, bottom)'
    if not (right > left and bottom > top):
        yield Finding('Box has no width or no height', detail)
        return None
    if not (min(left, top) >= -TOLERANCE and right <= size[0] + TOLERANCE and bottom <= size[1] + TOLERANCE):
        yield Finding('Box is not inside its image', f'{detail}, image {size}')
        return None
    return max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1])


def _polygon_area(polygon: List[float]) -> float:
    """By the shoelace formula."""
    points = list(zip(polygon[::2], polygon[1::2]))
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(points, points[1:] + points[:1]))) / 2
