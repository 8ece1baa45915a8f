"""Faster R-CNN, Mask R-CNN."""

from typing import Sequence, Tuple

import torch
from torch import Tensor, nn

from .boxes import DenseDecoder, Suppression, decode_deltas, gather
from .inputs import Inputs
from .operators import Operators
from .support import check_option, check_type


class TwoStage(nn.Module):
    """A detector of two stages, from the picture to its best boxes and their masks.

    Args:
        detector (nn.Module): Faster R-CNN or Mask R-CNN of mmdet.
        operators (Operators): Those of the format.
        dtype (torch.dtype): What the network computes in.

    Raises:
        ValueError: A part of the detector cannot be exported.
    """

    def __init__(self, detector: nn.Module, operators: Operators, dtype: torch.dtype) -> None:
        super().__init__()
        rpn, roi_head, cfg = detector.rpn_head, detector.roi_head, detector.test_cfg
        check_type(rpn, ('RPNHead',), 'rpn_head')
        check_type(roi_head, ('StandardRoIHead',), 'roi_head')
        check_type(roi_head.bbox_head, ('Shared2FCBBoxHead', 'Shared4Conv1FCBBoxHead'), 'roi_head.bbox_head')
        check_type(roi_head.bbox_head.bbox_coder, ('DeltaXYWHBBoxCoder',), 'roi_head.bbox_head.bbox_coder')
        check_option(roi_head.bbox_head.custom_cls_channels, False, 'roi_head.bbox_head.loss_cls.custom_cls_channels')
        check_option(roi_head.with_shared_head, False, 'with_shared_head of roi_head')
        for part in ('rpn', 'rcnn'):
            if not isinstance(cfg.get(part), dict):
                raise ValueError(
                    f'test_cfg.{part} of the model is {cfg.get(part)!r}; an exported model needs its settings'
                )
        self.dtype = dtype
        self.inputs = Inputs(detector.data_preprocessor, dtype)
        self.backbone = detector.backbone.to(dtype)
        self.neck = detector.neck.to(dtype)
        self.rpn = rpn.to(dtype)
        self.decoder = DenseDecoder(rpn, cfg.rpn, 'rpn_head')
        self.proposals = Suppression(cfg.rpn, operators, 'rpn_head')
        self.bbox_features = RegionFeatures(roi_head.bbox_roi_extractor, operators, 'roi_head.bbox_roi_extractor')
        self.bbox_head = roi_head.bbox_head.to(dtype)
        self.threshold = cfg.rcnn.score_thr
        self.suppression = Suppression(cfg.rcnn, operators, 'roi_head')
        self.settings = dict(max_per_image=self.suppression.count, score_threshold=self.threshold)
        self.mask_head = None
        if roi_head.with_mask:
            check_type(roi_head.mask_head, ('FCNMaskHead',), 'roi_head.mask_head')
            self.mask_features = RegionFeatures(roi_head.mask_roi_extractor, operators, 'roi_head.mask_roi_extractor')
            self.mask_head = roi_head.mask_head.to(dtype)
            self.settings['mask_threshold'] = cfg.rcnn.mask_thr_binary
            if not 0 <= cfg.rcnn.mask_thr_binary <= 1:
                raise ValueError(
                    f'test_cfg.mask_thr_binary of roi_head is {cfg.rcnn.mask_thr_binary}, which cannot be exported; '
                    'expected 0 to 1'
                )
        self.outputs = ('boxes', 'scores', 'labels') + (('masks',) if roi_head.with_mask else ())

    def forward(self, images: Tensor) -> Tuple[Tensor, ...]:
        """Detects.

        Args:
            images (Tensor): (1, H, W, 3), RGB, 8 bits.

        Returns:
            tuple[Tensor]: Boxes (1, N, 4), scores (1, N) and classes (1, N), best first, and of Mask R-CNN the
            probabilities that the cells of a grid in each box are of the object, (1, N, 28, 28); N is
            ``max_per_img``. Scores are 0 where there are not so many.
        """
        size = images.shape[1:3]
        maps = self.neck(self.backbone(self.inputs(images)))
        proposals, is_proposal = self.propose(maps, size)
        boxes, scores, labels = self.classify(maps, proposals, is_proposal, size)
        if self.mask_head is None:
            return boxes, scores, labels
        features = self.mask_features(maps, boxes[0])
        masks = self.mask_head(features.to(self.dtype)).float().sigmoid()  # (N, classes, 28, 28)
        if not self.mask_head.class_agnostic:
            masks = masks[torch.arange(masks.shape[0]), labels[0]]
        return boxes, scores, labels, masks.reshape(1, boxes.shape[1], *masks.shape[-2:])

    def propose(self, maps: Sequence[Tensor], size: Tuple[int, int]) -> Tuple[Tensor, Tensor]:
        """The first stage: boxes (1, N, 4), and which of them are proposals, (1, N)."""
        boxes, logits, _ = self.decoder(size, *self.rpn(maps))
        levels = torch.arange(logits.shape[1]).expand_as(logits) // self.decoder.count
        # By logits, since exporters compute a sigmoid of those that are far below zero as 0.
        logits, best = self.proposals(boxes, logits, levels)
        return gather(boxes, best), logits > -torch.inf

    def classify(
        self, maps: Sequence[Tensor], proposals: Tensor, is_proposal: Tensor, size: Tuple[int, int]
    ) -> Tuple[Tensor, Tensor, Tensor]:
        """The second stage: boxes (1, N, 4), scores (1, N) and classes (1, N)."""
        head = self.bbox_head
        logits, deltas = head(self.bbox_features(maps, proposals[0]).to(self.dtype))
        scores = logits.float().softmax(-1)[:, :-1]  # (N, classes); the last is the background
        classes = scores.shape[1]
        deltas = deltas.float().unflatten(1, (-1, 4))  # (N, classes, 4), or (N, 1, 4)
        priors = proposals[0][:, None].expand(-1, deltas.shape[1], -1)
        boxes = decode_deltas(head.bbox_coder, priors, deltas, size).expand(-1, classes, -1).reshape(1, -1, 4)
        scores = torch.where((scores > self.threshold) & is_proposal[0][:, None], scores, -torch.inf).reshape(1, -1)
        labels = torch.arange(classes).expand(proposals.shape[1], -1).reshape(1, -1)
        scores, best = self.suppression(boxes, scores, labels)
        return gather(boxes, best), scores.clamp(min=0), labels.gather(1, best)


