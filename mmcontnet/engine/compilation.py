"""Compiling training whose images vary in size."""

import torch
from torch import nn

from ..models.encoder import Encoder

# Variants of one function: for each width of the network and patch size, few and many pixels, training and evaluation.
VARIANTS = 64


def compile_encoders(model: nn.Module) -> None:
    """Compiles the encoders, in place, for maps of all sizes.

    In training the compiler cannot lower a whole network whose batch, height and width are symbols. Its encoders it
    can, and they are where there are sums, norms and positions to fuse.

    Args:
        model (nn.Module): A model with ConTNet as its backbone.

    Raises:
        ValueError: There is no ConTNet in it.
    """
    encoders = [module for module in model.modules() if isinstance(module, Encoder)]
    if not encoders:
        raise ValueError('there is nothing to compile: the model has no ConTNet')
    torch._dynamo.config.cache_size_limit = max(torch._dynamo.config.cache_size_limit, VARIANTS)
    for encoder in encoders:
        encoder.compile(dynamic=True)
