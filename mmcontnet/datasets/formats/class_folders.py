"""A folder for each class, which mmpretrain reads; lists of images and labels where a validation part is split off."""

from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

from ...progress import track_progress
from ..findings import Finding, Findings
from ..images import Size
from .common import SUFFIXES, TRAIN, VAL, Paths, check_names, find_split, list_files, read_size, split_off

# Those that mmpretrain finds in a folder; it reads others that a list names.
FOUND = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif')


class ClassSplit(NamedTuple):
    """A folder, its images by name with their labels, their sizes, and whether mmpretrain needs the names in a list."""

    folder: Path
    images: List[Tuple[str, int]]
    sizes: List[Size]
    needs_list: bool = False


class ClassFolders(NamedTuple):
    """The classes in the order of their labels, and the splits."""

    classes: List[str]
    splits: Dict[str, ClassSplit]


def read_class_folders(paths: Paths) -> Findings[ClassFolders]:
    """Reads ``train`` and ``val``, or the folders of the classes themselves, from which a part is split off.

    Raises:
        ValueError: Annotations are given, or there are no folders.
    """
    if paths.train_ann or paths.val_ann:
        raise ValueError('folders are the classes: leave --train-ann and --val-ann out')
    train = paths.train_images or find_split(paths.root, TRAIN) or paths.root
    val = paths.val_images or find_split(paths.root, VAL)
    folders = {'train': train, **({'val': val} if val else {})}
    names = {split: _list_classes(folder) for split, folder in folders.items()}
    classes = names['train']
    if not classes:
        raise ValueError(f'{train}: there is no folder in it; expected one for each class')
    yield from check_names(classes, str(train), least=2)
    splits = {}
    for split, folder in folders.items():
        for name in names[split]:
            if name not in classes:
                yield Finding('Class is not among those of the training', str(folder / name))
        images, sizes, counts = [], [], dict.fromkeys(classes, 0)
        files = [(path, label) for label, name in enumerate(classes) for path in list_files(folder / name, None)]
        for path, label in track_progress(files, f'{len(files)} files'):
            if path.suffix.lower() not in {*SUFFIXES, *FOUND}:
                yield Finding('File is not used: it is no image that can be read', str(path), harmless=True)
                continue
            size = yield from read_size(path)
            images.append((path.relative_to(folder).as_posix(), label))
            sizes.append(size or (0, 0))
            counts[classes[label]] += 1
        for name, count in counts.items():
            if not count and split == 'train':
                yield Finding('Class has no image', str(folder / name))
            elif not count:
                yield Finding('Class has no image in the val part', str(folder / name), harmless=True)
        needs_list = names[split] != classes or not all(image.lower().endswith(FOUND) for image, _ in images)
        splits[split] = ClassSplit(folder, images, sizes, needs_list)
    return ClassFolders(classes, splits)


def split_classes(split: ClassSplit) -> Dict[str, ClassSplit]:
    """A training part and a validation part of each class.

    Raises:
        ValueError: A class has too few images.
    """
    parts: Dict[str, List[int]] = {'train': [], 'val': []}
    for label in sorted({label for _, label in split.images}):
        positions = [number for number, (_, other) in enumerate(split.images) if other == label]
        if len(positions) < 2:
            name = Path(split.images[positions[0]][0]).parts[0]
            raise ValueError(f'{split.folder / name}: one image is too few to split off a validation part')
        for name, part in zip(parts, split_off(positions)):
            parts[name] += part
    return {
        name: ClassSplit(split.folder, [split.images[n] for n in part], [split.sizes[n] for n in part], True)
        for name, part in parts.items()
    }


def _list_classes(folder: Path) -> List[str]:
    """The names of the folders in a folder, in the order in which mmpretrain numbers them."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith('.'))
