"""Evaluates a checkpoint with the toolbox that its config is written for, and compares it with the published row.

usage: python tools/test.py CONFIG CHECKPOINT [--table FILE] [--work-dir DIR] [--out FILE] [--show-dir DIR] [--tta]
                            [--cfg-options KEY=VALUE ...] [--launcher {none,pytorch,slurm,mpi}] [--traceback]

Example:
    python tools/test.py configs/retinanet_contm_pretrained_coco.py \\
        work_dirs/retinanet_contm_pretrained_coco/epoch_12.pth --table rows.jsonl --show-dir pictures

--table FILE    adds the row to FILE, which tools/render_results.py renders as tables
--show-dir DIR  draws the predictions: of a detector beside the ground truth to WORK_DIR/TIMESTAMP/DIR, of a segmentor
                to DIR/vis_data/vis_image, of a classifier to DIR, a folder for each class
--traceback     shows where an error was raised

CHECKPOINT may be a folder that tools/export.py wrote: the exported model is evaluated by onnxruntime, with the options
--table, --work-dir and --cfg-options.

The other options are those of the toolbox; CONFIG -h lists them.
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

import sys
from pathlib import Path

from mmcontnet.commands import about, add_cfg_options, command, command_parser, config_file, output_file, output_folder
from mmcontnet.deploy.description import FILE
from mmcontnet.engine.entry_points import parse_arguments, run_entry_point
from mmcontnet.engine.hooks import ResultsHook, StrictLoadHook
from mmcontnet.toolboxes import find_entry_point, read_config


def evaluate_exported() -> None:
    """Evaluates an exported model."""
    from mmcontnet.export.evaluation import evaluate  # Needs onnxruntime.

    parser = command_parser(__doc__)
    parser.add_argument('config', type=config_file)
    parser.add_argument('folder', type=Path)
    parser.add_argument('--work-dir', type=output_folder)
    add_cfg_options(parser)
    args = parser.parse_args()
    cfg = read_config(args.config, args.cfg_options)
    find_entry_point(cfg, 'test.py')
    cfg.work_dir = str(args.work_dir or Path('work_dirs', Path(args.config).stem))
    with about(args.config):
        evaluate(cfg, args.folder, [ResultsHook.__name__])


@command
def main() -> None:
    """Adds the hooks to the config and hands it over."""
    parser = command_parser(__doc__, add_help=False)
    parser.add_argument('--table', type=output_file)
    args, sys.argv[1:] = parser.parse_known_args()
    ResultsHook.file = args.table
    checkpoint = parse_arguments('test.py', __doc__).checkpoint
    if checkpoint and Path(checkpoint, FILE).is_file():
        evaluate_exported()
        return
    run_entry_point('test.py', __doc__, [StrictLoadHook.__name__, ResultsHook.__name__])


if __name__ == '__main__':
    main()
