"""Similarity of two representations of the same images: linear centred kernel alignment.

The usual estimate of CKA finds wide features of few images alike even where they have nothing in
common. The unbiased estimate of the Hilbert-Schmidt independence criterion, on which CKA rests,
does not.

References
----------
S. Kornblith, M. Norouzi, H. Lee, G. Hinton, "Similarity of neural network representations
revisited", 2019, https://arxiv.org/abs/1905.00414, sections 3 and 4, for linear CKA and its
computation from Gram matrices. L. Song, A. Smola, A. Gretton, J. Bedo, K. Borgwardt, "Feature
selection via dependence maximization", 2012, https://jmlr.org/papers/v13/song12a.html, theorem 2,
for the unbiased estimate.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def centred_gram(features: np.ndarray) -> np.ndarray:
    """Return the inner products of all pairs of images, centred, with nothing on the diagonal.

    As large as the number of images squared, however wide the features are, and all that linear
    CKA needs to know of them.
    """
    # The mean does not matter to CKA, but large common values would cost digits.
    centred = features - features.mean(axis=0, dtype=np.float64).astype(features.dtype)
    gram = (centred @ centred.T).astype(np.float64)
    n = len(gram)
    np.fill_diagonal(gram, 0)
    sums = gram.sum(axis=0)
    gram -= (sums[:, None] + sums[None, :]) / (n - 2) - sums.sum() / ((n - 1) * (n - 2))
    np.fill_diagonal(gram, 0)
    return gram


def linear_cka(grams: Sequence[np.ndarray]) -> np.ndarray:
    """Compare representations pair by pair."""
    flat = np.stack([gram.ravel() for gram in grams])
    norms = np.linalg.norm(flat, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (flat @ flat.T) / np.outer(norms, norms)
