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


def check_mask(segmentation: Any, box: Optional[List[float]], size: Size, where: str) -> Findings:
    """A mask of polygons or run lengths, and whether it is where its box is, if one is given."""
    if not segmentation:
        yield Finding('Annotation has no mask', where)
        return
    outlines = yield from (_encode_runs if isinstance(segmentation, dict) else _encode_polygons)(
        segmentation, size, where
    )
    if outlines is None:
        return
    boxes = mask_api.toBbox(outlines)[mask_api.area(outlines) > 0]  # (parts, 4): x, y, width, height.
    if not len(boxes):
        yield Finding('Mask is empty', where, harmless=True)
    elif box:
        yield from _check_place(boxes, box, where)


def _check_place(boxes: np.ndarray, box: List[float], where: str) -> Findings:
    """Whether most of a mask, of the boxes (parts, 4) of its parts, is inside its box."""
    start, end = boxes[:, :2].min(0), (boxes[:, :2] + boxes[:, 2:]).max(0)
    x, y, width, height = box  # A pixel larger: some tools count from 1.
    shared = np.minimum(end, [x + width + 1, y + height + 1]) - np.maximum(start, [x - 1, y - 1])
    if shared.clip(0).prod() < (end - start).prod() / 2:
        detail = f'{where}: mask from {start.tolist()} to {end.tolist()}, box {box} (x, y, width, height)'
        yield Finding('Mask is apart from its box', detail)


def _encode_polygons(polygons: Any, size: Size, where: str) -> Findings[list]:
    """Polygons as run lengths of pycocotools."""
    if not isinstance(polygons, list):
        yield Finding('Mask is neither polygons nor run lengths', f'{where}: {shorten(polygons)}')
        return None
    length = 0.0
    for polygon in polygons:
        points = np.array(polygon)
        if points.ndim != 1 or (points.size and points.dtype.kind not in 'iuf'):
            yield Finding('Polygon is no list of numbers x, y, x, y, ...', f'{where}: {shorten(polygon)}')
            return None
        if len(points) < 6 or len(points) % 2:
            yield Finding('Polygon has fewer than three points or half a point', f'{where}: {shorten(polygon)}')
            return None
        points = points.reshape(-1, 2).astype(float)
        if not ((points >= np.negative(size)) & (points <= np.multiply(size, 2))).all():
            low, high = points.min(0).tolist(), points.max(0).tolist()
            yield Finding('Polygon is far outside its image', f'{where}: from {low} to {high}, image {size}')
            return None
        length += np.abs(points - np.roll(points, 1, 0)).max(1).sum()
    if length > LONGEST_OUTLINE:
        yield Finding('Polygons are too long to be drawn', f'{where}: {length:.0f} pixels, at most {LONGEST_OUTLINE}')
        return None
    return mask_api.frPyObjects(polygons, size[1], size[0])


def _encode_runs(mask: dict, size: Size, where: str) -> Findings[list]:
    """Run lengths, compressed or not, as those of pycocotools."""
    area, counts = size[0] * size[1], mask.get('counts')
    if mask.get('size') != [size[1], size[0]]:
        detail = f'{where}: {shorten(mask.get("size"))} (height, width), image {size}'
        yield Finding('Mask has another size than its image', detail)
        return None
    runs = _decompress(counts) if isinstance(counts, str) else np.array(counts)
    if runs is None or runs.ndim != 1 or runs.dtype.kind not in 'iu':
        yield Finding('Run lengths cannot be read', f'{where}: {shorten(counts)}')
        return None
    if not ((runs >= 0) & (runs <= area)).all() or runs.sum() != area:
        detail = f'{where}: run lengths from {runs.min()} to {runs.max()}, {runs.sum()} in all; expected {area} in all'
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
