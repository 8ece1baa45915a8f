"""Evaluates a checkpoint with the toolbox that its config is written for, and compares it with the published row.

usage: python tools/test.py CONFIG CHECKPOINT [--table FILE] [--work-dir DIR] [--out FILE] [--show-dir DIR] [--tta]
                            [--cfg-options KEY=VALUE ...] [--launcher {none,pytorch,slurm,mpi}]

--table FILE adds the row to FILE, which tools/render_results.py renders. All other options are those of the toolbox
(mmdet, mmseg or mmpretrain); CONFIG -h shows them.
"""

import argparse
import sys

from mmcontnet.engine.entry_points import run_entry_point
from mmcontnet.engine.hooks import ResultsHook, StrictLoadHook
from mmcontnet.evaluation.tables import output_file


def main() -> None:
    """Adds the hooks to the config and hands it over."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument('--table', type=output_file)
    args, sys.argv[1:] = parser.parse_known_args()
    options = [
        f'default_hooks.strict_load.type={StrictLoadHook.__name__}',
        f'default_hooks.results.type={ResultsHook.__name__}',
    ]
    if args.table:
        options.append(f'default_hooks.results.file={args.table}')
    run_entry_point('test.py', __doc__, options)


if __name__ == '__main__':
    main()
