"""Whether a difference between two rows of fold scores is more than noise.

The folds of a cross-validation share training images, so that their scores go up and down together.
The usual paired t-test takes them for independent and finds differences where there are none.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

#: A difference counts as more than noise where chance alone would give it less often.
ALPHA = 0.05
# Scores that differ by rounding only are the same.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class PairedDifference:
    """How much better one row of fold scores is than another, on the same folds.

    Attributes
    ----------
    mean : float
        Mean of the differences.
    low, high : float
        The 95 % confidence interval of it. NaN where the folds do not differ.
    p_value : float
        How often chance alone would give so large a difference, in either direction. 1 where all
        scores are equal; NaN where all folds differ by the same amount, which leaves no spread to
        judge by.
    finding : {'higher', 'lower', 'within noise', 'equal', 'unclear'}
        What to make of it: p below 5 %, or not; equal in all folds; or nothing to judge by.
    """

    mean: float
    low: float
    high: float
    p_value: float
    finding: str


def compare_scores(
    scores: Sequence[float],
    reference: Sequence[float],
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    n_comparisons: int = 1,
) -> PairedDifference:
    """Test the difference between two rows of scores by the corrected resampled t-test.

    The variance of the mean of J differences is taken as (1 / J + n_test / n_train) times theirs,
    instead of 1 / J times, which makes up for the training images that folds share. It was derived
    for random splits, and is used for the folds of a cross-validation as well: no exact test of
    them exists.

    Parameters
    ----------
    scores, reference : sequence of float
        A score for each fold.
    folds : sequence of tuple of ndarray
        Indices of training and test images.
    n_comparisons : int, default=1
        How many such differences are looked at together. Interval and p-value allow for them
        (Bonferroni), so that 5 % holds for all of them together.

    Returns
    -------
    PairedDifference
        The difference, its interval and its p-value.

    References
    ----------
    C. Nadeau, Y. Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003,
    https://doi.org/10.1023/A:1024068626366.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer.probing.significance import compare_scores
    >>> folds = [(np.arange(90), np.arange(90, 100))] * 3
    >>> difference = compare_scores([0.9, 0.8, 0.9], [0.8, 0.8, 0.7], folds)
    >>> print(f"{difference.mean:.2f}, p = {difference.p_value:.2f}, {difference.finding}")
    0.10, p = 0.27, within noise
    """
    ratio = sum(len(test) for _, test in folds) / sum(len(train) for train, _ in folds)
    return _compare(scores, reference, ratio, n_comparisons)


def compare_draws(
    scores: Sequence[float],
    reference: Sequence[float],
    draws: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    n_comparisons: int = 1,
) -> PairedDifference:
    """Test the difference between two rows of scores on draws of few training images.

    Two draws are taken to correlate by the part of their images that they share, on the average of
    all pairs: of the training or of the test images, whichever is more. The correction of
    :func:`compare_scores` holds where all that is not tested on is learned from; here it would take
    draws that hardly share an image for almost the same one.

    Parameters
    ----------
    scores, reference : sequence of float
        A score for each draw.
    draws : sequence of tuple of ndarray
        Indices of training and test images.
    n_comparisons : int, default=1
        How many such differences are looked at together (Bonferroni).

    Returns
    -------
    PairedDifference
        The difference, its interval and its p-value.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer.probing.significance import compare_draws
    >>> draws = [(np.arange(6) + 6 * i, np.arange(60, 90) + 30 * i) for i in range(3)]
    >>> difference = compare_draws([0.9, 0.8, 0.9], [0.6, 0.6, 0.6], draws)
    >>> print(f"{difference.mean:.2f}, p = {difference.p_value:.2f}, {difference.finding}")
    0.27, p = 0.02, higher
    """
    shared = max(_shared([train for train, _ in draws]), _shared([test for _, test in draws]))
    # Of draws that are all alike there is but one, and nothing to judge by.
    extra = shared / (1 - shared) if shared < 1 else np.inf
    return _compare(scores, reference, extra, n_comparisons)


def _shared(parts: Sequence[np.ndarray]) -> float:
    """Return which part of their members two sets share, averaged over all pairs."""
    pairs = itertools.combinations(parts, 2)
    return float(np.mean([len(np.intersect1d(a, b)) / min(len(a), len(b)) for a, b in pairs]))


def _compare(
    scores: Sequence[float], reference: Sequence[float], extra: float, n_comparisons: int
) -> PairedDifference:
    """Take the variance of the mean of J differences as (1 / J + extra) times theirs."""
    differences = np.subtract(scores, reference, dtype=float)
    n_folds = len(differences)
    mean, spread = float(differences.mean()), float(differences.std(ddof=1))
    if np.abs(differences).max() < _ROUNDING:
        return PairedDifference(0.0, 0.0, 0.0, 1.0, "equal")
    if not spread > _ROUNDING or np.isinf(extra):  # NaN too
        return PairedDifference(mean, np.nan, np.nan, np.nan, "unclear")
    error = spread * np.sqrt(1 / n_folds + extra)
    student = stats.t(n_folds - 1)
    margin = float(student.ppf(1 - ALPHA / n_comparisons / 2) * error)
    p_value = min(1.0, float(2 * n_comparisons * student.sf(abs(mean) / error)))
    finding = "within noise" if p_value >= ALPHA else "higher" if mean > 0 else "lower"
    return PairedDifference(mean, mean - margin, mean + margin, p_value, finding)
