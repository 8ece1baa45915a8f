"""Images and label maps, as mmseg reads them: two folders, names that differ in their ends only, a list of classes."""

from collections import Counter
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from ...commands import about
from ...progress import track_progress
from ..findings import Finding, Findings
from ..images import Size
from .common import SUFFIXES, TRAIN, VAL, Paths, list_files, read_classes, read_size, split_off

IMAGES = ('images', 'image', 'imgs', 'img', 'JPEGImages')
MAPS = ('labels', 'label_maps', 'masks', 'mask', 'annotations', 'SegmentationClass')
LISTS = ('classes.txt', 'labels.txt')


class MapSplit(NamedTuple):
    """Folders of images and maps, the ends of their names, the names without them, and whether these need a list."""

    images: Path
    maps: Path
    image_suffix: str
    map_suffix: str
    names: List[str]
    sizes: List[Size]
    is_part: bool = False


class LabelMaps(NamedTuple):
    """The classes in the order of their labels, and the splits."""

    classes: List[str]
    splits: Dict[str, MapSplit]


def read_label_maps(paths: Paths) -> Findings[LabelMaps]:
    """Finds the folders, pairs images with maps, and reads the list of classes.

    Raises:
        ValueError: A folder or the list of classes is missing.
    """
    listed = next((paths.root / name for name in LISTS if (paths.root / name).is_file()), None)
    if listed is None:
        raise ValueError(
            f'{paths.root}/classes.txt: there is no such file; expected a class on each line, label 0 first'
        )
    classes = yield from read_classes(listed, least=2)
    splits = {}
    given = {'train': (paths.train_images, paths.train_ann), 'val': (paths.val_images, paths.val_ann)}
    for name, words in (('train', TRAIN), ('val', VAL)):
        folders = _find_folders(paths.root, name, words, *given[name])
        if folders:
            split = yield from _pair(*folders)
            if split:
                splits[name] = split
    if list(splits) == ['train']:  # Lists will say which images to use, so that the check of the config expects others.
        yield from _find_unused(splits['train'])
    return LabelMaps(classes, splits)


def split_maps(split: MapSplit) -> Dict[str, MapSplit]:
    """A training part and a validation part of the pairs.

    Raises:
        ValueError: There are too few.
    """
    with about(str(split.images)):
        parts = zip(('train', 'val'), split_off(list(zip(split.names, split.sizes))))
    return {
        name: split._replace(names=[pair[0] for pair in part], sizes=[pair[1] for pair in part], is_part=True)
        for name, part in parts
    }


def _find_folders(
    root: Path, name: str, words: Sequence[str], images: Optional[Path], maps: Optional[Path]
) -> Optional[Tuple[Path, Path]]:
    """The folders of images and maps of a split, as images/train or train/images; for the training, images, too.

    Raises:
        ValueError: One of them is missing.
    """
    found = [images, maps]
    for position, kinds in enumerate((IMAGES, MAPS)):
        options = [*(root / kind / word for kind in kinds for word in words)]
        options += [root / word / kind for word in words for kind in kinds]
        if name == 'train':
            options += [root / kind for kind in kinds]
        found[position] = found[position] or next((path for path in options if path.is_dir()), None)
    if all(found):
        return found[0], found[1]
    if name == 'train' or any(found):
        missing = 'images' if found[0] is None else 'label maps'
        folder, option = (IMAGES[0], 'images') if found[0] is None else (MAPS[0], 'ann')
        raise ValueError(f'{root}: there is no folder of {name} {missing}, as {folder}/{name}; say --{name}-{option}')
    return None


def _pair(images: Path, maps: Path) -> Findings[MapSplit]:
    """The images that have a map, by names; None where that is impossible."""
    files = list_files(images)
    if not files:
        yield Finding('There are no images', str(images))
        return None
    suffixes = Counter(path.suffix for path in files)
    suffix = suffixes.most_common(1)[0][0]
    if len(suffixes) > 1:
        odd = next(path for path in files if path.suffix != suffix)
        yield Finding('Images have several suffixes, of which mmseg reads one', f'{odd}; most end in {suffix}')
        return None
    names = [path.relative_to(images).as_posix()[: -len(suffix)] for path in files]
    labels = [path.relative_to(maps).as_posix() for path in list_files(maps, SUFFIXES)]
    ends = Counter(label[len(name) :] for name in names[:50] for label in labels if label.startswith(name))
    if not ends:
        yield Finding('Label map is missing', f'{files[0]}: no file in {maps} has a name that begins with {names[0]}')
        return None
    end = ends.most_common(1)[0][0]
    known = set(labels)
    sizes = []
    for name, file in track_progress(list(zip(names, files)), f'{len(files)} images'):
        if f'{name}{end}' not in known:
            yield Finding('Label map is missing', f'{file}: {maps / name}{end}')
        size = yield from read_size(file)
        sizes.append(size or (0, 0))
    return MapSplit(images, maps, suffix, end, names, sizes)


def _find_unused(split: MapSplit) -> Findings:
    """The label maps without an image."""
    used = {split.maps / f'{name}{split.map_suffix}' for name in split.names}
    for path in list_files(split.maps, SUFFIXES):
        if path.name.endswith(split.map_suffix) and path not in used:
            yield Finding('Label map has no image: it is not used', str(path))
