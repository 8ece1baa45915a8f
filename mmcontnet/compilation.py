"""Compiling training whose images vary in size."""

import torch
import torch._dynamo
from torch import nn

from .encoder import ResidualNorm

# Variants of one function: for each width of the network, few and many tokens, training and evaluation.
VARIANTS = 64


def compile_encoders(model: nn.Module) -> None:
    """Compiles, in place, what is the same for maps of all sizes: the sums and norms of the encoders' tokens.

    ``torch.compile`` of the whole backbone gives more where all images have one size (``dynamic=False``); with others
    it compiles for each size anew, and over symbolic sizes it does not come to an end.

    Args:
        model (nn.Module): A model with ConTNet as its backbone.

    Raises:
        ValueError: There is no ConTNet in it, or one with ``pre_norm=True``, whose encoders have no such part.
    """
    norms = [module for module in model.modules() if isinstance(module, ResidualNorm)]
    if not norms:
        raise ValueError('there is nothing to compile: the model has no ConTNet, or one with pre_norm=True')
    torch._dynamo.config.cache_size_limit = max(torch._dynamo.config.cache_size_limit, VARIANTS)
    for norm in norms:
        norm.compile(dynamic=True)
