"""ConTNet, as the paper describes it."""

from .contnet import ConTNet

__all__ = ['ConTNet']
