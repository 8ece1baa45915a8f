"""Writes a small dataset: shapes in COCO, Pascal VOC or YOLO layout, or streets in Cityscapes layout.

Example:
    python demo/shapes.py data/coco
    python demo/shapes.py data/shapes --layout voc --images 40
    python demo/shapes.py data/cityscapes --layout cityscapes
    python demo/shapes.py data/far --mark far

With --mark, all shapes are discs, and a small mark tells the class: in the disc (near), or at the end of a line that
leads upward out of the box (far). Everything else is the same in both.
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

import json
from functools import partial
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

import cv2
import mmcv
import numpy as np
from drawing import fill, texture
from pycocotools import mask as coco_mask
from streets import write_cityscapes

from mmcontnet.commands import command, command_parser, non_negative_int, output_folder, positive_int

CLASSES = ('circle', 'triangle', 'square', 'star')
HEIGHT, WIDTH = 384, 480
COUNTS = {'train2017': 720, 'val2017': 60}
MARK = 24.0  # Radius of a mark in pixels.
# BGR, of the marks of the four classes; a dot without meaning is gray.
COLORS = ((40, 40, 230), (60, 190, 40), (230, 90, 20), (20, 200, 230))
GRAY = (128, 128, 128)
# Of Pascal VOC.
PAGE = """<annotation>
  <filename>{}.jpg</filename>
  <size><width>{}</width><height>{}</height><depth>3</depth></size>
{}</annotation>
"""
OBJECT = """  <object>
    <name>{}</name>
    <difficult>0</difficult>
    <bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox>
  </object>
"""


class Shape(NamedTuple):
    """A drawn shape: the index of its class and its outline, (N, 2) pixels as x, y."""

    label: int
    outline: np.ndarray


def outline(label: int, radius: float, angle: float) -> np.ndarray:
    """The corners of a shape around the origin, (N, 2)."""
    corners = {'circle': 40, 'triangle': 3, 'square': 4, 'star': 10}[CLASSES[label]]
    radii = np.full(corners, radius)
    if CLASSES[label] == 'star':
        radii[1::2] *= 0.45
    angles = angle + 2 * np.pi * np.arange(corners) / corners
    return np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None]


def draw(rng: np.random.Generator) -> Tuple[np.ndarray, List[Shape]]:
    """Draws a picture (HEIGHT, WIDTH, 3), BGR, of one to five shapes that hardly overlap."""
    image = texture(rng, HEIGHT, WIDTH)
    shapes: List[Shape] = []
    taken: List[np.ndarray] = []  # x, y, radius
    for _ in range(rng.integers(1, 6)):
        label = int(rng.integers(len(CLASSES)))
        radius = rng.uniform(39, 84)
        center = rng.uniform((radius, radius), (WIDTH - radius, HEIGHT - radius))
        if any(np.hypot(*(center - other[:2])) < 0.9 * (radius + other[2]) for other in taken):
            continue
        taken.append(np.array([*center, radius]))
        corners = center + outline(label, radius, rng.uniform(0, 2 * np.pi))
        fill(image, corners, rng.uniform(0, 255, 3), edge=3)
        shapes.append(Shape(label, corners))
    return image, shapes


def draw_marked(rng: np.random.Generator, far: bool) -> Tuple[np.ndarray, List[Shape]]:
    """Draws a picture as :func:`draw`, of one or two discs whose class is told by a mark, and by nothing else.

    A line joins each disc with a spot above it. One of the two has a mark with shape and color of the class, the
    other a gray dot.

    Args:
        rng (np.random.Generator): Random numbers; equal ones give the same discs, lines and classes, near and far.
        far (bool): Whether the mark is at the end of the line instead of in the disc.
    """
    image = texture(rng, HEIGHT, WIDTH)
    shapes: List[Shape] = []
    taken: List[np.ndarray] = []  # x, y, radius
    count = rng.integers(1, 3)
    while len(shapes) < count:
        label, radius = int(rng.integers(len(CLASSES))), rng.uniform(32, 45)
        distance, color = radius + MARK + rng.uniform(0, 35), rng.uniform(0, 255, 3)
        center = rng.uniform((radius, distance + MARK), (WIDTH - radius, HEIGHT - radius))
        end = center - (0, distance)
        spots = [np.array([*center, 1.5 * radius]), np.array([*end, MARK])]  # With the corners of the box.
        if any(np.hypot(*(a - b)[:2]) < a[2] + b[2] for a in spots for b in taken):
            continue
        taken += spots
        disc = center + outline(CLASSES.index('circle'), radius, 0)
        cv2.line(image, *(tuple(np.round(point).astype(int).tolist()) for point in (center, end)), color.tolist(), 5)
        fill(image, disc, color, edge=3)
        turned = outline(label, MARK, rng.uniform(0, 2 * np.pi))
        telling, other = (end, center) if far else (center, end)
        fill(image, telling + turned, np.array(COLORS[label]), edge=1)
        fill(image, other + outline(CLASSES.index('circle'), MARK / 2, 0), np.array(GRAY), edge=1)
        shapes.append(Shape(label, disc))
    return image, shapes


# By the values of --mark.
DRAWERS = {None: draw, 'near': partial(draw_marked, far=False), 'far': partial(draw_marked, far=True)}


def annotate(shapes: List[Shape], image_id: int, first_id: int) -> List[Dict]:
    """The COCO annotations of an image's shapes."""
    annotations = []
    for number, (label, corners) in enumerate(shapes):
        polygon = [corners.round(2).flatten().tolist()]
        rle = coco_mask.merge(coco_mask.frPyObjects(polygon, HEIGHT, WIDTH))
        annotations.append(
            dict(
                id=first_id + number,
                image_id=image_id,
                category_id=label + 1,
                segmentation=polygon,
                area=float(coco_mask.area(rle)),
                bbox=coco_mask.toBbox(rle).tolist(),
                iscrowd=0,
            )
        )
    return annotations


