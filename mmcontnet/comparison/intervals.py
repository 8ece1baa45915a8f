"""How sure a difference is."""

from typing import NamedTuple, Optional, Sequence

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """A mean with its interval of 95% confidence; the bounds are None where one value, or equal ones, tell nothing."""

    mean: float
    low: Optional[float] = None
    high: Optional[float] = None

    @property
    def tells(self) -> bool:
        """Whether all of the interval is on one side of 0."""
        return self.low is not None and (self.low > 0 or self.high < 0)


def paired_interval(first: Sequence[float], other: Sequence[float]) -> Interval:
    """The mean of ``first - other``, value by value, with Student's t interval."""
    differences = np.subtract(first, other)
    mean = float(np.mean(differences))
    if np.allclose(differences, mean):  # One seed, or a metric of few steps: that it does not vary is chance.
        return Interval(mean)
    return Interval(mean, *map(float, stats.ttest_rel(first, other).confidence_interval(CONFIDENCE)))


def bootstrap_interval(difference: float, resampled: Sequence[float]) -> Interval:
    """A difference with the percentiles of what it is on resampled images."""
    margin = 50 * (1 - CONFIDENCE)
    return Interval(difference, *map(float, np.nanpercentile(resampled, [margin, 100 - margin])))
