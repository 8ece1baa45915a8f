"""Predicts on pictures with an exported model, where only numpy, onnxruntime and Pillow are installed.

Example:
    python -m mmcontnet.deploy exported photos cat.jpg --out predictions

INPUT is a picture or a folder, which is searched recursively. The annotated pictures keep their names.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Dict, List

from PIL import Image

from ..fileio import whole_file
from ..messages import printable
from .drawing import draw
from .pictures import read_picture
from .predictor import Predictor

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')


def parse_arguments() -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m mmcontnet.deploy', description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('folder', metavar='DIR', type=Path, help='what tools/export.py wrote')
    parser.add_argument('inputs', metavar='INPUT', type=Path, nargs='+', help='picture or folder')
    parser.add_argument('--out', metavar='OUT', type=folder, required=True, help='folder for the annotated pictures')
    parser.add_argument('--score', type=score, default=0.3, help='from which score on objects are drawn (default: 0.3)')
    return parser.parse_args()


def folder(text: str) -> Path:
    """The type of an argument that names a folder to write to, which may be missing."""
    if os.path.exists(text) and not os.path.isdir(text):
        raise argparse.ArgumentTypeError(f'{printable(text)} is no folder')
    return Path(text)


def score(text: str) -> float:
    """A number from 0 to 1 of a command line."""
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f'{text!r} is no number from 0 to 1')
    return value


def find_pictures(inputs: List[Path], out: Path) -> Dict[Path, Path]:
    """The pictures in files and folders, without those in the folder of the results, by their names there.

    Raises:
        ValueError: An input does not exist, contains no pictures, or is in the folder of the results, or two pictures
            have one name.
    """
    found: Dict[Path, Path] = {}
    results = out.resolve()
    for given in inputs:
        if results in (given.resolve(), *given.resolve().parents):
            raise ValueError(f'{given} is in the folder that results are written to; choose another --out')
        files = sorted(given.rglob('*')) if given.is_dir() else [given]
        files = [file for file in files if file.is_file() and results not in file.resolve().parents]
        pictures = [file for file in files if file == given or file.suffix.lower() in SUFFIXES]
        if not pictures:
            raise ValueError(f'{given} {"contains no pictures" if given.exists() else "does not exist"}')
        for file in pictures:
            name = file.relative_to(given if given.is_dir() else given.parent)
            name = name if name.suffix.lower() in SUFFIXES else name.with_suffix('.png')
            if found.setdefault(name, file) != file:
                raise ValueError(f'{found[name]} and {file} would both become {name}; give them one at a time')
    return found


def main() -> None:
    """Predicts and draws; what cannot be read is named on stderr and skipped.

    Raises:
        ImportError: onnxruntime is missing.
        OSError: The results cannot be written.
        ValueError: There is no model, or no picture, or not all pictures could be read.
    """
    args = parse_arguments()
    pictures = find_pictures(args.inputs, args.out)
    predictor = Predictor(args.folder)
    args.out.mkdir(parents=True, exist_ok=True)
    skipped = 0
    for name, file in pictures.items():
        try:
            image = read_picture(file)
            prediction = predictor(image)
        except (OSError, ValueError) as error:
            # The former come from reading and name the file.
            print(printable(str(error) if isinstance(error, OSError) else f'{file}: {error}'), file=sys.stderr)
            skipped += 1
            continue
        target = args.out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        drawn = draw(image, prediction, predictor.description, args.score)
        with whole_file(target) as stream:
            drawn.save(stream, Image.registered_extensions()[target.suffix.lower()])
    print(printable(f'{len(pictures) - skipped} pictures are in {args.out}'))
    if skipped:
        raise ValueError(f'{skipped} of {len(pictures)} pictures were skipped')


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        print('Interrupted', file=sys.stderr)
        sys.exit(130)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(printable(str(error)))
