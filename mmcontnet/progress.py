"""The progress bar of all commands."""

from typing import Iterable, Iterator, Optional, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

T = TypeVar('T')


class RateColumn(ProgressColumn):
    """How many items are done in a second, or how many seconds one takes."""

    def render(self, task: Task) -> Text:
        """The rate as text, empty until it is known."""
        rate = task.finished_speed or task.speed
        return Text('' if not rate else f'{rate:.1f}/s' if rate >= 1 else f'{1 / rate:.1f} s each', style='cyan')


def progress_bar(memory: float = 30) -> Progress:
    """A bar on stderr that shows how much is done, at what rate, and how long the rest takes.

    Args:
        memory (float): How many seconds back the rate is measured. Defaults to 30.
    """
    columns = [
        TextColumn('{task.description}'),
        BarColumn(),
        TaskProgressColumn(),
        RateColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
    ]
    return Progress(*columns, console=Console(stderr=True), speed_estimate_period=memory)


def track_progress(items: Iterable[T], description: str, total: Optional[int] = None) -> Iterator[T]:
    """Yields the items, showing a bar on stderr.

    Args:
        items (Iterable): What is worked on.
        description (str): What is shown before the bar.
        total (int | None): How many items there are. Defaults to None, the length of ``items``.
    """
    with progress_bar() as progress:
        yield from progress.track(items, total, description=description)
