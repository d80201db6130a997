"""Metrics for classifiers: the article's columns, or those of scikit-learn."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.base import clone
from sklearn.metrics import check_scoring, get_scorer_names

from sktransfer.base import InvalidParameterError
from sktransfer.evaluation.probing.folding import Labels

#: The columns of the article's tables, in its order.
METRICS = ("accuracy", "precision", "recall", "f1", "roc_auc")

#: A fitted classifier, features and labels in; a value for each metric out.
Scorer = Callable[[Any, np.ndarray, np.ndarray], dict[str, float]]


class MetricScorer:
    """Scores a fitted classifier by several metrics at once.

    Those of :data:`METRICS` are computed here, from one prediction; all others by scikit-learn.

    Parameters
    ----------
    labels : Labels
        The labels, which decide whether scores are about one class or macro averages.
    scorers : dict of str to str or callable
        For each metric one of :data:`METRICS`, or a scorer as scikit-learn names or makes it.
    classifier : estimator
        What will be scored.
    """

    def __init__(self, labels: Labels, scorers: dict[str, Any], classifier: Any) -> None:
        self._labels, self._scorers, self._classifier = labels, scorers, classifier
        others = {name: each for name, each in scorers.items() if not _is_own(each)}
        self._others = check_scoring(classifier, scoring=others) if others else None

    def __call__(
        self,
        classifier: Any,
        features: np.ndarray,
        y: np.ndarray,
        predicted: np.ndarray | None = None,
    ) -> dict[str, float]:
        """Return a value for each metric; `predicted` is what the classifier says, if known."""
        values = self._others(classifier, features, y) if self._others else {}
        chosen = {each for each in self._scorers.values() if _is_own(each)}
        if chosen - {"roc_auc"}:
            if predicted is None:
                predicted = classifier.predict(features)
            own = score_predictions(self._labels, y, predicted)
        else:
            own = {}
        if "roc_auc" in chosen:
            own["roc_auc"] = score_ranking(self._labels, classifier, features, y)
        return {
            name: own[each] if _is_own(each) else values[name]
            for name, each in self._scorers.items()
        }

    def first(self) -> MetricScorer:
        """Return the same for the first metric alone."""
        name, scorer = next(iter(self._scorers.items()))
        return MetricScorer(self._labels, {name: scorer}, self._classifier)


def _is_own(scorer: Any) -> bool:
    return isinstance(scorer, str) and scorer in METRICS


def make_scorer_of(labels: Labels, scoring: Any, classifier: Any, *, who: str) -> MetricScorer:
    """Return what scores a fitted classifier by several metrics at once.

    It is tried first, on a few random rows, so that a metric that cannot be had is known before
    any features are computed.

    Parameters
    ----------
    labels : Labels
        The labels, which decide whether scores are about one class or macro averages.
    scoring : str, callable, list, tuple, dict or None
        None takes :data:`METRICS`; anything else is as scikit-learn's ``cross_validate`` takes it.
        The names in :data:`METRICS` are about the positive class of two, whatever it is called,
        and macro averages of more. A callable is called by its name, or ``score``.
    classifier : estimator
        What will be scored.
    who : str
        The function named in errors.

    Returns
    -------
    MetricScorer
        From a fitted classifier, features and labels to a dict of values by metric.

    Raises
    ------
    ValueError
        If there is no such metric, or the classifier cannot be scored by it.
    """
    try:
        scorers = _name_scorers(scoring)
        for name, scorer in scorers.items():
            if isinstance(scorer, str):
                _check_name(scorer)
            function = getattr(check_scoring(classifier, scoring=scorer), "_score_func", None)
            # They read labels as quantities, and accept numeric ones.
            if getattr(function, "__module__", None) == "sklearn.metrics._regression":
                raise ValueError(f"{name!r} is for regression, not for classification")
        scorer = MetricScorer(labels, scorers, classifier)
        _try_scorer(scorer, classifier, labels)
    except InvalidParameterError:
        raise  # of the classifier, and clear
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        cure = ", ".join(repr(name) for name in METRICS if name != "roc_auc")
        raise ValueError(
            f"The 'scoring' parameter of {who} must be None or a metric for classifiers. Got "
            f"{scoring!r}, by which {classifier!r} cannot be scored on classes "
            f"{labels.classes[:10].tolist()}: {str(error).rstrip('.')}. scoring=[{cure}] fits "
            "every classifier."
        ) from error
    return scorer


def _name_scorers(scoring: Any) -> dict[str, Any]:
    """Return a scorer, or the name of one, for each metric."""
    if scoring is None:
        return {name: name for name in METRICS}
    if callable(scoring):
        return {getattr(scoring, "__name__", "score"): scoring}
    if isinstance(scoring, str):
        scoring = [scoring]
    if not isinstance(scoring, dict):
        scoring = {name: name for name in scoring}
    if not scoring:
        raise ValueError("there is no metric")
    return scoring


def _check_name(name: str) -> None:
    """Say which name may be meant: scikit-learn would list all of them."""
    if name not in (names := get_scorer_names()):
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"there is no metric {name!r}{hint}")


def _try_scorer(scorer: Scorer, classifier: Any, labels: Labels) -> None:
    """Score the classifier once on random rows, a few of each class."""
    # Not negative and six of a class, so that most classifiers, searches inside them too, can fit.
    y = np.repeat(labels.classes, 6 if len(labels.classes) <= 20 else 2)
    features = np.random.default_rng(0).random((len(y), 16), dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fitted = clone(classifier).fit(features, y)
        except InvalidParameterError:
            raise
        except Exception:
            return  # such as PCA(100): so few rows tell nothing about it
        scorer(fitted, features, y)


def count_confusion(labels: Labels, y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Count images by class (rows) and by what they were taken for (columns).

    A last column counts what is none of the classes.
    """
    n = len(labels.classes)
    true = np.searchsorted(labels.classes, y)
    taken = np.minimum(np.searchsorted(labels.classes, predicted), n - 1)
    taken[labels.classes[taken] != predicted] = n
    return np.bincount(true * (n + 1) + taken, minlength=n * (n + 1)).reshape(n, n + 1)


