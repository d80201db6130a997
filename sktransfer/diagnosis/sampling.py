"""Which images are looked at closely, and the photographs that they are compared with."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_sample_images

#: Crops of scikit-learn's two photographs that stand for natural images.
N_PHOTOGRAPHS = 64


def sample_rows(
    n_images: int, y: np.ndarray | None, n_wanted: int, n_each: int, seed: int
) -> np.ndarray:
    """Draw images, of each class in its proportion, but no fewer than folds need.

    Parameters
    ----------
    n_images : int
        How many there are.
    y : ndarray of shape (n_images,) or None
        Their labels.
    n_wanted : int
        How many are wanted.
    n_each : int
        Images wanted of every class at least, where it has so many.
    seed : int
        Seed of the draw.

    Returns
    -------
    ndarray of shape (n_drawn,)
        Their places, ascending.
    """
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


def photograph_crops(side: int, seed: int, n: int = N_PHOTOGRAPHS) -> np.ndarray:
    """Cut square pieces of scikit-learn's two photographs, from all of their height down.

    Parameters
    ----------
    side : int
        Side of the results, in pixels.
    seed : int
        Seed of places and sizes.
    n : int, default=64
        How many.

    Returns
    -------
    ndarray of shape (n, side, side, 3)
        uint8.
    """
    from PIL import Image

    rng = np.random.default_rng(seed)
    photographs = load_sample_images().images
    crops = np.empty((n, side, side, 3), dtype=np.uint8)
    for i in range(n):
        photograph = photographs[i % len(photographs)]
        height, width = photograph.shape[:2]
        size = int(rng.integers(64, height + 1))
        top, left = int(rng.integers(0, height - size + 1)), int(rng.integers(0, width - size + 1))
        crop = Image.fromarray(photograph[top : top + size, left : left + size])
        crops[i] = np.asarray(crop.resize((side, side), Image.Resampling.BILINEAR))
    return crops
