"""Predictions drawn into pictures."""

from typing import Any, Tuple, Union

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .description import Description
from .predictor import Classes, Detections, LabelMap

Font = Union[ImageFont.ImageFont, ImageFont.FreeTypeFont]

OPACITY = 0.5
BEST_CLASSES = 5


def draw(
    image: NDArray[Any], prediction: Union[Detections, LabelMap, Classes], description: Description, score: float
) -> Image.Image:
    """Draws boxes and masks, a label map, or the best classes.

    Args:
        image (np.ndarray): (H, W, 3), RGB, 8 bits.
        prediction (Detections | LabelMap | Classes): What was predicted on it.
        description (Description): Names and colors of the classes.
        score (float): From which score on objects are drawn.
    """
    if isinstance(prediction, Detections):
        return _draw_detections(image, prediction, description, score)
    if isinstance(prediction, LabelMap):
        colors = np.array(description.palette, np.uint8)[prediction.label_map]
        return Image.blend(Image.fromarray(image), Image.fromarray(colors), OPACITY)
    best = zip(prediction.labels[:BEST_CLASSES], prediction.scores)
    drawn = Image.fromarray(image)
    text = '\n'.join(f'{description.classes[label]}: {probability:.2f}' for label, probability in best)
    _write(ImageDraw.Draw(drawn), (0, 0), text, (0, 0, 0), _font(image))
    return drawn


def _draw_detections(image: NDArray[Any], found: Detections, description: Description, score: float) -> Image.Image:
    shown = np.flatnonzero(found.scores >= score)[::-1]  # The best on top.
    colors = [tuple(description.palette[label]) for label in found.labels]
    image = image.copy()
    if found.masks is not None:
        for number in shown:
            mask = found.masks[number]
            image[mask] = (image[mask] * (1 - OPACITY) + np.array(colors[number]) * OPACITY).astype(np.uint8)
    drawn = Image.fromarray(image)
    pen = ImageDraw.Draw(drawn)
    font = _font(image)
    for number in shown:
        left, top, right, bottom = found.boxes[number].tolist()
        pen.rectangle([left, top, right, bottom], outline=colors[number], width=max(2, max(image.shape) // 400))
        text = f'{description.classes[found.labels[number]]} {found.scores[number]:.2f}'
        _write(pen, (left, top), text, colors[number], font)
    return drawn


def _font(image: NDArray[Any]) -> Font:
    return ImageFont.load_default(max(10, max(image.shape) // 60))


def _write(
    pen: ImageDraw.ImageDraw, corner: Tuple[float, float], text: str, color: Tuple[int, int, int], font: Font
) -> None:
    """Writes text on a rectangle in a color, in black or white, whichever is easier to read."""
    pen.rectangle(pen.multiline_textbbox(corner, text, font=font), fill=color)
    is_bright = np.dot(color, (0.299, 0.587, 0.114)) > 140
    pen.multiline_text(corner, text, fill=(0, 0, 0) if is_bright else (255, 255, 255), font=font)
