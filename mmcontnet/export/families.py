"""The models that can be exported."""

import copy

import torch
from torch import nn

from .classifier import Classifier
from .one_stage import OneStage
from .operators import Operators
from .segmentor import Segmentor
from .support import check_type
from .two_stage import TwoStage

# By the type of the toolbox's model: what it becomes, and how many pictures at a time it takes: any number, or one.
FAMILIES = {
    'RetinaNet': (OneStage, None),
    'FCOS': (OneStage, None),
    'FasterRCNN': (TwoStage, 1),
    'MaskRCNN': (TwoStage, 1),
    'EncoderDecoder': (Segmentor, None),
    'ImageClassifier': (Classifier, None),
}


def wrap(model: nn.Module, operators: Operators, dtype: torch.dtype) -> nn.Module:
    """A copy of a model that goes from the picture to the result.

    Args:
        model (nn.Module): A model of mmdet, mmseg or mmpretrain.
        operators (Operators): Those of the format.
        dtype (torch.dtype): What the network computes in.

    Raises:
        ValueError: It cannot be exported; the message names the part that cannot.
    """
    check_type(model, tuple(FAMILIES), 'model')
    if getattr(model, 'test_cfg', {}) is None:
        raise ValueError('test_cfg of the model is None; an exported model needs its settings')
    for name, part in model.named_modules():
        if type(part).__module__.startswith('mmcv.ops.') and type(part).__name__ != 'RoIAlign':
            raise ValueError(f'{name} is {type(part).__name__} of mmcv.ops, which cannot be exported')
    return FAMILIES[type(model).__name__][0](copy.deepcopy(model), operators, dtype).eval()
