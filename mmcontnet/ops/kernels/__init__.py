"""Triton kernels, for GPUs; :mod:`~mmcontnet.ops.gpu` calls them.

They take contiguous tensors and know nothing of autograd.
"""

from . import attention, mlp, norm, position

__all__ = ['attention', 'mlp', 'norm', 'position']
