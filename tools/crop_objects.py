"""Makes a classification dataset from a detection dataset in COCO format: crops of the objects, a folder per class.

Example:
    python tools/crop_objects.py data/coco data/crops --classes 10 --min-size 16

Takes the most frequent classes of train2017 among those with objects in both train2017 and val2017. MMPretrain reads
OUT/train and OUT/val; OUT/classes.txt lists the classes. OUT appears once it is complete.
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

import os
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Dict, List, NamedTuple

import mmcv
import numpy as np
from mmcv.transforms import LoadImageFromFile

from mmcontnet.commands import about, command, command_parser, positive_int
from mmcontnet.datasets.coco import Usage, read_entries
from mmcontnet.datasets.findings import collect
from mmcontnet.datasets.images import decode
from mmcontnet.progress import track_progress

SPLITS = ('train', 'val')


class Split(NamedTuple):
    """The images of a split by id, the folder that they are in, and the objects to crop by the name of their class."""

    folder: Path
    images: Dict[Any, dict]
    objects: Dict[str, List[dict]]


def read_split(coco: Path, split: str, min_size: int) -> Split:
    """Finds the single objects whose boxes are at least so many pixels high and wide.

    Raises:
        ValueError: The file of annotations is missing, or something in it is wrong.
    """
    file = coco / 'annotations' / f'instances_{split}2017.json'
    if not file.is_file():
        raise ValueError(f'{file}: there is no such file; expected a data set in the COCO layout in {coco}')
    entries, findings = collect(read_entries(str(file), Usage()))
    problems = [finding for finding in findings if not finding.harmless]
    if problems:
        raise ValueError(
            f'{problems[0].kind}: {problems[0].line} ({len(problems)} problems in all; correct them first)'
        )
    objects: Dict[str, List[dict]] = {}
    for number, annotation in entries.annotations.items():
        if annotation.get('iscrowd') or annotation.get('ignore') or min(annotation['bbox'][2:]) < min_size:
            continue
        if not isinstance(number, int):
            raise ValueError(f'{file}: annotation {number!r}: expected a whole number, which names the crop')
        objects.setdefault(entries.categories[annotation['category_id']]['name'], []).append(annotation)
    return Split(coco / f'{split}2017', entries.images, objects)


def choose_classes(splits: Dict[str, Split], count: int) -> List[str]:
    """The names of the most frequent classes of the first split that the second has, too.

    Raises:
        ValueError: There are too few, or one cannot name a folder.
    """
    counts = Counter({name: len(objects) for name, objects in splits['train'].objects.items()})
    common = [name for name, _ in counts.most_common() if name in splits['val'].objects]
    if len(common) < count:
        raise ValueError(f'--classes {count}: only {len(common)} classes have objects of that size in both splits')
    for name in common[:count]:
        if name != Path(name).name or name.startswith('.') or '\\' in name or not name.isprintable():
            raise ValueError(f'category {name!r} cannot name a folder; rename it in both files of annotations')
    return sorted(common[:count])


def write_crops(split: Split, names: List[str], out: Path) -> List[str]:
    """Writes each object to the folder of its class; returns what is wrong with the images that it leaves out.

    Raises:
        ValueError: No object of a class is left.
    """
    by_image: Dict[Any, List[tuple]] = {}
    for name in names:
        (out / name).mkdir(parents=True)
        for annotation in split.objects[name]:
            by_image.setdefault(annotation['image_id'], []).append((name, annotation))
    faults = []
    written = set()
    load = LoadImageFromFile()
    for number, crops in track_progress(by_image.items(), out.name, len(by_image)):
        entry = split.images[number]
        path = split.folder / entry['file_name']
        try:
            image = decode(str(path), load)
        except Exception as error:  # Decoders raise all kinds.
            faults.append(f'{path}: {error!r}')
            continue
        if image.shape[:2] != (entry['height'], entry['width']):
            faults.append(f'{path}: {image.shape[1::-1]}, annotated as {(entry["width"], entry["height"])}')
            continue
        for name, annotation in crops:
            x, y, width, height = annotation['bbox']
            crop = mmcv.imcrop(image, np.array([x, y, x + width - 1, y + height - 1]))
            mmcv.imwrite(crop, str(out / name / f'{annotation["id"]}.jpg'))
            written.add(name)
    for name in names:
        if name not in written:
            raise ValueError(f'{split.folder}: no image of a {name} can be used; the first fault: {faults[0]}')
    return faults


@command
def main() -> None:
    """Reads the arguments."""
    parser = command_parser(__doc__)
    parser.add_argument('coco', type=Path, help='folder with annotations, train2017 and val2017')
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument('--classes', type=positive_int, default=10, help='how many classes (default: 10)')
    parser.add_argument(
        '--min-size', type=positive_int, default=16, help='shortest side of an object in pixels (default: 16)'
    )
    args = parser.parse_args()
    if os.path.lexists(args.out):
        parser.error(f'{args.out} exists already; remove it or name another folder')
    with about(f'{args.out} is not written'):
        crop_objects(args.coco, args.out, args.classes, args.min_size)


def crop_objects(coco: Path, out: Path, count: int, min_size: int) -> None:
    """Writes both splits beside ``out``, and renames the folder at the end.

    Raises:
        OSError: The folder cannot be written.
        ValueError: The data or the number of classes are wrong.
    """
    splits = {split: read_split(coco, split, min_size) for split in SPLITS}
    names = choose_classes(splits, count)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix=f'.{out.name}-') as folder:
        part = Path(folder, out.name)
        for split in SPLITS:
            faults = write_crops(splits[split], names, part / split)
            if faults:
                print(f'{split}: images left out: {len(faults)}, the first: {faults[0]}')
        (part / 'classes.txt').write_text('\n'.join(names) + '\n', encoding='utf-8')
        part.rename(out)
    print(f'\n{len(names)} classes in {out}: {", ".join(names)}')


if __name__ == '__main__':
    main()
