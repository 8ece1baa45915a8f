"""Reading and resizing pictures exactly as the toolboxes do, which use OpenCV."""

from pathlib import Path
from typing import Any, Dict, NamedTuple, Tuple, Union

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

Picture = Union[str, Path, Image.Image, NDArray[Any]]
# OpenCV multiplies by coefficients in whole numbers of this fraction.
_ONE = 2048


class Prepared(NamedTuple):
    """A resized picture, (H, W, 3), RGB, and what its width and height were multiplied by."""

    image: NDArray[Any]
    scale: Tuple[float, float]


def read_picture(picture: Picture) -> NDArray[Any]:
    """Makes an array of a picture.

    Args:
        picture (str | Path | PIL.Image.Image | np.ndarray): A file, a picture of Pillow, or an array (H, W, 3), RGB, 8
            bits. Pictures are turned upright as they say themselves, an alpha channel is dropped, and 16 bits become 8.

    Returns:
        np.ndarray: (H, W, 3), RGB, 8 bits.

    Raises:
        OSError: The file cannot be read as a picture.
        ValueError: It is of another type.
    """
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
            raise ValueError(f'picture is {picture.dtype} {picture.shape}; expected (H, W, 3) of uint8, RGB')
        return picture
    if isinstance(picture, (str, Path)):
        try:
            with Image.open(picture) as opened:
                return _to_array(opened)
        except UnidentifiedImageError:
            raise OSError(f'{picture} cannot be read as a picture: Pillow does not know its format') from None
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            reason = getattr(error, 'strerror', None) or error
            raise OSError(f'{picture} cannot be read as a picture: {reason}') from None
    if isinstance(picture, Image.Image):
        return _to_array(picture)
    raise ValueError(
        f'picture is {type(picture).__name__}; expected a file, a picture of Pillow or an array (H, W, 3) of uint8, RGB'
    )


def _to_array(picture: Image.Image) -> NDArray[Any]:
    if 0 in picture.size:
        raise ValueError(f'picture is empty: {picture.width}x{picture.height} pixels')
    if picture.mode == 'F':
        raise ValueError('picture has floating-point pixels; expected 8 or 16 bits')
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith('I'):
        values = np.asarray(picture)
        # Pillow's mode I is for 32 bits, but older versions read 16 bits into it.
        values = values if picture.mode == 'I' and values.max() <= 255 else values >> 8
        picture = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    return np.asarray(picture.convert('RGB'))


def prepare(image: NDArray[Any], pipeline: Dict[str, Any]) -> Prepared:
    """Resizes and crops a picture as the test pipeline of the model's config does.

    Args:
        image (np.ndarray): (H, W, 3), RGB, 8 bits.
        pipeline (dict): ``resize``: None, ``{'scale': [long, short]}`` in pixels, with the ratio kept,
            ``{'size': [width, height]}`` without, or ``{'edge': EDGE, 'length': int}``, EDGE of ``'short'``,
            ``'long'``, ``'width'``, ``'height'``; ``backend``: ``'cv2'`` or ``'pillow'``; ``crop``: None, or
            ``[width, height]`` around the center.

    Raises:
        ValueError: The picture is so narrow that nothing would be left of it.
    """
    height, width = image.shape[:2]
    new_width, new_height = target_size(width, height, pipeline['resize'])
    if 0 in (new_width, new_height):
        raise ValueError(f'picture is too narrow: {width}x{height} pixels would become {new_width}x{new_height}')
    image = resize(image, new_width, new_height, pipeline['backend'])
    if pipeline['crop']:
        image = crop(image, *pipeline['crop'])
    return Prepared(np.ascontiguousarray(image), (new_width / width, new_height / height))


def target_size(width: int, height: int, how: Any) -> Tuple[int, int]:
    """Width and height that a picture is resized to."""
    if how is None:
        return width, height
    if 'size' in how:
        return how['size'][0], how['size'][1]
    if 'scale' in how:
        scale = min(max(how['scale']) / max(width, height), min(how['scale']) / min(width, height))
        return int(width * scale + 0.5), int(height * scale + 0.5)
    edge, length = how['edge'], how['length']
    if edge == 'width' or (edge == 'short' and width < height) or (edge == 'long' and width > height):
        return length, int(length * height / width)
    return int(length * width / height), length


def resize(image: NDArray[Any], width: int, height: int, backend: str) -> NDArray[Any]:
    """Resizes a picture by bilinear interpolation, bit for bit as OpenCV (``'cv2'``) or Pillow does."""
    if backend == 'pillow':
        return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
    if image.shape[:2] == (height, width):
        return image
    left, right, columns = _neighbors(image.shape[1], width)
    # At the left and right border one pixel alone counts, at the others a pair of equal ones.
    columns[:, (left == right)] = [[_ONE], [0]]
    upper, lower, rows = _neighbors(image.shape[0], height)
    wide = image.astype(np.int32)
    wide = wide[:, left] * columns[0][:, None] + wide[:, right] * columns[1][:, None]
    wide >>= 4
    rows = rows[..., None, None]
    return (((rows[0] * wide[upper] >> 16) + (rows[1] * wide[lower] >> 16) + 2) >> 2).astype(np.uint8)


def _neighbors(old: int, new: int) -> Tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """The two pixels, (new,) each, that a pixel of a resized axis is between, and their coefficients, (2, new)."""
    positions = ((np.arange(new) + 0.5) * (1 / (new / old)) - 0.5).astype(np.float32)
    first = np.floor(positions)
    second = positions - first
    coefficients = np.rint(np.stack([1 - second, second]) * np.float32(_ONE)).astype(np.int32)
    first = first.astype(int)
    return first.clip(0, old - 1), (first + 1).clip(0, old - 1), coefficients


def crop(image: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    """The center of a picture, at most as large as the picture."""
    top = max(0, round((image.shape[0] - height) / 2))
    left = max(0, round((image.shape[1] - width) / 2))
    return image[top : top + height, left : left + width]
