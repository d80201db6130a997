"""Neighbours and labels: whether images that look alike share labels, without a classifier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.neighbors import NearestNeighbors

#: Neighbours asked for their label: enough to average over, few enough for classes of ten images.
N_NEIGHBOURS = 5
#: Permutations of the labels: their smallest p-value, 0.002, is far below the threshold.
N_PERMUTATIONS = 499


@dataclass(frozen=True)
class Agreement:
    """How often the nearest neighbours of an image have its label.

    Attributes
    ----------
    observed, expected : float
        The share, and its mean over permuted labels.
    spread : float
        Standard deviation over permuted labels.
    p_value : float
        Share of permutations that agree as well; what is observed counts as one.
    each : ndarray of shape (n_images,)
        The share for each image.
    """

    observed: float
    expected: float
    spread: float
    p_value: float
    each: np.ndarray

    @property
    def z(self) -> float:
        """Difference of the two shares in standard deviations over permuted labels."""
        return self.z_of(self.observed)

    def z_of(self, share: float) -> float:
        """Return the same for another order of the labels: permuted, all orders are alike."""
        return (share - self.expected) / self.spread


def share_agreeing(neighbours: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Count how many neighbours of each image share its label."""
    return (codes[neighbours] == codes[:, None]).mean(axis=1)


def find_neighbours(rows: np.ndarray) -> np.ndarray:
    """Find the nearest neighbours of each row."""
    k = min(N_NEIGHBOURS, len(rows) - 1)
    return NearestNeighbors(n_neighbors=k).fit(rows).kneighbors(return_distance=False)


def measure_agreement(neighbours: np.ndarray, codes: np.ndarray, seed: int) -> Agreement:
    """Test whether neighbours share labels, by permuting the labels."""
    rng = np.random.default_rng(seed)
    each = share_agreeing(neighbours, codes)
    permuted = np.empty(N_PERMUTATIONS)
    for i in range(N_PERMUTATIONS):
        permuted[i] = share_agreeing(neighbours, rng.permutation(codes)).mean()
    observed = float(each.mean())
    return Agreement(
        observed=observed,
        expected=float(permuted.mean()),
        spread=max(float(permuted.std()), 1e-12),
        p_value=float((1 + (permuted >= observed).sum()) / (1 + N_PERMUTATIONS)),
        each=each,
    )
