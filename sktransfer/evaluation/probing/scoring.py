"""Scorers of fitted classifiers and regressors: the default metrics, or those of scikit-learn."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.metrics import check_scoring, get_scorer_names

from sktransfer.base import InvalidParameterError, is_regression_scorer
from sktransfer.evaluation.probing.metrics import (
    DEFAULT_METRICS,
    is_own,
    score_predictions,
    score_ranking,
)
from sktransfer.evaluation.probing.targets import Labels, Numbers, Target
from sktransfer.evaluation.probing.weighting import fit_weighted

#: A fitted classifier, features and labels in; a value for each metric out.
Scorer = Callable[..., dict[str, float]]


class MetricScorer:
    """Scores a fitted classifier or regressor by several metrics at once.

    Those of :mod:`metrics` are computed there, from one prediction; all others by scikit-learn.

    Parameters
    ----------
    target : Labels, Numbers or LabelSets
        What is predicted, which decides what the names of metrics mean.
    scorers : dict of str to str or callable
        For each metric its name, or a scorer as scikit-learn names or makes it.
    classifier : estimator
        What will be scored.
    """

    def __init__(self, target: Target, scorers: dict[str, Any], classifier: Any) -> None:
        self._target, self._scorers, self._classifier = target, scorers, classifier
        others = {name: each for name, each in scorers.items() if not is_own(each, target.kind)}
        self._single = {
            name: check_scoring(classifier, scoring=each) for name, each in others.items()
        }
        self._others = check_scoring(classifier, scoring=others) if others else None

    @property
    def tested(self) -> str | None:
        """The name of the first metric, by which rows are tested; None of a user's own scorer."""
        first = next(iter(self._scorers.values()))
        return first if isinstance(first, str) else None

    def __call__(
        self,
        classifier: Any,
        features: np.ndarray,
        y: np.ndarray,
        predicted: np.ndarray | None = None,
        sample_weight: np.ndarray | None = None,
    ) -> dict[str, float]:
        """Return a value for each metric; `predicted` is what the classifier says, if known."""
        kind = self._target.kind
        values = self._score_others(classifier, features, y, sample_weight)
        chosen = {each for each in self._scorers.values() if is_own(each, kind)}
        own: dict[str, float] = {}
        if chosen - {"roc_auc"}:
            if predicted is None:
                predicted = classifier.predict(features)
            own = score_predictions(self._target, y, predicted, sample_weight)
        if "roc_auc" in chosen:
            assert isinstance(self._target, Labels)
            own["roc_auc"] = score_ranking(self._target, classifier, features, y, sample_weight)
        return {
            name: own[each] if is_own(each, kind) else values[name]
            for name, each in self._scorers.items()
        }

    def _score_others(
        self, classifier: Any, features: np.ndarray, y: np.ndarray, weights: np.ndarray | None
    ) -> dict[str, float]:
        if self._others is None:
            return {}
        if weights is None:
            return self._others(classifier, features, y)
        # Several scorers at once would pass weights to those only that take them.
        return {
            name: scorer(classifier, features, y, sample_weight=weights)
            for name, scorer in self._single.items()
        }

    def first(self) -> MetricScorer:
        """Return the same for the first metric alone."""
        name, scorer = next(iter(self._scorers.items()))
        return MetricScorer(self._target, {name: scorer}, self._classifier)


def make_scorer_of(
    target: Target, scoring: Any, classifier: Any, *, is_weighted: bool = False, who: str
) -> MetricScorer:
    """Return what scores a fitted classifier or regressor by several metrics at once.

    It is tried first, on a few random rows, so that a metric that cannot be had is known before
    any features are computed.

    Parameters
    ----------
    target : Labels, Numbers or LabelSets
        What is predicted. Of classes, it decides whether scores are about one class or macro
        averages.
    scoring : str, callable, list, tuple, dict or None
        None takes :data:`DEFAULT_METRICS`; anything else is as scikit-learn's ``cross_validate``
        takes it. The names of the defaults mean what :func:`score_predictions` says: of two classes
        they are about the positive one, whatever it is called. A callable is called by its name, or
        ``score``.
    classifier : estimator
        What will be scored.
    is_weighted : bool, default=False
        Whether images have weights, which the metrics must take.
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
        scorers = _name_scorers(scoring, target)
        for name, scorer in scorers.items():
            if is_own(scorer, target.kind):
                continue
            if isinstance(scorer, str):
                _check_name(scorer)
            if not isinstance(target, Numbers):
                _check_for_classes(name, check_scoring(classifier, scoring=scorer))
        scorer = MetricScorer(target, scorers, classifier)
        _try_scorer(scorer, classifier, target, is_weighted)
    except (InvalidParameterError, UnsetMetadataPassedError):
        raise  # of the classifier, and clear
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        cure = ", ".join(repr(name) for name in DEFAULT_METRICS[target.kind] if name != "roc_auc")
        what = "regressor" if isinstance(target, Numbers) else "classifier"
        weighted = " with sample_weight" if is_weighted else ""
        raise ValueError(
            f"The 'scoring' parameter of {who} must be None or a metric for {what}s. Got "
            f"{scoring!r}, by which {classifier!r} cannot be scored on {_say_values(target)}"
            f"{weighted}: {str(error).rstrip('.')}. scoring=[{cure}] fits every {what}."
        ) from error
    return scorer


def _say_values(target: Target) -> str:
    if isinstance(target, Labels):
        return f"classes {target.classes[:10].tolist()}"
    return "numbers" if isinstance(target, Numbers) else "sets of labels"


def _check_for_classes(name: str, scorer: Any) -> None:
    # They read labels as quantities, and accept numeric ones.
    if is_regression_scorer(scorer):
        raise ValueError(f"{name!r} is for regression, not for classification")


def _name_scorers(scoring: Any, target: Target) -> dict[str, Any]:
    """Return a scorer, or the name of one, for each metric."""
    if scoring is None:
        return {name: name for name in DEFAULT_METRICS[target.kind]}
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


def _try_scorer(scorer: Scorer, classifier: Any, target: Target, is_weighted: bool) -> None:
    """Score the classifier once on random rows, a few of each class."""
    y = _draw_targets(target)
    features = np.random.default_rng(0).random((len(y), 16), dtype=np.float32)
    weights = {"sample_weight": np.ones(len(y))} if is_weighted else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fitted = fit_weighted(clone(classifier), features, y, weights.get("sample_weight"))
        except (InvalidParameterError, UnsetMetadataPassedError):
            raise
        except Exception:
            return  # such as PCA(100): so few rows tell nothing about it
        scorer(fitted, features, y, **weights)


def _draw_targets(target: Target) -> np.ndarray:
    # Not negative and six of a class, so that most classifiers, searches inside them too, can fit.
    if isinstance(target, Labels):
        return np.repeat(target.classes, 6 if len(target.classes) <= 20 else 2)
    if isinstance(target, Numbers):
        return np.quantile(target.y, np.linspace(0, 1, 12))
    # Each label on every second image, beginning with one or the other.
    return (np.arange(12)[:, None] // 2 + np.arange(len(target.classes))) % 2
