"""No test goes on with weights that are not the model's."""

import re

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..pretrained import first_few


@HOOKS.register_module()
class StrictLoadHook(Hook):
    """Refuses a checkpoint that does not hold exactly the model's weights, which mmengine merely warns of.

    Raises:
        ValueError: The message names the checkpoint and what is missing, left over or of another shape.
    """

    # After the hooks that pick or rename weights.
    priority = 'LOWEST'

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Compares the checkpoint with the model."""
        model = runner.model
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        weights = checkpoint.get('state_dict', checkpoint)
        weights = {re.sub(r'^module\.', '', name): weight for name, weight in weights.items()}
        own = model.state_dict()
        reshaped = [name for name in own if name in weights and own[name].shape != weights[name].shape]
        fitting = {name: weight for name, weight in weights.items() if name not in reshaped}
        result = model.load_state_dict(fitting, strict=False)
        missing = [name for name in result.missing_keys if name not in reshaped]
        problems = {'missing': missing, 'of another shape': reshaped, 'left over': result.unexpected_keys}
        if any(problems.values()):
            listed = '; '.join(f'{kind}: {first_few(names, 3)}' for kind, names in problems.items() if names)
            raise ValueError(
                f'{runner.cfg.load_from} does not fit the model of {runner.cfg.filename}. {listed}. '
                'Give the config that it was trained with, its --cfg-options included.'
            )
