"""Receptive fields and attention as one picture."""

from pathlib import Path
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Circle, Rectangle

from ..fileio import whole_file
from .attention import PixelAttention
from .receptive_field import Field

SHARES = {0.5: 'white', 0.9: 'tab:cyan'}
PANEL = 2.4  # Inches.
FAINTEST = 1e-5  # Of the brightest energy.
MARGIN = 0.5  # What is shown of the image around a patch, in patches.


class Attention(NamedTuple):
    """The attention of a pixel in the encoders of a block.

    Args:
        title (str): What is written above.
        image (np.ndarray): The image, (H, W, 3), RGB.
        pixel (tuple[int]): Row and column in the image.
        encoders (list[PixelAttention]): One for each encoder.
    """

    title: str
    image: np.ndarray
    pixel: Tuple[int, int]
    encoders: List[PixelAttention]


def save_picture(fields: Sequence[Tuple[str, List[Field]]], attentions: Sequence[Attention], path: Path) -> None:
    """Draws a row for the fields of each model, and one for each encoder with a column for each head.

    Args:
        fields (Sequence[tuple[str, list[Field]]]): Titles and fields.
        attentions (Sequence[Attention]): What follows below.
        path (Path): PNG to write.
    """
    columns = max(len(panels) for panels in [*(row for _, row in fields), *(x.encoders[0].weights for x in attentions)])
    heights = [1] * len(fields) + [len(attention.encoders) for attention in attentions]
    figure = Figure(figsize=(PANEL * columns, 1.2 * PANEL * sum(heights)), layout='constrained')
    parts = figure.subfigures(len(heights), height_ratios=heights, squeeze=False)[:, 0]
    for part, (title, row) in zip(parts, fields):
        for axes, field in zip(_panels(part, title, 1, columns)[0], row):
            _draw_field(axes, field)
    for part, attention in zip(parts[len(fields) :], attentions):
        rows = _panels(part, attention.title, len(attention.encoders), columns)
        for row, encoder in zip(rows, attention.encoders):
            for head, axes in enumerate(row[: len(encoder.weights)]):
                _draw_attention(axes, attention, encoder, head)
    with whole_file(path) as file:
        figure.savefig(file, format='png', dpi=100)


def _panels(part: SubFigure, title: str, rows: int, columns: int) -> np.ndarray:
    """Empty axes, (rows, columns)."""
    part.suptitle(title)
    panels = part.subplots(rows, columns, squeeze=False)
    for axes in panels.flat:
        axes.axis('off')
    return panels


def _draw_field(axes: Axes, field: Field) -> None:
    energy = field.picture.numpy(force=True)
    radius = len(energy) / 2
    extent = (-radius, radius, radius, -radius)
    axes.imshow(energy, norm=LogNorm(energy.max() * FAINTEST, energy.max(), clip=True), cmap='inferno', extent=extent)
    for share, color in SHARES.items():
        axes.add_patch(Circle((0, 0), field.radius(share), fill=False, color=color))
    axes.set(xlim=(-radius, radius), ylim=(radius, -radius))
    radii = ', '.join(f'{share:.0%}: {field.radius(share)} px' for share in SHARES)
    axes.set_title(f'stride {field.stride}\n{radii}', fontsize='small')


def _draw_attention(axes: Axes, attention: Attention, encoder: PixelAttention, head: int) -> None:
    weights = encoder.weights[head].numpy(force=True)
    top, left = (encoder.stride * index for index in encoder.corner)
    height, width = (encoder.stride * length for length in weights.shape)
    extent = (left, left + width, top + height, top)
    axes.imshow(attention.image, alpha=0.6)
    axes.imshow(weights, cmap='inferno', alpha=0.6, extent=extent)
    axes.add_patch(Rectangle((left, top), width, height, fill=False, color='white'))
    axes.plot(attention.pixel[1], attention.pixel[0], '+', color='tab:cyan')
    margin = MARGIN * encoder.stride * encoder.patch_size
    axes.set(xlim=(left - margin, left + width + margin), ylim=(top + height + margin, top - margin))
    size = encoder.patch_size
    axes.set_title(f'{size}x{size}, head {head + 1}: up to {weights.max():.0%}', fontsize='small')
