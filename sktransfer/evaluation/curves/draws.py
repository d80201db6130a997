"""Draws of training and test images: nested, stratified, and the same for every row."""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from sktransfer.evaluation.probing import Folds, Labels, Target
from sktransfer.evaluation.probing.folding import check_groups

# Where there are no classes: the first number of images by default, and the fewest at all.
_FIRST, _FEWEST = 10, 2


def split(
    target: Target, test: Any, n_repeats: int, rng: Any, *, groups: Any = None, who: str
) -> Folds:
    """Draw for each repeat an order of the training images, and the test images.

    Every beginning of the order is stratified by class, and holds every class if it is long enough.
    Without classes, chance decides. No group is both learned from and tested on.
    """
    labels = _stratify(target)
    counts, classes = labels.counts, labels.classes
    groups = check_groups(groups, len(labels.y), who=who)
    if isinstance(test, Real):
        if isinstance(test, bool) or not 0 < float(test) < 1:
            raise ValueError(
                f"The 'test' parameter of {who} must be a share between 0 and 1 or the positions "
                f"of the test images. Got {test!r} instead."
            )
        if counts.min() < 2:
            raise ValueError(
                f"{who} needs at least 2 images of each class, one for training and one for "
                f"testing. Got {counts.min()} of class {classes[counts.argmin()]}."
            )
        if groups is not None:
            return _split_groups(labels, float(test), groups, n_repeats, rng, who)
        n_tested = np.clip(np.round(float(test) * counts).astype(int), 1, counts - 1)
        splits = []
        for _ in range(n_repeats):
            parts = [rng.permutation(np.flatnonzero(labels.y == label)) for label in classes]
            pairs = list(zip(parts, n_tested, strict=True))
            tested = np.sort(np.concatenate([part[:n] for part, n in pairs]))
            splits.append((_order([part[n:] for part, n in pairs], rng), tested))
        return splits
    tested = _test_positions(test, labels, who)
    is_free = np.ones(len(labels.y), dtype=bool)
    is_free[tested] = False
    if groups is not None and len(both := np.intersect1d(groups[tested], groups[is_free])):
        raise ValueError(
            f"The 'test' parameter of {who} must hold all images of a group or none. Got some of "
            f"{len(both)} groups, such as {both[0]!r}."
        )
    rests = [np.flatnonzero(is_free & (labels.y == label)) for label in classes]
    for label, rest in zip(classes, rests, strict=True):
        if not len(rest):
            raise ValueError(
                f"The 'test' parameter of {who} must leave images of every class for training. Got "
                f"all of class {label} in it."
            )
    return [
        (_order([rng.permutation(rest) for rest in rests], rng), tested) for _ in range(n_repeats)
    ]


def _stratify(target: Target) -> Labels:
    """Take images without classes for those of a single one."""
    if isinstance(target, Labels):
        return target
    n = len(target.y)
    return Labels(np.zeros(n, dtype=int), np.zeros(1, dtype=int), np.array([n]), None)


def _split_groups(
    labels: Labels, test: float, groups: np.ndarray, n_repeats: int, rng: Any, who: str
) -> Folds:
    """Hold out whole groups, with about so much of each class."""
    y, classes = labels.y, labels.classes
    n_parts = max(2, round(1 / test))
    if len(np.unique(groups)) < n_parts:
        raise ValueError(
            f"{who} needs at least {n_parts} groups to test on a share of {test:g} of the images. "
            f"Got {len(np.unique(groups))}: set test higher, or to positions of test images."
        )
    splits: Folds = []
    for _ in range(n_repeats):
        splitter = StratifiedGroupKFold(n_parts, shuffle=True, random_state=rng.randint(2**31 - 1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of classes rarer than parts
            parts = list(splitter.split(y, y, groups))
        able = [
            part for part in parts if all(len(np.unique(y[side])) == len(classes) for side in part)
        ]
        if not able:
            raise ValueError(
                f"{who} needs groups that can be divided so that training and test images hold "
                "every class. Got groups that cannot: of some class there are too few."
            )
        train, tested = able[rng.randint(len(able))]
        by_class = [rng.permutation(train[y[train] == label]) for label in classes]
        splits.append((_order(by_class, rng), tested))
    return splits


def _order(parts: list[np.ndarray], rng: Any) -> np.ndarray:
    """Mix classes evenly: the first of each, then all in the pace of their numbers."""
    positions = [(np.arange(len(part)) + 0.5) / len(part) for part in parts]
    for position in positions:
        position[0] = -1.0
    position = np.concatenate(positions)
    # Between equal classes, chance decides.
    return np.concatenate(parts)[np.lexsort((rng.random_sample(len(position)), position))]


def _test_positions(test: Any, labels: Labels, who: str) -> np.ndarray:
    n_images = len(labels.y)
    tested = np.asarray(test)
    if tested.dtype == bool and tested.shape == (n_images,):
        tested = np.flatnonzero(tested)
    if not tested.size:
        raise ValueError(
            f"The 'test' parameter of {who} must name at least one test image. Got none."
        )
    if not (
        tested.ndim == 1
        and tested.dtype.kind in "iu"
        and tested.min() >= 0
        and tested.max() < n_images
        and len(np.unique(tested)) == len(tested)
    ):
        raise ValueError(
            f"The 'test' parameter of {who} must be a share between 0 and 1 or the positions of "
            f"the test images, different whole numbers from 0 to {n_images - 1}. Got {test!r} "
            "instead."
        )
    return np.sort(tested)


def choose_sizes(sizes: Any, target: Target, n_train: int, *, who: str) -> np.ndarray:
    """Return the numbers of labels, rising: at least two, each with every class."""
    if isinstance(target, Labels):
        fewest = len(target.classes)
        first, means = 2 * fewest, "one of each class"
        begin = f"the first with two images of each class. Got {n_train} images for training and "
        begin += f"{fewest} classes"
    else:
        fewest, first, means = _FEWEST, _FIRST, "two images"
        begin = f"the first of {_FIRST}. Got {n_train} images for training"
    if isinstance(sizes, str) and sizes == "auto":
        # A step of less than half a doubling from the last but one to all would say nothing new.
        n_doublings = max(0, int(np.ceil(np.log2(n_train / first) - 0.5)))
        found = [first * 2**i for i in range(n_doublings)]
        if not found:
            raise ValueError(
                f"{who} needs at least two numbers of labels, {begin}: give more images, or set "
                "sizes."
            )
        return np.array([*found, n_train])
    given = np.asarray(sizes)
    if not (
        given.ndim == 1
        and given.dtype.kind in "iu"
        and len(given) >= 2
        and len(np.unique(given)) == len(given)
        and given.min() >= fewest
        and given.max() <= n_train
    ):
        raise ValueError(
            f"The 'sizes' parameter of {who} must be 'auto' or at least two different whole "
            f"numbers of labels, from {fewest} ({means}) to {n_train} (all but the test images). "
            f"Got {sizes!r} instead."
        )
    return np.sort(given)