def recalls_of(confusion: Sequence[Sequence[float]]) -> list[float]:
    """Return the share found of every class; NaN for a class without test images."""
    return [
        row[position] / total if (total := sum(row)) else np.nan
        for position, row in enumerate(confusion)
    ]


def score_predictions(labels: Labels, y: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return accuracy, precision, recall and F1, as scikit-learn defines them.

    The last three are about the positive class, or macro averages over the classes that occur.
    """
    counts = count_confusion(labels, y, predicted)
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
        "accuracy": float(np.mean(predicted == y)),
        "precision": mean(taken),
        "recall": mean(actual),
        "f1": mean((actual + taken) / 2),
    }


def score_ranking(labels: Labels, classifier: Any, features: np.ndarray, y: np.ndarray) -> float:
    """Return the area under the ROC curve: of the positive class, or the mean over all classes.

    It is the share of pairs, of an image of the class and one of the others, that are ranked
    rightly. scikit-learn's scorer takes the second class for the positive one, and has another name
    for more than two. Where a class is missing among the training or the test labels, it is NaN.
    """
    classes, positive = list(classifier.classes_), labels.positive
    values = _values(classifier, features, is_binary=positive is not None)
    if positive is not None:
        values = values if values.ndim == 1 else values[:, 1]
        values = (values if classes.index(positive) == 1 else -values)[:, None]
        classes = [positive]
        is_complete = len(np.unique(y)) == 2
    else:
        is_complete = set(classes) == set(np.unique(y)) == set(labels.classes)
    if not is_complete:
        return np.nan
    is_own = np.asarray(y)[:, None] == np.asarray(classes)
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
