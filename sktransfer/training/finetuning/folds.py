"""Folds of the training rows, for choices by held-out rows: penalty and learning rate."""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold

Folds = list[tuple[np.ndarray, np.ndarray]]
_FOLDS = 5


def hold_out_rows(targets: np.ndarray, seed: int, *, is_stratified: bool) -> Folds:
    """Split rows into training and held-out ones; of classes, each fold has its share of all.

    Rows of which none can be held out give no folds: a single one, or one of each class.
    """
    n = np.unique(targets, return_counts=True)[1].max() if is_stratified else len(targets)
    if n < 2:
        return []
    kind = StratifiedKFold if is_stratified else KFold
    folds = kind(min(_FOLDS, int(n)), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Of classes with fewer rows than folds.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        pairs = list(folds.split(targets, targets))
    if is_stratified:
        pairs = [pair for pair in pairs if len(np.unique(targets[pair[0]])) > 1]
    return pairs
