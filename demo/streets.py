"""A small data set in the layout of Cityscapes: drawn streets with the things whose instances Cityscapes counts."""

import json
import subprocess
import sys
from pathlib import Path
from typing import List, NamedTuple, Tuple

import cv2
import mmcv
import mmdet
import numpy as np
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.preparation.json2instanceImg import createInstanceImage
from cityscapesscripts.preparation.json2labelImg import json2labelImg
from drawing import fill, texture
from rich.progress import track

HEIGHT, WIDTH = 256, 512
COUNTS = {'train': 60, 'val': 12, 'test': 4}
HORIZON = 0.42 * HEIGHT
CAMERA = 2.6  # Metres above the road.

# Width and height in metres, and the outline in units of both, from the upper left corner.
THINGS = {
    'person': (0.7, 1.8, '.4 0 .6 0 .7 .15 1 .3 .75 .55 .8 1 .2 1 .25 .55 0 .3 .3 .15'),
    'rider': (1.1, 1.3, '.35 0 .6 0 .65 .3 1 .5 .95 .6 .5 .55 .8 1 .55 1 0 .65 .15 .3'),
    'car': (3.8, 1.5, '0 .5 .2 .45 .35 0 .75 0 .9 .45 1 .55 1 .85 .85 1 .15 1 0 .85'),
    'truck': (4.8, 2.8, '0 0 .7 0 .7 .25 .9 .25 1 .6 1 .9 .9 1 .1 1 0 .9'),
    'bus': (5.6, 2.9, '.03 0 .97 0 1 .1 1 .92 .97 1 .03 1 0 .92 0 .1'),
    'train': (8.0, 3.4, '.12 0 .88 0 1 .7 1 1 0 1 0 .7'),
    'motorcycle': (2.2, 1.3, '.15 .3 .4 .35 .6 0 .7 .3 1 .6 .95 1 .7 1 .6 .75 .4 .75 .3 1 .05 1 0 .6'),
    'bicycle': (1.8, 1.1, '0 .7 .2 .35 .65 .3 .6 0 .75 0 .8 .35 1 .7 .8 1 .6 .7 .4 .7 .2 1'),
}
# BGR.
STUFF = {
    'sky': (220, 190, 150),
    'building': (90, 100, 120),
    'vegetation': (60, 120, 60),
    'sidewalk': (150, 130, 150),
    'road': (95, 90, 95),
    'pole': (130, 130, 130),
    'traffic sign': (20, 200, 230),
    'ego vehicle': (40, 30, 30),
}


class Region(NamedTuple):
    """A labeled polygon, (N, 2) whole pixels as x, y, and its color. Later ones hide earlier ones."""

    label: str
    polygon: np.ndarray
    color: np.ndarray


def surroundings(rng: np.random.Generator) -> List[Region]:
    """All but things, from the sky to the road."""
    vanishing, tree, pole = rng.uniform(0.1, 0.9, 3) * WIDTH
    walls = np.linspace(0, WIDTH, 7).repeat(2)[1:-1]
    roofs = rng.uniform(0.05, 0.35, 6).repeat(2) * HEIGHT
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    crown = (tree, 0.32 * HEIGHT) + 0.1 * HEIGHT * np.stack([2 * np.cos(angles), np.sin(angles)], 1)
    sign = 0.16 * HEIGHT
    polygons = {
        'sky': [[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]],
        'building': [*np.stack([walls, roofs], 1), [WIDTH, HORIZON], [0, HORIZON]],
        'vegetation': crown,
        'sidewalk': [[0, HORIZON], [WIDTH, HORIZON], [WIDTH, HEIGHT], [0, HEIGHT]],
        'road': [[vanishing - 9, HORIZON], [vanishing + 9, HORIZON], [1.2 * WIDTH, HEIGHT], [-0.2 * WIDTH, HEIGHT]],
        'pole': [[pole - 3, sign], [pole + 3, sign], [pole + 3, 0.6 * HEIGHT], [pole - 3, 0.6 * HEIGHT]],
        'traffic sign': [[pole, sign - 14], [pole + 14, sign], [pole, sign + 14], [pole - 14, sign]],
        'ego vehicle': np.array([[0.2, 1], [0.3, 0.95], [0.7, 0.95], [0.8, 1]]) * (WIDTH, HEIGHT),
    }
    return [
        Region(label, whole_pixels(polygon), np.array(STUFF[label]) + rng.uniform(-20, 20))
        for label, polygon in polygons.items()
    ]


