"""Linear probes: the same images, folds, classifier and scores for everything that is compared.

What is compared differs in one thing, the features. All else is decided here, once for everybody:
which labels and folds will do, how raw pixels become features, and how a classifier is scored.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    check_scoring,
    f1_score,
    make_scorer,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.model_selection import StratifiedKFold, check_cv
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from sktransfer import value_range as _value_range
from sktransfer.images import ArrayImages, Images, ImageWarning
from sktransfer.preprocessing import Resizing, resize, to_255

#: The columns of the article's tables, in its order.
METRICS = ("accuracy", "precision", "recall", "f1", "roc_auc")

#: Side to which files and lists of images are brought for raw pixels, in pixels.
RAW_SIZE = 32

Folds = list[tuple[np.ndarray, np.ndarray]]
#: A fitted classifier, features and labels in; a value for each metric out.
Scorer = Callable[[Any, np.ndarray, np.ndarray], dict[str, float]]


@dataclass(frozen=True)
class Labels:
    """The labels of a classification, checked.

    Attributes
    ----------
    y : ndarray of shape (n_images,)
        The label of each image.
    classes : ndarray of shape (n_classes,)
        The different labels, sorted.
    counts : ndarray of shape (n_classes,)
        Images of each.
    positive : object or None
        Of two classes the one that precision, recall, F1 and ROC AUC are about; else None.
    """

    y: np.ndarray
    classes: np.ndarray
    counts: np.ndarray
    positive: Any


def check_labels(y: Any, n_images: int, *, positive: Any = None, who: str) -> Labels:
    """Check that labels can be learned from, before anything is computed.

    Parameters
    ----------
    y : array-like of shape (n_images,)
        The label of each image.
    n_images : int
        How many images there are.
    positive : object, default=None
        Of two classes the one that scores are about; None takes the second in sorted order, as
        scikit-learn does. Ignored with more classes, whose scores are macro averages.
    who : str
        The function named in errors.

    Returns
    -------
    Labels
        The labels.

    Raises
    ------
    ValueError
        If they are not one per image, not classes, or of a single class.
    """
    y = column_or_1d(y)
    check_classification_targets(y)
    if len(y) != n_images:
        raise ValueError(
            f"{who} needs one label per image. Got {n_images} images and {len(y)} labels."
        )
    classes, counts = np.unique(y, return_counts=True)
    if len(classes) < 2:
        raise ValueError(f"{who} needs at least two classes. Got only {classes.tolist()} in y.")
    if positive is not None and positive not in classes:
        raise ValueError(
            f"The 'positive' parameter of {who} must be one of the classes {classes.tolist()}. "
            f"Got {positive!r} instead."
        )
    if len(classes) > 2:
        positive = None
    elif positive is None:
        positive = classes[1]
    return Labels(y, classes, counts, positive)


def make_folds(
    labels: Labels, cv: Any, *, random_state: Any, groups: Any = None, who: str
) -> Folds:
    """Split once, so that everything compared meets the same folds.

    Parameters
    ----------
    labels : Labels
        The labels.
    cv : int, splitter or iterable
        A number of stratified folds, shuffled by `random_state`; or what scikit-learn takes as
        `cv`: a splitter, or pairs of training and test indices.
    random_state : int or None
        Seed of the shuffling where `cv` is a number.
    groups : array-like of shape (n_images,) or None, default=None
        Which images must not be separated, for splitters that keep groups together.
    who : str
        The function named in errors.

    Returns
    -------
    list of tuple of ndarray
        Indices of the training and the test images of every fold.

    Raises
    ------
    TypeError
        If `cv` is none of these.
    ValueError
        If a class has fewer images than there are folds.
    """
    if isinstance(cv, bool) or not (
        isinstance(cv, Integral | Iterable) or (hasattr(cv, "split") and not isinstance(cv, str))
    ):
        raise TypeError(
            f"The 'cv' parameter of {who} must be a whole number of folds, a splitter of "
            f"scikit-learn or pairs of indices. Got {cv!r} instead."
        )
    y = labels.y
    if not isinstance(cv, Integral):
        return list(check_cv(cv, y, classifier=True).split(y, y, groups))
    if cv < 2 or labels.counts.min() < cv:
        raise ValueError(
            f"{who} needs at least 2 folds, and in each class as many images as folds. Got "
            f"cv={cv} and {labels.counts.min()} images of class "
            f"{labels.classes[labels.counts.argmin()]}: give more images, or set cv lower."
        )
    return list(StratifiedKFold(int(cv), shuffle=True, random_state=random_state).split(y, y))


def make_classifier() -> Any:
    """Return the linear probe that is used where none is given.

    Returns
    -------
    Pipeline
        A StandardScaler and ``LogisticRegression(max_iter=1000)``, not fitted.
    """
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def make_scorer_of(labels: Labels, scoring: Any, classifier: Any) -> Scorer:
    """Return what scores a fitted classifier by several metrics at once.

    Parameters
    ----------
    labels : Labels
        The labels, which decide whether scores are about one class or macro averages.
    scoring : str, callable, list, tuple, dict or None
        None takes :data:`METRICS`; anything else is as scikit-learn's ``cross_validate`` takes it,
        a single metric then being called ``score`` if it has no name.
    classifier : estimator
        What will be scored.

    Returns
    -------
    callable
        From a fitted classifier, features and labels to a dict of values by metric.

    Raises
    ------
    ValueError
        If there is no such metric, or the classifier cannot be scored by it.
    """
    if scoring is None:
        is_binary = labels.positive is not None
        average = (
            {"pos_label": labels.positive, "average": "binary"}
            if is_binary
            else {"average": "macro"}
        )
        functions = {"precision": precision_score, "recall": recall_score, "f1": f1_score}
        scoring = {"accuracy": make_scorer(accuracy_score)}
        scoring |= {
            name: make_scorer(function, zero_division=0, **average)
            for name, function in functions.items()
        }
        scoring["roc_auc"] = _RocAuc(labels)
    elif isinstance(scoring, str):
        scoring = [scoring]
    elif callable(scoring):
        scoring = {getattr(scoring, "__name__", "score"): scoring}
    return check_scoring(classifier, scoring=scoring)


class _RocAuc:
    """Area under the ROC curve of the positive class, or of each class against the rest.

    scikit-learn's scorer takes the second class for the positive one, and has another name for
    more than two.
    """

    def __init__(self, labels: Labels) -> None:
        self.labels = labels

    def __call__(self, classifier: Any, features: np.ndarray, y: np.ndarray) -> float:
        classes, positive = list(classifier.classes_), self.labels.positive
        if hasattr(classifier, "decision_function") and positive is not None:
            values = classifier.decision_function(features)
            sign = 1 if classes.index(positive) == 1 else -1
            return float(roc_auc_score(y == positive, sign * values))
        values = classifier.predict_proba(features)
        if positive is not None:
            return float(roc_auc_score(y == positive, values[:, classes.index(positive)]))
        return float(roc_auc_score(y, values, multi_class="ovr", labels=classes))


@dataclass(frozen=True)
class FoldScores:
    """What one classifier reached on one kind of features.

    Attributes
    ----------
    scores : dict of str to list of float
        Each metric's value on every fold.
    seconds : float
        Time to fit and score on all folds.
    n_not_converged : int
        Folds in which the classifier stopped before it converged.
    """

    scores: dict[str, list[float]]
    seconds: float
    n_not_converged: int


def score_folds(
    features: np.ndarray,
    y: np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    classifier: Any,
    scorer: Scorer,
    *,
    progress: str | None = None,
) -> FoldScores:
    """Fit and score clones of a classifier, fold by fold.

    Parameters
    ----------
    features : ndarray of shape (n_images, n_features)
        What the classifier sees.
    y : ndarray of shape (n_images,)
        The labels.
    folds : sequence of tuple of ndarray
        Indices of training and test images.
    classifier : estimator
        Not fitted, and never changed.
    scorer : callable
        As :func:`make_scorer_of` returns it.
    progress : str or None, default=None
        What a progress bar is called; None shows none.

    Returns
    -------
    FoldScores
        Scores, seconds, and how often the classifier stopped early.
    """
    from tqdm.auto import tqdm

    scores: dict[str, list[float]] = {}
    n_not_converged = 0
    start = time.perf_counter()
    for train, test in tqdm(folds, desc=progress, unit="fold", disable=progress is None):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            fitted = clone(classifier).fit(features[train], y[train])
        n_not_converged += any(issubclass(w.category, ConvergenceWarning) for w in caught)
        for warning in caught:
            if not issubclass(warning.category, ConvergenceWarning):
                warnings.warn(warning.message, warning.category, stacklevel=2)
        for metric, value in scorer(fitted, features[test], y[test]).items():
            scores.setdefault(metric, []).append(float(value))
    return FoldScores(scores, time.perf_counter() - start, n_not_converged)


def raw_pixels(
    images: Images, value_range: str | Sequence[float], *, is_said: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels as flat rows, to be compared with features.

    Parameters
    ----------
    images : ArrayImages or ImageList
        The images; those of a list are brought to one small size, RGB, with antialiasing.
    value_range : 'auto' or tuple of float
        The values of black and white.
    is_said : bool
        Whether others warn of a doubtful range already.

    Returns
    -------
    values : ndarray of shape (n_images, n_values)
        The values as they are; of lists from 0 to 255.
    unit_values : ndarray of shape (n_images, n_values)
        The same from black as 0 to white as 1, float32.
    """
    extents = _value_range.measure(images)
    with warnings.catch_warnings():
        if is_said:
            warnings.simplefilter("ignore", ImageWarning)
        chosen = _value_range.choose(images, extents, value_range)
    if isinstance(images, ArrayImages):
        pixels = images.data.reshape(len(images), -1)
        assert chosen is not None  # there are arrays
        black, white = chosen
        return pixels, (pixels.astype(np.float32) - black) / (white - black)
    resizing = Resizing(RAW_SIZE, "stretch", "bilinear", antialias=True)
    out = np.empty((len(images), RAW_SIZE, RAW_SIZE, 3), dtype=np.float32)
    for position, (group, own_range) in enumerate(images.load(0, len(images), chosen)):
        out[position] = resize(to_255(group, own_range), resizing)
    rows = out.reshape(len(out), -1)
    return rows, rows / 255


def to_plain(value: Any) -> Any:
    """Turn NumPy's scalars into Python's own, which JSON knows.

    Parameters
    ----------
    value : object
        Any value.

    Returns
    -------
    object
        The same as a Python object.
    """
    return value.item() if isinstance(value, np.generic) else value
