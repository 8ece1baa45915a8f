"""Prints parameters and multiply-accumulates of the models in the published tables, measured beside published.

Example:
    python tools/complexity.py --json complexity.json

Classifiers are counted on images of 224x224, detectors and segmentors from their configs as the toolboxes' get_flops.py
does: backbone, neck and heads, the second stage on 1000 proposals (masks: 100), no auxiliary head.
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

import json
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn

from mmcontnet.commands import command, command_parser, output_file
from mmcontnet.evaluation.cost import bind, build, count_macs, count_parameters, on_meta
from mmcontnet.evaluation.published import Row, load_tables
from mmcontnet.evaluation.tables import markdown_table
from mmcontnet.fileio import whole_file
from mmcontnet.progress import track_progress

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
# Height and width of the images of each table.
SIZES = {
    'ImageNet, plain recipe': (224, 224),
    'ImageNet, strong augmentation': (224, 224),
    'COCO val2017': (800, 1280),
    'Cityscapes val, instances': (1024, 2048),
    'Cityscapes val, semantic': (512, 1024),
}
HEADER = (
    'model',
    'parameters (M)',
    'published',
    'GMACs',
    "without attention's products",
    'published',
)
NOTE = """
GMACs count convolutions and matrix products, a multiply-accumulate as one. Attention's two products are Q·Kᵀ and A·V;
the counts published for ConTNet's classifiers leave them out, those for DeiT do not."""
MISSING = 'Rows without measured numbers need mmpretrain, which is not installed.'


class Classifier(nn.Module):
    """A backbone, global average pooling and a linear layer: (B, 3, H, W) to (B, 1000)."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        with torch.no_grad():
            channels = backbone(torch.zeros(1, 3, 32, 32))[-1].shape[1]
        self.fc = nn.Linear(channels, 1000)

    def forward(self, images: Tensor) -> Tensor:
        """Classifies."""
        return self.fc(self.backbone(images)[-1].mean((2, 3)))


def build_row(config: str) -> Optional[nn.Module]:
    """Builds the model of a published row; None where its toolbox is not installed.

    Classifiers of this project's configs are built from their backbones, which takes no toolbox for classification.
    """
    toolbox, separator, _ = config.partition('::')
    if separator:
        return build(config) if find_spec(toolbox) else None
    if config.endswith('_imagenet'):
        return Classifier(build(config.split('_')[0]))
    return build(str(CONFIGS / f'{config}.py'))


@torch.no_grad()
def measure(row: Row, size: Tuple[int, int]) -> Dict[str, Any]:
    """Counts a row's model on an image of (height, width); numbers that cannot be had are None."""
    result = dict(
        model=row.model,
        config=row.config,
        height=size[0],
        width=size[1],
        parameters_m=None,
        published_parameters_m=row.parameters,
        gmacs=None,
        gmacs_without_attention=None,
        published_gmacs=row.flops,
    )
    model = build_row(row.config)
    if model is not None:
        model = on_meta(model)
        macs = count_macs(bind(model, torch.empty(1, 3, *size, device='meta')))
        result.update(
            parameters_m=count_parameters(model) / 1e6,
            gmacs=macs.total / 1e9,
            gmacs_without_attention=(macs.total - macs.attention) / 1e9,
        )
    return result


def format_row(result: Dict[str, Any]) -> List[str]:
    """The cells of a result under :data:`HEADER`."""

    def cell(key: str, digits: int) -> str:
        return '-' if result[key] is None else f'{result[key]:.{digits}f}'

    return [
        result['model'],
        cell('parameters_m', 3),
        cell('published_parameters_m', 1),
        cell('gmacs', 3),
        cell('gmacs_without_attention', 3),
        cell('published_gmacs', 1),
    ]


@command
def main() -> None:
    """Counts and prints."""
    parser = command_parser(__doc__)
    parser.add_argument('--json', type=output_file, metavar='FILE', help='file to write the numbers to as well')
    args = parser.parse_args()
    warnings.simplefilter('ignore')  # The toolboxes warn about themselves.
    rows = [(table.title, row) for table in load_tables() for row in table.rows]
    results = []
    for title, row in track_progress(rows, 'Models'):
        results.append(dict(table=title, **measure(row, SIZES[title])))
    for title, (height, width) in SIZES.items():
        cells = [format_row(result) for result in results if result['table'] == title]
        print(f'\n{title}; images of {width}x{height}\n\n{markdown_table(HEADER, cells)}')
    print(NOTE)
    if any(result['gmacs'] is None for result in results):
        print(MISSING)
    if args.json:
        with whole_file(args.json) as file:
            file.write(json.dumps(results, indent=1).encode())


if __name__ == '__main__':
    main()
