"""What the readers share: the paths on the command line, images, names of classes and the split by chance."""

import os
from collections import Counter
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, TypeVar

import numpy as np
from PIL import Image

from ..findings import Finding, Findings, attempt
from ..images import Size

SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
TRAIN, VAL = ('train', 'training'), ('val', 'valid', 'validation')
VAL_SHARE = 0.2
SEED = 0
ORIENTATION = 274  # The EXIF tag; from 5 on, the picture lies on its side.

T = TypeVar('T')


class Paths(NamedTuple):
    """The data's folder, and what a user named in it; None is looked for."""

    root: Path
    train_ann: Optional[Path] = None
    val_ann: Optional[Path] = None
    train_images: Optional[Path] = None
    val_images: Optional[Path] = None


def find_split(root: Path, names: Sequence[str]) -> Optional[Path]:
    """The folder of a split below ``root``, if there is one."""
    return next((root / name for name in names if (root / name).is_dir()), None)


def list_files(folder: Path, suffixes: Optional[Sequence[str]] = SUFFIXES) -> List[Path]:
    """The files in a folder and below it, sorted, with one of the suffixes or any; hidden ones are left out."""
    files: List[Path] = []
    seen = set()  # Links may lead in circles.
    for parent, folders, names in os.walk(folder, followlinks=True):
        if os.path.realpath(parent) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(parent))
        folders[:] = sorted(name for name in folders if not name.startswith('.'))
        files += [Path(parent, name) for name in names if not name.startswith('.')]
    return sorted(path for path in files if suffixes is None or path.suffix.lower() in suffixes)


def read_size(path: Path) -> Findings[Size]:
    """The width and height of an image as the training sees it, from its header."""
    if not path.is_file():
        yield Finding('Image is missing', str(path))
        return None

    def read() -> Size:
        with Image.open(path) as image:
            lies = image.getexif().get(ORIENTATION, 1) >= 5
            return image.size[::-1] if lies else image.size

    return (yield from attempt(read, 'Image cannot be decoded', str(path)))


def check_names(names: Iterable[str], where: str, least: int = 1) -> Findings:
    """Whether names of classes are different, as many as it takes, and can stand in a config and on pictures."""
    names = list(names)
    if not names:
        yield Finding('There are no classes', where)
    elif len(names) < least:
        yield Finding('There is only one class: nothing to tell apart', f'{where}: {names[0]!r}')
    for name, count in Counter(names).items():
        if count > 1:
            yield Finding('Class is named twice', f'{where}: {name!r}')
        if not name.strip() or not name.isprintable():
            yield Finding('Class name is empty or cannot be printed', f'{where}: {name!r}')
        elif '{{' in name:
            yield Finding('Class name holds {{, which configs replace', f'{where}: {name!r}')
        elif name != name.strip():
            yield Finding('Class name begins or ends with a space', f'{where}: {name!r}', harmless=True)
    folded: Dict[str, str] = {}
    for name in dict.fromkeys(names):
        other = folded.setdefault(' '.join(name.split()).casefold(), name)
        if other != name:
            detail = f'{where}: {other!r} and {name!r}'
            yield Finding('Class names differ in case or spaces only', detail, harmless=True)


def split_off(items: Sequence[T]) -> Tuple[List[T], List[T]]:
    """Parts a fifth off, at least one item, in the order of the items; equal lists are parted equally.

    Raises:
        ValueError: There are fewer than two items.
    """
    if len(items) < 2:
        raise ValueError(
            f'{len(items)} images to learn from are too few to split off a validation part; expected 2 at least'
        )
    count = max(1, round(VAL_SHARE * len(items)))
    chosen = set(np.random.default_rng(SEED).permutation(len(items))[:count].tolist())
    return (
        [item for number, item in enumerate(items) if number not in chosen],
        [item for number, item in enumerate(items) if number in chosen],
    )


def read_lines(path: Path) -> Findings[List[Tuple[int, str]]]:
    """The lines of a text file that are not blank, with their numbers."""

    def read() -> List[Tuple[int, str]]:
        lines = enumerate(path.read_text(encoding='utf-8-sig').splitlines(), 1)
        return [(number, line.strip()) for number, line in lines if line.strip()]

    return (yield from attempt(read, 'File cannot be read', str(path)))


def read_classes(path: Path, least: int = 1) -> Findings[List[str]]:
    """The names in a list of classes, one on each line; a blank line in the middle would shift the labels."""
    lines = yield from read_lines(path)
    for expected, (number, _) in enumerate(lines or [], 1):
        if number != expected:
            yield Finding('List of classes has a blank line', f'{path}:{expected}')
            break
    names = [name for _, name in lines or []]
    yield from check_names(names, str(path), least)
    return names
