"""Predictions on a few images, drawn beside the ground truth."""

from pathlib import Path
from typing import Any, Sequence

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Subset

READABLE = 224  # Pixels of the shorter side on which the names of classes are written.


@HOOKS.register_module()
class FewPicturesHook(Hook):
    """Makes a test predict on a few of its images, and draw them instead of measuring.

    The pictures, ``0.png`` and so on, are written to the runner's ``work_dir``. Of detectors and segmentors, the ground
    truth is on the left.

    Args:
        indices (Sequence[int]): Which images of the data set.
    """

    def __init__(self, indices: Sequence[int]) -> None:
        self.indices = indices

    def before_test(self, runner: Runner) -> None:
        """Replaces the data, and drops the metrics."""
        loader = runner.test_dataloader
        runner.test_loop.dataloader = DataLoader(Subset(loader.dataset, self.indices), collate_fn=loader.collate_fn)
        runner.test_evaluator.metrics.clear()

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[Any]) -> None:
        """Draws."""
        import mmcv  # The backbone does without it.

        (sample,) = outputs
        image = mmcv.imread(sample.img_path, channel_order='rgb')
        out_file = str(Path(runner.work_dir, f'{batch_idx}.png'))
        if runner.cfg.default_scope == 'mmpretrain':
            runner.visualizer.visualize_cls(image, sample, resize=READABLE, out_file=out_file)
        else:
            runner.visualizer.add_datasample('', image, sample, draw_gt=True, out_file=out_file)
