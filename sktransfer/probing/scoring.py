"""By what a classifier is scored: the article's columns, or what scikit-learn knows."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.metrics import (
    accuracy_score,
    check_scoring,
    f1_score,
    get_scorer_names,
    make_scorer,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.utils._param_validation import InvalidParameterError

from sktransfer.probing.folding import Labels

#: The columns of the article's tables, in its order.
METRICS = ("accuracy", "precision", "recall", "f1", "roc_auc")

#: A fitted classifier, features and labels in; a value for each metric out.
Scorer = Callable[[Any, np.ndarray, np.ndarray], dict[str, float]]


def make_scorer_of(labels: Labels, scoring: Any, classifier: Any, *, who: str) -> Scorer:
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
    callable
        From a fitted classifier, features and labels to a dict of values by metric.

    Raises
    ------
    ValueError
        If there is no such metric, or the classifier cannot be scored by it.
    """
    try:
        scorers = _name_scorers(labels, scoring)
        for name, scorer in scorers.items():
            if isinstance(scorer, str):
                _check_name(scorer)
            function = getattr(check_scoring(classifier, scoring=scorer), "_score_func", None)
            # They take labels for quantities, and accept those that are numbers.
            if getattr(function, "__module__", None) == "sklearn.metrics._regression":
                raise ValueError(f"{name!r} is about quantities, and not about classes")
        scorer = check_scoring(classifier, scoring=scorers)
        _try_scorer(scorer, classifier, labels)
    except InvalidParameterError:
        raise  # of the classifier, and clear
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        cure = ", ".join(repr(name) for name in METRICS if name != "roc_auc")
        raise ValueError(
            f"The 'scoring' parameter of {who} must be None or what scores a classifier. Got "
            f"{scoring!r}, by which {classifier!r} cannot be scored on classes "
            f"{labels.classes[:10].tolist()}: {str(error).rstrip('.')}. "
            f"scoring=[{cure}] fits every classifier."
        ) from error
    return scorer


def _name_scorers(labels: Labels, scoring: Any) -> dict[str, Any]:
    """Return a scorer, or scikit-learn's name of one, for each metric."""
    own = _own_scorers(labels)
    if scoring is None:
        return own
    if callable(scoring):
        return {getattr(scoring, "__name__", "score"): scoring}
    if isinstance(scoring, str):
        scoring = [scoring]
    if not isinstance(scoring, dict):
        scoring = {name: name for name in scoring}
    if not scoring:
        raise ValueError("there is no metric")
    return {
        name: own.get(scorer, scorer) if isinstance(scorer, str) else scorer
        for name, scorer in scoring.items()
    }


def _check_name(name: str) -> None:
    """Say which name may be meant: scikit-learn would list all of them."""
    if name not in (names := get_scorer_names()):
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"there is no metric {name!r}{hint}")


def _own_scorers(labels: Labels) -> dict[str, Any]:
    average: dict[str, Any] = {"average": "macro"}
    if labels.positive is not None:
        average = {"average": "binary", "pos_label": labels.positive}
    functions = {"precision": precision_score, "recall": recall_score, "f1": f1_score}
    scorers: dict[str, Any] = {"accuracy": make_scorer(accuracy_score)}
    scorers |= {
        name: make_scorer(function, zero_division=0, **average)
        for name, function in functions.items()
    }
    return scorers | {"roc_auc": _RocAuc(labels)}


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


class _RocAuc:
    """Area under the ROC curve of the positive class, or the mean of each class against the rest.

    scikit-learn's scorer takes the second class for the positive one, and has another name for
    more than two. Where a class is missing among the training or the test labels, it is NaN.
    """

    def __init__(self, labels: Labels) -> None:
        self.labels = labels

    def __call__(self, classifier: Any, features: np.ndarray, y: np.ndarray) -> float:
        classes, positive = list(classifier.classes_), self.labels.positive
        values = self._values(classifier, features)
        if positive is not None:
            values = values if values.ndim == 1 else values[:, 1]
            values = values if classes.index(positive) == 1 else -values
            return float(roc_auc_score(y == positive, values)) if len(np.unique(y)) == 2 else np.nan
        if not set(classes) == set(np.unique(y)) == set(self.labels.classes):
            return np.nan
        columns = zip(classes, values.T, strict=True)
        return float(np.mean([roc_auc_score(y == label, column) for label, column in columns]))

    def _values(self, classifier: Any, features: np.ndarray) -> np.ndarray:
        """Return how sure the classifier is: of the second of two classes, or of each."""
        is_binary = self.labels.positive is not None
        if hasattr(classifier, "decision_function") and is_binary:
            return classifier.decision_function(features)
        if hasattr(classifier, "predict_proba"):
            return classifier.predict_proba(features)
        return classifier.decision_function(features)
