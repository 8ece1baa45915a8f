"""Checks of images, decoded as the training decodes them."""

import re
from functools import partial
from pathlib import Path
from typing import Callable, Optional, Tuple

import numpy as np
from mmcv.transforms import LoadImageFromFile
from PIL import Image, UnidentifiedImageError

from .findings import Finding, Findings, Source, attempt

Size = Tuple[int, int]  # Width, height.
Loader = Callable[[dict], Optional[dict]]


def find_loader(source: Source) -> Loader:
    """The transform of the pipeline that reads images, or else OpenMMLab's usual one."""
    loaders = (transform for transform in source.transforms if re.match(r'Load\w*Image', type(transform).__name__))
    return next(loaders, LoadImageFromFile())


def check_image(path: str, load: Loader, expected: Optional[Size] = None) -> Findings[Size]:
    """Decodes an image and returns its size."""
    if not Path(path).is_file():
        yield Finding('Image is missing', path)
        return None
    image = yield from attempt(partial(decode, path, load), 'Image cannot be decoded', path)
    if image is None:
        return None
    size = image.shape[1::-1]
    if expected and size != expected:
        yield Finding('Image has another size than its annotation', f'{path}: {size}, annotated as {expected}')
    return size


def decode(path: str, load: Loader) -> np.ndarray:
    """The pixels of an image, (height, width[, channels]), as the training sees them.

    Raises:
        Exception: It cannot be decoded, or not to its last byte; the decoders raise all kinds.
    """
    _require_all_bytes(path)
    try:
        result = load(dict(img_path=path))
    except Exception as error:
        if not Path(path).stat().st_size:  # OpenCV speaks of an assertion that failed.
            raise ValueError('the file is empty') from error
        raise
    if result is None:
        raise ValueError('it cannot be read, and ignore_empty=True puts another image in its place')
    return result['img']


def _require_all_bytes(path: str) -> None:
    """Raises OSError where a part of an image is missing, which OpenCV may fill with gray."""
    try:
        with Image.open(path) as image:
            image.draft('L', (1, 1))  # Of a JPEG, all is read, but an eighth of the width and height decoded.
            image.load()
    except UnidentifiedImageError:
        pass  # The training's decoder reads formats that Pillow does not.
    except OSError:
        raise
    except Exception:  # What Pillow alone refuses, as more than 179 million pixels or a long comment.
        pass
