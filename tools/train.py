"""Trains a config with the toolbox that it is written for.

usage: python tools/train.py CONFIG [--compile] [--work-dir DIR] [--amp] [--auto-scale-lr] [--resume [CHECKPOINT]]
                             [--cfg-options KEY=VALUE ...] [--launcher {none,pytorch,slurm,mpi}] [--traceback]

--compile compiles the encoders, for images of all sizes; --traceback shows where an error was raised. All other options
are those of the toolbox (mmdet, mmseg or mmpretrain); CONFIG -h shows them.
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

import sys

from mmcontnet.commands import command, command_parser
from mmcontnet.engine.entry_points import run_entry_point
from mmcontnet.engine.hooks import CompileHook, ExactResumeHook, FiniteHook, StrictLoadHook


@command
def main() -> None:
    """Adds the hooks to the config and hands it over."""
    parser = command_parser(__doc__, add_help=False)
    parser.add_argument('--compile', action='store_true')
    args, sys.argv[1:] = parser.parse_known_args()
    hooks = [ExactResumeHook, FiniteHook, StrictLoadHook, *([CompileHook] if args.compile else [])]
    run_entry_point('train.py', __doc__, [hook.__name__ for hook in hooks])


if __name__ == '__main__':
    main()
