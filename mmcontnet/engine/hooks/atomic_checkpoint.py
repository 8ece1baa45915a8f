"""Checkpoints that a kill at any moment leaves whole."""

import os
from pathlib import Path
from typing import Dict, List, Union

from mmengine.dist import barrier, is_main_process
from mmengine.fileio import register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from ..local_files import WholeBackend


@register_backend('AtomicBackend')
class AtomicBackend(WholeBackend):
    """Local files that are written whole or not at all, and removed only by :meth:`remove_outdated`."""

    def __init__(self) -> None:
        self.outdated: List[str] = []

    def remove(self, filepath: Union[str, Path]) -> None:
        """Notes that the file is to go."""
        self.outdated.append(str(filepath))

    def remove_outdated(self) -> None:
        """Removes the files noted."""
        while self.outdated:
            Path(self.outdated.pop()).unlink()


class AtomicCheckpointHook(CheckpointHook):
    """mmengine's hook, except that it writes whole files, and removes outdated ones after writing new ones."""

    @classmethod
    def take_over(cls, hook: CheckpointHook, work_dir: str) -> None:
        """Turns a runner's hook into this one, with all its settings. Remote storages, which replace whole files, stay.

        Args:
            hook (CheckpointHook): Hook of a runner that has not started.
            work_dir (str): Folder of the runner.
        """
        remote = '://' in str(hook.out_dir or work_dir)
        if type(hook) is CheckpointHook and not (remote or hook.backend_args or hook.file_client_args):
            hook.__class__ = cls
            hook.backend_args = dict(backend='AtomicBackend')
            hook.repair(Path(work_dir))

    def repair(self, work_dir: Path) -> None:
        """Removes what kills left unfinished, and makes an empty ``last_checkpoint`` name the newest checkpoint."""
        for unfinished in work_dir.glob('*.part') if is_main_process() else ():
            unfinished.unlink()
        pointer = work_dir / 'last_checkpoint'
        if is_main_process() and pointer.exists() and not pointer.read_text().strip():
            checkpoints = sorted(work_dir.glob(self.filename_tmpl.format('*')), key=os.path.getmtime)
            if checkpoints:
                AtomicBackend().put(str(checkpoints[-1]).encode(), pointer)
            else:
                pointer.unlink()
        barrier()

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: Dict) -> None:
        super()._save_checkpoint_with_step(runner, step, meta)
        self.file_backend.remove_outdated()

    def _save_best_checkpoint(self, runner: Runner, metrics: Dict) -> None:
        super()._save_best_checkpoint(runner, metrics)
        self.file_backend.remove_outdated()
