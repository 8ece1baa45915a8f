"""The progress bar of all commands."""

from typing import Iterable, Iterator, Optional, TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar('T')


def track_progress(items: Iterable[T], description: str, total: Optional[int] = None) -> Iterator[T]:
    """Yields the items, showing on stderr how many are done and how long the rest takes.

    Args:
        items (Iterable): What is worked on.
        description (str): What is shown before the bar.
        total (int | None): How many items there are. Defaults to None, the length of ``items``.
    """
    yield from track(items, description, total, console=Console(stderr=True))