def whole_pixels(polygon: np.ndarray) -> np.ndarray:
    """The polygon (N, 2) as Cityscapes writes it: rounded and inside the picture."""
    return np.clip(np.round(polygon), 0, (WIDTH - 1, HEIGHT - 1)).astype(int)


def things(rng: np.random.Generator) -> List[Region]:
    """Two to seven things on the ground, the farthest first, in perspective."""
    regions = []
    for foot in np.sort(rng.uniform(0.5, 0.85, rng.integers(2, 8))) * HEIGHT:
        label = rng.choice(list(THINGS))
        *metres, outline = THINGS[label]
        size = np.array(metres) * (foot - HORIZON) / CAMERA
        corners = np.array(outline.split(), float).reshape(-1, 2)
        if rng.integers(2):
            corners[:, 0] = 1 - corners[:, 0]
        center = rng.uniform(0.05, 0.95) * WIDTH
        polygon = whole_pixels((center - size[0] / 2, foot - size[1]) + corners * size)
        regions.append(Region(label, polygon, rng.uniform(0, 255, 3)))
    return regions


def draw_street(rng: np.random.Generator) -> Tuple[np.ndarray, List[Region]]:
    """Draws a street (HEIGHT, WIDTH, 3), BGR, and returns it with its regions, the nearest last."""
    regions = surroundings(rng)
    regions[-1:-1] = things(rng)  # The own car is nearest.
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    for region in regions:
        fill(image, region.polygon, region.color, edge=1)
    return cv2.addWeighted(image, 0.8, texture(rng, HEIGHT, WIDTH), 0.2, 0), regions


def write_annotations(regions: List[Region], stem: str) -> None:
    """Writes what comes with an image of Cityscapes: polygons, and maps of labels, training labels and instances."""
    polygons = f'{stem}_polygons.json'
    objects = [dict(label=region.label, polygon=region.polygon.tolist()) for region in regions]
    Path(polygons).write_text(json.dumps(dict(imgHeight=HEIGHT, imgWidth=WIDTH, objects=objects)))
    for encoding, name in (('ids', 'labelIds'), ('trainIds', 'labelTrainIds'), ('color', 'color')):
        json2labelImg(polygons, f'{stem}_{name}.png', encoding)
    annotation = Annotation()
    annotation.fromJsonFile(polygons)
    # json2instanceImg would write an image of 32 bits, which Pillow 13 refuses.
    instances = np.array(createInstanceImage(annotation, 'ids'), np.uint16)
    mmcv.imwrite(instances, f'{stem}_instanceIds.png')


def write_cityscapes(root: Path, seed: int = 0) -> None:
    """Writes images and annotations of all splits, which differ, and converts them for MMDetection.

    Args:
        root (Path): Folder of the data set; made if missing.
        seed (int): Equal seeds give equal data. Defaults to 0.
    """
    for split, count in COUNTS.items():
        city = f'{split}town'
        folders = [root / kind / split / city for kind in ('leftImg8bit', 'gtFine')]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng([seed, *split.encode()])
        for number in track(range(count), split):
            picture, regions = draw_street(rng)
            image, annotations = (f'{folder}/{city}_{number:06d}_000019_{folder.parts[-3]}' for folder in folders)
            mmcv.imwrite(picture, f'{image}.png')
            write_annotations(regions, annotations)
    script = Path(mmdet.__file__).parent / '.mim/tools/dataset_converters/cityscapes.py'
    subprocess.run([sys.executable, script, str(root), '--out-dir', str(root / 'annotations')], check=True)
