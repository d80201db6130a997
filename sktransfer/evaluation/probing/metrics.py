"""Metrics for classes, numbers and sets of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import f1_score, precision_score, recall_score, roc_auc_score

from sktransfer.evaluation.probing.targets import Labels, Numbers, Target

#: The columns of the article's tables, in its order.
METRICS = ("accuracy", "precision", "recall", "f1", "roc_auc")
#: What is shown by default, by the kind of target. The first one ranks rows and is tested.
DEFAULT_METRICS = {
    "classes": METRICS,
    "numbers": ("r2", "neg_mean_absolute_error", "neg_root_mean_squared_error"),
    "labels": ("label_accuracy", "accuracy", "precision", "recall", "f1"),
}
#: What :func:`score_predictions` gives, by the kind of target.
_OWN = DEFAULT_METRICS | {"numbers": (*DEFAULT_METRICS["numbers"], "neg_mean_squared_error")}
#: How many times as many images the largest class has, from where on classes are unequal.
_UNEQUAL = 1.5


def is_own(metric: Any, kind: str) -> bool:
    """Tell whether a metric is computed here; all others are computed by scikit-learn."""
    return isinstance(metric, str) and metric in _OWN[kind]


def score_predictions(
    target: Target, y: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None = None
) -> dict[str, float]:
    """Return all metrics of predictions, as scikit-learn defines them where it does.

    Of classes, precision, recall and F1 are about the positive class, or macro averages over the
    classes that occur. Of sets of labels they are macro averages, ``accuracy`` is the share of
    images with all labels right, and ``label_accuracy`` the share of right labels.
    """
    if isinstance(target, Labels):
        return _score_classes(target, y, predicted, weights)
    if isinstance(target, Numbers):
        return _score_numbers(y, predicted, weights)
    macro: dict[str, Any] = {"average": "macro", "zero_division": 0, "sample_weight": weights}
    return {
        "label_accuracy": float(np.average((predicted == y).mean(axis=1), weights=weights)),
        "accuracy": float(np.average((predicted == y).all(axis=1), weights=weights)),
        "precision": float(precision_score(y, predicted, **macro)),
        "recall": float(recall_score(y, predicted, **macro)),
        "f1": float(f1_score(y, predicted, **macro)),
    }


def _score_classes(
    labels: Labels, y: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None
) -> dict[str, float]:
    counts = count_confusion(labels, y, predicted, weights)
    right = np.diagonal(counts).astype(float)
    actual, taken = counts.sum(axis=1), counts[:, :-1].sum(axis=0)
    if labels.positive is not None:
        chosen = labels.classes == labels.positive
    else:
        chosen = actual + taken > 0

    def mean(below: np.ndarray) -> float:
        return float(
            np.divide(right, below, out=np.zeros(len(right)), where=below > 0)[chosen].mean()
        )

    return {
        "accuracy": float(np.average(predicted == y, weights=weights)),
        "precision": mean(taken),
        "recall": mean(actual),
        "f1": mean((actual + taken) / 2),
    }


def _score_numbers(
    y: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None
) -> dict[str, float]:
    errors = np.reshape(predicted, y.shape) - y
    squared = float(np.average(errors**2, weights=weights))
    spread = spread_of(y, weights)
    return {
        # Without a spread there is nothing to explain.
        "r2": 1 - squared / spread if spread > 0 else np.nan,
        "neg_mean_absolute_error": -float(np.average(np.abs(errors), weights=weights)),
        "neg_root_mean_squared_error": -float(np.sqrt(squared)),
        "neg_mean_squared_error": -squared,
    }


def spread_of(y: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the variance of numbers: the mean squared error of their mean."""
    return float(np.average((y - np.average(y, weights=weights)) ** 2, weights=weights))


def score_ranking(
    labels: Labels,
    classifier: Any,
    features: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray | None = None,
) -> float:
    """Return the area under the ROC curve: of the positive class, or the mean over all classes.

    It is the share of pairs, of an image of the class and one of the others, that are ranked
    rightly. scikit-learn's scorer takes the second class for the positive one, and has another name
    for more than two. Where a class is missing among the training or the test labels, it is NaN.
    """
    classes, positive = list(classifier.classes_), labels.positive
    values = _values(classifier, features, is_binary=positive is not None)
    seen = y if weights is None else y[weights > 0]
    if positive is not None:
        values = values if values.ndim == 1 else values[:, 1]
        values = (values if classes.index(positive) == 1 else -values)[:, None]
        classes = [positive]
        is_complete = len(np.unique(seen)) == 2
    else:
        is_complete = set(classes) == set(np.unique(seen)) == set(labels.classes)
    if not is_complete:
        return np.nan
    is_own = np.asarray(y)[:, None] == np.asarray(classes)
    if weights is not None:
        pairs = zip(is_own.T, values.T, strict=True)
        return float(np.mean([roc_auc_score(*each, sample_weight=weights) for each in pairs]))
    n_own = is_own.sum(axis=0)
    above = (rankdata(values, axis=0) * is_own).sum(axis=0) - n_own * (n_own + 1) / 2
    return float(np.mean(above / (n_own * (len(y) - n_own))))


def _values(classifier: Any, features: np.ndarray, *, is_binary: bool) -> np.ndarray:
    """Return how sure the classifier is: of the second of two classes, or of each."""
    if hasattr(classifier, "decision_function") and is_binary:
        return classifier.decision_function(features)
    if hasattr(classifier, "predict_proba"):
        return classifier.predict_proba(features)
    return classifier.decision_function(features)


def count_confusion(
    labels: Labels, y: np.ndarray, predicted: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """Count images, or add up their weights, by class (rows) and by what they were taken for.

    A last column counts what is none of the classes.
    """
    n = len(labels.classes)
    true = np.searchsorted(labels.classes, y)
    taken = np.minimum(np.searchsorted(labels.classes, predicted), n - 1)
    taken[labels.classes[taken] != predicted] = n
    return np.bincount(true * (n + 1) + taken, weights, n * (n + 1)).reshape(n, n + 1)


def recalls_of(confusion: Sequence[Sequence[float]] | np.ndarray) -> list[float]:
    """Return the share found of every class; NaN for a class without test images."""
    return [
        row[position] / total if (total := sum(row)) else np.nan
        for position, row in enumerate(confusion)
    ]


def balance(confusion: Sequence[Sequence[float]] | np.ndarray) -> float:
    """Return the mean of the recalls of all classes that have test images; NaN without any."""
    known = [each for each in recalls_of(confusion) if not np.isnan(each)]
    return float(np.mean(known)) if known else np.nan


def are_unequal(totals: Sequence[float] | np.ndarray) -> bool:
    """Tell whether classes differ so much in size that accuracy is about the larger ones."""
    return len(totals) > 0 and max(totals) >= _UNEQUAL * min(totals)
