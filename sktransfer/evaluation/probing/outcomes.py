"""Tests image by image: how well one row does on each image, and another one on the same.

Accuracy is a mean over images. Of two rows with equal accuracy, each is right on some images where
the other one is wrong; their number determines how large a difference chance alone can make. The
scores of ten folds contain less information, nothing about single images. R2 is a sum over images
too, of squared errors, as the spread of the numbers is the same for all rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sktransfer.evaluation.probing.folding import Folds
from sktransfer.evaluation.probing.metrics import count_confusion, spread_of
from sktransfer.evaluation.probing.significance import ROUNDING, PairedTest, n_test_to_train
from sktransfer.evaluation.probing.targets import Labels, Numbers, Target

#: Metrics that are sums over images, of what :func:`rate_images` says of each.
IMAGE_METRICS = {
    "classes": ("accuracy", "balanced_accuracy"),
    "numbers": ("r2", "neg_mean_squared_error", "neg_mean_absolute_error"),
    "labels": ("label_accuracy", "accuracy"),
}
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
        By how much the metric's mean over the folds rises if the image is classified correctly, or
        its error is less by one.
    fold : ndarray of shape (n_tested,)
        From 0 up, the fold.
    ratio : float
        Images tested on for each that is learned from.
    continuity : float
        Which part of an image a difference counts less: images are right or wrong. 0 for errors,
        which take any value.
    """

    units: np.ndarray
    weights: np.ndarray
    fold: np.ndarray
    ratio: float
    continuity: float = CONTINUITY


def rate_images(target: Target, metric: str | None, y: Any, predicted: np.ndarray) -> np.ndarray:
    """Say how well each image was predicted; higher is better.

    Of classes whether it was right, of sets of labels the share of labels that were, and of numbers
    the error below zero: squared, or absolute for the mean absolute error.
    """
    if isinstance(target, Labels):
        return predicted == y
    if isinstance(target, Numbers):
        errors = np.reshape(predicted, np.shape(y)) - y
        return -np.abs(errors) if metric == "neg_mean_absolute_error" else -(errors**2)
    is_right = predicted == y
    return is_right.all(axis=1) if metric == "accuracy" else is_right.mean(axis=1)


def rate_folds(
    target: Target, metric: str | None, folds: Folds, predicted: Sequence[np.ndarray]
) -> np.ndarray:
    """Say how well each test image was predicted, fold after fold."""
    pairs = zip(folds, predicted, strict=True)
    return np.concatenate(
        [rate_images(target, metric, target.y[test], each) for (_, test), each in pairs]
    )


@dataclass(frozen=True)
class Counts:
    """What became of each class, or of each label, over all folds.

    Attributes
    ----------
    confusion : ndarray of shape (n_classes, n_classes)
        Images by class (rows) and by the class they were taken for; empty without classes.
    label_recalls : ndarray of shape (n_labels,)
        Of sets of labels, the share of the images with each label for which it was predicted; else
        empty.
    """

    confusion: np.ndarray
    label_recalls: np.ndarray


def count_folds(
    target: Target,
    folds: Folds,
    predicted: Sequence[np.ndarray],
    sample_weight: np.ndarray | None = None,
) -> Counts:
    """Count the test images of all folds."""
    confusion, recalls = np.empty((0, 0)), np.empty(0)
    if isinstance(target, Numbers):
        return Counts(confusion, recalls)
    tested = np.concatenate([test for _, test in folds])
    truth, taken = target.y[tested], np.concatenate(predicted)
    weights = None if sample_weight is None else sample_weight[tested]
    if isinstance(target, Labels):
        confusion = count_confusion(target, truth, taken, weights)[:, :-1]
    else:
        counted = truth if weights is None else truth * weights[:, None]
        totals = counted.sum(axis=0).astype(float)
        found = (counted * (taken == 1)).sum(axis=0)
        recalls = np.divide(found, totals, out=np.full(len(totals), np.nan), where=totals > 0)
    return Counts(confusion, recalls)


