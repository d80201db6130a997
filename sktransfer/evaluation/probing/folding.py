"""Labels and folds, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, check_cv
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

Folds = list[tuple[np.ndarray, np.ndarray]]


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
    try:
        y = column_or_1d(y)
        if len(y) != n_images:
            raise ValueError(
                f"{who} needs one label per image. Got {n_images} images and {len(y)} labels."
            )
        check_classification_targets(y)
        classes, counts = np.unique(y, return_counts=True)
    except (TypeError, ValueError) as error:
        if str(error).startswith(who):
            raise
        raise ValueError(
            f"{who} needs a class for each image as y: whole numbers or text, none missing. "
            f"Got others: {error}"
        ) from error
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
    """Split once, so that everything compared meets the same folds."""
    groups = check_groups(groups, len(labels.y), who=who)
    if isinstance(cv, Integral) and not isinstance(cv, bool):
        folds = _stratified(labels, int(cv), groups, random_state, who)
    else:
        folds = _given(labels, cv, groups, who)
    _check_folds(folds, labels, who)
    return folds


def check_groups(groups: Any, n_images: int, *, who: str) -> np.ndarray | None:
    """Check that there is a group for each image, or none at all."""
    if groups is None:
        return None
    groups = column_or_1d(groups)
    if len(groups) != n_images:
        raise ValueError(
            f"{who} needs one group per image. Got {n_images} images and {len(groups)} groups."
        )
    return groups


def _stratified(labels: Labels, cv: int, groups: Any, random_state: Any, who: str) -> Folds:
    if cv < 2 or labels.counts.min() < cv:
        raise ValueError(
            f"{who} needs at least 2 folds, and in each class as many images as folds. Got "
            f"cv={cv} and {labels.counts.min()} images of class "
            f"{labels.classes[labels.counts.argmin()]}: give more images, or fewer folds."
        )
    splitter: Any = StratifiedKFold
    if groups is not None:
        splitter = StratifiedGroupKFold
        n_groups = len(np.unique(groups))
        if n_groups < cv:
            raise ValueError(
                f"{who} needs as many groups as folds. Got cv={cv} and {n_groups} groups: set cv "
                "lower."
            )
    splitter = splitter(cv, shuffle=True, random_state=random_state)
    return list(splitter.split(labels.y, labels.y, groups))


def _given(labels: Labels, cv: Any, groups: Any, who: str) -> Folds:
    try:
        if isinstance(cv, str | bytes | bool) or not (
            isinstance(cv, Iterable) or hasattr(cv, "split")
        ):
            raise TypeError("not iterable")
        if not hasattr(cv, "split"):
            cv = [(np.asarray(train), np.asarray(test)) for train, test in cv]
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"The 'cv' parameter of {who} must be a whole number of folds, a splitter of "
            f"scikit-learn or pairs of indices. Got {cv!r} instead."
        ) from error
    y = labels.y
    parts = check_cv(cv, y, classifier=True).split(y, y, groups)
    return [
        (_to_indices(train, len(y), who), _to_indices(test, len(y), who)) for train, test in parts
    ]


def _to_indices(part: Any, n_images: int, who: str) -> np.ndarray:
    part = np.asarray(part)
    if part.dtype == bool and part.shape == (n_images,):
        return np.flatnonzero(part)
    # An empty list has no integer type; empty parts are reported later.
    if part.size and not (
        part.ndim == 1 and part.dtype.kind in "iu" and part.min() >= 0 and part.max() < n_images
    ):
        raise ValueError(
            f"The 'cv' parameter of {who} must give positions from 0 to {n_images - 1}. Got a part "
            f"of {part!r}."
        )
    return part.astype(np.intp)


def _check_folds(folds: Folds, labels: Labels, who: str) -> None:
    if len(folds) < 2:
        raise ValueError(
            f"{who} needs at least 2 folds to distinguish a difference from noise. Got "
            f"{len(folds)}."
        )
    for number, (train, test) in enumerate(folds, start=1):
        if not len(test):
            fault = "has no test images"
        elif len(np.unique(labels.y[train])) < 2:
            fault = f"trains on {len(train)} images of fewer than two classes"
        elif len(np.intersect1d(train, test)):
            fault = "tests on images that it trains on"
        else:
            continue
        raise ValueError(
            f"The 'cv' parameter of {who} must give folds that train on two classes or more and "
            f"test on other images. Fold {number} of {len(folds)} {fault}."
        )
