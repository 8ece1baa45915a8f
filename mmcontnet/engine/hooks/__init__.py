"""Hooks of mmengine's runner: what its training and its tests lack."""

from .class_pictures import ClassPicturesHook
from .compiling import CompileHook
from .exact_resume import ExactResumeHook
from .few_pictures import FewPicturesHook
from .finite import FiniteHook
from .image_results import ImageResultsHook
from .results import ResultsHook
from .strict_load import StrictLoadHook
from .tensorboard import TensorboardHook

__all__ = [
    'ClassPicturesHook',
    'CompileHook',
    'ExactResumeHook',
    'FewPicturesHook',
    'FiniteHook',
    'ImageResultsHook',
    'ResultsHook',
    'StrictLoadHook',
    'TensorboardHook',
]
