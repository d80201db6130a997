"""Significance of differences between rows of scores on the same folds.

The folds of a cross-validation share training images, so that their scores go up and down together.
The usual paired t-test takes them for independent and finds differences where there are none.
A test gives a :class:`PairedTest`; :func:`judge_together` makes findings of all tests of a result,
so that the chance of any false finding among them stays at 5 %.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

#: A difference counts as more than noise where chance alone would give it less often.
ALPHA = 0.05
#: Scores that differ by rounding only are the same.
ROUNDING = 1e-12

_Parts = Sequence[tuple[np.ndarray, np.ndarray]]
_Scores = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class PairedDifference:
    """How much better one row of scores is than another, on the same folds.

    Attributes
    ----------
    mean : float
        Mean of the differences.
    low, high : float
        The 95 % confidence interval of it. NaN where no test is possible.
    p_value : float
        How often chance alone would give so large a difference, in either direction, corrected for
        the number of tests. 1 if nothing differs; NaN if no test is possible, such as if
        all folds differ by the same amount.
    finding : {'higher', 'lower', 'within noise', 'equal', 'unclear'}
        The conclusion: p is below 5 %, or not; nothing differs; or no test is possible.
    """

    mean: float
    low: float
    high: float
    p_value: float
    finding: str


@dataclass(frozen=True)
class PairedTest:
    """A difference and its error, before the number of tests is known.

    A true difference d is rejected where ``abs(mean - d) - correction`` exceeds Student's quantile
    times the root of ``variance - curvature * d**2``.

    Attributes
    ----------
    mean : float
        The difference.
    variance : float
        Of the mean, where nothing differs. NaN where it cannot be estimated.
    dof : float
        Degrees of freedom of the variance.
    curvature : float
        How much less it varies where there is a difference; 0 if it varies alike.
    correction : float
        For continuity.
    """

    mean: float
    variance: float
    dof: float
    curvature: float = 0.0
    correction: float = 0.0

    @property
    def p_value(self) -> float:
        """How often chance alone would give so large a difference; NaN without a test."""
        if self.is_equal:
            return 1.0
        if not self.variance > 0:
            return np.nan
        excess = max(0.0, abs(self.mean) - self.correction)
        return float(2 * stdtr(self.dof, -excess / np.sqrt(self.variance)))

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs at all."""
        return self.mean == 0 and self.variance == 0

    def interval(self, alpha: float) -> tuple[float, float]:
        """Return the differences that the test does not reject."""
        squared = float(stdtrit(self.dof, alpha / 2)) ** 2
        scale = 1 + squared * self.curvature

        def end(sign: float) -> float:
            shifted = self.mean + sign * self.correction
            inside = squared * (scale * self.variance - self.curvature * shifted**2)
            return float((shifted + sign * np.sqrt(max(0.0, inside))) / scale)

        return end(-1.0), end(1.0)


def judge_together(tests: Sequence[PairedTest]) -> list[PairedDifference]:
    """Judge all tests of a result by Holm's procedure.

    The smallest p-value is multiplied by the number of tests, the next one by one less, and so on;
    none counts as smaller than the one before it. The interval of a difference has the level at
    which it was tested, so that it leaves out zero where the difference is a finding.

    References
    ----------
    S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics 6, 1979, https://www.jstor.org/stable/4615733.

    Examples
    --------
    >>> from sktransfer.evaluation.probing.significance import PairedTest, judge_together
    >>> tests = [PairedTest(0.05, 4e-4, 9), PairedTest(0.10, 4e-4, 9)]
    >>> [f"{found.p_value:.3f} {found.finding}" for found in judge_together(tests)]
    ['0.034 higher', '0.001 higher']
    """
    p_values = np.array([test.p_value for test in tests])
    n_tests = count_tests(tests)
    found: dict[int, PairedDifference] = {}
    last, n_level = 0.0, n_tests
    for rank, position in enumerate(np.argsort(p_values)):  # NaN last
        test = tests[position]
        if rank >= n_tests:
            found[position] = PairedDifference(test.mean, np.nan, np.nan, np.nan, "unclear")
            continue
        n_left = n_tests - rank
        # After the first that is no finding, nothing is tested at a milder level.
        n_level = n_left if last < ALPHA else n_level
        last = max(last, min(1.0, n_left * float(p_values[position])))
        if test.is_equal:
            found[position] = PairedDifference(0.0, 0.0, 0.0, 1.0, "equal")
            continue
        finding = "within noise" if last >= ALPHA else "higher" if test.mean > 0 else "lower"
        low, high = test.interval(ALPHA / n_level)
        found[position] = PairedDifference(test.mean, low, high, last, finding)
    return [found[position] for position in range(len(tests))]


