"""Sanity check: overfits a detector on a few training images, to see that model and data fit together.

Example:
    python tools/overfit.py configs/retinanet_contm_coco.py --images 8 --ap50 0.8

Stops as soon as the box AP50 on these images reaches the mark; the exit status is 1 if it never does.
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

from pathlib import Path
from typing import Dict, Optional

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmcontnet.commands import about, add_cfg_options, command, command_parser, config_file, fraction, positive_int
from mmcontnet.toolboxes import check_torchvision, read_config

NEEDS = (
    'overfitting needs a detector of mmdet, with CocoDataset and its pipeline as train_dataloader.dataset, a '
    'val_dataloader and a test_pipeline'
)
# Inside other parts of the config once it is made for overfitting.
DATA = ('train_dataloader.dataset', 'test_pipeline')


class StopAtMark(Hook):
    """Ends the training once AP50 reaches the mark, and remembers the best."""

    def __init__(self, mark: float) -> None:
        self.mark = mark
        self.best = 0.0

    def after_val_epoch(self, runner: Runner, metrics: Optional[Dict[str, float]] = None) -> None:
        """Compares what was just measured with the mark; without any detection nothing is measured."""
        self.best = max(self.best, (metrics or {}).get('coco/bbox_mAP_50', 0.0))
        runner.train_loop.stop_training = self.best >= self.mark


def check_config(cfg: Config) -> None:
    """Refuses what cannot be trained here.

    Raises:
        ValueError: It is no detector on COCO.
    """
    dataset = (cfg.get('train_dataloader') or {}).get('dataset')
    is_coco = isinstance(dataset, dict) and dataset.get('type') == 'CocoDataset' and dataset.get('pipeline')
    if not (cfg.get('default_scope') == 'mmdet' and is_coco and cfg.get('val_dataloader') and cfg.get('test_pipeline')):
        raise ValueError(NEEDS)


def overfit_config(cfg: Config, images: int, epochs: int, size: int) -> Config:
    """The config, trained and evaluated on the same few images with a fixed learning rate.

    Args:
        cfg (Config): Config of a detector on COCO.
        images (int): How many images; the first of the training set that have annotations.
        epochs (int): Epochs at most, each of which sees the images ten times.
        size (int): Longer side of the images in pixels.
    """
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


@command
def main() -> None:
    """Trains and reports."""
    parser = command_parser(__doc__)
    parser.add_argument('config', type=config_file, help='config of a detector on COCO')
    parser.add_argument('--images', type=positive_int, default=8, help='how many images (default: 8)')
    parser.add_argument('--ap50', type=fraction, default=0.8, help='box AP50 at which to stop (default: 0.8)')
    parser.add_argument('--epochs', type=positive_int, default=30, help='epochs at most, of ten rounds (default: 30)')
    parser.add_argument('--size', type=positive_int, default=320, help='longer side of the images (default: 320)')
    add_cfg_options(parser)
    args = parser.parse_args()
    with about(args.config):
        cfg = read_config(args.config, args.cfg_options)
        check_config(cfg)
        check_torchvision(cfg)
        cfg = overfit_config(cfg, args.images, args.epochs, args.size)
        # Again, since options go before what overfitting sets.
        cfg.merge_from_dict({key: value for key, value in args.cfg_options.items() if not key.startswith(DATA)})
        runner = Runner.from_cfg(cfg)
        hook = StopAtMark(args.ap50)
        runner.register_hook(hook)
        runner.train()
    images = len(runner.train_dataloader.dataset.dataset)
    verdict = f'AP50 on {images} training images: {hook.best:.3f} after {runner.epoch} epochs'
    if hook.best < args.ap50:
        raise ValueError(f'{verdict}; the mark is {args.ap50}')
    print(verdict)


if __name__ == '__main__':
    main()