def weigh_images(
    metric: str | None,
    y: np.ndarray,
    folds: Folds,
    groups: Any = None,
    *,
    kind: str = "classes",
    sample_weight: np.ndarray | None = None,
) -> ImageWeights | None:
    """Return the weights of all test images in a metric, or None if it is no sum over images.

    Parameters
    ----------
    metric : str or None
        Its name; None for one of the user's own.
    y : ndarray of shape (n_images,) or (n_images, n_labels)
        What is predicted.
    folds : list of tuple of ndarray
        Training and test images.
    groups : array-like of shape (n_images,) or None, default=None
        Images of one group are one unit.
    kind : {'classes', 'numbers', 'labels'}, default='classes'
        What `y` holds.
    sample_weight : ndarray of shape (n_images,) or None, default=None
        How much each image counts in the scores.
    """
    if metric not in IMAGE_METRICS[kind]:
        return None
    given = np.ones(len(y)) if sample_weight is None else sample_weight
    weights = []
    for _, test in folds:
        own = given[test] / given[test].sum()
        if metric == "balanced_accuracy":
            own = _weigh_classes(y[test], own)
        elif metric == "r2":
            spread = spread_of(y[test], given[test])
            if not spread > 0:
                return None  # the score of this fold is undefined
            own = own / spread
        weights.append(own / len(folds))
    continuity = 0.0 if kind == "numbers" else CONTINUITY
    return _of_units(np.concatenate(weights), folds, groups, continuity)


def weigh_recalls(
    y: np.ndarray, folds: Folds, groups: Any = None, sample_weight: np.ndarray | None = None
) -> ImageWeights:
    """Return the weights of all test images in the mean of the recalls over all folds together."""
    tested = np.concatenate([test for _, test in folds])
    given = np.ones(len(tested)) if sample_weight is None else sample_weight[tested]
    return _of_units(_weigh_classes(y[tested], given), folds, groups, CONTINUITY)


def _weigh_classes(y: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Let all classes count the same."""
    _, classes = np.unique(y, return_inverse=True)
    totals = np.bincount(classes, weights)
    return weights / np.where(totals > 0, totals, 1)[classes] / np.count_nonzero(totals)


def _of_units(weights: np.ndarray, folds: Folds, groups: Any, continuity: float) -> ImageWeights:
    tested = np.concatenate([test for _, test in folds])
    named = tested if groups is None else np.asarray(groups)[tested]
    units = np.unique(named, return_inverse=True)[1]
    fold = np.repeat(np.arange(len(folds)), [len(test) for _, test in folds])
    return ImageWeights(units, weights, fold, n_test_to_train(folds), continuity)


def by_images(
    own: Sequence[np.ndarray], reference: Sequence[np.ndarray], images: ImageWeights
) -> PairedTest:
    """Test the difference between two rows by the images that one of them predicts better.

    Each row is a list of its draws: how well :func:`rate_images` says each image was predicted. A
    row that was drawn several times, such as a network with random weights, is the mean of its
    draws.

    Of classes it is McNemar's test with a correction for continuity of half an image, of numbers a
    paired t-test, for any weights of the images, with two additions. The variance is (1 + n_test /
    n_train) times as large, because other training images would have given other classifiers. The
    spread of several draws adds to it.

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
        correction=images.continuity * float(np.abs(parts[parts != 0]).mean()),
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
    n_draws, n_units = drawn.shape
    if n_draws < 2 or n_units < 2 or np.isnan(test.variance):
        return test
    spread = np.var(drawn.sum(axis=1), ddof=1) - np.var(drawn, axis=0, ddof=1).sum()
    # A unit varies by what all have in common as well, which was taken off with the rest.
    extra = float(spread) * n_units / (n_units - 1) / n_draws
    if not extra > ROUNDING**2:
        return test
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
