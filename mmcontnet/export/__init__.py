"""Trained models in one file that runs without this package: ONNX, or a program of torch."""

from .run import export

__all__ = ['export']