def draw_split(
    folder: Path, split: str, count: int, seed: int, mark: Optional[str], prefix: str = ''
) -> Iterator[Tuple[str, List[Dict]]]:
    """Draws the pictures of a split, which differ from those of the other, into a folder.

    Yields:
        tuple[str, list[dict]]: The picture's name without suffix, and its annotations as of COCO.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, COUNTS[split]])
    number = 0
    for image_id in range(1, count + 1):
        picture, shapes = DRAWERS[mark](rng)
        name = f'{prefix}{image_id:06d}'
        mmcv.imwrite(picture, str(folder / f'{name}.jpg'))  # It raises errors, which OpenCV's does not.
        annotations = annotate(shapes, image_id, number + 1)
        number += len(annotations)
        yield name, annotations


def count_images(images: Optional[int]) -> Dict[str, int]:
    """How many pictures each split has, if the training has so many; a twelfth of them for validation, two at least."""
    return COUNTS if images is None else {'train2017': images, 'val2017': max(2, images // 12)}


def write_coco(root: Path, seed: int = 0, images: Optional[int] = None, mark: Optional[str] = None) -> None:
    """Writes images and annotations of both splits, which differ.

    Args:
        root (Path): Folder of the data set; made if missing.
        seed (int): Equal seeds give equal data. Defaults to 0.
        images (int | None): How many to train on. Defaults to None, those of :data:`COUNTS`.
        mark (str | None): ``'near'`` or ``'far'``: what tells the class. Defaults to None, the shape itself.
    """
    categories = [dict(id=label + 1, name=name) for label, name in enumerate(CLASSES)]
    (root / 'annotations').mkdir(parents=True, exist_ok=True)
    for split, count in count_images(images).items():
        entries: List[Dict] = []
        annotations: List[Dict] = []
        for name, found in draw_split(root / split, split, count, seed, mark):
            entries.append(dict(id=int(name), file_name=f'{name}.jpg', height=HEIGHT, width=WIDTH))
            annotations += found
        content = dict(images=entries, annotations=annotations, categories=categories)
        (root / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))


def write_voc(root: Path, seed: int = 0, images: Optional[int] = None, mark: Optional[str] = None) -> None:
    """Writes the same images in the layout of Pascal VOC, which counts pixels from 1; see :func:`write_coco`."""
    for folder in ('Annotations', 'ImageSets/Main'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for split, count in count_images(images).items():
        short = split.replace('2017', '')
        names = []
        for name, annotations in draw_split(root / 'JPEGImages', split, count, seed, mark, f'{short}_'):
            names.append(name)
            objects = ''
            for annotation in annotations:
                x, y, width, height = map(int, annotation['bbox'])
                label = CLASSES[annotation['category_id'] - 1]
                objects += OBJECT.format(label, x + 1, y + 1, x + width, y + height)
            (root / 'Annotations' / f'{name}.xml').write_text(PAGE.format(name, WIDTH, HEIGHT, objects))
        (root / 'ImageSets/Main' / f'{short}.txt').write_text('\n'.join(names) + '\n')


def write_yolo(root: Path, seed: int = 0, images: Optional[int] = None, mark: Optional[str] = None) -> None:
    """Writes the same images in the layout of YOLO, with centers and sizes in shares of the image."""
    for split, count in count_images(images).items():
        short = split.replace('2017', '')
        (root / 'labels' / short).mkdir(parents=True, exist_ok=True)
        for name, annotations in draw_split(root / 'images' / short, split, count, seed, mark):
            lines = []
            for annotation in annotations:
                x, y, width, height = annotation['bbox']
                center = (x + width / 2) / WIDTH, (y + height / 2) / HEIGHT
                numbers = (*center, width / WIDTH, height / HEIGHT)
                lines.append(' '.join([str(annotation['category_id'] - 1), *(f'{number:.6f}' for number in numbers)]))
            (root / 'labels' / short / f'{name}.txt').write_text('\n'.join(lines) + '\n')
    names = '\n'.join(f'  {label}: {name}' for label, name in enumerate(CLASSES))
    (root / 'data.yaml').write_text(f'train: images/train\nval: images/val\nnames:\n{names}\n')


@command
def main() -> None:
    """Reads the arguments."""
    writers = {'coco': write_coco, 'voc': write_voc, 'yolo': write_yolo}
    parser = command_parser(__doc__)
    parser.add_argument('root', type=output_folder, help='folder to write to')
    parser.add_argument('--layout', choices=[*writers, 'cityscapes'], default='coco', help='(default: coco)')
    parser.add_argument('--images', type=positive_int, help='pictures of shapes to train on (default: 720)')
    parser.add_argument('--seed', type=non_negative_int, default=0, help='equal seeds give equal data (default: 0)')
    parser.add_argument('--mark', choices=['near', 'far'], help='where a mark tells the class (default: none does)')
    args = parser.parse_args()
    if args.layout == 'cityscapes':
        if args.images:
            parser.error('argument --images: streets are always as many')
        if args.mark:
            parser.error('argument --mark: streets have none')
        write_cityscapes(args.root, args.seed)
    else:
        writers[args.layout](args.root, args.seed, args.images, args.mark)


if __name__ == '__main__':
    main()
