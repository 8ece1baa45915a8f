"""Hooks of mmengine's runner: what its training and its tests lack."""

from .exact_resume import ExactResumeHook
from .finite import FiniteHook
from .results import ResultsHook
from .strict_load import StrictLoadHook

__all__ = ['ExactResumeHook', 'FiniteHook', 'ResultsHook', 'StrictLoadHook']
