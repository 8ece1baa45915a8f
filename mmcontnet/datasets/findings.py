"""What all checks share: findings, the guard that makes findings of errors, and the data set that is checked."""

from multiprocessing.pool import ThreadPool
from typing import Any, Callable, Generator, List, NamedTuple, Optional, Tuple, TypeVar

from mmengine.dataset import BaseDataset

from ..messages import printable
from ..progress import track_progress

T = TypeVar('T')


class Finding(NamedTuple):
    """What kind of thing was found, where exactly, and whether it is merely odd."""

    kind: str
    detail: str
    harmless: bool = False

    @property
    def line(self) -> str:
        """The detail as it is printed."""
        return printable(self.detail[:1000])


class Source(NamedTuple):
    """A data set, not yet initialized, the transforms that read it and the metrics that are measured on it."""

    dataset: BaseDataset
    transforms: List[Any]
    metrics: List[dict]

    @property
    def name(self) -> str:
        """The file of annotations, or else the first folder."""
        return self.paths[0]

    @property
    def paths(self) -> List[str]:
        """The file of annotations, if there is one, and the folders."""
        return [path for path in (self.dataset.ann_file, *self.dataset.data_prefix.values()) if path]

    @property
    def classes(self) -> Tuple[str, ...]:
        """The classes in the order of their labels."""
        return tuple(self.dataset.metainfo.get('classes') or ())


Findings = Generator[Finding, None, Optional[T]]


def guard(check: Findings[T], kind: str, where: str) -> Findings[T]:
    """Passes on what a check finds and returns; an error that ends the check is a finding, too, and returns None."""
    try:
        return (yield from check)
    except Exception as error:  # Toolboxes and decoders raise all kinds; any would end a training.
        yield Finding(kind, f'{where}: {type(error).__name__}: {error!s:.300}')
        return None


def attempt(action: Callable[[], T], kind: str, where: str) -> Findings[T]:
    """Returns what the action does, or None and a finding where it raises."""

    def run() -> Findings[T]:
        yield from ()
        return action()

    return guard(run(), kind, where)


def collect(check: Findings[T]) -> Tuple[Optional[T], List[Finding]]:
    """Runs a check; returns what it returns and what it finds."""
    findings = []
    while True:
        try:
            findings.append(next(check))
        except StopIteration as end:
            return end.value, findings


def initialize(source: Source) -> Findings[bool]:
    """Lets the toolbox read the annotations, and returns whether that leaves images to use."""

    def count_images() -> int:
        source.dataset.full_init()
        return len(source.dataset)

    count = yield from attempt(count_images, 'Annotations cannot be read', source.name)
    if count == 0:
        yield Finding('No image is left to use', source.name)
    return bool(count)


def check_each_image(check: Callable[[dict], Findings], source: Source, pool: ThreadPool) -> Findings:
    """Checks the images that the toolbox uses, several at once, each inside the guard."""
    count = len(source.dataset)
    infos = map(source.dataset.get_data_info, range(count))

    def examine(info: dict) -> List[Finding]:
        return list(guard(check(info), 'Image cannot be checked', f'{source.name}: {info.get("img_path")}'))

    for findings in track_progress(pool.imap(examine, infos, chunksize=8), f'{count} images', count):
        yield from findings
