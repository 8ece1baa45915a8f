"""The parts of mmdet's post-processing in a form that can be exported: fixed counts, and no size that is asked for."""

from typing import Any, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .operators import Operators
from .support import check_option, check_type


class DenseDecoder(nn.Module):
    """The best boxes of a head that predicts at each pixel of each map: RetinaNet's, FCOS's or an RPN's.

    Args:
        head (nn.Module): The head.
        cfg (dict): Its ``test_cfg``.
        name (str): Its name in the detector, for errors.

    Raises:
        ValueError: The head has parts that cannot be exported; the message names them.
    """

    def __init__(self, head: nn.Module, cfg: Any, name: str) -> None:
        super().__init__()
        check_type(head.prior_generator, ('AnchorGenerator', 'MlvlPointGenerator'), f'{name}.prior_generator')
        check_type(head.bbox_coder, ('DeltaXYWHBBoxCoder', 'DistancePointBBoxCoder'), f'{name}.bbox_coder')
        check_option(head.use_sigmoid_cls, True, f'{name}.loss_cls.use_sigmoid')
        self.head = head
        self.count = positive(cfg, 'nms_pre', name)
        self.smallest = cfg.get('min_bbox_size', -1)
        self.has_anchors = type(head.prior_generator).__name__ == 'AnchorGenerator'
        for level, anchors in enumerate(head.prior_generator.base_anchors if self.has_anchors else ()):
            self.register_buffer(f'anchors{level}', anchors.clone())

    def forward(
        self, size: Tuple[int, int], logits: Sequence[Tensor], deltas: Sequence[Tensor], *others: Sequence[Tensor]
    ) -> Tuple[Tensor, ...]:
        """Decodes what the head predicts on its maps, from each of which ``nms_pre`` boxes are taken.

        Args:
            size (tuple[int, int]): Height and width of the picture, to which boxes are clipped.
            logits (Sequence[Tensor]): (B, A * C, H, W) for A priors at each pixel and C classes.
            deltas (Sequence[Tensor]): (B, A * 4, H, W).
            others (Sequence[Tensor]): What else the head predicts for each prior, (B, A, H, W).

        Returns:
            tuple[Tensor]: Of the best boxes, map after map, the corners (B, N, 4), logits (B, N), classes (B, N), and
            the others, (B, N) each. Where a map has not so many, logits are -inf.
        """
        taken = [self.take(level, *maps) for level, maps in enumerate(zip(logits, deltas, *others))]
        priors, best_deltas, best, classes, *rest = (torch.cat(parts, 1) for parts in zip(*taken))
        boxes = self.decode(priors, best_deltas, size)
        if self.smallest >= 0:
            is_large = (boxes[..., 2:] - boxes[..., :2] > self.smallest).all(-1)
            best = torch.where(is_large, best, -torch.inf)
        return boxes, best, classes, *rest

    def take(self, level: int, logits: Tensor, deltas: Tensor, *others: Tensor) -> Tuple[Tensor, ...]:
        """Of the best boxes of a map: priors, deltas, logits, classes, and the others."""
        height, width = logits.shape[2:]
        classes = self.head.cls_out_channels
        best, index = select(logits.float().permute(0, 2, 3, 1).flatten(1), self.count)
        places = index // classes
        deltas = deltas.float().permute(0, 2, 3, 1).unflatten(3, (-1, 4)).flatten(1, 3)  # (B, H * W * A, 4)
        rest = (x.float().permute(0, 2, 3, 1).flatten(1).gather(1, places) for x in others)
        return self.priors(level, height, width)[places], gather(deltas, places), best, index % classes, *rest

    def priors(self, level: int, height: int, width: int) -> Tensor:
        """The anchors of a map, (H * W * A, 4), or its points, (H * W, 2)."""
        generator = self.head.prior_generator
        offset = 0 if self.has_anchors else generator.offset
        stride_x, stride_y = generator.strides[level]
        x = (torch.arange(width) + offset) * stride_x
        y = (torch.arange(height) + offset) * stride_y
        points = torch.stack([x.expand(height, -1), y[:, None].expand(-1, width)], -1).flatten(0, 1).float()
        if not self.has_anchors:
            return points
        anchors = getattr(self, f'anchors{level}')
        return (points.repeat(1, 2)[:, None] + anchors).flatten(0, 1)

    def decode(self, priors: Tensor, deltas: Tensor, size: Tuple[int, int]) -> Tensor:
        """The corners of boxes, (B, N, 4)."""
        if self.has_anchors:
            return decode_deltas(self.head.bbox_coder, priors, deltas, size)
        boxes = torch.cat([priors - deltas[..., :2], priors + deltas[..., 2:]], -1)
        return clip(boxes, size) if self.head.bbox_coder.clip_border else boxes


