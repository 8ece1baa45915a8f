"""Training curves and validation pictures in TensorBoard."""

from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.visualization import TensorboardVisBackend

# How many pictures a validation draws, about.
PICTURES = 8


@HOOKS.register_module()
class TensorboardHook(Hook):
    """Adds a ``TensorboardVisBackend`` to the runner's visualizer, and has each validation draw a few predictions.

    The events are written beside mmengine's own logs, to ``WORK_DIR/TIMESTAMP/vis_data``.
    """

    def before_run(self, runner: Runner) -> None:
        """Adds the backend."""
        backends = runner.visualizer._vis_backends
        if is_main_process() and not any(isinstance(backend, TensorboardVisBackend) for backend in backends.values()):
            backend = TensorboardVisBackend(save_dir=str(Path(runner.log_dir, 'vis_data')))
            backend.add_config(runner.cfg)
            backends['TensorboardVisBackend'] = backend

    def before_train(self, runner: Runner) -> None:
        """Switches on the hook of the toolbox that draws predictions."""
        if runner.val_loop is None:
            return
        for hook in runner.hooks:
            if hasattr(hook, 'draw') and hasattr(hook, 'interval'):  # Of mmdet and mmseg, which count batches.
                hook.draw = True
                hook.interval = max(1, len(runner.val_dataloader) // PICTURES)
            elif hasattr(hook, 'enable') and hasattr(hook, 'interval'):  # Of mmpretrain, which counts images.
                hook.enable = True
                hook.interval = max(1, len(runner.val_dataloader.dataset) // PICTURES)
