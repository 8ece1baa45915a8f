"""What a test measures of all images, of single ones, and of images drawn with replacement."""

import json
import logging
import math
import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.registry import HOOKS
from mmengine.runner import Runner

from ...evaluation.images import evaluate_by_image
from ...fileio import whole_file

RESULTS = 'results.json'


@HOOKS.register_module()
class ImageResultsHook(Hook):
    """Writes the metrics of a test to ``results.json`` in the runner's ``work_dir``.

    With ``resamples``, also those of each image, and of as many images drawn with replacement. Equal numbers of images
    are drawn alike in every test, so that two models can be compared draw by draw, if the images' paths are the same.

    Args:
        resamples (int): How often to draw. Defaults to 0.
    """

    # After the hooks that log the metrics.
    priority = 'LOWEST'

    def __init__(self, resamples: int = 0) -> None:
        self.resamples = resamples
        self.results: List[Any] = []
        self.paths: List[str] = []

    def after_test_iter(self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[Any]) -> None:
        """Keeps what the first metric knows of the images, which it forgets when it evaluates them."""
        self.paths += [os.path.realpath(sample.get('img_path') or '') for sample in outputs]
        if self.resamples and batch_idx == len(runner.test_dataloader) - 1:
            self.results = list(runner.test_evaluator.metrics[0].results)

    def after_test_epoch(self, runner: Runner, metrics: Optional[Dict[str, float]] = None) -> None:
        """Evaluates and writes."""
        count = len(runner.test_dataloader.dataset)
        content: Dict[str, Any] = dict(metrics=_plain(metrics or {}), images=count)
        if self.resamples:
            logger = MMLogger.get_current_instance()
            level = logger.level
            logger.setLevel(logging.ERROR)  # Each evaluation would log a table.
            evaluate = evaluate_by_image(runner.test_evaluator.metrics[0], self.results)
            rng = np.random.default_rng(0)
            content['resampled'] = [_plain(evaluate(rng.integers(count, size=count))) for _ in range(self.resamples)]
            content['paths'] = self.paths
            content['by_image'] = [_plain(evaluate([index])) for index in range(count)]
            logger.setLevel(level)
        with whole_file(Path(runner.work_dir, RESULTS)) as file:
            file.write(json.dumps(content).encode())


def _plain(metrics: Dict[str, Any]) -> Dict[str, Optional[float]]:
    """The metrics that are numbers, None for NaN, ready for JSON."""
    numbers = {
        name: float(value) for name, value in metrics.items() if np.ndim(value) == 0 and not isinstance(value, str)
    }
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}
