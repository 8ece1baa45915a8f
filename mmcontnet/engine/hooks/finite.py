"""Stops training on NaN or infinity."""

import re
from typing import Optional

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner, find_latest_checkpoint

# How the message of the hook begins.
DIVERGED = re.compile(r'Iteration \d+: (?:the loss is|\d+ weights are) not finite')


@HOOKS.register_module()
class FiniteHook(Hook):
    """Stops training whose loss or weights become NaN or infinite, before a checkpoint of them is saved.

    Raises:
        FloatingPointError: The message names the iteration and the losses or weights.
    """

    # Before the checkpoint hook.
    priority = 'HIGH'

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Optional[dict] = None, outputs: Optional[dict] = None
    ) -> None:
        """Looks at the loss."""
        loss = (outputs or {}).get('loss')
        if loss is None or torch.as_tensor(loss).isfinite().all():
            return
        losses = ', '.join(f'{name}={float(value):.4g}' for name, value in outputs.items() if 'loss' in name)
        self.stop(runner, f'the loss is not finite: {losses}')

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Looks at the weights."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        bad = [name for name, weight in model.named_parameters() if not weight.isfinite().all()]
        if bad:
            self.stop(runner, f'{len(bad)} weights are not finite, {bad[0]} for one; no checkpoint of them is saved')

    @staticmethod
    def stop(runner: Runner, found: str) -> None:
        """Ends the training."""
        latest = find_latest_checkpoint(runner.work_dir)
        start = f'resume from {latest}' if latest else 'start again (no checkpoint was saved yet)'
        raise FloatingPointError(
            f'Iteration {runner.iter + 1}: {found}. What to do: {start} with a lower learning rate (--auto-scale-lr '
            'fits it to your batch), clip gradients with --cfg-options optim_wrapper.clip_grad.max_norm=10, or train '
            'without --amp.'
        )
