"""Which images are learned from and tested on: nested, stratified draws, the same for every row."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np

from sktransfer.probing import Folds, Labels


def split(labels: Labels, test: Any, n_repeats: int, rng: Any, *, who: str) -> Folds:
    """Draw for each repeat an order of the training images, and the test images.

    Every beginning of the order is stratified, and holds every class if it is long enough.

    Parameters
    ----------
    labels : Labels
        The labels.
    test : float or array-like of int
        The share of each class to test on, or the positions of a fixed test part.
    n_repeats : int
        How many draws.
    rng : RandomState
        Chance.
    who : str
        The function named in errors.

    Returns
    -------
    list of tuple of ndarray
        Positions of training images in their order, and of test images, sorted.

    Raises
    ------
    ValueError
        If a class or the test part is too small.
    """
    counts, classes = labels.counts, labels.classes
    if isinstance(test, Real):
        if isinstance(test, bool) or not 0 < float(test) < 1:
            raise ValueError(
                f"The 'test' parameter of {who} must be a share between 0 and 1 or the positions "
                f"of the test images. Got {test!r} instead."
            )
        if counts.min() < 2:
            raise ValueError(
                f"{who} needs at least 2 images of each class, one to learn from and one to test "
                f"on. Got {counts.min()} of class {classes[counts.argmin()]}."
            )
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
    rests = [np.flatnonzero(is_free & (labels.y == label)) for label in classes]
    for label, rest in zip(classes, rests, strict=True):
        if not len(rest):
            raise ValueError(
                f"The 'test' parameter of {who} must leave images of every class to learn from. "
                f"Got all of class {label} in it."
            )
    return [
        (_order([rng.permutation(rest) for rest in rests], rng), tested) for _ in range(n_repeats)
    ]


def _order(parts: list[np.ndarray], rng: Any) -> np.ndarray:
    """Mix classes evenly: the first of each, then all in the pace of their numbers."""
    positions = [(np.arange(len(part)) + 0.5) / len(part) for part in parts]
    for position in positions:
        position[0] = -1.0
    position = np.concatenate(positions)
    # Of classes that are even, chance decides.
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


def choose_sizes(sizes: Any, labels: Labels, n_train: int, *, who: str) -> np.ndarray:
    """Return the numbers of labels, rising.

    Parameters
    ----------
    sizes : 'auto' or array-like of int
        What the user wants.
    labels : Labels
        The labels.
    n_train : int
        Images there are to learn from.
    who : str
        The function named in errors.

    Returns
    -------
    ndarray of shape (n_sizes,)
        At least two.

    Raises
    ------
    ValueError
        If they are fewer, or too few or too many images.
    """
    n_classes = len(labels.classes)
    if isinstance(sizes, str) and sizes == "auto":
        # A step of less than half a doubling from the last but one to all would say nothing new.
        n_doublings = max(0, int(np.ceil(np.log2(n_train / (2 * n_classes)) - 0.5)))
        found = [2 * n_classes * 2**i for i in range(n_doublings)]
        if not found:
            raise ValueError(
                f"{who} needs at least two numbers of labels, the first with two images of each "
                f"class. Got {n_train} images to learn from and {n_classes} classes: give more "
                "images, or set sizes."
            )
        return np.array([*found, n_train])
    given = np.asarray(sizes)
    if not (
        given.ndim == 1
        and given.dtype.kind in "iu"
        and len(given) >= 2
        and len(np.unique(given)) == len(given)
        and given.min() >= n_classes
        and given.max() <= n_train
    ):
        raise ValueError(
            f"The 'sizes' parameter of {who} must be 'auto' or at least two different whole "
            f"numbers of labels, from {n_classes} (one of each class) to {n_train} (all but the "
            f"test images). Got {sizes!r} instead."
        )
    return np.sort(given)
