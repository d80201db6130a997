"""What a search says of its candidates: which cannot be told from the best one, and recalls.

scikit-learn's search keeps a number for each candidate and fold. Accuracy is judged image by image,
as in a sweep, so the score of a fold brings along what was predicted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import ClassifierMixin, is_classifier
from sklearn.metrics import accuracy_score
from sklearn.pipeline import Pipeline

from sktransfer.evaluation.probing import Folds
from sktransfer.evaluation.probing.outcomes import weigh_images
from sktransfer.evaluation.probing.selection import compare_with_best, count_pairs
from sktransfer.results.result import to_plain


class RatedAccuracy(float):
    """An accuracy, with the predictions that it is about."""

    predicted: np.ndarray


def scores_accuracy(estimator: Any, scoring: Any) -> bool:
    """Tell whether a search scores by accuracy alone, with all images counting alike."""
    if get_config()["enable_metadata_routing"] or not is_classifier(estimator):
        return False
    if scoring is not None:
        return isinstance(scoring, str) and scoring == "accuracy"
    # Without a metric the classifier scores itself, which may be by something else.
    last = estimator
    while isinstance(last, Pipeline):
        last = last.steps[-1][1]
    return getattr(type(last), "score", None) is ClassifierMixin.score


def rate_accuracy(estimator: Any, X: Any, y: Any) -> RatedAccuracy:
    """Score a fitted classifier by accuracy, and keep what it predicts."""
    predicted = estimator.predict(X)
    score = RatedAccuracy(accuracy_score(y, predicted))
    score.predicted = np.asarray(predicted)
    return score


@dataclass
class Trial:
    """A splitter that notes its folds, and the scores that candidates got on them.

    Attributes
    ----------
    splitter : object
        What gives the folds.
    folds : list of tuple of ndarray
        Training and test images.
    groups : array-like or None
        Images of one group are one unit of the tests.
    scores : list of float or dict
        One candidate after the other, fold by fold.
    """

    splitter: Any
    folds: Folds = field(default_factory=list)
    groups: Any = None
    scores: list[Any] = field(default_factory=list)

    def split(self, X: Any, y: Any = None, **params: Any) -> Iterator[tuple[Any, Any]]:
        """Yield the folds."""
        self.groups = params.get("groups")
        self.folds = list(self.splitter.split(X, y, **params))
        return iter(self.folds)

    def predictions(self, candidate: int) -> list[np.ndarray] | None:
        """Return what a candidate predicts on every fold, if its scores say it."""
        n = len(self.folds)
        own = self.scores[candidate * n : (candidate + 1) * n]
        is_known = len(own) == n and all(isinstance(each, RatedAccuracy) for each in own)
        return [each.predicted for each in own] if is_known else None


@dataclass(frozen=True)
class Verdict:
    """What can be said of the candidates beside the best one.

    Attributes
    ----------
    not_worse : ndarray of bool of shape (n_candidates,)
        The best candidate, and those that cannot be told from it.
    n_comparisons : int
        How many were counted.
    recalls : dict
        Of every class, the share of its images that the best candidate found; empty where it is not
        scored by accuracy.
    """

    not_worse: np.ndarray
    n_comparisons: int
    recalls: dict[Any, float]


def judge_candidates(scores: np.ndarray, best: int, trial: Trial, y: Any) -> Verdict:
    """Compare all candidates with the best one, as the rows of a sweep.

    Parameters
    ----------
    scores : ndarray of shape (n_candidates, n_folds)
        By which the best one was chosen. Candidates that could not be scored are worse.
    best : int
        Its position.
    trial : Trial
        The folds, and the scores with their predictions.
    y : array-like of shape (n_images,) or (n_images, n_labels)
        What was predicted.
    """
    y = np.asarray(y)
    not_worse = np.isfinite(scores).all(axis=1)
    known = np.flatnonzero(not_worse)
    if best not in known:
        return Verdict(np.zeros(len(scores), dtype=bool), 0, {})
    predictions = [trial.predictions(int(position)) for position in known]
    correct = [_rate(y, trial.folds, each) for each in predictions if each is not None]
    images = None
    if len(correct) == len(known):
        images = weigh_images("accuracy", y, trial.folds, trial.groups)
    at = int(np.searchsorted(known, best))
    found = compare_with_best(scores[known], correct, at, trial.folds, images)
    not_worse[known] = [each.finding != "lower" for each, _ in found]
    recalls = (
        _count_recalls(y, trial.folds, correct[at]) if images is not None and y.ndim == 1 else {}
    )
    return Verdict(not_worse, count_pairs(len(known)), recalls)


def _rate(y: np.ndarray, folds: Folds, predicted: Sequence[np.ndarray]) -> np.ndarray:
    """Say of each test image, fold after fold, whether all of it was predicted rightly."""
    parts = [
        (each == y[test]).reshape(len(test), -1).all(axis=1)
        for each, (_, test) in zip(predicted, folds, strict=True)
    ]
    return np.concatenate(parts)


def _count_recalls(y: np.ndarray, folds: Folds, correct: np.ndarray) -> dict[Any, float]:
    truth = np.concatenate([y[test] for _, test in folds])
    return {to_plain(label): float(correct[truth == label].mean()) for label in np.unique(truth)}
