"""Scores of classifiers on the sample, and whether they beat guessing or each other."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import check_scoring
from sklearn.preprocessing import StandardScaler

from sktransfer.probing import Folds, Labels, score_folds
from sktransfer.probing.significance import ALPHA, compare_scores

#: Below this many standard deviations above guessing, scores count as guessed: one-sided 1 %.
CHANCE_Z = 2.33


@dataclass(frozen=True)
class Probe:
    """Cross-validated scores of a classifier on the sample.

    Attributes
    ----------
    accuracy, balanced : ndarray of shape (n_folds,)
        Accuracy, and the mean over classes of the share found, on every fold.
    n_not_converged : int
        Folds in which the classifier stopped early.
    z : float
        How far the mean share found lies above guessing, in standard deviations.
    """

    accuracy: np.ndarray
    balanced: np.ndarray
    n_not_converged: int
    z: float

    @property
    def mean(self) -> float:
        """Mean accuracy."""
        return float(self.accuracy.mean())

    @property
    def is_chance(self) -> bool:
        """Whether the scores are no better than guessing."""
        return self.z < CHANCE_Z


def score_probe(features: np.ndarray, labels: Labels, folds: Folds, classifier: Any) -> Probe:
    """Score a classifier fold by fold.

    Parameters
    ----------
    features : ndarray of shape (n_images, n_features)
        What it sees.
    labels : Labels
        The labels.
    folds : list of tuple of ndarray
        Indices of training and test images.
    classifier : estimator
        Not fitted, and never changed.

    Returns
    -------
    Probe
        Its scores.
    """
    scorer = check_scoring(classifier, scoring=["accuracy", "balanced_accuracy"])
    with warnings.catch_warnings():
        # A fold without some class is balanced over the others; scikit-learn says so.
        warnings.simplefilter("ignore", UserWarning)
        found = score_folds(features, labels.y, folds, classifier, scorer)
    accuracy = np.array(found.scores["accuracy"])
    balanced = np.array(found.scores["balanced_accuracy"])
    # A guesser finds 1/k of each of k classes, whatever their sizes, with the spread of a share.
    k = len(labels.classes)
    spread = np.sqrt((1 - 1 / k) / k * (1 / labels.counts).sum()) / k
    z = float((balanced.mean() - 1 / k) / spread)
    return Probe(accuracy, balanced, found.n_not_converged, z)


def score_linear(features: np.ndarray, labels: Labels, folds: Folds) -> Probe:
    """Score logistic regression on standardised features, whatever their number.

    Parameters
    ----------
    features : ndarray of shape (n_images, n_features)
        What it sees.
    labels : Labels
        The labels.
    folds : list of tuple of ndarray
        Indices of training and test images.

    Returns
    -------
    Probe
        Its scores.
    """
    return score_probe(compact(features), labels, folds, LogisticRegression(max_iter=1000))


def score_training(features: np.ndarray, labels: Labels, folds: Folds) -> float:
    """Score the same on the images of the first fold that it was fitted on.

    Parameters
    ----------
    features : ndarray of shape (n_images, n_features)
        What it sees.
    labels : Labels
        The labels.
    folds : list of tuple of ndarray
        Indices of training and test images.

    Returns
    -------
    float
        Accuracy.
    """
    train, y = folds[0][0], labels.y
    values = compact(features)[train]
    return float(LogisticRegression(max_iter=1000).fit(values, y[train]).score(values, y[train]))


def is_better(
    one: Probe, other: Probe, folds: Folds, *, margin: float, n_comparisons: int = 1
) -> tuple[bool, float]:
    """Tell whether one probe beats another on the same folds.

    Parameters
    ----------
    one, other : Probe
        The scores.
    folds : list of tuple of ndarray
        The folds of both.
    margin : float
        By how much it must, in accuracy.
    n_comparisons : int, default=1
        How many probes this one is the best of.

    Returns
    -------
    is_better : bool
        Whether it does, beyond chance.
    p_value : float
        Of the corrected resampled t-test; 0 where every fold gains the same.
    """
    difference = compare_scores(
        one.accuracy.tolist(), other.accuracy.tolist(), folds, n_comparisons=n_comparisons
    )
    p_value = 0.0 if np.isnan(difference.p_value) else difference.p_value
    return difference.mean >= margin and p_value < ALPHA, p_value


def compact(features: np.ndarray) -> np.ndarray:
    """Standardise features, and turn many of them into as many as there are images.

    To a linear classifier with an L2 penalty nothing changes by the rotation, but its time.

    Parameters
    ----------
    features : ndarray of shape (n_images, n_features)
        Any features.

    Returns
    -------
    ndarray of shape (n_images, min(n_images, n_features))
        float64.
    """
    values = StandardScaler().fit_transform(features.astype(np.float64))
    if values.shape[1] <= len(values):
        return values
    left, lengths, _ = np.linalg.svd(values, full_matrices=False)
    return left * lengths
