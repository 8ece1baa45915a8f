"""Writes a config for your own data, ready for training.

Example:
    python tools/make_config.py --model retinanet --arch s --data my_data --out my.py
    python tools/make_config.py --model pspnet --arch m --data streets --batch 4 --epochs 50 --out streets.py

Detectors read COCO JSON, Pascal VOC XML or YOLO with its data.yaml; pspnet reads folders of images and label maps with
classes.txt; classifier reads a folder for each class. Without validation data, a fifth of the images is split off. What
the toolbox needs in another form is written beside the config. Nothing is written where something in the data is wrong.
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import List

from mmcontnet.commands import (
    about,
    command,
    command_parser,
    existing_file,
    existing_folder,
    existing_path,
    output_file,
    positive_int,
)
from mmcontnet.datasets.check_config import MOST_WORKERS, check_config, summarize
from mmcontnet.datasets.config_text import BASES, RESNETS, Recipe
from mmcontnet.datasets.findings import Finding, collect
from mmcontnet.datasets.formats.common import Paths
from mmcontnet.datasets.own_config import Output, make_config
from mmcontnet.fileio import whole_file
from mmcontnet.messages import printable
from mmcontnet.models import ConTNet
from mmcontnet.models.arch import ARCHS
from mmcontnet.stacks import find_stack
from mmcontnet.toolboxes import read_config
from mmcontnet.weights.pretrained import load_pretrained


def new_config(text: str) -> Path:
    """The type of an argument that names a config to write."""
    if Path(text).suffix != '.py':
        raise argparse.ArgumentTypeError(f'{text!r} is no config: expected a name that ends in .py')
    path = output_file(text)
    if os.path.lexists(path):
        raise argparse.ArgumentTypeError(f'{text} is there already; remove it or name another file')
    return path


def parse_args() -> argparse.Namespace:
    """Reads the command line."""
    parser = command_parser(__doc__)
    parser.add_argument('--model', choices=BASES, required=True, help='what to train')
    parser.add_argument(
        '--arch', choices=[*ARCHS, *RESNETS], required=True, help='size of ConTNet, or a ResNet to compare it with'
    )
    parser.add_argument('--data', type=existing_folder, required=True, metavar='DIR', help='folder of the data')
    for split in ('train', 'val'):
        parser.add_argument(
            f'--{split}-ann', type=existing_path, metavar='PATH', help=f'{split} annotations or label maps'
        )
        parser.add_argument(
            f'--{split}-images', type=existing_folder, metavar='DIR', help=f'folder of the {split} images'
        )
    parser.add_argument('--weights', type=existing_file, metavar='FILE', help='ImageNet weights of the backbone')
    parser.add_argument('--batch', type=positive_int, metavar='N', help="images a step (default: the recipe's)")
    parser.add_argument('--epochs', type=positive_int, metavar='N', help="epochs (default: the recipe's)")
    parser.add_argument('--out', type=new_config, required=True, metavar='FILE', help='config to write')
    args = parser.parse_args()
    if args.weights and args.arch in RESNETS:
        parser.error(f'argument --weights: they are of ConTNet; leave it out, and set init_cfg in {args.out}')
    return args


def write_and_check(output: Output, config: Path) -> List[Finding]:
    """Writes all files and checks what the config then points to; a problem or an interruption removes them again.

    Raises:
        FileExistsError: One of them is there already.
    """
    for path in output.files:
        if os.path.lexists(path):
            raise FileExistsError(17, 'is there already; remove it or choose another --out', str(path))
    findings = None
    try:
        for path, text in output.files.items():
            with whole_file(path) as file:
                file.write(text.encode())
        findings = check_config(read_config(str(config)), min(os.cpu_count(), MOST_WORKERS))
    finally:
        if findings is None or not all(finding.harmless for finding in findings):
            for path in output.files:
                path.unlink(missing_ok=True)
    return findings


@command
def main() -> None:
    """Reads the data, writes the config and checks it."""
    args = parse_args()
    if args.weights:
        load_pretrained(ConTNet(args.arch), args.weights, 'backbone.')
    recipe = Recipe(args.model, args.arch, args.batch, args.epochs, args.weights)
    paths = Paths(args.data, args.train_ann, args.val_ann, args.train_images, args.val_images)
    output, findings = collect(make_config(recipe, paths, args.out))
    if output and all(finding.harmless for finding in findings):
        with about(f'{args.out} is not written'):
            findings += write_and_check(output, args.out)
    print(summarize(findings))
    if not output or not all(finding.harmless for finding in findings):
        sys.exit(f'{args.out} is not written: correct the problems above first')
    print('\n'.join(map(printable, ['', *output.notes, '', 'Written:', *(f'  {path}' for path in output.files)])))
    script = Path(sys.argv[0])
    by_mim = '.mim' in script.parts and find_stack() != 'onedl'  # Whose mim does not find this package.
    train = ['mim', 'train', 'mmcontnet'] if by_mim else ['python', str(script.with_name('train.py'))]
    print('\nNext:', printable(shlex.join([*train, str(args.out)])))


if __name__ == '__main__':
    main()
