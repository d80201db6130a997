"""Tests image by image: which images one row classifies correctly, and another one does not.

Accuracy is a mean over images. Of two rows with equal accuracy, each is right on some images where
the other one is wrong; how many these are says how large a difference chance alone can make. The
scores of ten folds say less: they know nothing of single images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sktransfer.evaluation.probing.folding import Folds
from sktransfer.evaluation.probing.significance import ROUNDING, PairedTest, n_test_to_train

#: Metrics that are means over images.
IMAGE_METRICS = ("accuracy", "balanced_accuracy")
#: For continuity, a difference counts by half an image less. By simulation, a whole one, as in
#: McNemar's test after Edwards, finds less than it may, and none finds too much in few images.
CONTINUITY = 0.5


@dataclass(frozen=True)
class ImageWeights:
    """The test images of all folds, and how much each counts in the mean of a metric.

    Attributes
    ----------
    units : ndarray of shape (n_tested,)
        From 0 up, which image each is, or which group: units are independent of each other.
    weights : ndarray of shape (n_tested,)
        By how much the metric's mean over the folds rises if the image is classified correctly.
    fold : ndarray of shape (n_tested,)
        From 0 up, the fold.
    ratio : float
        Images tested on for each that is learned from.
    """

    units: np.ndarray
    weights: np.ndarray
    fold: np.ndarray
    ratio: float


def weigh_images(
    metric: str, y: np.ndarray, folds: Folds, groups: Any = None
) -> ImageWeights | None:
    """Return the weights of all test images in a metric, or None if it is no mean over images."""
    if metric not in IMAGE_METRICS:
        return None
    weights = []
    for _, test in folds:
        if metric == "accuracy":
            weights.append(np.full(len(test), 1 / len(test) / len(folds)))
            continue
        _, classes, counts = np.unique(y[test], return_inverse=True, return_counts=True)
        weights.append(1 / counts[classes] / len(counts) / len(folds))
    tested = np.concatenate([test for _, test in folds])
    named = tested if groups is None else np.asarray(groups)[tested]
    units = np.unique(named, return_inverse=True)[1]
    fold = np.repeat(np.arange(len(folds)), [len(test) for _, test in folds])
    return ImageWeights(units, np.concatenate(weights), fold, n_test_to_train(folds))


def by_images(
    own: Sequence[np.ndarray], reference: Sequence[np.ndarray], images: ImageWeights
) -> PairedTest:
    """Test the difference between two rows by the images that only one of them gets right.

    Each row is a list of its draws: which images were classified correctly. A row that was drawn
    several times, such as a network with random weights, is the mean of its draws.

    It is McNemar's test with a correction for continuity of half an image, for any weights of the
    images, with two additions. The variance is (1 + n_test / n_train) times as large, because other
    training images would have given other classifiers. The spread of several draws adds to it.

    References
    ----------
    Q. McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 12, 1947, https://doi.org/10.1007/BF02295996. C. Nadeau, Y. Bengio,
    "Inference for the Generalization Error", Machine Learning 52, 2003.

    Examples
    --------
    Of 100 images, 12 are classified correctly by the first row only, and 2 by the second only:

    >>> import numpy as np
    >>> from sktransfer.evaluation.probing.outcomes import by_images, weigh_images
    >>> folds = [(np.arange(50, 100), np.arange(50)), (np.arange(50), np.arange(50, 100))]
    >>> images = weigh_images("accuracy", np.zeros(100), folds)
    >>> own, reference = np.ones(100, dtype=bool), np.ones(100, dtype=bool)
    >>> own[:2] = reference[50:62] = False
    >>> test = by_images([own], [reference], images)
    >>> print(f"{test.mean:.2f}, p = {test.p_value:.3f}")
    0.10, p = 0.076
    """
    inflation = 1 + images.ratio
    parts = np.bincount(images.units, images.weights * _mean_difference(own, reference))
    parts[np.abs(parts) < ROUNDING] = 0
    if not np.any(parts):
        return PairedTest(0.0, 0.0, len(parts) - 1)
    test = PairedTest(
        mean=float(parts.sum()),
        variance=float(inflation * np.sum(parts**2)),
        dof=len(parts) - 1,
        curvature=inflation / len(parts),
        correction=CONTINUITY * float(np.abs(parts[parts != 0]).mean()),
    )
    for row in (own, reference):
        drawn = [np.bincount(images.units, images.weights * each) for each in row]
        test = widen(test, np.stack(drawn))
    return test


def _mean_difference(own: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> np.ndarray:
    return np.mean(own, axis=0) - np.mean(reference, axis=0)


def widen(test: PairedTest, drawn: np.ndarray) -> PairedTest:
    """Add the variance of a row that was drawn with several seeds.

    Parameters
    ----------
    test : PairedTest
        Of the mean of the draws.
    drawn : ndarray of shape (n_draws, n_units)
        What each unit, an image or a fold, adds to the mean score of each draw.

    Returns
    -------
    PairedTest
        With the variance of the mean of the draws. What units scatter from draw to draw, each by
        itself, is part of the test's own variance already.
    """
    n_draws = len(drawn)
    if n_draws < 2 or not test.variance > 0:
        return test
    spread = np.var(drawn.sum(axis=1), ddof=1) - np.var(drawn, axis=0, ddof=1).sum()
    extra = max(0.0, float(spread)) / n_draws
    variance = test.variance + extra
    # Satterthwaite: so few draws say little of their spread.
    dof = variance**2 / (test.variance**2 / test.dof + extra**2 / (n_draws - 1))
    return replace(test, variance=variance, dof=dof)


def variance_within(
    own: Sequence[np.ndarray], reference: Sequence[np.ndarray], images: ImageWeights
) -> float:
    """Return how much the difference on a fold varies with its test images, over all folds."""
    n_folds = int(images.fold.max()) + 1
    units, inverse = np.unique(np.stack([images.fold, images.units]), axis=1, return_inverse=True)
    parts = np.bincount(inverse, n_folds * images.weights * _mean_difference(own, reference))
    within = []
    for fold in range(n_folds):
        own_parts = parts[units[0] == fold]
        if len(own_parts) > 1:
            within.append(len(own_parts) * np.var(own_parts, ddof=1))
    return float(np.mean(within)) if within else 0.0
