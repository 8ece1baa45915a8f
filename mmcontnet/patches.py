"""Cutting a map into patches of tokens, and putting it back.

The two encoders of a ConT block attend inside patches of two sizes, the outer a multiple of the inner. Tokens are
therefore stored so that both find theirs side by side: outer patch by outer patch, inside it inner patch by inner
patch, inside that pixel by pixel. One copy brings a map into that order and one brings it back.

Where a patch size does not divide the map, the patches at the bottom and right margin are smaller. That is the same as
padding the map, masking the padding in attention and cropping it afterwards, with nothing computed for the padding.
"""

from typing import Callable, List, NamedTuple, Sequence, Tuple

import torch
from torch import Tensor


def concatenate(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """``torch.cat`` that does not copy a single tensor."""
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, dim)


def split(tensor: Tensor, sizes: Sequence[int], dim: int = 0) -> Sequence[Tensor]:
    """``torch.split`` whose gradient is not a copy of that of a single part."""
    return (tensor,) if len(sizes) == 1 else tensor.split(sizes, dim)


def in_strips(function: Callable[[Tensor], Tensor], x: Tensor, outer: int, tokens: int) -> Tensor:
    """Applies a function of maps that keeps to outer patches in steps of a few images, or of a few rows of patches.

    Args:
        function (Callable): Takes maps (B, H, W, C) and returns maps of the same size.
        x (Tensor): Maps (B, H, W, C).
        outer (int): Size of the outer patches.
        tokens (int): Tokens to a step; more only where a single row of patches has more.

    Returns:
        Tensor: Maps (B, H, W, C), what the function returns for all at once.
    """
    height, width = map(int, x.shape[1:3])  # Tensors, where torch.jit traces.
    images = max(1, tokens // (height * width))
    rows = max(1, tokens // (width * outer)) * outer
    return concatenate(
        [concatenate([function(strip) for strip in group.split(rows, 1)], 1) for group in x.split(images)]
    )


class Band(NamedTuple):
    """Equal outer patches next to each other along one axis, or an equal part of each.

    start: Where the band begins on the map.
    outers: Number of outer patches.
    offset: Where the band begins inside its outer patch; not 0 only in the last, incomplete outer patch.
    inners: Number of inner patches in each outer patch.
    size: Pixels of each inner patch.
    """

    start: int
    outers: int
    offset: int
    inners: int
    size: int

    @property
    def patch(self) -> slice:
        """The band's pixels in an outer patch."""
        return slice(self.offset, self.offset + self.inners * self.size)

    @property
    def map(self) -> slice:
        """The band's pixels on the map."""
        return slice(self.start, self.start + self.outers * self.inners * self.size)


class Tile(NamedTuple):
    """A rectangle of the map in which all patches are equal: a band of rows by a band of columns."""

    rows: Band
    columns: Band

    @property
    def inners(self) -> int:
        """Inner patches in each outer patch."""
        return self.rows.inners * self.columns.inners

    @property
    def inner_tokens(self) -> int:
        """Tokens of an inner patch."""
        return self.rows.size * self.columns.size

    def cut(self, x: Tensor) -> Tensor:
        """The tile's tokens from a map (B, H, W, C), as (B * outer patches * tokens, C)."""
        rows, columns = self
        x = x[:, rows.map, columns.map]
        x = x.unflatten(2, (columns.outers, columns.inners, columns.size))
        x = x.unflatten(1, (rows.outers, rows.inners, rows.size))
        x = x.permute(0, 1, 4, 2, 5, 3, 6, 7)  # (B, outer y, outer x, inner y, inner x, y, x, C)
        return x.flatten(0, 6)

    def join(self, tokens: Tensor, batch: int) -> Tensor:
        """The reverse of :meth:`cut`: tokens to a map (B, h, w, C) of the tile alone."""
        rows, columns = self
        x = tokens.unflatten(
            0, (batch, rows.outers, columns.outers, rows.inners, columns.inners, rows.size, columns.size)
        )
        x = x.permute(0, 1, 3, 5, 2, 4, 6, 7)  # (B, outer y, inner y, y, outer x, inner x, x, C)
        return x.flatten(4, 6).flatten(1, 3)


class Run(NamedTuple):
    """Consecutive stored tokens that belong to equal sequences, ``length`` to each.

    ``rows`` and ``columns`` are their place in the patch, ``inners`` (down, across) the inner patches that order them.
    """

    length: int
    rows: slice
    columns: slice
    inners: Tuple[int, int]

    def arrange(self, grid: Tensor) -> Tensor:
        """Puts what belongs to the pixels of a patch, (p, p, ...), in the order of the run's tokens: (length, ...)."""
        down, across = self.inners
        grid = grid[self.rows, self.columns].unflatten(1, (across, -1)).unflatten(0, (down, -1))
        return grid.transpose(1, 2).flatten(0, 3)


class Sequences(NamedTuple):
    """``count`` sequences of equal length, whose tokens attend to each other; each takes its share of every run."""

    count: int
    runs: Tuple[Run, ...]

    @property
    def sizes(self) -> List[int]:
        """Stored tokens of each run."""
        return [self.count * run.length for run in self.runs]


class PatchLayout:
    """How the tokens of a batch of maps are stored, and which of them attend to each other.

    Args:
        batch (int): Number of maps, B.
        height (int): Height of the maps, H.
        width (int): Width of the maps, W.
        inner (int): Size of the inner patches.
        outer (int): Size of the outer patches, a multiple of ``inner``.
    """

    def __init__(self, batch: int, height: int, width: int, inner: int, outer: int) -> None:
        self.batch = batch
        self.row_groups = _split(height, inner, outer)
        self.column_groups = _split(width, inner, outer)

    @property
    def groups(self) -> List[List[Tile]]:
        """The tiles in the order in which they are stored; those that share their outer patches form a group."""
        return [
            [Tile(rows, columns) for rows in row_group for columns in column_group]
            for row_group in self.row_groups
            for column_group in self.column_groups
        ]

    def cut(self, x: Tensor) -> Tensor:
        """Maps (B, H, W, C) to tokens (B * H * W, C)."""
        return concatenate([tile.cut(x) for group in self.groups for tile in group])

    def join(self, tokens: Tensor) -> Tensor:
        """Tokens (B * H * W, C) to maps (B, H, W, C)."""
        tiles = [tile for group in self.groups for tile in group]
        sizes = [sequences.count * run.length for sequences in self.inner() for run in sequences.runs]
        maps = {tile: tile.join(part, self.batch) for tile, part in zip(tiles, split(tokens, sizes))}
        columns = [band for group in self.column_groups for band in group]
        rows = [band for group in self.row_groups for band in group]
        return concatenate([concatenate([maps[row, column] for column in columns], 2) for row in rows], 1)

    def inner(self) -> List[Sequences]:
        """The sequences of the inner patches, in the order in which they are stored."""
        return [
            Sequences(
                self._outers(tile) * tile.inners,
                (Run(tile.inner_tokens, slice(0, tile.rows.size), slice(0, tile.columns.size), (1, 1)),),
            )
            for group in self.groups
            for tile in group
        ]

    def outer(self) -> List[Sequences]:
        """The sequences of the outer patches, in the order in which they are stored."""
        return [
            Sequences(
                self._outers(group[0]),
                tuple(
                    Run(
                        tile.inners * tile.inner_tokens,
                        tile.rows.patch,
                        tile.columns.patch,
                        (tile.rows.inners, tile.columns.inners),
                    )
                    for tile in group
                ),
            )
            for group in self.groups
        ]

    def _outers(self, tile: Tile) -> int:
        return self.batch * tile.rows.outers * tile.columns.outers


def _split(length: int, inner: int, outer: int) -> List[List[Band]]:
    """Splits an axis into its whole outer patches and the incomplete one at the end, whose parts form one group."""
    groups = []
    wholes, rest = divmod(length, outer)
    if wholes:
        groups.append([Band(0, wholes, 0, outer // inner, inner)])
    if rest:
        inners, last = divmod(rest, inner)
        group = []
        if inners:
            group.append(Band(wholes * outer, 1, 0, inners, inner))
        if last:
            group.append(Band(wholes * outer + inners * inner, 1, inners * inner, 1, last))
        groups.append(group)
    return groups
