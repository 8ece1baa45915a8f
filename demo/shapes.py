"""Writes a small data set: shapes in the layout of COCO, or streets in the layout of Cityscapes.

python demo/shapes.py data/coco
python demo/shapes.py data/cityscapes --layout cityscapes
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

import json
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

import mmcv
import numpy as np
from drawing import fill, texture
from pycocotools import mask as coco_mask
from streets import write_cityscapes

from mmcontnet.commands import command, command_parser, non_negative_int, output_folder

CLASSES = ('circle', 'triangle', 'square', 'star')
HEIGHT, WIDTH = 384, 480
COUNTS = {'train2017': 720, 'val2017': 60}


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


def write_coco(root: Path, seed: int = 0) -> None:
    """Writes images and annotations of both splits, which differ.

    Args:
        root (Path): Folder of the data set; made if missing.
        seed (int): Equal seeds give equal data. Defaults to 0.
    """
    categories = [dict(id=label + 1, name=name) for label, name in enumerate(CLASSES)]
    (root / 'annotations').mkdir(parents=True, exist_ok=True)
    for split, count in COUNTS.items():
        (root / split).mkdir(exist_ok=True)
        rng = np.random.default_rng([seed, count])
        images, annotations = [], []
        for image_id in range(1, count + 1):
            picture, shapes = draw(rng)
            name = f'{image_id:06d}.jpg'
            mmcv.imwrite(picture, str(root / split / name))  # It raises errors, which OpenCV's does not.
            images.append(dict(id=image_id, file_name=name, height=HEIGHT, width=WIDTH))
            annotations += annotate(shapes, image_id, len(annotations) + 1)
        content = dict(images=images, annotations=annotations, categories=categories)
        (root / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))


@command
def main() -> None:
    """Reads the arguments."""
    writers = {'coco': write_coco, 'cityscapes': write_cityscapes}
    parser = command_parser(__doc__)
    parser.add_argument('root', type=output_folder, help='folder to write to')
    parser.add_argument('--layout', choices=writers, default='coco', help='shapes or streets (default: coco)')
    parser.add_argument('--seed', type=non_negative_int, default=0, help='equal seeds give equal data (default: 0)')
    args = parser.parse_args()
    writers[args.layout](args.root, args.seed)


if __name__ == '__main__':
    main()
