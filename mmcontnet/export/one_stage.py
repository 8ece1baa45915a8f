"""RetinaNet, FCOS."""

from typing import Tuple

import torch
from torch import Tensor, nn

from .boxes import DenseDecoder, Suppression, gather
from .inputs import Inputs
from .operators import Operators
from .support import check_type


class OneStage(nn.Module):
    """A detector of one stage, from the picture to its best boxes.

    Args:
        detector (nn.Module): RetinaNet or FCOS of mmdet.
        operators (Operators): Those of the format.
        dtype (torch.dtype): What the network computes in.

    Raises:
        ValueError: A part of the detector cannot be exported.
    """

    outputs = ('boxes', 'scores', 'labels')

    def __init__(self, detector: nn.Module, operators: Operators, dtype: torch.dtype) -> None:
        super().__init__()
        head, cfg = detector.bbox_head, detector.test_cfg
        check_type(head, ('RetinaHead', 'FCOSHead'), 'bbox_head')
        self.inputs = Inputs(detector.data_preprocessor, dtype)
        self.backbone = detector.backbone.to(dtype)
        self.neck = detector.neck.to(dtype)
        self.head = head.to(dtype)
        self.decoder = DenseDecoder(head, cfg, 'bbox_head')
        self.suppression = Suppression(cfg, operators, 'bbox_head')
        self.threshold = cfg.get('score_thr', 0)
        self.settings = dict(max_per_image=self.suppression.count, score_threshold=self.threshold)

    def forward(self, images: Tensor) -> Tuple[Tensor, ...]:
        """Detects.

        Args:
            images (Tensor): (B, H, W, 3), RGB, 8 bits.

        Returns:
            tuple[Tensor]: Boxes (B, N, 4), scores (B, N) and classes (B, N), best first; N is the detector's
            ``max_per_img``. Scores are 0 where there are not so many.
        """
        size = images.shape[1:3]
        maps = self.head(self.neck(self.backbone(self.inputs(images))))
        boxes, logits, labels, *centerness = self.decoder(size, *maps)
        scores = logits.sigmoid()
        is_found = scores > self.threshold
        for factors in centerness:
            scores = scores * factors.sigmoid()
        scores = torch.where(is_found, scores, -torch.inf)
        scores, best = self.suppression(boxes, scores, labels)
        return gather(boxes, best), scores.clamp(min=0), labels.gather(1, best)
