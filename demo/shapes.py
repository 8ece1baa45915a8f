"""Writes a small data set in the COCO layout: shapes of several classes on textured backgrounds.

python demo/shapes.py data/shapes
"""

import argparse
import json
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

import cv2
import numpy as np
from pycocotools import mask as coco_mask

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


def texture(rng: np.random.Generator) -> np.ndarray:
    """A random background (HEIGHT, WIDTH, 3): noise of several scales, coarse in colour and fine in brightness."""
    image = rng.uniform(70, 180) + np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for cells, channels, strength in ((3, 3, 45), (9, 1, 45), (40, 1, 25)):
        noise = rng.uniform(-1, 1, (cells, cells, channels)).astype(np.float32)
        image += strength * cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).reshape(HEIGHT, WIDTH, -1)
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def draw(rng: np.random.Generator) -> Tuple[np.ndarray, List[Shape]]:
    """Draws a picture (HEIGHT, WIDTH, 3), BGR, of one to five shapes that hardly overlap."""
    image = texture(rng)
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
        shift = 4  # Sub-pixel bits of OpenCV's coordinates.
        polygon = [np.round(corners * 2**shift).astype(np.int32)]
        colour = rng.uniform(0, 255, 3)
        cv2.fillPoly(image, polygon, colour.tolist(), cv2.LINE_AA, shift)
        cv2.polylines(image, polygon, True, (0.5 * colour).tolist(), 3, cv2.LINE_AA, shift)
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
            cv2.imwrite(str(root / split / name), picture)
            images.append(dict(id=image_id, file_name=name, height=HEIGHT, width=WIDTH))
            annotations += annotate(shapes, image_id, len(annotations) + 1)
        content = dict(images=images, annotations=annotations, categories=categories)
        (root / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description='Writes the data set of the demo in the COCO layout.')
    parser.add_argument('root', type=Path, help='folder to write to')
    parser.add_argument('--seed', type=int, default=0, help='equal seeds give equal data')
    args = parser.parse_args()
    write_coco(args.root, args.seed)
