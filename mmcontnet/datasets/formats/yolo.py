"""YOLO: data.yaml with the classes and the folders of images, and a text file of boxes or polygons for each image."""

from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

import yaml

from ...progress import track_progress
from ..findings import Finding, Findings
from ..images import Size
from .common import Paths, check_names, list_files, read_lines, read_size
from .detection import Box, DetectionSplit, Picture, make_split


class _Description(NamedTuple):
    """data.yaml: its path, what it holds, and the line of each entry."""

    path: Path
    content: Dict[str, Any]
    lines: Dict[str, int]

    def where(self, key: str) -> str:
        return f'{self.path}:{self.lines.get(key, 1)}: {key}'


def find_description(root: Path) -> Optional[Path]:
    """data.yaml in a folder, or the only other YAML file there."""
    files = sorted([*root.glob('*.yaml'), *root.glob('*.yml')])
    named = [file for file in files if file.stem == 'data']
    return named[0] if named else files[0] if len(files) == 1 else None


def read_yolo(paths: Paths) -> Findings[Dict[str, DetectionSplit]]:
    """Reads data.yaml, the images that it names and their labels, which are where Ultralytics looks for them.

    Raises:
        ValueError: Annotations are given, too, or data.yaml is missing.
    """
    if paths.train_ann or paths.val_ann:
        raise ValueError('YOLO keeps its labels beside the images: leave --train-ann and --val-ann out')
    path = find_description(paths.root)
    if path is None:
        raise ValueError(f'{paths.root}/data.yaml: there is no such file; it names the classes and folders of images')
    description = yield from _read_description(path)
    if description is None:
        return {}
    names = yield from _read_names(description)
    if names is None:
        return {}
    splits = {}
    for split, given in (('train', paths.train_images), ('val', paths.val_images)):
        if given:
            images = list_files(given)
        else:
            images = yield from _find_images(description, split)
        if not images:
            if split == 'train' or given:
                yield Finding('There are no images', str(given or description.where(split)))
            continue
        pictures = yield from _read_pictures(images, names)
        if pictures:
            splits[split] = yield from make_split(pictures, names)
    return splits


def _read_description(path: Path) -> Findings[_Description]:
    try:
        text = path.read_text(encoding='utf-8')
        content, node = yaml.safe_load(text), yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        yield Finding('YAML cannot be read', f'{path}:{error.problem_mark.line + 1}: {error.problem}')
        return None
    except (OSError, ValueError, yaml.YAMLError) as error:
        yield Finding('YAML cannot be read', f'{path}: {error!r:.200}')
        return None
    if not isinstance(content, dict):
        yield Finding('YAML holds no names with values', f'{path}:1')
        return None
    return _Description(path, content, {key.value: key.start_mark.line + 1 for key, _ in node.value})


def _read_names(description: _Description) -> Findings[List[str]]:
    """The classes in the order of their labels, from a list or from numbers with names."""
    names, where = description.content.get('names'), description.where('names')
    if isinstance(names, dict):
        names = {int(label) if str(label).isdecimal() else label: name for label, name in names.items()}
        missing = sorted(set(range(len(names))) - set(names))
        if missing:
            yield Finding('Labels are not numbered from 0 without a gap', f'{where}: {missing} are missing')
            return None
        names = [names[label] for label in range(len(names))]
    if not isinstance(names, list):
        yield Finding('There are no classes', f'{where} is {names!r:.80}; expected a list')
        return None
    for name in names:
        if not isinstance(name, (str, int)) or isinstance(name, bool):
            yield Finding('Class name is a word that YAML replaces: quote it', f'{where}: {name!r}', harmless=True)
    names = [str(name) for name in names]
    yield from check_names(names, where)
    count = description.content.get('nc', len(names))
    if count != len(names):
        yield Finding('Number of classes is another than that of the names', f'{description.where("nc")} is {count!r}')
    return names


def _find_images(description: _Description, split: str) -> Findings[List[Path]]:
    """The images of a split: of a folder, a list of paths in a file, or several of them."""
    value = description.content.get(split)
    if value is None and split == 'val':
        value = description.content.get('valid')
    sources = value if isinstance(value, list) else [value] if value else []
    images: List[Path] = []
    for source in sources:
        path = _resolve(description, str(source))
        if path.is_dir():
            images += list_files(path)
        elif path.is_file():
            for number, line in (yield from read_lines(path)) or []:
                image = path.parent / line
                if image.is_file():
                    images.append(image)
                else:
                    yield Finding('Image is missing', f'{path}:{number}: {image}')
        else:
            yield Finding('Folder of images is missing', f'{description.where(split)}: {path}')
    return images


def _resolve(description: _Description, source: str) -> Path:
    """A path of data.yaml: below its ``path``, or else below its own folder, where exporters wrote ../, too."""
    folder = description.path.parent
    base = str(description.content.get('path') or '')
    without_dots = source[3:] if source.startswith('../') else source
    options = [folder / base / source, Path(base) / source, folder / source, folder / without_dots]
    return next((path for path in options if path.exists()), options[0])


def find_labels(image: Path) -> Path:
    """The text file of an image: the last folder ``images`` of its path becomes ``labels``."""
    parts = list(image.parts)
    folders = [number for number, part in enumerate(parts[:-1]) if part == 'images']
    if folders:
        parts[folders[-1]] = 'labels'
    return Path(*parts).with_suffix('.txt')


def _read_pictures(images: List[Path], names: List[str]) -> Findings[List[Picture]]:
    """Images with their boxes; an image without a file of labels shows no object."""
    pictures, used = [], set()
    for image in track_progress(images, f'{len(images)} images'):
        labels = find_labels(image)
        used.add(labels)
        size = yield from read_size(image)
        boxes: List[Box] = []
        if labels.is_file() and size:
            for number, line in (yield from read_lines(labels)) or []:
                box = yield from _read_box(line, f'{labels}:{number}', names, size)
                if box is not None:
                    boxes.append(box)
        if size:
            pictures.append(Picture(image, size, boxes))
    if not any(labels.is_file() for labels in used):
        yield Finding('No image has labels', f'{images[0]}: {find_labels(images[0])} is missing, as all others are')
    for folder in sorted({labels.parent for labels in used}):
        for path in sorted(folder.glob('*.txt')):
            if path not in used and path.name != 'classes.txt':
                yield Finding('Labels have no image: they are not used', str(path), harmless=True)
    return pictures


def _read_box(line: str, where: str, names: List[str], size: Size) -> Findings[Box]:
    """A line of a label with center, width and height, or with the corners of a polygon, in shares of the image."""
    words = line.split()
    try:
        label, numbers = int(float(words[0])), [float(word) for word in words[1:]]
        if label != float(words[0]):
            raise ValueError
    except (ValueError, OverflowError):
        yield Finding('Line is no label with numbers', f'{where}: {line:.80}')
        return None
    if not 0 <= label < len(names):
        yield Finding('Label is not among the names of data.yaml', f'{where}: {label}; there are {len(names)} names')
        return None
    if len(numbers) != 4 and (len(numbers) < 6 or len(numbers) % 2):
        detail = f'{where}: {len(numbers)} numbers; expected 4 of a box, or x and y of three corners at least'
        yield Finding('Line is neither a box nor a polygon', detail)
        return None
    if len(numbers) == 4:
        x, y, width, height = numbers
        edges = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        polygon = None
    else:
        polygon = [number * size[position % 2] for position, number in enumerate(numbers)]
        edges = (min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2]))
    pixels = tuple(edge * size[position % 2] for position, edge in enumerate(edges))
    return Box(label, pixels, where, polygon)
