"""Writes a small dataset: shapes in COCO, Pascal VOC or YOLO layout, or streets in Cityscapes layout.

Example:
    python demo/shapes.py data/coco
    python demo/shapes.py data/shapes --layout voc --images 40
    python demo/shapes.py data/cityscapes --layout cityscapes
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

import json
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

import mmcv
import numpy as np
from drawing import fill, texture
from pycocotools import mask as coco_mask
from streets import write_cityscapes

from mmcontnet.commands import command, command_parser, non_negative_int, output_folder, positive_int

CLASSES = ('circle', 'triangle', 'square', 'star')
HEIGHT, WIDTH = 384, 480
COUNTS = {'train2017': 720, 'val2017': 60}
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
        centre = rng.uniform((radius, radius), (WIDTH - radius, HEIGHT - radius))
        if any(np.hypot(*(centre - other[:2])) < 0.9 * (radius + other[2]) for other in taken):
            continue
        taken.append(np.array([*centre, radius]))
        corners = centre + outline(label, radius, rng.uniform(0, 2 * np.pi))
        fill(image, corners, rng.uniform(0, 255, 3), edge=3)
        shapes.append(Shape(label, corners))
    return image, shapes


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


def draw_split(folder: Path, split: str, count: int, seed: int, prefix: str = '') -> Iterator[Tuple[str, List[Dict]]]:
    """Draws the pictures of a split, which differ from those of the other, into a folder.

    Yields:
        tuple[str, list[dict]]: The picture's name without suffix, and its annotations as of COCO.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, COUNTS[split]])
    number = 0
    for image_id in range(1, count + 1):
        picture, shapes = draw(rng)
        name = f'{prefix}{image_id:06d}'
        mmcv.imwrite(picture, str(folder / f'{name}.jpg'))  # It raises errors, which OpenCV's does not.
        annotations = annotate(shapes, image_id, number + 1)
        number += len(annotations)
        yield name, annotations


def count_images(images: Optional[int]) -> Dict[str, int]:
    """How many pictures each split has, if the training has so many; a twelfth of them for validation, two at least."""
    return COUNTS if images is None else {'train2017': images, 'val2017': max(2, images // 12)}


def write_coco(root: Path, seed: int = 0, images: Optional[int] = None) -> None:
    """Writes images and annotations of both splits, which differ.

    Args:
        root (Path): Folder of the data set; made if missing.
        seed (int): Equal seeds give equal data. Defaults to 0.
        images (int | None): How many to train on. Defaults to None, those of :data:`COUNTS`.
    """
    categories = [dict(id=label + 1, name=name) for label, name in enumerate(CLASSES)]
    (root / 'annotations').mkdir(parents=True, exist_ok=True)
    for split, count in count_images(images).items():
        entries: List[Dict] = []
        annotations: List[Dict] = []
        for name, found in draw_split(root / split, split, count, seed):
            entries.append(dict(id=int(name), file_name=f'{name}.jpg', height=HEIGHT, width=WIDTH))
            annotations += found
        content = dict(images=entries, annotations=annotations, categories=categories)
        (root / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))


def write_voc(root: Path, seed: int = 0, images: Optional[int] = None) -> None:
    """Writes the same images in the layout of Pascal VOC, which counts pixels from 1; see :func:`write_coco`."""
    for folder in ('Annotations', 'ImageSets/Main'):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for split, count in count_images(images).items():
        short = split.replace('2017', '')
        names = []
        for name, annotations in draw_split(root / 'JPEGImages', split, count, seed, f'{short}_'):
            names.append(name)
            objects = ''
            for annotation in annotations:
                x, y, width, height = map(int, annotation['bbox'])
                label = CLASSES[annotation['category_id'] - 1]
                objects += OBJECT.format(label, x + 1, y + 1, x + width, y + height)
            (root / 'Annotations' / f'{name}.xml').write_text(PAGE.format(name, WIDTH, HEIGHT, objects))
        (root / 'ImageSets/Main' / f'{short}.txt').write_text('\n'.join(names) + '\n')


def write_yolo(root: Path, seed: int = 0, images: Optional[int] = None) -> None:
    """Writes the same images in the layout of YOLO, with centres and sizes in shares of the image."""
    for split, count in count_images(images).items():
        short = split.replace('2017', '')
        (root / 'labels' / short).mkdir(parents=True, exist_ok=True)
        for name, annotations in draw_split(root / 'images' / short, split, count, seed):
            lines = []
            for annotation in annotations:
                x, y, width, height = annotation['bbox']
                centre = (x + width / 2) / WIDTH, (y + height / 2) / HEIGHT
                numbers = (*centre, width / WIDTH, height / HEIGHT)
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
    args = parser.parse_args()
    if args.layout == 'cityscapes':
        if args.images:
            parser.error('argument --images: streets are always as many')
        write_cityscapes(args.root, args.seed)
    else:
        writers[args.layout](args.root, args.seed, args.images)


if __name__ == '__main__':
    main()