def count_tests(tests: Sequence[PairedTest]) -> int:
    """Count what :func:`judge_together` corrects for: all tests that are possible."""
    return int(sum(not np.isnan(test.p_value) for test in tests))


def judge_alone(test: PairedTest, *, n_comparisons: int = 1) -> PairedDifference:
    """Judge one of several tests by Bonferroni's correction.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer.evaluation.probing.significance import by_folds, judge_alone
    >>> folds = [(np.arange(90), np.arange(90, 100))] * 3
    >>> difference = judge_alone(by_folds([0.9, 0.8, 0.9], [0.8, 0.8, 0.7], folds))
    >>> print(f"{difference.mean:.2f}, p = {difference.p_value:.2f}, {difference.finding}")
    0.10, p = 0.27, within noise
    """
    (found,) = judge_together([test])
    if found.finding in ("equal", "unclear"):
        return found
    p_value = min(1.0, n_comparisons * test.p_value)
    finding = "within noise" if p_value >= ALPHA else "higher" if test.mean > 0 else "lower"
    ends = test.interval(ALPHA / n_comparisons)
    return PairedDifference(test.mean, *ends, p_value, finding)


def by_folds(scores: _Scores, reference: _Scores, folds: _Parts) -> PairedTest:
    """Test the difference between two rows of fold scores by the corrected resampled t-test.

    The variance of the mean of J differences is taken as (1 / J + n_test / n_train) times theirs,
    instead of 1 / J times, which makes up for the training images that folds share. It was derived
    for random splits, and is used for the folds of a cross-validation as well: no exact test of
    them exists.

    References
    ----------
    C. Nadeau, Y. Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003,
    https://doi.org/10.1023/A:1024068626366.
    """
    return _test_spread(np.subtract(scores, reference, dtype=float), n_test_to_train(folds))


def by_draws(
    scores: _Scores,
    reference: _Scores,
    draws: _Parts,
    *,
    within: float = 0.0,
) -> PairedTest:
    """Test the difference between two rows of scores on draws of few training images.

    Two draws correlate by the part of their training images that they share, in what varies with
    the training images. `within` is the variance of a draw's difference by its test images, if it
    is known: what it leaves is due to the training images. Where test images are shared as well,
    all of it correlates by the larger part. The correction of :func:`by_folds` holds where all
    that is not tested on is learned from; here it would take draws that hardly share an image for
    almost the same one.
    """
    differences = np.subtract(scores, reference, dtype=float)
    trained, tested = (_shared([draw[part] for draw in draws]) for part in (0, 1))
    if tested > 0:
        trained, within = max(trained, tested), 0.0
    if not trained < 1:  # all draws are the same, so that there is only one
        return PairedTest(float(differences.mean()), np.nan, len(differences) - 1)
    spread = float(np.var(differences, ddof=1))
    by_training = max(0.0, 1 - within / spread) if spread > 0 else 1.0
    return _test_spread(differences, by_training * trained / (1 - trained))


def _test_spread(differences: np.ndarray, extra: float) -> PairedTest:
    """Take the variance of the mean of J differences as (1 / J + extra) times theirs."""
    n_folds = len(differences)
    mean, spread = float(differences.mean()), float(differences.std(ddof=1))
    if np.abs(differences).max() < ROUNDING:
        return PairedTest(0.0, 0.0, n_folds - 1)
    if not spread > ROUNDING:  # NaN too
        return PairedTest(mean, np.nan, n_folds - 1)
    variance = spread**2 * (1 / n_folds + extra)
    return PairedTest(mean, variance, n_folds - 1)


def _shared(parts: Sequence[np.ndarray]) -> float:
    """Return which part of their members two sets share, averaged over all pairs."""
    pairs = itertools.combinations(parts, 2)
    return float(np.mean([len(np.intersect1d(a, b)) / min(len(a), len(b)) for a, b in pairs]))


def n_test_to_train(folds: _Parts) -> float:
    """Return how many images are tested on for each that is learned from."""
    return sum(len(test) for _, test in folds) / sum(len(train) for train, _ in folds)
