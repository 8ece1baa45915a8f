"""Trains a model with the toolbox that its config is written for: MMDetection, MMSegmentation or MMPretrain.

usage: python tools/train.py CONFIG [--compile] [--tensorboard] [--work-dir DIR] [--amp] [--auto-scale-lr]
                             [--resume [CHECKPOINT]] [--cfg-options KEY=VALUE ...]
                             [--launcher {none,pytorch,slurm,mpi}] [--traceback]

Example:
    python tools/train.py configs/retinanet_contm_pretrained_coco.py --auto-scale-lr --tensorboard
    python tools/train.py configs/retinanet_contm_pretrained_coco.py --resume  # from the latest checkpoint

--compile      compiles the encoders with torch.compile, once for images of all sizes
--tensorboard  logs losses, metrics and validation pictures for TensorBoard: tensorboard --logdir work_dirs
--traceback    shows where an error was raised

The other options are those of the toolbox; CONFIG -h lists them.
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

import sys

from mmcontnet.commands import command, command_parser
from mmcontnet.engine.entry_points import run_entry_point
from mmcontnet.engine.hooks import CompileHook, ExactResumeHook, FiniteHook, StrictLoadHook, TensorboardHook
from mmcontnet.toolboxes import check_tensorboard


@command
def main() -> None:
    """Adds the hooks to the config and hands it over."""
    parser = command_parser(__doc__, add_help=False)
    parser.add_argument('--compile', action='store_true')
    parser.add_argument('--tensorboard', action='store_true')
    args, sys.argv[1:] = parser.parse_known_args()
    hooks = [ExactResumeHook, FiniteHook, StrictLoadHook]
    if args.compile:
        hooks.append(CompileHook)
    if args.tensorboard:
        check_tensorboard()
        hooks.append(TensorboardHook)
    run_entry_point('train.py', __doc__, [hook.__name__ for hook in hooks])


if __name__ == '__main__':
    main()
