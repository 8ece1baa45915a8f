"""Runs exported models with numpy, onnxruntime and Pillow only."""

from .predictor import Classes, Detections, LabelMap, Predictor

__all__ = ['Classes', 'Detections', 'LabelMap', 'Predictor']
