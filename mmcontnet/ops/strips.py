"""Maps in strips that stay in a processor's cache."""

from typing import Any, Callable

from torch import Tensor

from .target import Target, is_inference, target

# How many tokens of a map pass through a function at once; docs/performance.md has others.
CACHED_TOKENS = 8192


def in_strips(function: Callable[[Tensor], Tensor], x: Tensor, multiple: int) -> Tensor:
    """``function(x)``, in inference on a CPU computed in steps of a few images or of a few rows.

    Nothing is kept for a backward pass there, so all that a strip needs from layer to layer stays in cache.

    Args:
        function (Callable): Maps (B, H, W, C) to maps of the same size, for any B, and for any rows from a multiple of
            ``multiple`` to another, by themselves.
        x (Tensor): Maps (B, H, W, C).
        multiple (int): Number of rows that belong together.

    Returns:
        Tensor: Maps (B, H, W, C).
    """
    if target(x) is not Target.CPU or not is_inference():
        return function(x)
    height, width = x.shape[1:3]
    images = max(1, CACHED_TOKENS // (height * width))
    rows = max(1, CACHED_TOKENS // (width * multiple)) * multiple
    if not len(x) or (len(x) <= images and height <= rows):
        return function(x)
    out: Any = None
    for first in range(0, len(x), images):
        for top in range(0, height, rows):
            strip = function(x[first : first + images, top : top + rows])
            if out is None:
                out = strip.new_empty(*x.shape[:3], strip.shape[3])
            out[first : first + images, top : top + rows] = strip
    return out
