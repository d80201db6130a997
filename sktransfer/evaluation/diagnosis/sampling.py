"""The sample that is examined in detail."""

from __future__ import annotations

import numpy as np


def sample_rows(
    n_images: int, y: np.ndarray | None, n_wanted: int, n_each: int, seed: int
) -> np.ndarray:
    """Draw images, of each class in its proportion, but no fewer than folds need."""
    if n_images <= n_wanted:
        return np.arange(n_images)
    rng = np.random.default_rng(seed)
    if y is None:
        return np.sort(rng.choice(n_images, n_wanted, replace=False))
    rows: list[np.ndarray] = []
    for label in np.unique(y):
        (own,) = np.nonzero(y == label)
        n = max(round(n_wanted * len(own) / n_images), min(n_each, len(own)))
        rows.append(rng.choice(own, n, replace=False))
    return np.sort(np.concatenate(rows))
