"""Pascal VOC XML: a file for each image.

mmdet's own converter knows the twenty classes of VOC and .jpg only, and cuts coordinates to whole pixels.
"""

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Tuple
from xml.parsers import expat

from ...progress import track_progress
from ..findings import Finding, Findings, attempt
from ..images import Size
from .common import (
    SUFFIXES,
    TRAIN,
    VAL,
    Paths,
    check_names,
    find_split,
    list_files,
    read_classes,
    read_lines,
    read_size,
)
from .detection import Box, DetectionSplit, Picture, make_split

EDGES = ('xmin', 'ymin', 'xmax', 'ymax')


class _Object(NamedTuple):
    name: str
    edges: Tuple[float, ...]
    difficult: bool
    where: str


class _Page(NamedTuple):
    image: Path
    size: Size
    objects: List[_Object]


def read_voc(paths: Paths) -> Findings[Dict[str, DetectionSplit]]:
    """Reads all XML files; classes are those of ``classes.txt`` where it is there, or else all that occur, sorted.

    VOC counts pixels from 1, and its xmax and ymax belong to the box. Where an edge is at 0, the tool that wrote the
    data counts from 0.

    Raises:
        ValueError: There is no XML file.
    """
    files = yield from _find_files(paths)
    pages: Dict[str, List[_Page]] = {}
    indexes: Dict[Path, _ImageIndex] = {}
    for split, group in files.items():
        folder = (paths.train_images if split == 'train' else paths.val_images) or paths.root
        images = indexes[folder] = indexes.get(folder) or _ImageIndex(folder)
        pages[split] = []
        for file in track_progress(group, f'{len(group)} XML files'):
            page = yield from _read_page(file, images)
            if page is not None:
                pages[split].append(page)
    used = {page.image for group in pages.values() for page in group}
    named = {file.stem for group in (*files.values(), list_files(paths.root, ('.xml',))) for file in group}
    for path in (path for images in indexes.values() for path in images.paths):
        if path not in used and path.stem not in named:
            yield Finding('Image has no XML: it is not used', str(path), harmless=True)
    objects = [one for group in pages.values() for page in group for one in page.objects]
    listed = paths.root / 'classes.txt'
    if listed.is_file():
        classes = yield from read_classes(listed)
        for one in objects:
            if one.name not in classes:
                yield Finding('Class is not in the list', f'{one.where}: {one.name!r}; {listed} has {classes}')
    else:
        classes = sorted({one.name for one in objects})
        yield from check_names(classes, str(paths.root))
    first = int(all(min(one.edges[:2]) >= 1 for one in objects))
    if objects:
        detail = f'{paths.root}: xmin and ymin start at {first}' + (', as in VOC' if first else '')
        yield Finding(f'Pixels are taken as counted from {first}', detail, harmless=True)
    labels = {name: label for label, name in enumerate(classes)}
    splits = {}
    for split, group in pages.items():
        pictures = [
            Picture(page.image, page.size, [_to_box(one, labels, first) for one in page.objects if one.name in labels])
            for page in group
        ]
        if pictures:
            splits[split] = yield from make_split(pictures, classes)
    return splits


def _to_box(one: _Object, labels: Dict[str, int], first: int) -> Box:
    left, top, right, bottom = one.edges
    return Box(labels[one.name], (left - first, top - first, right, bottom), one.where, difficult=one.difficult)


def _find_files(paths: Paths) -> Findings[Dict[str, List[Path]]]:
    """The XML files of each split: of what is given, of VOC's lists, of folders of splits, or all of them.

    Raises:
        ValueError: There is none.
    """
    root = paths.root
    lists = root / 'ImageSets' / 'Main'
    files: Dict[str, List[Path]] = {}
    for split, given, words in (('train', paths.train_ann, TRAIN), ('val', paths.val_ann, VAL)):
        source = given or (lists / f'{split}.txt' if (lists / f'{split}.txt').is_file() else None)
        source = source or find_split(root, words) or find_split(root / 'Annotations', words)
        if source is None:
            continue
        if source.is_dir():
            files[split] = list_files(source, ('.xml',))
        else:
            files[split] = yield from _read_list(source, root / 'Annotations')
    if not files.get('train'):
        others = [file for file in list_files(root, ('.xml',)) if file not in files.get('val', [])]
        files = {**files, 'train': others}
    if not files['train']:
        raise ValueError(f'{root}: there is no XML file to train on')
    return {split: files[split] for split in ('train', 'val') if files.get(split)}


