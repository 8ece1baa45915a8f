"""Training with compiled encoders."""

from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ..compilation import compile_encoders


@HOOKS.register_module()
class CompileHook(Hook):
    """Compiles the encoders before training, see :func:`~mmcontnet.engine.compilation.compile_encoders`."""

    def before_train(self, runner: Runner) -> None:
        """Compiles."""
        compile_encoders(runner.model)
