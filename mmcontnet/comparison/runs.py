"""Trainings and tests in processes of their own, which can be killed and started again at any moment."""

import ctypes
import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from mmengine.device import get_device

from .. import memory
from ..engine.hooks.finite import DIVERGED
from ..engine.hooks.image_results import RESULTS
from ..fileio import whole_file
from ..messages import printable
from ..progress import progress_bar

# How mmengine logs where a training is: an epoch and a step of so many, or an iteration of so many.
POSITION = re.compile(r'(?:Epoch\(train\) +\[ *(\d+)\]\[ *(\d+)/(\d+)\]|Iter\(train\) +\[ *(\d+)/(\d+)\])')
RESAMPLES = 1000
PRCTL = getattr(ctypes.CDLL(None), 'prctl', None)  # On Linux alone.
PR_SET_PDEATHSIG = 1


class Run(NamedTuple):
    """A training and its test.

    Args:
        name (str): Name of the config.
        config (Path): The config.
        epochs (int | None): How many epochs it trains, None where it counts iterations.
        seed (int): Seed of the random numbers.
        folder (Path): Where its files are.
    """

    name: str
    config: Path
    epochs: Optional[int]
    seed: int
    folder: Path

    @property
    def results_file(self) -> Path:
        """Where its results are, once it is finished."""
        return self.folder / 'test' / RESULTS

    @property
    def divergence_file(self) -> Path:
        """Where it says why, once it has diverged."""
        return self.folder / 'diverged.txt'

    @property
    def is_finished(self) -> bool:
        """Whether it has results, or will never have any."""
        return self.results_file.exists() or self.divergence_file.exists()

    def read_results(self) -> Dict[str, Any]:
        """The results, as of :class:`~mmcontnet.engine.hooks.image_results.ImageResultsHook`."""
        return json.loads(self.results_file.read_bytes())

    @property
    def checkpoint(self) -> str:
        """The newest checkpoint."""
        return (self.folder / 'last_checkpoint').read_text()


class Processes:
    """Starts this project's commands, each in a process of its own, whose output goes to a file.

    Args:
        tools (Path): Folder of the commands.
        lock (int): File descriptor that the processes keep open.
    """

    def __init__(self, tools: Path, lock: int) -> None:
        self.tools = tools
        self.lock = lock
        self.env = {**os.environ, **(memory.KEEP if get_device() == 'cpu' else {})}

    def train(self, run: Run, show: Callable[[float], None]) -> None:
        """Trains, or goes on where a process was killed; keeps the reason where the training diverges.

        Args:
            run (Run): What to train.
            show (Callable): Is told the share that is done.

        Raises:
            ValueError: The training failed otherwise.
        """
        resume = ['--resume'] if (run.folder / 'last_checkpoint').exists() else []
        arguments = [run.config, '--work-dir', run.folder, *resume, '--cfg-options', f'randomness.seed={run.seed}']

        reasons = []

        def show_line(line: str) -> None:
            reasons.extend(DIVERGED.findall(line))
            share = find_share(line, run.epochs)
            if share is not None:
                show(share)

        try:
            self._execute('train.py', arguments, run.folder / 'train.log', show_line)
        except ValueError:
            if not reasons:
                raise
            with whole_file(run.divergence_file) as file:
                file.write(reasons[-1].encode())

    def test(self, run: Run) -> None:
        """Tests the last checkpoint; the first seed also image by image, and on resampled images.

        Raises:
            ValueError: The test failed.
        """
        hook = 'default_hooks.image_results'
        options = [f'{hook}.type=ImageResultsHook', f'{hook}.resamples={0 if run.seed else RESAMPLES}']
        self._test(run, run.results_file.parent, options)

    def draw(self, run: Run, indices: Sequence[int], folder: Path) -> None:
        """Draws the predictions on some test images into a folder, ``0.png`` and so on.

        Raises:
            ValueError: The test failed.
        """
        hook = 'default_hooks.few_pictures'
        self._test(run, folder, [f'{hook}.type=FewPicturesHook', f'{hook}.indices=[{",".join(map(str, indices))}]'])

    def _test(self, run: Run, folder: Path, options: List[str]) -> None:
        arguments = [run.config, run.checkpoint, '--work-dir', folder, '--cfg-options', *options]
        self._execute('test.py', arguments, run.folder / 'test.log')

    def _execute(
        self, tool: str, arguments: Sequence, log: Path, show_line: Callable[[str], None] = lambda line: None
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, self.tools / tool, *arguments]
        process = subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
            env=self.env,
            pass_fds=[self.lock],
            preexec_fn=_end_with_parent,
        )
        last = ''
        with process, open(log, 'a') as file:
            try:
                for line in process.stdout:
                    file.write(line)
                    file.flush()
                    show_line(line)
                    last = line.strip() or last
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise ValueError(f'{tool} ended with status {process.returncode}: {printable(last)} (all output: {log})')


