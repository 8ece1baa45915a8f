import numpy as np
import pytest
from scipy import stats

from mmcontnet.comparison.intervals import Interval, bootstrap_interval, paired_interval


@pytest.mark.parametrize('count', [2, 3, 10])
def test_interval_over_seeds_is_students(count):
    first, other = np.random.default_rng(count).normal((30, 28), 1, (count, 2)).T
    differences = first - other
    margin = stats.t.ppf(0.975, count - 1) * differences.std(ddof=1) / count**0.5
    mean, low, high = paired_interval(first, other)
    assert (mean, low, high) == pytest.approx((differences.mean(), mean - margin, mean + margin))
    assert (low > 0) == (stats.ttest_rel(first, other).pvalue < 0.05 and mean > 0)


def test_known_interval():
    """Differences 1, 2, 3: of standard deviation 1, and Student's t of two degrees of freedom is 4.303."""
    assert paired_interval([3, 5, 7], [2, 3, 4]) == pytest.approx((2, 2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5), abs=1e-3)


def test_one_seed_and_equal_differences_have_no_interval():
    assert paired_interval([3], [1]) == (2, None, None)
    assert paired_interval([3, 4], [1, 2]) == (2, None, None)
    assert paired_interval([0.3, 0.4], [0.1, 0.2])[1:] == (None, None)  # Up to rounding.


@pytest.mark.parametrize(
    'interval, tells',
    [((2, 1, 3), True), ((-2, -3, -1), True), ((1, -1, 3), False), ((1, 0, 2), False), ((1, None, None), False)],
)
def test_interval_without_zero_tells(interval, tells):
    assert Interval(*interval).tells == tells


def test_interval_over_images_agrees_with_scipy():
    scores = np.random.default_rng(0).normal(1, 2, 200)
    rng = np.random.default_rng(1)
    resampled = [scores[rng.integers(200, size=200)].mean() for _ in range(4000)]
    mean, low, high = bootstrap_interval(scores.mean(), [*resampled, np.nan])
    expected = stats.bootstrap([scores], np.mean, n_resamples=4000, method='percentile', rng=2).confidence_interval
    assert mean == scores.mean() and (low, high) == pytest.approx(tuple(expected), abs=0.03)
