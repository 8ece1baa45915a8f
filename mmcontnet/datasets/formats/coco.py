"""COCO JSON: a file for each split, used as it is, and the folder of its images."""

import os
from functools import partial
from pathlib import Path
from typing import Dict, List, Optional

from ..coco import Usage, check_entries, is_number, read_json
from ..findings import Finding, Findings, attempt, collect
from .common import TRAIN, VAL, Paths, check_names, list_files
from .detection import DetectionSplit


def read_coco(paths: Paths) -> Findings[Dict[str, DetectionSplit]]:
    """Reads the files of annotations and finds their images.

    Raises:
        ValueError: There is no such file, or more than one could be meant.
    """
    splits = {}
    for name, file in find_annotations(paths).items():
        content = yield from attempt(partial(read_json, str(file)), 'Annotations cannot be read', str(file))
        if content is None:
            continue
        added = _complete(content['annotations'])
        if added:
            yield Finding(f'Annotations lack {added}: a copy with it is written', str(file), harmless=True)
        entries, findings = collect(check_entries(content, str(file), Usage(evaluated=True)))
        yield from (finding for finding in findings if not finding.harmless)  # The check of the config remarks.
        content = {key: list(part.values()) for key, part in entries._asdict().items()}
        yield from check_names((category['name'] for category in content['categories']), str(file))
        if not content['images']:
            yield Finding('There are no images', f'{file}: images')
            continue
        given = paths.train_images if name == 'train' else paths.val_images
        folder = given or (yield from _find_images(paths.root, file, name, content['images']))
        if folder:
            splits[name] = DetectionSplit(content, folder, None if added else file)
    return splits


def _complete(annotations: list) -> str:
    """Adds what the evaluation needs and some tools leave out: no crowd, the area of the box; returns what it added."""
    added = set()
    for one in annotations:
        if not isinstance(one, dict):
            continue
        if one.get('iscrowd') is None:
            one['iscrowd'] = 0
            added.add('iscrowd')
        box = one.get('bbox')
        if one.get('area') is None and isinstance(box, list) and len(box) == 4 and all(map(is_number, box)):
            one['area'] = box[2] * box[3]
            added.add('area')
    return ' and '.join(sorted(added))


def find_annotations(paths: Paths) -> Dict[str, Path]:
    """The files of the splits by what is given, by their names, or the only one.

    Raises:
        ValueError: There is none for the training, or several.
    """
    files = list_files(paths.root, ('.json',))
    found = {}
    for name, given, words in (('train', paths.train_ann, TRAIN), ('val', paths.val_ann, VAL)):
        named = [file for file in files if _is_named(file.relative_to(paths.root), words)]
        if given:
            found[name] = given
        elif len(named) > 1:
            options = ', '.join(map(str, named[:5]))
            raise ValueError(
                f'{paths.root}: several files could be the {name} annotations; say --{name}-ann: {options}'
            )
        elif named:
            found[name] = named[0]
    if 'train' not in found:
        others = [file for file in files if file not in found.values()]
        if len(others) != 1:
            options = ', '.join(map(str, others[:5])) or 'none'
            raise ValueError(f'{paths.root}: say which file holds the annotations by --train-ann; found {options}')
        found = {'train': others[0], **found}
    return {name: found[name] for name in ('train', 'val') if name in found}


def _is_named(file: Path, words: tuple) -> bool:
    """Whether the file or the folder that it is in bears the name of a split, as instances_train2017 does."""
    parts = [part.lower() for part in (file.stem, file.parent.name)]
    return any(word in part.replace('-', '_').split('_') or f'{word}20' in part for word in words for part in parts)


def _find_images(root: Path, file: Path, name: str, images: List[dict]) -> Findings[Path]:
    """The folder that holds all images of a file; of several, the one that the file's name mentions.

    Returns:
        Path | None: None, after a finding, where no folder holds them, or several do.
    """
    names = [image['file_name'] for image in images]
    folders = [file.parent, root, *sorted(path for path in root.rglob('*') if path.is_dir())]
    if all(map(os.path.isabs, names)):
        folders = [root]  # Any would do.
    holding: List[Path] = []
    best: Optional[Path] = None
    most = 0
    for folder in dict.fromkeys(folders):
        if not any((folder / one).is_file() for one in (names[0], names[-1])):
            continue
        count = sum((folder / one).is_file() for one in names)
        if count == len(names):
            holding.append(folder)
        if count > most:
            best, most = folder, count
    words = TRAIN if name == 'train' else VAL
    mentioned = [folder for folder in holding if folder.name in file.stem] or [
        folder for folder in holding if _is_named(folder.relative_to(root) / 'x', words)
    ]
    chosen = mentioned or holding
    if len(chosen) > 1:
        detail = f'{file}: {", ".join(map(str, chosen[:5]))}; say --{name}-images'
        yield Finding('Images are in more than one folder', detail)
        return None
    if chosen:
        return chosen[0]
    if best is None:
        yield Finding('Images are in no folder', f'{file}: {names[0]!r} is not below {root}; say --{name}-images')
        return None
    missing = [one for one in names if not (best / one).is_file()]
    yield from (Finding('Image is missing', f'{file}: {best / one}') for one in missing)
    return best
