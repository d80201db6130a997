"""Scores of classifiers on the sample, and whether they beat guessing or each other.

Where classes are of unequal size, accuracy is about the larger ones: then probes are compared by
balanced accuracy, the mean over classes of the share found.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binom
from sklearn.metrics import balanced_accuracy_score

from sktransfer.evaluation.probing import Folds, Labels, make_classifier, score_folds
from sktransfer.evaluation.probing.metrics import are_unequal
from sktransfer.evaluation.probing.significance import ROUNDING
from sktransfer.evaluation.probing.threads import limit_blas

#: Below this many standard deviations above guessing, scores count as guessed: one-sided 1 %.
CHANCE_Z = 2.33
#: Part of the way from guessing to perfect that a classifier falls short of, where its 95 %
#: interval lies below it: that it does no better than guessing is proved, and not only possible.
USEFUL = 0.3
_INTERVAL_Z = 1.96
#: Images that there would be at least if all classes were as small as the smallest: the share found
#: of a few images proves nothing.
FEWEST = 40
#: p-value from which one classifier beats another. A report compares with pixels, with earlier and
#: with later layers, each in one direction: of equal ones, one in 140 is warned of.
BETTER = 0.005
#: How often signs are drawn for the test of balanced accuracy.
N_FLIPPED = 10_000


@dataclass(frozen=True)
class Probe:
    """Cross-validated scores of a classifier on the sample.

    Attributes
    ----------
    accuracy, balanced : ndarray of shape (n_folds,)
        Accuracy, and the mean over classes of the share found, on every fold.
    correct : ndarray of shape (n_images,)
        How often each image was classified rightly where it was tested; NaN where it never was.
    n_not_converged : int
        Folds in which the classifier stopped early.
    guessing : float
        The mean share that guessing finds of each class.
    spread : float
        Standard deviation of that share.
    smallest : int
        Images of the smallest class.
    weights : ndarray of shape (n_images,) or None
        By how much each image raises balanced accuracy if it is classified rightly; None where
        classes are of about equal size.
    """

    accuracy: np.ndarray
    balanced: np.ndarray
    correct: np.ndarray
    n_not_converged: int
    guessing: float
    spread: float
    smallest: int
    weights: np.ndarray | None = None

    @property
    def mean(self) -> float:
        """Mean accuracy."""
        return float(self.accuracy.mean())

    @property
    def metric(self) -> str:
        """What probes are compared by."""
        return "accuracy" if self.weights is None else "balanced accuracy"

    @property
    def score(self) -> float:
        """The value of that."""
        return self.mean if self.weights is None else float(np.nansum(self.weights * self.correct))

    @property
    def z(self) -> float:
        """How far the mean share found lies above guessing, in standard deviations."""
        return float((self.balanced.mean() - self.guessing) / self.spread)

    @property
    def is_chance(self) -> bool:
        """Whether the scores cannot be told from guessing."""
        return self.z < CHANCE_Z

    @property
    def highest(self) -> float:
        """The upper end of the 95 % interval of the mean share found of each class."""
        return float(self.balanced.mean() + _INTERVAL_Z * self.spread)

    @property
    def is_proved_chance(self) -> bool:
        """Whether scores that are useful at all are excluded."""
        useful = self.guessing + USEFUL * (1 - self.guessing)
        are_enough = self.smallest >= FEWEST * self.guessing
        return self.is_chance and are_enough and self.highest < useful


def score_probe(features: Any, labels: Labels, folds: Folds, classifier: Any) -> Probe:
    """Score a classifier fold by fold."""
    y = labels.y
    right, tested = np.zeros(len(y)), np.zeros(len(y))
    parts = iter(folds)

    def score(fitted: Any, values: Any, truth: np.ndarray) -> dict[str, float]:
        _, test = next(parts)
        found = fitted.predict(values)
        right[test] += found == truth
        tested[test] += 1
        return {
            "accuracy": float((found == truth).mean()),
            "balanced": float(balanced_accuracy_score(truth, found)),
        }

    with warnings.catch_warnings():
        # A fold without some class is balanced over the others; scikit-learn says so.
        warnings.simplefilter("ignore", UserWarning)
        found = score_folds(features, y, folds, classifier, score)
    with np.errstate(invalid="ignore"):
        correct = right / tested
    # A guesser finds 1/k of each of k classes, whatever their sizes, with the spread of a share.
    k = len(labels.classes)
    return Probe(
        accuracy=np.array(found.scores["accuracy"]),
        balanced=np.array(found.scores["balanced"]),
        correct=correct,
        n_not_converged=found.n_not_converged,
        guessing=1 / k,
        spread=float(np.sqrt((1 - 1 / k) / k * (1 / labels.counts).sum()) / k),
        smallest=int(labels.counts.min()),
        weights=_weigh_classes(labels, tested > 0) if are_unequal(labels.counts) else None,
    )


def _weigh_classes(labels: Labels, is_tested: np.ndarray) -> np.ndarray:
    """Let all classes count alike, whatever their size, and those of no tested image not at all."""
    codes = np.searchsorted(labels.classes, labels.y)
    counts = np.bincount(codes[is_tested], minlength=len(labels.classes))
    return is_tested / np.maximum(counts, 1)[codes] / np.count_nonzero(counts)


def score_linear(features: np.ndarray, labels: Labels, folds: Folds) -> Probe:
    """Score logistic regression on features that are standardised in every fold."""
    return score_probe(features, labels, folds, make_classifier())


def score_training(features: np.ndarray, labels: Labels, folds: Folds) -> float:
    """Score the same on the images of the first fold that it was fitted on."""
    train, y = folds[0][0], labels.y
    with limit_blas(features):
        probe = make_classifier().fit(features[train], y[train])
        return float(probe.score(features[train], y[train]))


def is_better(
    one: Probe, other: Probe, *, margin: float, n_comparisons: int = 1
) -> tuple[bool, float]:
    """Tell whether one probe beats another on the same images, by their `metric`.

    McNemar's exact test, with the mid-p value, of the images that only one of them has right: each
    image is tested without having been learned, so that no correction for shared training images
    hides what 60 images can tell. For balanced accuracy the same with weights, by signs drawn at
    random.
    """
    # Not probing.outcomes.by_images: that one also counts what other training images would change,
    # for claims about other images. Of 60 images with 10 gained and 2 lost, it gives p = 0.058
    # where this one gives 0.022: all thresholds of docs/diagnosis.md would move.
    known = np.isfinite(one.correct)
    difference = one.correct[known] - other.correct[known]
    if one.weights is None:
        difference = np.sign(difference)
        p_value = _compare_counts(difference)
    else:
        difference = one.weights[known] * difference
        p_value = _flip_signs(difference)
    p_value = min(1.0, n_comparisons * p_value)
    is_gain = one.score - other.score >= margin and difference.sum() > 0
    return bool(is_gain and p_value < BETTER), p_value


def _compare_counts(signs: np.ndarray) -> float:
    gained, lost = int((signs > 0).sum()), int((signs < 0).sum())
    n, k = gained + lost, min(gained, lost)
    return float(2 * binom.cdf(k, n, 0.5) - binom.pmf(k, n, 0.5)) if n else 1.0


def _flip_signs(differences: np.ndarray) -> float:
    """Return how often a sum of differences is as large if chance decides their signs."""
    parts = differences[differences != 0]
    if not len(parts):
        return 1.0
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (N_FLIPPED, len(parts)))
    beyond = np.abs(signs @ parts) - abs(parts.sum())
    n_larger, n_equal = np.sum(beyond > ROUNDING), np.sum(np.abs(beyond) <= ROUNDING)
    return float((n_larger + (n_equal + 1) / 2) / (N_FLIPPED + 1))
