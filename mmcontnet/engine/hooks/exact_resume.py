"""Training that, killed and resumed, ends in the weights of training left alone."""

import logging
from typing import Any, Dict

import numpy as np
from mmengine.dist import get_rank
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import print_log
from mmengine.registry import HOOKS
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner, set_random_seed
from torch.utils.data import DataLoader

from ...missing_hooks import find_missing
from .atomic_checkpoint import AtomicCheckpointHook


def start_anew(runner: Runner, position: int) -> DataLoader:
    """Seeds all random numbers by the runner's seed and the position, those of the workers and of the sampler too.

    Args:
        runner (Runner): Runner whose ``train_dataloader`` is given by its config.
        position (int): Epochs or iterations since the start.

    Returns:
        DataLoader: A new loader of the training's dataset.
    """
    apart = runner.cfg.get('randomness', {}).get('diff_rank_seed', False)  # Then mmengine has added the rank.
    shared = runner.seed - get_rank() if apart else runner.seed
    seed = int(np.random.SeedSequence([shared, position]).generate_state(1)[0]) >> 1
    set_random_seed(seed, diff_rank_seed=True)
    dataset = runner.train_dataloader.dataset
    # As a dict, since a dataset itself would be copied.
    return runner.build_dataloader({**runner.cfg.train_dataloader, 'dataset': dict(type=lambda: dataset)}, seed)


class Segments:
    """The batches of an iteration-based loop, which start anew where checkpoints are saved.

    Args:
        runner (Runner): Runner of the loop, after loading what it resumes from.
        interval (int): Iterations from a checkpoint to the next.
    """

    def __init__(self, runner: Runner, interval: int) -> None:
        self.runner = runner
        self.interval = interval
        self.over_loader = type(runner.train_loop.dataloader_iterator)
        self.batches = None
        # On resuming, mmengine draws and drops a batch for each iteration done, or calls skip_iter where it knows that.
        # Here there is nothing to skip.
        self.to_drop = 0 if hasattr(self.over_loader, 'skip_iter') else runner.iter

    def skip_iter(self, num_iters: int) -> None:
        """Called by OneDL's loop on resuming, in the place of drawing batches."""

    def __next__(self) -> Any:
        if self.to_drop:
            self.to_drop -= 1
            return None
        if self.batches is None or self.runner.iter % self.interval == 0:
            self.batches = self.over_loader(start_anew(self.runner, self.runner.iter))
        return next(self.batches)


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Makes resumed training equal to training left alone, bit for bit on a CPU, and its checkpoints safe from kills.

    Checkpoints hold no random state, and there is none to be had of workers. So random numbers and the order of the
    data start anew, seeded by the run's seed and the position, wherever training can be resumed: at each epoch of an
    epoch-based loop, and at each checkpoint of an iteration-based one. :class:`AtomicCheckpointHook` takes the place of
    the runner's ``CheckpointHook``.
    """

    priority = 'HIGH'

    def before_run(self, runner: Runner) -> None:
        """Takes over the saving of checkpoints, before one is looked for to resume from.

        Raises:
            ValueError: The runner was not built from a config.
        """
        if not isinstance(runner.cfg.get('train_dataloader'), dict):
            raise ValueError(
                'ExactResumeHook builds the loader of the data anew: give the runner a train_dataloader '
                'by a config, with Runner.from_cfg'
            )
        for hook in self.checkpoint_hooks(runner):
            AtomicCheckpointHook.take_over(hook, runner.work_dir)

    def before_train(self, runner: Runner) -> None:
        """Takes over the batches of an iteration-based loop."""
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            intervals = [hook.interval for hook in self.checkpoint_hooks(runner) if not hook.by_epoch]
            interval = min((value for value in intervals if value > 0), default=runner.max_iters)
            runner.train_loop.dataloader_iterator = Segments(runner, interval)

    def before_train_epoch(self, runner: Runner) -> None:
        """Takes over the batches of an epoch."""
        if isinstance(runner.train_loop, EpochBasedTrainLoop):
            runner.train_loop.dataloader = start_anew(runner, runner.epoch)

    def after_load_checkpoint(self, runner: Runner, checkpoint: Dict[str, Any]) -> None:
        """Warns where the run that is resumed was trained without this hook until now."""
        cfg_text = (checkpoint.get('meta') or {}).get('cfg')
        if runner._resume and cfg_text and type(self).__name__ in find_missing(cfg_text):
            print_log(
                'Resuming is not exact: the checkpoint was saved without ExactResumeHook, so the final weights differ '
                'from those of an uninterrupted run. From here on, training can be resumed exactly.',
                logger='current',
                level=logging.WARNING,
            )

    @staticmethod
    def checkpoint_hooks(runner: Runner) -> list:
        """The runner's hooks that save checkpoints."""
        return [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