def select(scores: Tensor, count: int) -> Tuple[Tensor, Tensor]:
    """The highest scores and their places, each (B, count), from (B, N); filled up with -inf where N is smaller."""
    best, index = F.pad(scores, (0, count), value=-torch.inf).topk(count)
    return best, index.clamp(max=scores.shape[1] - 1)


def gather(values: Tensor, index: Tensor) -> Tensor:
    """Rows of (B, N, C) by their numbers, (B, M): (B, M, C)."""
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[2]))


def decode_deltas(coder: Any, priors: Tensor, deltas: Tensor, size: Tuple[int, int]) -> Tensor:
    """The corners of boxes by a ``DeltaXYWHBBoxCoder``, (B, N, 4)."""
    boxes = coder.decode(priors.flatten(0, 1), deltas.flatten(0, 1))
    boxes = boxes.unflatten(0, priors.shape[:2])
    return clip(boxes, size) if coder.clip_border else boxes


def clip(boxes: Tensor, size: Tuple[int, int]) -> Tensor:
    """Boxes inside a picture of a height and width."""
    height, width = size
    return torch.stack(
        [
            boxes[..., 0].clamp(0, width),
            boxes[..., 1].clamp(0, height),
            boxes[..., 2].clamp(0, width),
            boxes[..., 3].clamp(0, height),
        ],
        -1,
    )


class Suppression(nn.Module):
    """mmcv's ``batched_nms`` and the choice of the best.

    Args:
        cfg (dict): ``test_cfg`` of a head, of which ``nms`` and ``max_per_img`` are read.
        operators (Operators): Those of the format.
        name (str): Name of the head in the detector, for errors.

    Raises:
        ValueError: The suppression is of another kind.
    """

    def __init__(self, cfg: Any, operators: Operators, name: str) -> None:
        super().__init__()
        if not isinstance(cfg.get('nms'), dict):
            raise ValueError(
                f"test_cfg.nms of {name} is {cfg.get('nms')!r}; an exported model needs dict(type='nms', ...)"
            )
        nms = dict(cfg['nms'])
        self.threshold = nms.pop('iou_threshold', None)
        self.ignores_groups = nms.pop('class_agnostic', False)
        check_option(nms.pop('type', 'nms'), 'nms', f'test_cfg.nms.type of {name}')
        nms.pop('split_thr', None)  # From how many boxes on the groups are taken one by one.
        check_option(nms, {}, f'test_cfg.nms of {name}')
        self.count = positive(cfg, 'max_per_img', name)
        self.operators = operators

    def forward(self, boxes: Tensor, scores: Tensor, groups: Tensor) -> Tuple[Tensor, Tensor]:
        """Drops boxes that overlap a better one of their group.

        Args:
            boxes (Tensor): (B, N, 4).
            scores (Tensor): (B, N), -inf for boxes to leave out.
            groups (Tensor): (B, N), whole numbers.

        Returns:
            tuple[Tensor, Tensor]: Scores and numbers of the best boxes, each (B, max_per_img). Where there are not so
            many, scores are -inf.
        """
        apart = boxes
        if not self.ignores_groups:
            # As mmcv does it: moved so far that those of different groups do not meet.
            furthest = torch.where(scores[..., None] > -torch.inf, boxes, 0.0).amax((1, 2))  # (B,)
            apart = boxes + (groups * (furthest[:, None] + 1))[..., None]
        return select(self.operators.suppress(apart, scores, self.threshold, self.count), self.count)


def positive(cfg: Any, option: str, name: str) -> int:
    """A count of a head's ``test_cfg``, which must be fixed.

    Raises:
        ValueError: It is not.
    """
    value = cfg.get(option, -1)
    if not (isinstance(value, int) and value > 0):
        raise ValueError(f'test_cfg.{option} of {name} is {value}; an exported model needs a positive number')
    return value
