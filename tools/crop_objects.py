"""Makes a data set for classification out of one for detection: crops of the objects, in a folder for each class.

    python tools/crop_objects.py data/coco data/crops --classes 10 --min-size 16

Of the classes with objects in both train2017 and val2017, those with the most in the former are taken. OUT/train and
OUT/val are what mmpretrain's datasets read; OUT/classes.txt lists the classes.
"""

import sys
from collections import Counter
from pathlib import Path
from typing import Dict, List

import mmcv
import numpy as np
from pycocotools.coco import COCO

from mmcontnet.commands import command, command_parser, non_negative_int, positive_int
from mmcontnet.progress import track_progress

SPLITS = ('train', 'val')


def find_objects(coco: COCO, min_size: int) -> List[Dict]:
    """The annotations of single objects whose boxes are at least so many pixels high and wide."""
    annotations = coco.loadAnns(coco.getAnnIds(iscrowd=False))
    return [annotation for annotation in annotations if min(annotation['bbox'][2:]) >= min_size]


def write_crops(coco: COCO, objects: List[Dict], images: Path, out: Path) -> None:
    """Writes the crop of each object to the folder of its class, and makes a folder for each of their classes."""
    by_image: Dict[int, List[Dict]] = {}
    for annotation in objects:
        by_image.setdefault(annotation['image_id'], []).append(annotation)
    for image_id, annotations in track_progress(by_image.items(), out.name, len(by_image)):
        image = mmcv.imread(str(images / coco.imgs[image_id]['file_name']))
        for annotation in annotations:
            x, y, width, height = annotation['bbox']
            crop = mmcv.imcrop(image, np.array([x, y, x + width - 1, y + height - 1]))
            name = coco.cats[annotation['category_id']]['name']
            mmcv.imwrite(crop, str(out / name / f'{annotation["id"]}.jpg'))


@command
def main() -> None:
    """Chooses the classes and writes both splits."""
    parser = command_parser(__doc__)
    parser.add_argument('coco', type=Path, help='folder with annotations, train2017 and val2017')
    parser.add_argument('out', type=Path, help='folder to write to')
    parser.add_argument('--classes', type=positive_int, default=10, help='how many classes (default: 10)')
    parser.add_argument(
        '--min-size', type=non_negative_int, default=16, help='shortest side of an object in pixels (default: 16)'
    )
    args = parser.parse_args()
    if args.out.exists():
        sys.exit(f'{args.out} exists already; remove it or name another folder')
    files = {split: args.coco / 'annotations' / f'instances_{split}2017.json' for split in SPLITS}
    for file in files.values():
        if not file.is_file():
            sys.exit(f'{file}: there is no such file; expected a data set in the COCO layout in {args.coco}')
    cocos = {split: COCO(str(file)) for split, file in files.items()}
    objects = {split: find_objects(coco, args.min_size) for split, coco in cocos.items()}
    counts = {split: Counter(annotation['category_id'] for annotation in objects[split]) for split in SPLITS}
    common = [category for category, _ in counts['train'].most_common() if category in counts['val']]
    if len(common) < args.classes:
        sys.exit(f'--classes {args.classes}: only {len(common)} classes have objects of that size in both splits')
    chosen = common[: args.classes]
    for split in SPLITS:
        kept = [annotation for annotation in objects[split] if annotation['category_id'] in chosen]
        write_crops(cocos[split], kept, args.coco / f'{split}2017', args.out / split)
    names = sorted(cocos['train'].cats[category]['name'] for category in chosen)
    (args.out / 'classes.txt').write_text('\n'.join(names) + '\n')
    print(f'\n{len(names)} classes in {args.out}: {", ".join(names)}')


if __name__ == '__main__':
    main()
