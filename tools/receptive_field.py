"""Shows how far networks look: the effective receptive field of every stage, and the attention inside patches.

Example:
    python tools/receptive_field.py conts r18 --out fields.png
    python tools/receptive_field.py configs/retinanet_contm_coco.py configs/retinanet_r50_coco.py \\
        --weights work_dirs/retinanet_contm_coco/epoch_12.pth work_dirs/retinanet_r50_coco/epoch_12.pth \\
        --image photo.jpg --pixel 210 120 --layer 2.0 --out fields.png

The field of a map is where the gradient of its pixels with respect to the image has its energy (Luo et al., 2016),
averaged over pixels and images: noise, or the image. The radii that hold 50% and 90% of it are printed and drawn. With
an image, the attention of the pixel in both encoders of a ConTNet's block is laid over it, head by head.
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

import argparse
import re
import warnings
from pathlib import Path
from typing import Iterator, Optional, Sequence, Tuple

import cv2
import mmcv
import numpy as np
import torch
from mmengine.logging import MMLogger
from torch import Tensor, nn

from mmcontnet import ConTNet
from mmcontnet.analysis.attention import attention_in_block
from mmcontnet.analysis.pictures import SHARES, Attention, save_picture
from mmcontnet.analysis.receptive_field import measure_fields
from mmcontnet.commands import (
    about,
    command,
    command_parser,
    existing_file,
    non_negative_int,
    output_file,
    positive_int,
)
from mmcontnet.evaluation.cost import BACKBONES, build
from mmcontnet.evaluation.tables import markdown_table
from mmcontnet.progress import track_progress
from mmcontnet.weights.comparison import compare_with_model, format_problems
from mmcontnet.weights.reading import get_state_dict, read_checkpoint

RANDOM = 'random'
# About the mean and the standard deviation of the channels of ImageNet's images.
MEAN, STD = 116, 57
MULTIPLE = 32  # The largest stride.


def build_backbone(name: str, weights: str) -> nn.Module:
    """Builds the backbone of a model, with the weights of a checkpoint of the model or its backbone.

    It returns the maps of all its stages, if it can: in classifiers, the last alone.

    Args:
        name (str): See :func:`mmcontnet.evaluation.cost.build`.
        weights (str): Path, or ``'random'``.

    Raises:
        ValueError: There is no such model, or the weights do not fit.
    """
    with about(name):
        model = build(name)
    backbone = getattr(model, 'backbone', model)
    if weights == RANDOM:
        backbone.init_weights()  # As a training does; the networks of mmdet have those of torch before.
    else:
        found = get_state_dict(read_checkpoint(weights), weights)
        prefix = 'backbone.'
        own = {key[len(prefix) :]: value for key, value in found.items() if key.startswith(prefix)} or found
        problems = compare_with_model(backbone, own)
        if problems:
            raise ValueError(f'{weights} does not fit the backbone of {name}. {format_problems(problems)}')
        backbone.load_state_dict(own)
    stages = backbone.stages if isinstance(backbone, ConTNet) else getattr(backbone, 'res_layers', None)
    if stages:  # Others have norms for the maps that they return alone.
        backbone.out_indices = tuple(range(len(stages)))
    return backbone


def read_image(path: Path, size: int) -> np.ndarray:
    """An image (H, W, 3), RGB, resized so that its longer side is ``size`` and both are multiples of 32.

    Raises:
        ValueError: The file is no image.
    """
    image = mmcv.imread(str(path))
    if image is None:
        raise ValueError(f'{path} cannot be read as an image')
    sides = [MULTIPLE * max(1, round(side * size / max(image.shape[:2]) / MULTIPLE)) for side in image.shape[:2]]
    return cv2.resize(image[..., ::-1], sides[::-1], interpolation=cv2.INTER_AREA)


def normalize(image: np.ndarray) -> Tensor:
    """The network's input, (1, 3, H, W)."""
    return (torch.tensor(image).permute(2, 0, 1)[None] - MEAN) / STD


def make_batches(image: Optional[np.ndarray], size: int, count: int, title: str) -> Iterator[Tensor]:
    """Yields the image, or noise of ``size``, as (1, 3, H, W), so many times."""
    for _ in track_progress(range(count), title):
        yield torch.randn(1, 3, size, size) if image is None else normalize(image)


def layer(text: str) -> Tuple[int, int]:
    """The type of an argument that names a block, as ``'2.0'``."""
    if not re.fullmatch(r'\d+\.\d+', text):
        raise argparse.ArgumentTypeError(f'{text!r} is no STAGE.BLOCK, such as 2.0')
    stage, block = text.split('.')
    return int(stage), int(block)


