"""Targets: classes, numbers or sets of labels, checked."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import type_of_target

from sktransfer.base import as_labels


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

    kind: ClassVar[str] = "classes"

    y: np.ndarray
    classes: np.ndarray
    counts: np.ndarray
    positive: Any


@dataclass(frozen=True)
class Numbers:
    """The numbers of a regression, checked.

    Attributes
    ----------
    y : ndarray of shape (n_images,)
        The number of each image, float64.
    """

    kind: ClassVar[str] = "numbers"
    positive: ClassVar[None] = None

    y: np.ndarray

    @property
    def classes(self) -> np.ndarray:
        """None: of shape `(0,)`."""
        return np.empty(0)


@dataclass(frozen=True)
class LabelSets:
    """Several labels for each image, of which any may be there or not; checked.

    Attributes
    ----------
    y : ndarray of shape (n_images, n_labels)
        1 where an image has a label, else 0.
    classes : ndarray of shape (n_labels,)
        What the columns are called, or their positions.
    """

    kind: ClassVar[str] = "labels"
    positive: ClassVar[None] = None

    y: np.ndarray
    classes: np.ndarray


Target = Labels | Numbers | LabelSets


def say_target(kind: str, classes: Any) -> str:
    """Say what is predicted: `10 classes`, `a number for each` or `5 labels`."""
    return "a number for each" if kind == "numbers" else f"{len(classes)} {kind}"


def check_target(
    y: Any, n_images: int, *, positive: Any = None, predictor: Any = None, who: str
) -> Target:
    """Find out what is to be predicted, and check that it can be learned.

    Whole numbers and text are classes, other numbers are numbers, and columns of 0 and 1 are sets
    of labels. Whole numbers are numbers where a regressor is to predict them.

    Parameters
    ----------
    y : array-like of shape (n_images,) or (n_images, n_labels)
        The target of each image.
    n_images : int
        How many images there are.
    positive : object, default=None
        Of two classes the one that scores are about, as for :func:`check_labels`.
    predictor : estimator or None, default=None
        What the user wants to predict it with.
    who : str
        The function named in errors.

    Returns
    -------
    Labels, Numbers or LabelSets
        The target.

    Raises
    ------
    ValueError
        If it is of no kind that can be predicted.
    """
    kind = _kind_of(y)
    if kind == "continuous-multioutput":
        raise ValueError(
            f"{who} needs one number for each image as y. Got {np.shape(y)[1]} columns of numbers: "
            "call it for one after the other."
        )
    is_number = kind == "continuous" or predicts(predictor, "numbers")
    if not (is_number or kind == "multilabel-indicator"):
        _check_no_numbers(y, kind, who)
        return check_labels(y, n_images, positive=positive, who=who)
    if positive is not None:
        raise ValueError(
            f"The 'positive' parameter of {who} is for two classes. Got {positive!r} with a y of "
            f"{'numbers' if is_number else 'several labels for each image'}: leave it out."
        )
    return _check_numbers(y, n_images, who) if is_number else _check_sets(y, n_images, who)


def _kind_of(y: Any) -> str:
    try:
        # Of numbers, one that is missing or infinite does not make them something else.
        values = np.asarray(y)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            known = values[np.isfinite(values)]
            return "continuous" if np.any(known != np.round(known)) else "unknown"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an error says it
            return type_of_target(y)
    except (TypeError, ValueError):
        return "unknown"


def _check_no_numbers(y: Any, kind: str, who: str) -> None:
    """Find out whether whole numbers are classes, of which there are several images."""
    if kind != "multiclass" or (values := np.asarray(y)).dtype.kind not in "iuf":
        return
    n_classes = len(np.unique(values))
    if 2 * n_classes > len(values):
        raise ValueError(
            f"{who} takes whole numbers as classes, with several images of each. Got {n_classes} "
            f"different ones in y for {len(values)} images: to predict numbers, pass a regressor "
            "as 'classifier', such as RidgeCV()."
        )


def _check_numbers(y: Any, n_images: int, who: str) -> Numbers:
    try:
        values = column_or_1d(y).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{who} needs a number for each image as y, to be predicted by a regressor. Got "
            f"others: {error}"
        ) from error
    check_length(values, n_images, "number", who)
    if not np.isfinite(values).all():
        n_missing = int((~np.isfinite(values)).sum())
        raise ValueError(
            f"{who} needs a finite number for each image as y. Got {n_missing} that are NaN or "
            "infinite: leave these images out."
        )
    if values.min() == values.max():
        raise ValueError(
            f"{who} needs numbers that differ. Got only {values[0]:g} in y (n_samples={n_images})."
        )
    return Numbers(values)


def _check_sets(y: Any, n_images: int, who: str) -> LabelSets:
    columns = getattr(y, "columns", None)
    values = np.asarray(y.toarray() if hasattr(y, "toarray") else y).astype(np.int64)
    check_length(values, n_images, "row of labels", who)
    if (values.sum(axis=1) == 1).all():
        raise ValueError(
            f"{who} takes columns of 0 and 1 for labels of which an image may have several. Got "
            "exactly one in each row, as of classes: pass y.argmax(axis=1)."
        )
    names = np.arange(values.shape[1]) if columns is None else np.asarray(columns)
    counts = values.sum(axis=0)
    constant = names[(counts == 0) | (counts == n_images)]
    if len(constant):
        raise ValueError(
            f"{who} needs labels that some images have and others have not. Got "
            f"{', '.join(map(str, constant))} on all images or none: leave these columns out."
        )
    return LabelSets(values, names)


def check_length(y: Any, n_images: int, what: str, who: str) -> None:
    """Check that there are as many of them as images."""
    if len(y) != n_images:
        raise ValueError(
            f"{who} needs one {what} per image. Got {n_images} images and {len(y)} of them."
        )


def predicts(estimator: Any, kind: str) -> bool:
    """Tell whether an estimator is of the sort that predicts this kind of target."""
    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
        return False
    return is_regressor(estimator) if kind == "numbers" else is_classifier(estimator)


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
    y = as_labels(y, who)
    if len(y) != n_images:
        raise ValueError(
            f"{who} needs one label per image. Got {n_images} images and {len(y)} labels."
        )
    classes, counts = np.unique(y, return_counts=True)
    if len(classes) < 2:
        raise ValueError(f"{who} needs at least two classes. Got 1 class in y: {classes.tolist()}.")
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
