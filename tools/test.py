"""Evaluates a checkpoint with the toolbox that its config is written for.

usage: python tools/test.py CONFIG CHECKPOINT [--work-dir DIR] [--out FILE] [--show-dir DIR] [--tta]
                            [--cfg-options KEY=VALUE ...] [--launcher {none,pytorch,slurm,mpi}]

All options are those of the toolbox (mmdet, mmseg or mmpretrain); CONFIG -h shows them.
"""

from mmcontnet.toolbox import run_entry_point

if __name__ == '__main__':
    run_entry_point('test.py', __doc__)
