"""Trains a config with the toolbox that it is written for.

usage: python tools/train.py CONFIG [--work-dir DIR] [--amp] [--auto-scale-lr] [--resume [CHECKPOINT]]
                             [--cfg-options KEY=VALUE ...] [--launcher {none,pytorch,slurm,mpi}]

All options are those of the toolbox (mmdet, mmseg or mmpretrain); CONFIG -h shows them.
"""

from mmcontnet.toolbox import run_entry_point

if __name__ == '__main__':
    run_entry_point('train.py', __doc__)