def show_attention(
    backbone: ConTNet, name: str, image: np.ndarray, pixel: Tuple[int, int], layer: Tuple[int, int]
) -> Attention:
    """The attention of a pixel, (row, column), in a block, (stage, block).

    Raises:
        ValueError: There is no such block.
    """
    stage, index = layer
    depths = [len(blocks) for blocks in backbone.stages]
    if stage >= len(depths) or index >= depths[stage]:
        found = ', '.join(map(str, depths))
        raise ValueError(f'--layer {stage}.{index}: {name} has {len(depths)} stages of {found} blocks')
    encoders = attention_in_block(backbone, backbone.stages[stage][index], normalize(image)[0], pixel)
    title = f'{name}, attention in block {index} of stage {stage}'
    return Attention(title, image, pixel, encoders)


def locate(pixel: Optional[Sequence[int]], path: Path, image: np.ndarray) -> Tuple[int, int]:
    """The row and column, in a resized image, of a pixel X, Y of the file; of the center where none is given.

    Raises:
        ValueError: The file has no such pixel.
    """
    height, width = image.shape[:2]
    if pixel is None:
        return height // 2, width // 2
    x, y = pixel
    rows, columns = mmcv.imread(str(path)).shape[:2]
    if x >= columns or y >= rows:
        raise ValueError(f'--pixel {x} {y}: {path} is {columns} pixels wide and {rows} high')
    return y * height // rows, x * width // columns


def parse_args() -> argparse.Namespace:
    """Reads and checks the command line."""
    parser = command_parser(__doc__, epilog=f'A MODEL is one of {", ".join(BACKBONES)}, or a config.')
    parser.add_argument('models', nargs='+', metavar='MODEL', help='what to look at, each in a row')
    parser.add_argument(
        '--weights',
        nargs='+',
        metavar='FILE',
        help=f'a checkpoint for each model, or {RANDOM!r} (default: all random)',
    )
    parser.add_argument('--image', type=existing_file, metavar='FILE', help='image to look at (default: noise)')
    parser.add_argument(
        '--pixel',
        type=non_negative_int,
        nargs=2,
        metavar=('X', 'Y'),
        help='whose attention to show, in pixels of the image (default: its center)',
    )
    parser.add_argument(
        '--layer', type=layer, metavar='STAGE.BLOCK', help='where to show attention, counted from 0 (default: 2.0)'
    )
    parser.add_argument('--size', type=positive_int, default=448, help='longer side of the images (default: 448)')
    parser.add_argument('--count', type=positive_int, default=16, help='pixels of each map (default: 16)')
    parser.add_argument('--seed', type=non_negative_int, default=0, help='of weights, noise and pixels (default: 0)')
    parser.add_argument('--out', type=output_file, required=True, metavar='PNG', help='picture to write')
    args = parser.parse_args()
    args.weights = args.weights or [RANDOM] * len(args.models)
    if len(args.weights) != len(args.models):
        parser.error(f'argument --weights: {len(args.weights)} for {len(args.models)} models; expected one for each')
    if (args.pixel or args.layer) and not args.image:
        parser.error(f'argument --{"pixel" if args.pixel else "layer"}: attention needs --image')
    args.size = MULTIPLE * max(1, round(args.size / MULTIPLE))
    return args


@command
def main() -> None:
    """Measures, prints and draws."""
    warnings.simplefilter('ignore')  # The toolboxes warn about themselves.
    MMLogger.get_instance('receptive_field', log_level='ERROR')
    args = parse_args()
    torch.manual_seed(args.seed)
    backbones = [build_backbone(name, weights) for name, weights in zip(args.models, args.weights)]
    titles = [f'{Path(name).stem}, {Path(weights).name} weights' for name, weights in zip(args.models, args.weights)]
    image = read_image(args.image, args.size) if args.image else None
    attentions = []
    if image is not None:
        pixel = locate(args.pixel, args.image, image)
        attentions = [
            show_attention(backbone, title, image, pixel, args.layer or (2, 0))
            for title, backbone in zip(titles, backbones)
            if isinstance(backbone, ConTNet)
        ]
    fields = [
        measure_fields(backbone, make_batches(image, args.size, args.count, title))
        for title, backbone in zip(titles, backbones)
    ]
    rows = [
        [title, str(field.stride), *(str(field.radius(share)) for share in SHARES)]
        for title, row in zip(titles, fields)
        for field in row
    ]
    print(markdown_table(['model', 'stride', *(f'radius of {share:.0%} (pixels)' for share in SHARES)], rows))
    save_picture(list(zip(titles, fields)), attentions, args.out)


if __name__ == '__main__':
    main()