class RegionFeatures(nn.Module):
    """What ``SingleRoIExtractor`` computes: of each box the features, from the map for its size.

    Args:
        extractor (nn.Module): The extractor.
        operators (Operators): Those of the format.
        name (str): Its name in the detector, for errors.

    Raises:
        ValueError: It is of another kind.
    """

    def __init__(self, extractor: nn.Module, operators: Operators, name: str) -> None:
        super().__init__()
        check_type(extractor, ('SingleRoIExtractor',), name)
        for number, layer in enumerate(extractor.roi_layers):
            check_type(layer, ('RoIAlign',), f'{name}.roi_layers.{number}')
            for option, expected in (('aligned', True), ('sampling_ratio', 0), ('pool_mode', 'avg')):
                check_option(getattr(layer, option), expected, f'{name}.roi_layers.{number}.{option}')
        self.strides = extractor.featmap_strides
        self.finest_scale = extractor.finest_scale
        self.size = extractor.roi_layers[0].output_size[0]
        self.operators = operators

    def forward(self, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """Boxes (N, 4) of an image and its maps, each (1, C, H, W), to (N, C, size, size)."""
        scales = (boxes[:, 2:] - boxes[:, :2]).prod(1).sqrt()
        levels = torch.log2(scales / self.finest_scale + 1e-6).floor().clamp(0, len(self.strides) - 1)
        features = 0.0
        for level, (x, stride) in enumerate(zip(maps, self.strides)):
            # On the other maps a box is empty, which gives zeros and costs nothing.
            own = torch.where((levels == level)[:, None], boxes, 0.0)
            features = features + self.operators.roi_align(x.float(), own, stride, self.size)
        return features
