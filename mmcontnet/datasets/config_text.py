"""The parts of a config as text, which the configs of all models for a user's own data share."""

import colorsys
import os
from pathlib import Path
from statistics import median
from typing import List, NamedTuple, Optional, Sequence, Tuple

from ..base_configs import SCOPE
from ..models.arch import get_arch
from .formats.common import Paths
from .images import Size

BASES = {
    'retinanet': 'retinanet_contm_coco.py',
    'fcos': 'fcos_contm_coco.py',
    'faster_rcnn': 'faster_rcnn_contm_coco.py',
    'mask_rcnn': 'mask_rcnn_contm_coco.py',
    'pspnet': 'pspnet_contm_cityscapes.py',
    'classifier': 'contm_imagenet.py',
}
TITLES = {
    'retinanet': 'RetinaNet',
    'fcos': 'FCOS',
    'faster_rcnn': 'Faster R-CNN',
    'mask_rcnn': 'Mask R-CNN',
    'pspnet': 'PSPNet',
    'classifier': 'Classifier',
}
# To compare ConTNet with: their depths and the channels of their maps.
RESNETS = {'r18': (18, [64, 128, 256, 512]), 'r50': (50, [256, 512, 1024, 2048])}


class Recipe(NamedTuple):
    """What to train: model, size of ConTNet or a ResNet, and what a user chose in the place of the base config's."""

    model: str
    arch: str
    batch: Optional[int] = None
    epochs: Optional[int] = None
    weights: Optional[Path] = None


def list_channels(arch: str) -> List[int]:
    """The channels of the maps of a network; those of ConTNet's last stage are twice as many as inside it."""
    if arch in RESNETS:
        return RESNETS[arch][1]
    *first, last = get_arch(arch).channels
    return [*first, 2 * last]


def name_network(arch: str) -> str:
    """The network as the user knows it."""
    return f'ResNet-{RESNETS[arch][0]}' if arch in RESNETS else f'ConT-{arch.title()}'


def write_head(recipe: Recipe, paths: Paths, out: Path) -> List[str]:
    """What the config is for, and what it inherits from."""
    return [
        f'# {TITLES[recipe.model]} with {name_network(recipe.arch)} for the data in {write_path(paths.root)[1:-1]}.',
        '# Paths are relative to the folder where the command runs:',
        f'#     python tools/train.py {quote(str(out))[1:-1]}',
        f'_base_ = [{quote(SCOPE + BASES[recipe.model])}]',
        '',
    ]


def write_metainfo(classes: Sequence[str], palette: bool = True) -> List[str]:
    """The classes and a color for each, several on a line."""
    lines = ['metainfo = dict(', *_wrap('classes', '(', [quote(name) for name in classes], ')')]
    if palette:
        lines += _wrap('palette', '[', [str(color) for color in make_palette(len(classes))], ']')
    return [*lines, ')']


def _wrap(name: str, opening: str, items: List[str], closing: str) -> List[str]:
    line = f'    {name}={opening}{", ".join(items)}{"," if len(items) == 1 else ""}{closing},'
    if len(line) <= 120:
        return [line]
    rows: List[str] = []
    for item in items:
        if rows and len(rows[-1]) + len(item) < 110:
            rows[-1] += f' {item},'
        else:
            rows.append(f'        {item},')
    return [f'    {name}={opening}', *rows, f'    {closing},']


def make_palette(count: int) -> List[Tuple[int, int, int]]:
    """Colors, RGB, that differ from their neighbors: steps of the golden ratio around the circle of hues."""
    colors = []
    for number in range(count):
        hue = number * 0.618034 % 1
        red, green, blue = colorsys.hsv_to_rgb(hue, (0.85, 0.6)[number % 2], (0.9, 0.75, 0.6)[number % 3])
        colors.append((round(255 * red), round(255 * green), round(255 * blue)))
    return colors


def write_backbone(recipe: Recipe) -> List[str]:
    """The line of the backbone that differs from ConT-M with random weights, if one does."""
    parts = [f"arch='{recipe.arch}'"] if recipe.arch != 'm' else []
    if recipe.arch in RESNETS:
        kind = 'ResNetV1c' if recipe.model == 'pspnet' else 'ResNet'
        parts = [f"_delete_=True, type='{kind}', depth={RESNETS[recipe.arch][0]}, norm_eval=False"]
        if recipe.model == 'pspnet':
            parts.append('strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4), contract_dilation=True')
    if recipe.weights:
        parts.append(f"init_cfg=dict(type='Pretrained', checkpoint={write_path(recipe.weights)}, prefix='backbone.')")
        if recipe.model != 'classifier':
            parts.append('frozen_stages=1, norm_eval=True')
    if len(parts) < 2:
        return [f'    backbone=dict({parts[0]}),'] if parts else []
    return ['    backbone=dict(', *(f'        {part},' for part in parts), '    ),']


def write_learning_rate(lr: float, batch: int) -> List[str]:
    """The learning rate in proportion to the batch."""
    return [
        f'# {lr} is meant for {batch} images a step. On several GPUs add --auto-scale-lr.',
        f'optim_wrapper = dict(optimizer=dict(lr={lr} * batch_size / {batch}))',
        'auto_scale_lr = dict(base_batch_size=batch_size)',
    ]


def find_typical_size(sizes: Sequence[Size], longest: int, shortest: int, landscape: bool = True) -> Tuple[int, int]:
    """Medians of the sides, at most as large as given; long and short side, or else width and height."""
    pairs = [(max(size), min(size)) for size in sizes] if landscape else sizes
    first, second = (round(median(pair[side] for pair in pairs)) for side in (0, 1))
    return min(first, longest), min(second, shortest)


def quote(text: str) -> str:
    """A text as Python writes it.

    Raises:
        ValueError: It cannot stand in a config.
    """
    if '{{' in text or not text.isprintable():
        raise ValueError(f'{text!r} cannot stand in a config: rename it')
    return repr(text)


def write_path(path: Path) -> str:
    """A path as the config has it: relative to the current folder where the file is below it, or was named so."""
    relative = os.path.relpath(path)
    if path.is_absolute() and relative.startswith('..'):
        return quote(path.as_posix())
    return quote(Path(relative).as_posix())
