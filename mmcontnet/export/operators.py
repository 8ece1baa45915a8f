"""Non-maximum suppression and RoIAlign, which torch has no operators for: as ONNX's, and made of torch's own.

The two files of a model differ only here. ``ONNX`` holds operators of this package that the exporter translates, by
``TRANSLATIONS``, to ONNX's; ``TORCH`` holds functions that are exact and open where only torch is installed, with loops
of as many steps as boxes are kept, or as a bin has samples.
"""

from typing import Callable, NamedTuple, Tuple

import torch
import torch.nn.functional as F
from onnxscript import ir
from onnxscript import opset20 as op
from torch import Tensor

# ONNX's operator takes boxes with higher scores.
LOWEST = torch.finfo(torch.float32).min


class Operators(NamedTuple):
    """The functions that differ between formats; see :func:`suppress` and :func:`roi_align`."""

    suppress: Callable[..., Tensor]
    roi_align: Callable[..., Tensor]


def suppress(boxes: Tensor, scores: Tensor, iou_threshold: float, count: int) -> Tensor:
    """Greedy non-maximum suppression: leaves the scores of the boxes that are kept and sets all others to -inf.

    Args:
        boxes (Tensor): (B, N, 4), corners.
        scores (Tensor): (B, N), -inf for boxes to leave out.
        iou_threshold (float): A box that overlaps a better one by more is dropped.
        count (int): How many boxes of an image to keep, at most.

    Returns:
        Tensor: (B, N).
    """
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(-1)

    def keep_best(step: Tensor, left: Tensor, kept: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        score, index = left.max(1, keepdim=True)  # (B, 1)
        best = boxes.gather(1, index[..., None].expand(-1, -1, 4))  # (B, 1, 4)
        corner = torch.minimum(boxes[..., 2:], best[..., 2:]) - torch.maximum(boxes[..., :2], best[..., :2])
        intersections = corner.clamp(min=0).prod(-1)
        overlaps = intersections / (areas + areas.gather(1, index) - intersections) > iou_threshold
        left = left.masked_fill(overlaps, -torch.inf).scatter(1, index, -torch.inf)
        return step + 1, left, kept.scatter(1, index, score)

    def goes_on(step: Tensor, left: Tensor, kept: Tensor) -> Tensor:
        return (step < count) & (left > -torch.inf).any()

    start = (torch.zeros((), dtype=torch.int64), scores.clone(), torch.full_like(scores, -torch.inf))
    return torch.while_loop(goes_on, keep_best, start)[2]


def roi_align(features: Tensor, boxes: Tensor, stride: int, size: int) -> Tensor:
    """Averages of bilinear samples in the bins of boxes, as mmcv's ``RoIAlign(aligned=True, sampling_ratio=0)``.

    Args:
        features (Tensor): The map of an image, (1, C, H, W).
        boxes (Tensor): (N, 4), corners in pixels of the image. An empty box gives zeros.
        stride (int): Pixels of the image to a pixel of the map.
        size (int): Bins of a box along each axis.

    Returns:
        Tensor: (N, C, size, size).
    """
    height, width = features.shape[2:]
    scale = torch.tensor([width, height], dtype=features.dtype)
    corners = boxes / stride - 0.5
    starts = corners[:, None, :2]  # (N, 1, 2) as x, y
    bins = (corners[:, None, 2:] - starts) / size
    samples = bins.ceil()  # in a bin along each axis
    most = samples.amax((0, 1)).to(torch.int64)
    places = torch.arange(size, dtype=features.dtype)[None, :, None]  # (1, size, 1)

    def add_sample(step: Tensor, total: Tensor) -> Tuple[Tensor, Tensor]:
        number = torch.stack([step % most[0], step // most[0]]).to(features.dtype)
        points = starts + bins * (places + (number + 0.5) / samples.clamp(min=1))  # (N, size, 2)
        inside = ((points >= -1) & (points <= scale) & (number < samples)).to(features.dtype)
        grid = (points.clamp(min=0) * 2 + 1) / scale - 1
        grid = torch.stack(
            [grid[:, None, :, 0].expand(-1, size, -1), grid[:, :, None, 1].expand(-1, -1, size)], -1
        )  # (N, size, size, 2)
        found = F.grid_sample(features, grid.flatten(0, 1)[None], padding_mode='border', align_corners=False)
        weights = inside[:, :, None, 1] * inside[:, None, :, 0]  # (N, size, size)
        return step + 1, total + found[0] * weights.flatten(0, 1)

    def goes_on(step: Tensor, total: Tensor) -> Tensor:
        return step < most.prod()

    total = features.new_zeros(features.shape[1], boxes.shape[0] * size, size)
    total = torch.while_loop(goes_on, add_sample, (torch.zeros((), dtype=torch.int64), total))[1]
    total = total.unflatten(1, (-1, size)).transpose(0, 1)  # (N, C, size, size)
    return total / samples.prod(-1).clamp(min=1)[..., None, None]


@torch.library.custom_op('mmcontnet::suppress', mutates_args=())
def _onnx_suppress(boxes: Tensor, scores: Tensor, iou_threshold: float, count: int) -> Tensor:
    return suppress(boxes, scores, iou_threshold, count)


@_onnx_suppress.register_fake
def _(boxes: Tensor, scores: Tensor, iou_threshold: float, count: int) -> Tensor:
    return torch.empty_like(scores)


@torch.library.custom_op('mmcontnet::roi_align', mutates_args=())
def _onnx_roi_align(features: Tensor, boxes: Tensor, stride: int, size: int) -> Tensor:
    return roi_align(features, boxes, stride, size)


@_onnx_roi_align.register_fake
def _(features: Tensor, boxes: Tensor, stride: int, size: int) -> Tensor:
    return features.new_empty(boxes.shape[0], features.shape[1], size, size)


def _translate_suppress(boxes, scores, iou_threshold: float, count: int):
    selected = op.NonMaxSuppression(
        boxes,
        op.Unsqueeze(scores, op.Constant(value_ints=[1])),
        op.Constant(value_int=count),
        op.Constant(value_float=iou_threshold),
        op.Constant(value_float=LOWEST),
    )  # (M, 3) as image, class, box
    places = op.Gather(selected, op.Constant(value_ints=[0, 2]), axis=1)
    nothing = op.Expand(op.Constant(value_float=-torch.inf), op.Shape(scores))
    return op.ScatterND(nothing, places, op.GatherND(scores, places))


def _translate_roi_align(features, boxes, stride: int, size: int):
    rows = op.Shape(boxes, start=0, end=1)
    image = op.ConstantOfShape(rows, value=ir.tensor([0], dtype=ir.DataType.INT64))
    return op.RoiAlign(
        features,
        boxes,
        image,
        coordinate_transformation_mode='half_pixel',
        output_height=size,
        output_width=size,
        sampling_ratio=0,
        spatial_scale=1 / stride,
    )


ONNX = Operators(torch.ops.mmcontnet.suppress, torch.ops.mmcontnet.roi_align)
TORCH = Operators(suppress, roi_align)
TRANSLATIONS = {
    torch.ops.mmcontnet.suppress.default: _translate_suppress,
    torch.ops.mmcontnet.roi_align.default: _translate_roi_align,
}
