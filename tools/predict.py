"""Predicts on pictures and videos with a trained detector, instance or semantic segmentor, or classifier.

usage: python tools/predict.py CONFIG CHECKPOINT INPUT [INPUT ...] [--out DIR] [--score 0.3] [--batch N]
                               [--device DEVICE] [--show] [--cfg-options KEY=VALUE ...] [--traceback]

Example:
    python tools/predict.py configs/retinanet_contm_coco.py work_dirs/retinanet_contm_coco/epoch_12.pth photos clip.mp4

INPUT is a picture, a video, a folder, which is searched recursively, or a quoted glob pattern such as
'photos/**/*.jpg'. Afterwards DIR contains:

    vis/               annotated pictures and videos, in the folders that they came from
    labels/            of semantic segmentors: PNGs whose pixels are the classes, counted from 0
    predictions.json   of detectors: COCO results with file names, boxes as x, y, width, height in pixels, masks as RLE;
                       of classifiers: the class with the highest score; of semantic segmentors: the label maps' paths

Files that cannot be read or predicted on are reported and skipped, with exit status 1. Ctrl-C keeps the results so far.
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

import argparse
from pathlib import Path

import torch
from mmengine.device import get_device
from mmengine.logging import MMLogger

from mmcontnet.commands import (
    about,
    add_cfg_options,
    command,
    command_parser,
    config_file,
    existing_file,
    fraction,
    output_folder,
    positive_int,
)
from mmcontnet.fileio import check_writable
from mmcontnet.inference import build_predictor, find_sources, predict
from mmcontnet.inference.results import ANNOTATED, LABEL_MAPS, PREDICTIONS
from mmcontnet.toolboxes import find_entry_point, read_config


def usable_device(text: str) -> str:
    """The type of an argument that names a device, which is tried at once."""
    try:
        torch.zeros(1, device=text)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        raise argparse.ArgumentTypeError(f'{text!r} cannot be used: {str(error).splitlines()[0]}') from None
    return text


def check_window() -> None:
    """Tries whether matplotlib can open a window.

    Raises:
        ValueError: It cannot.
    """
    from matplotlib import pyplot

    if pyplot.get_backend().lower() == 'agg':
        raise ValueError('--show needs a display and a GUI toolkit of matplotlib, such as tkinter; leave it out')


@command
def main() -> None:
    """Reads the arguments."""
    parser = command_parser(__doc__)
    parser.add_argument('config', metavar='CONFIG', type=config_file, help='config that the model was trained with')
    parser.add_argument('checkpoint', metavar='CHECKPOINT', type=existing_file, help='its weights')
    parser.add_argument('inputs', metavar='INPUT', nargs='+', help='picture, video, folder or glob pattern')
    parser.add_argument(
        '--out',
        metavar='DIR',
        type=output_folder,
        default=Path('predictions'),
        help='folder for the results (default: predictions)',
    )
    parser.add_argument(
        '--score', type=fraction, default=0.3, help='detections up to this score are dropped (default: 0.3)'
    )
    parser.add_argument(
        '--batch', metavar='N', type=positive_int, default=1, help='pictures of one size at a time (default: 1)'
    )
    parser.add_argument('--device', type=usable_device, help='such as cpu or cuda:0 (default: a GPU if there is one)')
    parser.add_argument('--show', action='store_true', help='show each picture in a window until a key is pressed')
    add_cfg_options(parser)
    args = parser.parse_args()
    if args.show:
        check_window()
    MMLogger.get_instance('predict', log_level='ERROR')  # The inferencers warn of their own registries.
    sources = find_sources(args.inputs, [args.out / ANNOTATED, args.out / LABEL_MAPS])
    args.out.mkdir(parents=True, exist_ok=True)
    check_writable(args.out / PREDICTIONS)
    cfg = read_config(args.config, args.cfg_options)
    find_entry_point(cfg, 'test.py')  # Says what to install where the toolbox is missing.
    with about(args.config):
        predictor = build_predictor(cfg, args.checkpoint, args.device or get_device(), args.score, args.show)
    predict(sources, predictor, args.out, args.batch)


if __name__ == '__main__':
    main()