def _end_with_parent() -> None:
    """Has Linux kill this process when the one that started it is gone."""
    if PRCTL is not None:
        PRCTL(PR_SET_PDEATHSIG, signal.SIGKILL)


def find_share(line: str, epochs: Optional[int]) -> Optional[float]:
    """The share of a training that is done by a line of its log; None where the line does not tell."""
    found = POSITION.search(line)
    if found is None:
        return None
    epoch, step, steps, iteration, iterations = (int(group) if group else 0 for group in found.groups())
    if iterations:
        return iteration / iterations
    return (epoch - 1 + step / steps) / epochs if epochs else None


@contextmanager
def locked(folder: Path) -> Iterator[int]:
    """Keeps a second comparison out of a folder while this one runs, or a process that it has started.

    Yields:
        int: The file descriptor of the lock.

    Raises:
        ValueError: There is another.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / 'lock', 'w') as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(
                f'--out {folder}: another comparison runs there, or a training that it started; end it or wait for it'
            ) from None
        yield lock.fileno()


def complete(runs: Sequence[Run], processes: Processes) -> None:
    """Trains and tests what is not finished, showing progress over all of it; what diverged is not trained again.

    Raises:
        ValueError: A training or a test failed; what is finished is kept.
    """
    missing = [run for run in runs if not run.is_finished]
    with progress_bar(memory=3600) as progress:
        task = progress.add_task('', total=len(missing))
        # What a killed training did before counts for no rate.
        shows = chain([progress.reset], repeat(progress.update))
        for number, run in enumerate(missing):
            progress.update(task, description=f'{run.name}, seed {run.seed}')
            processes.train(run, lambda share, number=number: next(shows)(task, completed=number + share))
            if not run.is_finished:
                processes.test(run)
            progress.update(task, completed=number + 1)


def leave_out_diverged(runs: Dict[str, List[Run]]) -> Tuple[Dict[str, List[Run]], List[str]]:
    """The trainings to compare, of the same seeds for all models, and lines of the report about what is left out.

    Args:
        runs (dict[str, list[Run]]): The trainings of each model, by seed.
    """
    diverged = [run for name in runs for run in runs[name] if run.divergence_file.exists()]
    if not diverged:
        return runs, []
    lines = [f'{run.name} diverged with seed {run.seed}: {run.divergence_file.read_text()}.' for run in diverged]
    never = [name for name in runs if all(run in diverged for run in runs[name])]
    seeds = {run.seed for run in diverged if run.name not in never}
    lines += [f'{name} is left out, since it diverged with every seed.' for name in never]
    if seeds:
        listed = ', '.join(map(str, sorted(seeds)))
        lines.append(f'What follows is without seed {listed} of all models: it tells only of trainings that end well.')
    if 0 in seeds:
        lines.append('Only tests of seed 0 are compared image by image, so what is said of images is missing.')
    kept = {name: [run for run in runs[name] if run.seed not in seeds] for name in runs if name not in never}
    return kept, lines
