"""Trains a config with the toolbox that it is written for.

usage: python tools/train.py CONFIG [--compile] [--work-dir DIR] [--amp] [--auto-scale-lr] [--resume [CHECKPOINT]]
                             [--cfg-options KEY=VALUE ...] [--launcher {none,pytorch,slurm,mpi}]

--compile compiles the parts of the encoders that are the same for images of all sizes. All other options are those of
the toolbox (mmdet, mmseg or mmpretrain); CONFIG -h shows them.
"""

import argparse
import sys

from mmcontnet.engine.entry_points import run_entry_point
from mmcontnet.engine.hooks import CompileHook


def main() -> None:
    """Adds the hook to the config, if asked, and hands it over."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument('--compile', action='store_true')
    args, sys.argv[1:] = parser.parse_known_args()
    options = [f'default_hooks.compile.type={CompileHook.__name__}'] if args.compile else []
    run_entry_point('train.py', __doc__, options)


if __name__ == '__main__':
    main()
