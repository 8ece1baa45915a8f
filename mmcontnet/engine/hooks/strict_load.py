"""No test goes on with weights that are not the model's."""

from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ...weights.comparison import compare, format_problems
from ...weights.reading import get_state_dict


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
        source = runner.cfg.get('load_from')
        weights = get_state_dict(checkpoint, source)
        problems = compare(model.state_dict(), weights)
        if problems:
            raise ValueError(
                f'{source} does not fit the model of {runner.cfg.filename}. {format_problems(problems)}. '
                'Give the config that it was trained with, its --cfg-options included.'
            )
