"""Predictions on a user's own pictures and videos, by the inferencers of the toolboxes."""

from .predictors import build_predictor
from .run import predict
from .sources import find_sources

__all__ = ['build_predictor', 'find_sources', 'predict']
