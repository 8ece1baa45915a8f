"""Image classifiers."""

from typing import Any, Dict, Tuple

import torch
from torch import Tensor, nn

from .inputs import Inputs
from .operators import Operators
from .support import check_type


class Classifier(nn.Module):
    """A classifier, from the picture to the scores of the classes.

    Args:
        classifier (nn.Module): An ``ImageClassifier`` of mmpretrain.
        operators (Operators): Not needed.
        dtype (torch.dtype): What the network computes in.

    Raises:
        ValueError: A part of the classifier cannot be exported.
    """

    outputs = ('scores',)
    settings: Dict[str, Any] = {}

    def __init__(self, classifier: nn.Module, operators: Operators, dtype: torch.dtype) -> None:
        super().__init__()
        check_type(classifier.neck, ('GlobalAveragePooling', 'NoneType'), 'neck')
        check_type(classifier.head, ('LinearClsHead',), 'head')
        self.inputs = Inputs(classifier.data_preprocessor, dtype)
        self.backbone = classifier.backbone.to(dtype)
        self.neck = nn.Identity() if classifier.neck is None else classifier.neck.to(dtype)
        self.head = classifier.head.to(dtype)

    def forward(self, images: Tensor) -> Tuple[Tensor]:
        """Classifies pictures, (B, H, W, 3), RGB, 8 bits; returns the classes' probabilities, (B, classes)."""
        return (self.head(self.neck(self.backbone(self.inputs(images)))).float().softmax(-1),)
