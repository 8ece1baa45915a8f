"""Checks of masks in the layout of COCO, in time and memory linear in their outlines: none is drawn as a picture.

pycocotools trusts coordinates and run lengths: wrong ones make it take gigabytes or read outside its memory.
"""

from reprlib import repr as shorten
from typing import Any, List, Optional

import numpy as np
from pycocotools import mask as mask_api

from .findings import Finding, Findings
from .images import Size

LONGEST_OUTLINE = 4_000_000  # Pixels; pycocotools takes about a hundred bytes for each.


def check_mask(segmentation: Any, box: Optional[List[float]], size: Size) -> Findings:
    """A mask of polygons or run lengths, and whether it is where its box is, if one is given."""
    if not segmentation:
        yield Finding('Annotation has no mask', '')
        return
    encode = _encode_runs if isinstance(segmentation, dict) else _encode_polygons
    outlines = yield from encode(segmentation, size)
    if outlines is None:
        return
    parts = [part for part in mask_api.toBbox(outlines).tolist() if part[2] > 0]  # x, y, width, height.
    if not parts:
        yield Finding('Mask is empty', '', harmless=True)
    elif box:
        yield from _check_place(parts, box)


def _check_place(parts: List[List[float]], box: List[float]) -> Findings:
    """Whether most of a mask, of the boxes of its parts, is inside its box."""
    left, top = (min(part[axis] for part in parts) for axis in (0, 1))
    right, bottom = (max(part[axis] + part[axis + 2] for part in parts) for axis in (0, 1))
    x, y, width, height = box  # A pixel larger: some tools count from 1.
    shared_width = min(right, x + width + 1) - max(left, x - 1)
    shared_height = min(bottom, y + height + 1) - max(top, y - 1)
    if max(shared_width, 0) * max(shared_height, 0) < (right - left) * (bottom - top) / 2:
        detail = f': mask from {left, top} to {right, bottom}, box {box} (x, y, width, height)'
        yield Finding('Mask is apart from its box', detail)


def _encode_polygons(polygons: Any, size: Size) -> Findings[list]:
    """Polygons as run lengths of pycocotools."""
    if not isinstance(polygons, list):
        yield Finding('Mask is neither polygons nor run lengths', f': {shorten(polygons)}')
        return None
    length = 0.0
    for polygon in polygons:
        numbers = np.array(polygon)
        if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in 'iuf'):
            yield Finding('Polygon is no list of numbers x, y, x, y, ...', f': {shorten(polygon)}')
            return None
        if len(numbers) < 6 or len(numbers) % 2:
            yield Finding('Polygon has fewer than three points or half a point', f': {shorten(polygon)}')
            return None
        points = numbers.reshape(-1, 2).astype(float)
        (left, top), (right, bottom) = points.min(0).tolist(), points.max(0).tolist()
        if not (left >= -size[0] and top >= -size[1] and right <= 2 * size[0] and bottom <= 2 * size[1]):
            yield Finding('Polygon is far outside its image', f': {left, top} to {right, bottom}, image {size}')
            return None
        longest = len(points) * max(right - left, bottom - top)
        if longest > LONGEST_OUTLINE / 1000:  # Few are; the bound will do for the others.
            longest = np.abs(np.diff(points, axis=0, append=points[:1])).max(1).sum()
        length += longest
    if length > LONGEST_OUTLINE:
        yield Finding('Polygons are too long to be drawn', f': {length:.0f} pixels, at most {LONGEST_OUTLINE}')
        return None
    return mask_api.frPyObjects(polygons, size[1], size[0])


def _encode_runs(mask: dict, size: Size) -> Findings[list]:
    """Run lengths, compressed or not, as those of pycocotools."""
    area, counts = size[0] * size[1], mask.get('counts')
    if mask.get('size') != [size[1], size[0]]:
        detail = f': {shorten(mask.get("size"))} (height, width), image {size}'
        yield Finding('Mask has another size than its image', detail)
        return None
    runs = _decompress(counts) if isinstance(counts, str) else np.array(counts)
    if runs is None or runs.ndim != 1 or runs.dtype.kind not in 'iu':
        yield Finding('Run lengths cannot be read', f': {shorten(counts)}')
        return None
    if not ((runs >= 0) & (runs <= area)).all() or runs.sum() != area:
        detail = f': run lengths from {runs.min()} to {runs.max()}, {runs.sum()} in all; expected {area} in all'
        yield Finding('Run lengths are not those of the image', detail)
        return None
    return [mask if isinstance(counts, str) else mask_api.frPyObjects(mask, size[1], size[0])]


def _decompress(counts: str) -> Optional[np.ndarray]:
    """The run lengths in COCO's compressed text, or None where it has none; pycocotools tells them of pictures only.

    Each character holds six bits: whether the number goes on, and five of its bits, the lowest first, with a sign. From
    the fourth number on, each is the difference to the one before the last.
    """
    codes = np.frombuffer(counts.encode(), np.uint8).astype(np.int64) - 48
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or codes[-1] & 32:
        return None
    starts = np.flatnonzero(np.append(0, codes[:-1] & 32) == 0)
    lengths = np.diff(np.append(starts, len(codes)))
    if lengths.max() > 7:  # More than 32 bits.
        return None
    shifts = 5 * (np.arange(len(codes)) - np.repeat(starts, lengths))
    runs = np.add.reduceat((codes & 31) << shifts, starts)
    runs -= np.where(codes[starts + lengths - 1] & 16, 1 << 5 * lengths, 0)
    runs[1::2] = runs[1::2].cumsum()
    runs[2::2] = runs[2::2].cumsum()
    return runs
