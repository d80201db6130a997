"""Selection bias: the score of the best of many candidates, and which others may be as good.

The best of many equal candidates looks better than it is, because it was chosen for its luck, and
some other candidate looks much worse. Both have to count how many there were.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sktransfer.evaluation.probing.outcomes import ImageWeights
from sktransfer.evaluation.probing.significance import (
    ALPHA,
    PairedDifference,
    by_folds,
    judge_alone,
)

_N_DRAWN = 2000


def score_choice(scores: np.ndarray) -> np.ndarray:
    """Score the choice of a candidate instead of a candidate.

    On every fold, the candidate that is best on the other folds is scored: one that was not chosen
    by the images of that fold.

    Parameters
    ----------
    scores : ndarray of shape (n_candidates, n_folds)
        Scores, higher is better. Of equal candidates the first counts.

    Returns
    -------
    ndarray of shape (n_folds,)
        The chosen candidate's score on every fold.

    Examples
    --------
    Two candidates with the same mean, each lucky in one fold:

    >>> import numpy as np
    >>> from sktransfer.evaluation.probing.selection import score_choice
    >>> score_choice(np.array([[0.9, 0.7, 0.7], [0.7, 0.9, 0.7]]))
    array([0.7, 0.7, 0.7])
    """
    known = np.nan_to_num(scores, nan=-np.inf)
    folds = range(scores.shape[1])
    chosen = [int(np.delete(known, fold, axis=1).sum(axis=1).argmax()) for fold in folds]
    return scores[chosen, folds]


def count_pairs(n: int) -> int:
    """Count the comparisons among candidates of which any may be the best."""
    return n * (n - 1) // 2


def compare_with_best(
    scores: np.ndarray,
    correct: Sequence[np.ndarray],
    best: int,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    images: ImageWeights | None,
    *,
    others: Sequence[ImageWeights] = (),
) -> list[tuple[PairedDifference, float]]:
    """Test all candidates against the best one, counting that it was chosen from all of them.

    The chance that any of equally good candidates is called worse is 5 %. Where the metric is a
    mean over images, the largest of the differences of all pairs is compared with what it would be
    by chance, which is found by weighting images at random; candidates that err on the same images
    cost little then. For other metrics, p-values of a corrected t-test are multiplied by the number
    of pairs.

    Parameters
    ----------
    scores : ndarray of shape (n_candidates, n_folds)
        Scores of the metric.
    correct : list of ndarray of shape (n_tested,)
        How well each predicted every test image.
    best : int
        The position of the best one.
    folds : list of tuple of ndarray
        Training and test images.
    images : ImageWeights or None
        What images count in the metric; None for one that is no sum over images.
    others : sequence of ImageWeights, default=()
        What the same images count in other metrics by which the candidates are compared as well:
        all these comparisons are one family.

    Returns
    -------
    list of tuple
        For each candidate its difference to the best one, and the standard error of that.
    """
    n_pairs = count_pairs(len(scores))
    if images is None:
        tests = [by_folds(each, scores[best], folds) for each in scores]
        return [
            (judge_alone(test, n_comparisons=n_pairs), float(np.sqrt(test.variance)))
            for test in tests
        ]
    parts = _add_up(correct, images)
    largest = _draw_largest(parts)
    for each in others:
        # The same images get the same random weights.
        largest = np.maximum(largest, _draw_largest(_add_up(correct, each)))
    quantile = float(np.quantile(largest, 1 - ALPHA))
    found = []
    for own in parts:
        difference = own - parts[best]
        mean = float(difference.sum())
        error = float(np.sqrt((1 + images.ratio) * np.sum(difference**2)))
        if error == 0:
            found.append((PairedDifference(0.0, 0.0, 0.0, 1.0, "equal"), 0.0))
            continue
        correction = images.continuity * float(np.abs(difference[difference != 0]).mean())
        excess = max(0.0, abs(mean) - correction) / error
        p_value = float((1 + np.sum(largest >= excess)) / (1 + _N_DRAWN))
        half = quantile * error + correction
        finding = "within noise" if p_value >= ALPHA else "higher" if mean > 0 else "lower"
        judged = PairedDifference(mean, mean - half, mean + half, p_value, finding)
        found.append((judged, error))
    return found


def _add_up(correct: Sequence[np.ndarray], images: ImageWeights) -> np.ndarray:
    """Return what each unit adds to the metric of every candidate."""
    return np.stack([np.bincount(images.units, images.weights * each) for each in correct])


def _draw_largest(parts: np.ndarray) -> np.ndarray:
    """Draw what the largest difference of all pairs is by chance, in standard errors."""
    centred = parts - parts.mean(axis=1, keepdims=True)
    rng = np.random.default_rng(0)
    drawn = np.concatenate(
        [
            rng.standard_normal((len(some), parts.shape[1])) @ centred.T
            for some in np.array_split(np.arange(_N_DRAWN), 20)
        ]
    )
    largest = np.zeros(_N_DRAWN)
    for position, own in enumerate(centred[1:], start=1):
        errors = np.sqrt(((own - centred[:position]) ** 2).sum(axis=1))
        known = errors > 0
        differences = np.abs(drawn[:, [position]] - drawn[:, :position])[:, known]
        if known.any():
            largest = np.maximum(largest, (differences / errors[known]).max(axis=1))
    return largest
