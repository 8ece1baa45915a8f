"""Trains a detector on a few training images until it knows them: a quick proof that model and data fit together.

    python tools/overfit.py configs/retinanet_contm_coco.py --images 8 --ap50 0.8

It stops as soon as the box AP50 on these very images passes the mark, and says so if it never does.
"""

import argparse
import sys
from pathlib import Path
from typing import Dict, Optional

from mmengine.config import Config, DictAction
from mmengine.hooks import Hook
from mmengine.runner import Runner


class StopAtMark(Hook):
    """Ends the training once AP50 reaches the mark, and remembers the best."""

    def __init__(self, mark: float) -> None:
        self.mark = mark
        self.best = 0.0

    def after_val_epoch(self, runner: Runner, metrics: Optional[Dict[str, float]] = None) -> None:
        """Compares what was just measured with the mark."""
        self.best = max(self.best, metrics['coco/bbox_mAP_50'])
        runner.train_loop.stop_training = self.best >= self.mark


def overfit_config(path: str, images: int, epochs: int, size: int) -> Config:
    """The config, trained and evaluated on the same few images with a fixed learning rate.

    Args:
        path (str): Config of a detector on COCO.
        images (int): How many images; the first of the training set that have annotations.
        epochs (int): Epochs at most, each of which sees the images ten times.
        size (int): Longer side of the images in pixels.
    """
    cfg = Config.fromfile(path)
    scale = (size, size)
    train = cfg.train_dataloader.dataset
    train.indices = images
    for transform in [*train.pipeline, *cfg.test_pipeline]:
        if transform.type == 'Resize':
            transform.scale = scale
    train.pipeline = [transform for transform in train.pipeline if transform.type != 'RandomFlip']
    cfg.train_dataloader.update(num_workers=0, persistent_workers=False, batch_size=min(4, images))
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', times=10, dataset=train)
    # Not in test mode, so that it skips images without annotations as training does.
    cfg.val_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.val_dataloader.dataset = {**train, 'pipeline': cfg.test_pipeline}
    # Without a file of annotations the metric takes those of the images that it sees, if they are handed on.
    cfg.test_pipeline[-1].meta_keys += ('instances',)
    cfg.val_evaluator = dict(type='CocoMetric', metric='bbox')
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=epochs, val_interval=1)
    cfg.optim_wrapper = dict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=3e-4, weight_decay=0.0),
        clip_grad=dict(max_norm=10),
    )
    cfg.param_scheduler = [dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20)]
    cfg.default_hooks.checkpoint = None
    cfg.test_dataloader = cfg.test_evaluator = cfg.test_cfg = None
    cfg.work_dir = str(Path('work_dirs', 'overfit'))
    return cfg


def main() -> None:
    """Trains and reports."""
    parser = argparse.ArgumentParser(description='Trains a detector on a few images until it knows them.')
    parser.add_argument('config', help='config of a detector on COCO')
    parser.add_argument('--images', type=int, default=8, help='how many images (default: 8)')
    parser.add_argument('--ap50', type=float, default=0.8, help='box AP50 at which to stop (default: 0.8)')
    parser.add_argument('--epochs', type=int, default=30, help='epochs at most, of ten rounds each (default: 30)')
    parser.add_argument('--size', type=int, default=320, help='longer side of the images in pixels (default: 320)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='changes to the config, as KEY=VALUE')
    args = parser.parse_args()
    cfg = overfit_config(args.config, args.images, args.epochs, args.size)
    cfg.merge_from_dict(args.cfg_options or {})
    runner = Runner.from_cfg(cfg)
    hook = StopAtMark(args.ap50)
    runner.register_hook(hook)
    runner.train()
    verdict = f'AP50 on {args.images} training images: {hook.best:.3f} after {runner.epoch} epochs'
    if hook.best < args.ap50:
        sys.exit(f'{verdict}; the mark is {args.ap50}')
    print(verdict)


if __name__ == '__main__':
    main()
