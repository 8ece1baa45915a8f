"""Masks of objects at the size of the picture."""

from typing import Any, Tuple

import numpy as np
from numpy.typing import NDArray


def paste_masks(masks: NDArray[Any], boxes: NDArray[Any], size: Tuple[int, int], threshold: float) -> NDArray[Any]:
    """Puts masks of boxes into the picture, as mmdet does.

    Args:
        masks (np.ndarray): Probabilities in the cells of a grid in each box, (N, h, w).
        boxes (np.ndarray): (N, 4), corners in pixels.
        size (tuple[int, int]): Height and width of the picture.
        threshold (float): From which probability on a pixel is of the object.

    Returns:
        np.ndarray: (N, height, width), bool.
    """
    pasted = np.zeros((len(masks), *size), bool)
    for mask, (left, top, right, bottom), picture in zip(masks, boxes, pasted):
        rows, row_weights = _interpolate(top, bottom, size[0], mask.shape[0])
        columns, column_weights = _interpolate(left, right, size[1], mask.shape[1])
        picture[rows, columns] = row_weights @ mask @ column_weights.T >= threshold
    return pasted


def _interpolate(start: float, end: float, length: int, cells: int) -> Tuple[slice, NDArray[Any]]:
    """The pixels of an axis that a box reaches, and the weights of the cells for each of them, (pixels, cells)."""
    first, last = max(int(np.floor(start)) - 1, 0), min(int(np.ceil(end)) + 1, length)
    centers = np.arange(first, last, dtype=np.float32) + np.float32(0.5)
    positions = (centers - start) / max(end - start, 1e-6) * cells - np.float32(0.5)
    # Outside of the grid there are zeros.
    weights = np.maximum(1 - np.abs(positions[:, None] - np.arange(cells, dtype=np.float32)), 0)
    return slice(first, last), weights.astype(np.float32)
