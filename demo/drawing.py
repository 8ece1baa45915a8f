"""What the drawn data sets share: a background and outlines on it."""

import cv2
import numpy as np


def texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A random background (height, width, 3): noise of several scales, coarse in color and fine in brightness."""
    image = rng.uniform(70, 180) + np.zeros((height, width, 3), np.float32)
    for cells, channels, strength in ((3, 3, 45), (9, 1, 45), (40, 1, 25)):
        noise = rng.uniform(-1, 1, (cells, cells, channels)).astype(np.float32)
        image += strength * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, -1)
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def fill(image: np.ndarray, corners: np.ndarray, color: np.ndarray, edge: int) -> None:
    """Fills an outline in place and darkens its edge.

    Args:
        image (np.ndarray): Picture (H, W, 3).
        corners (np.ndarray): Corners (N, 2) of the outline, pixels as x, y.
        color (np.ndarray): Color (3,), 0 to 255.
        edge (int): Width of the edge in pixels.
    """
    shift = 4  # Sub-pixel bits of OpenCV's coordinates.
    polygon = [np.round(corners * 2**shift).astype(np.int32)]
    cv2.fillPoly(image, polygon, color.tolist(), cv2.LINE_AA, shift)
    cv2.polylines(image, polygon, True, (0.5 * color).tolist(), edge, cv2.LINE_AA, shift)
