"""Folds, the same for everything that is compared, and checked before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    check_cv,
)
from sklearn.utils import check_random_state, column_or_1d

from sktransfer.evaluation.probing.targets import Labels, LabelSets, Numbers, Target

Folds = list[tuple[np.ndarray, np.ndarray]]


def make_folds(
    target: Target, cv: Any, *, random_state: Any, groups: Any = None, who: str
) -> Folds:
    """Split once, so that everything compared meets the same folds.

    Classes and sets of labels are stratified, the latter only where there are no groups; numbers
    are shuffled.
    """
    check_seed(random_state, who)
    groups = check_groups(groups, len(target.y), who=who)
    if not isinstance(cv, Integral) or isinstance(cv, bool):
        folds = _given(target, cv, groups, who)
    elif isinstance(target, Labels):
        folds = _stratified(target, int(cv), groups, random_state, who)
    else:
        folds = _shuffled(target, int(cv), groups, random_state, who)
    _check_folds(folds, target, who)
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
    try:
        found = np.unique(groups)
        is_complete = not (found != found).any()  # as NaN is
    except TypeError:  # of None, or of values that cannot be sorted
        is_complete = False
    if not is_complete:
        raise ValueError(
            f"The 'groups' parameter of {who} must hold numbers alone or text alone, none missing. "
            f"Got {groups[:5].tolist()}{' ...' * (n_images > 5)}: name the group of each image."
        )
    return groups


def check_seed(random_state: Any, who: str) -> None:
    """Check that random numbers can be drawn from a seed."""
    try:
        check_random_state(random_state)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The 'random_state' parameter of {who} must be None or a whole number from 0 to "
            f"{2**32 - 1:,}. Got {random_state!r} instead."
        ) from error


def _stratified(labels: Labels, cv: int, groups: Any, random_state: Any, who: str) -> Folds:
    check_enough_images(labels, cv, who)
    splitter: Any = StratifiedKFold
    if groups is not None:
        splitter = StratifiedGroupKFold
        _check_enough_groups(groups, cv, who)
    splitter = splitter(cv, shuffle=True, random_state=random_state)
    return list(splitter.split(labels.y, labels.y, groups))


def check_enough_images(labels: Labels, cv: int, who: str) -> None:
    """Check that every fold can test images of each class."""
    fewest = int(labels.counts.min())
    if cv >= 2 and fewest >= cv:
        return
    rarest = labels.classes[labels.counts.argmin()]
    one = f"{fewest} image{'s' * (fewest > 1)} of class {rarest}"
    cure = f"give more of them, or set cv={max(2, min(cv, fewest))}"
    if fewest < 2:
        cure = "give more of them, or leave out the class"
    raise ValueError(
        f"{who} needs at least 2 folds, and in each class as many images as folds. Got cv={cv} and "
        f"{one}: {cure}."
    )


def _check_enough_groups(groups: np.ndarray, cv: int, who: str) -> None:
    n_groups = len(np.unique(groups))
    if n_groups < cv:
        raise ValueError(
            f"{who} needs as many groups as folds. Got cv={cv} and {n_groups} groups: set cv lower."
        )


def _shuffled(
    target: Numbers | LabelSets, cv: int, groups: Any, random_state: Any, who: str
) -> Folds:
    n_images = len(target.y)
    if cv < 2 or n_images < 2 * cv:
        more = f", or set cv={max(2, min(cv, n_images // 2))}" if n_images >= 4 else ""
        raise ValueError(
            f"{who} needs at least 2 folds, and two images for each of them. Got cv={cv} and "
            f"{n_images} images: give more images{more}."
        )
    if groups is not None:
        _check_enough_groups(groups, cv, who)
        splitter = GroupKFold(cv, shuffle=True, random_state=random_state)
        return list(splitter.split(target.y, groups=groups))
    if isinstance(target, Numbers):
        return list(KFold(cv, shuffle=True, random_state=random_state).split(target.y))
    rng = check_random_state(random_state)
    fold_of = spread_sets(target.y, np.full(cv, 1 / cv), rng)
    return [(np.flatnonzero(fold_of != i), np.flatnonzero(fold_of == i)) for i in range(cv)]


def spread_sets(y: np.ndarray, shares: np.ndarray, rng: Any) -> np.ndarray:
    """Spread images over parts so that every label is spread as the images are.

    Of the labels that are left, the rarest one is dealt out first, each of its images to the part
    that lacks most of them.

    Parameters
    ----------
    y : ndarray of shape (n_images, n_labels)
        1 where an image has a label, else 0.
    shares : ndarray of shape (n_parts,)
        Which share of the images each part is to have.
    rng : RandomState
        Decides between equals.

    Returns
    -------
    ndarray of shape (n_images,)
        The part of every image.

    References
    ----------
    K. Sechidis, G. Tsoumakas, I. Vlahavas, "On the stratification of multi-label data", 2011,
    https://doi.org/10.1007/978-3-642-23808-6_10.
    """
    part_of = np.full(len(y), -1)
    order = rng.permutation(len(y))
    room = shares * len(y)
    lacking = shares[:, None] * y.sum(axis=0)
    while (part_of < 0).any():
        left = order[part_of[order] < 0]
        counts = y[left].sum(axis=0)
        chosen = left
        label = None
        if counts.any():
            label = int(np.where(counts > 0, counts, len(y) + 1).argmin())
            chosen = left[y[left, label] == 1]
        for image in chosen:
            wanted = room if label is None else lacking[:, label]
            best = np.flatnonzero(wanted >= wanted.max() - 1e-9)
            best = best[room[best] >= room[best].max() - 1e-9]
            part = part_of[image] = rng.choice(best)
            room[part] -= 1
            lacking[part] -= y[image]
    return part_of


def _given(target: Target, cv: Any, groups: Any, who: str) -> Folds:
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
    y = target.y
    is_classes = isinstance(target, Labels)
    parts = check_cv(cv, y, classifier=is_classes).split(y, y, groups)
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


def _check_folds(folds: Folds, target: Target, who: str) -> None:
    if len(folds) < 2:
        raise ValueError(
            f"{who} needs at least 2 folds to distinguish a difference from noise. Got "
            f"{len(folds)}."
        )
    what, cure = _NEEDED[target.kind]
    for number, (train, test) in enumerate(folds, start=1):
        if not len(test):
            fault = "has no test images"
        elif missing := _find_missing(target, train):
            fault = f"trains on {len(train)} images {missing}"
        elif len(np.intersect1d(train, test)):
            fault = "tests on images that it trains on"
        else:
            continue
        raise ValueError(
            f"The 'cv' parameter of {who} must give folds that train on {what} and "
            f"test on other images. Fold {number} of {len(folds)} {fault}.{cure}"
        )


# What a fold trains on, by the kind of target, and what helps where it does not.
_NEEDED = {
    "classes": ("two classes or more", ""),
    "numbers": ("different numbers", ""),
    "labels": (
        "images with and without each label",
        " Leave rare labels out, or set cv to fewer folds.",
    ),
}


def _find_missing(target: Target, train: np.ndarray) -> str:
    """Say what a training part lacks, or nothing."""
    known = target.y[train]
    if isinstance(target, Labels):
        return "of fewer than two classes" if len(np.unique(known)) < 2 else ""
    if not isinstance(target, LabelSets):
        return "of equal numbers" if len(np.unique(known)) < 2 else ""
    counts = known.sum(axis=0)
    names = target.classes[(counts == 0) | (counts == len(train))]
    return f"of which all or none have the label {names[0]}" if len(names) else ""
