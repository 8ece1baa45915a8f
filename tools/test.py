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

The other options are those of the toolbox; CONFIG -h lists them.
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

import sys

from mmcontnet.commands import command, command_parser, output_file
from mmcontnet.engine.entry_points import run_entry_point
from mmcontnet.engine.hooks import ResultsHook, StrictLoadHook


@command
def main() -> None:
    """Adds the hooks to the config and hands it over."""
    parser = command_parser(__doc__, add_help=False)
    parser.add_argument('--table', type=output_file)
    args, sys.argv[1:] = parser.parse_known_args()
    ResultsHook.file = args.table
    run_entry_point('test.py', __doc__, [StrictLoadHook.__name__, ResultsHook.__name__])


if __name__ == '__main__':
    main()
