"""Refuses checkpoints that do not match the model."""

import logging
from typing import Any, Dict

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import BaseLoop, Runner, find_latest_checkpoint

from ...weights.comparison import RESHAPED, Problems, compare_with_model, format_problems, list_weights
from ...weights.reading import get_state_dict


@HOOKS.register_module()
class StrictLoadHook(Hook):
    """Refuses a checkpoint that does not hold exactly the model's weights, which mmengine merely warns of.

    Training may start (``load_from``) from weights of another number of classes: where only parts outside of the
    backbone have another shape, these keep their random weights, with a warning.

    Raises:
        ValueError: The message names the checkpoint and what is missing, left over, of another shape or not finite; or
            says that training cannot be resumed from it.
    """

    # After the hooks that pick or rename weights.
    priority = 'LOWEST'

    def after_load_checkpoint(self, runner: Runner, checkpoint: Dict[str, Any]) -> None:
        """Compares the checkpoint with the model."""
        resuming = runner._resume
        source = runner._load_from or find_latest_checkpoint(runner.work_dir)
        if resuming and not ({'epoch', 'iter'} <= set(checkpoint.get('meta') or ()) and 'optimizer' in checkpoint):
            raise ValueError(
                f'training cannot be resumed from {source}, which has no state of a training; to start from its '
                f'weights use --cfg-options load_from={source} without --resume'
            )
        model = runner.model
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        problems = compare_with_model(model, get_state_dict(checkpoint, source))
        if isinstance(runner._train_loop, BaseLoop) and not resuming:
            _allow_other_classes(problems, source)
        if problems:
            raise ValueError(
                f'{source} does not fit the model of {runner.cfg.filename}. {format_problems(problems)}. '
                'Give the config that it was trained with, its --cfg-options included.'
            )


def _allow_other_classes(problems: Problems, source: Any) -> None:
    """Takes what has another shape outside of the backbone out of the problems, and warns."""
    reshaped = problems.get(RESHAPED, {})
    if reshaped and not any(name.startswith('backbone.') for name in reshaped):
        message = (
            f'These start from random weights, since they have another shape in {source}: {list_weights(reshaped)}'
        )
        print_log(message, logger='current', level=logging.WARNING)
        del problems[RESHAPED]