def _read_list(path: Path, annotations: Path) -> Findings[List[Path]]:
    """The XML files that a list of VOC names; its lines may end in a mark."""
    files = []
    for number, line in (yield from read_lines(path)) or []:
        stem = line if (annotations / f'{line}.xml').is_file() else line.split()[0]
        file = annotations / f'{stem}.xml'
        if file.is_file():
            files.append(file)
        else:
            yield Finding('Annotation is missing', f'{path}:{number}: {file}')
    return files


class _ImageIndex:
    """The images below a folder, by their names without suffix."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.paths = list_files(root)
        self.by_stem: Dict[str, List[Path]] = {}
        for path in self.paths:
            self.by_stem.setdefault(path.stem, []).append(path)

    def find(self, xml: Path, name: Optional[str]) -> List[Path]:
        """The images that an XML file can be about: of its own name, or else of the name that it holds.

        An image beside it comes first, then one in a folder of the same place, as JPEGImages/a for Annotations/a.
        """
        paths = self.by_stem.get(xml.stem) or self.by_stem.get(Path(name or '').stem) or []
        exact = [path for path in paths if path.name == name] or paths
        for folders in ((xml.parent,), [path.parent for path in exact if path.parent.name == xml.parent.name]):
            near = [path for path in exact if path.parent in folders]
            if len(near) == 1:
                return near
        return exact


def _parse(path: Path) -> Tuple[ET.Element, Dict[ET.Element, int]]:
    """An XML file with the lines of its elements, which ElementTree alone does not tell."""
    builder, parser, lines = ET.TreeBuilder(), expat.ParserCreate(), {}

    def start(tag: str, attributes: Dict[str, str]) -> None:
        lines[builder.start(tag, attributes)] = parser.CurrentLineNumber

    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.Parse(path.read_bytes(), True)
    return builder.close(), lines


def _read_page(path: Path, images: _ImageIndex) -> Findings[_Page]:
    """An XML file, the size of its image, and its objects; None where the image has a fault."""
    try:
        root, lines = _parse(path)
    except expat.ExpatError as error:
        yield Finding('XML cannot be read', f'{path}:{error.lineno}: {expat.ErrorString(error.code)}')
        return None
    except (OSError, LookupError, ValueError) as error:  # The last two of its encoding.
        yield Finding('XML cannot be read', f'{path}: {getattr(error, "strerror", None) or error}')
        return None
    if root.tag != 'annotation':
        yield Finding('XML is no annotation of Pascal VOC', f'{path}:{lines[root]}: <{root.tag}>')
        return None
    name = (root.findtext('filename') or '').strip()
    found = images.find(path, name)
    if len(found) != 1:
        kind = 'Image is missing' if not found else 'Images of the same name are in several folders'
        what = ', '.join(map(str, found)) or f'{path.stem} with one of {", ".join(SUFFIXES)} below {images.root}'
        yield Finding(kind, f'{path}: {what}')
        return None
    actual = yield from read_size(found[0])
    if actual is None:
        return None
    size = root.find('size')
    if size is None or not all((size.findtext(side) or '0').strip() != '0' for side in ('width', 'height')):
        yield Finding('Size is not given: the one of the image is taken', str(path), harmless=True)
    else:
        # Some tools write 64.0.
        written = tuple(re.sub(r'\.0*$', '', (size.findtext(side) or '').strip()) for side in ('width', 'height'))
        if written != tuple(map(str, actual)):
            detail = f'{path}:{lines[size]}: {" x ".join(written)}, {found[0]} has {actual[0]} x {actual[1]}'
            yield Finding('Image has another size than its annotation', detail)
            return None
    objects = []
    for element in root.iter('object'):
        one = yield from _read_object(element, f'{path}:{lines[element]}')
        if one is not None:
            objects.append(one)
    return _Page(found[0], actual, objects)


def _read_object(element: ET.Element, where: str) -> Findings[_Object]:
    """The class and box of an object."""
    name = (element.findtext('name') or '').strip()
    if not name:
        yield Finding('Object has no name', where)
        return None
    corners = [(element.findtext(f'bndbox/{edge}') or '').strip() for edge in EDGES]
    edges = yield from attempt(
        lambda: tuple(map(float, corners)), 'Object has no box of four numbers', f'{where}: {dict(zip(EDGES, corners))}'
    )
    if edges is None:
        return None
    return _Object(name, edges, (element.findtext('difficult') or '').strip() == '1', where)
