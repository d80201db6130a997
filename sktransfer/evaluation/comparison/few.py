"""Few labels: some training images of each class, or of all, the same for every row."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from sktransfer.evaluation.probing import Folds, Labels, Target

#: Default numbers of labels per class, and of images where there are no classes.
FEW, FEW_IMAGES = (3, 10), (10, 30)


def draw_few(
    target: Target, folds: Folds, few_labels: Any, *, random_state: Any, who: str
) -> dict[int, Folds]:
    """Draw few training images in every fold, fewer as parts of more.

    So many are drawn of each class, or of all images where they have no classes.
    """
    if isinstance(target, Labels):
        y, default = target.y, FEW
        groups = [[train[y[train] == label] for label in target.classes] for train, _ in folds]
    else:
        groups, default = [[train] for train, _ in folds], FEW_IMAGES
    available = np.array([[len(part) for part in parts] for parts in groups])
    least = int(available.min())
    if isinstance(few_labels, str) and few_labels == "auto":
        numbers = [n for n in default if 2 * n <= least]
    else:
        numbers = _check_numbers(few_labels, who)
    if numbers and numbers[-1] > least:
        of_class = of_each = ""
        if isinstance(target, Labels):
            scarce = target.classes[np.unravel_index(available.argmin(), available.shape)[1]]
            of_class, of_each = f" of class {scarce}", " of each class"
        raise ValueError(
            f"The 'few_labels' parameter of {who} must be at most the number of training images"
            f"{of_each} in every fold. Got {numbers[-1]}, and {least} images{of_class} in the "
            "training part of a fold: give more images, or set it lower."
        )
    rng = check_random_state(random_state)
    orders = [[rng.permutation(part) for part in parts] for parts in groups]
    return {
        n: [
            (np.concatenate([order[:n] for order in parts]), test)
            for parts, (_, test) in zip(orders, folds, strict=True)
        ]
        for n in numbers
    }


def _check_numbers(few_labels: Any, who: str) -> list[int]:
    if isinstance(few_labels, Iterable) and not isinstance(few_labels, str | bytes):
        numbers = list(few_labels)
        if all(isinstance(n, Integral) and not isinstance(n, bool) for n in numbers):
            found = sorted({int(n) for n in numbers})
            if not found or found[0] > 0:
                return found
    raise ValueError(
        f"The 'few_labels' parameter of {who} must be 'auto' or a sequence of whole numbers of "
        f"labels per class, from 1 up. Got {few_labels!r} instead."
    )
