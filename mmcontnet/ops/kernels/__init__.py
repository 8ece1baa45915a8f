"""Triton kernels, for GPUs; :mod:`~mmcontnet.ops.gpu` calls them.

They take contiguous tensors and know nothing of autograd.
"""

from . import attention, attention_layer, mlp, norm, position

__all__ = ['attention', 'attention_layer', 'mlp', 'norm', 'position']
