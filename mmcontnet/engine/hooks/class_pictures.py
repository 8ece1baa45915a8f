"""A classifier's predictions as pictures."""

from pathlib import Path
from typing import Any, Optional, Sequence

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner


@HOOKS.register_module()
class ClassPicturesHook(Hook):
    """Draws labels and predictions, in the place of mmpretrain's ``VisualizationHook``.

    That one names pictures by their file only, so those of equal names in the folders of several classes overwrite each
    other, and it swaps red and blue.

    Args:
        enable (bool): Whether to draw. Defaults to False.
        interval (int): Draws one in so many images. Defaults to 5000.
        out_dir (str | None): Folder to write to, a folder for each class; None hands the pictures to the visualizer's
            backends. Defaults to None.
        draw: Other arguments of mmpretrain's ``UniversalVisualizer.visualize_cls``.
    """

    def __init__(self, enable: bool = False, interval: int = 5000, out_dir: Optional[str] = None, **draw: Any) -> None:
        self.enable = enable
        self.interval = interval
        self.out_dir = out_dir
        self.draw_args = draw

    def after_val_iter(self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[Any]) -> None:
        """Draws."""
        self._draw(runner, batch_idx, outputs, runner.iter)

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[Any]) -> None:
        """Draws."""
        self._draw(runner, batch_idx, outputs, 0)

    def _draw(self, runner: Runner, batch_idx: int, outputs: Sequence[Any], step: int) -> None:
        import mmcv  # The backbone does without it.

        for number, sample in enumerate(outputs, batch_idx * len(outputs)):
            if self.enable and number % self.interval == 0:
                path = Path(sample.img_path)
                out_file = self.out_dir and str(Path(self.out_dir, path.parent.name, path.name))
                image = mmcv.imread(str(path), channel_order='rgb')
                name = f'{path.parent.name}/{path.name}'
                runner.visualizer.visualize_cls(
                    image, sample, name=name, step=step, out_file=out_file, **self.draw_args
                )
