"""Logistic regression that is fast with many features and few images."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_X_y

#: How many times as many features as images there must be: with fewer, rotating costs more time
#: than it saves.
_WIDE = 4


class WideLogisticRegression(LogisticRegression):
    """Logistic regression whose time does not grow with the number of features.

    The coefficients of the best fit lie in the space that the images span, because the L2 penalty
    punishes whatever leaves it. So few images are rotated into as many coordinates as there are
    images, and the coefficients are rotated back. The course of the solver stays the same, up
    to rounding, and it stops at least as near to the best fit.
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> WideLogisticRegression:
        """Fit, in few coordinates if features are many."""
        if not is_wide(X):
            return super().fit(X, y, sample_weight)
        X, y = check_X_y(X, y, dtype=[np.float64, np.float32])
        rotated = rotate(X)
        if rotated is None:
            return super().fit(X, y, sample_weight)
        rows, back = rotated
        super().fit(rows, y, sample_weight)
        self.coef_: np.ndarray = (self.coef_ @ back).astype(X.dtype)
        self.n_features_in_ = X.shape[1]
        return self


def is_wide(X: Any) -> bool:
    """Tell whether rotating features saves time."""
    return isinstance(X, np.ndarray) and X.ndim == 2 and X.shape[1] >= _WIDE * len(X)


def rotate(X: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Rotate rows into as few coordinates as there are rows.

    Returns
    -------
    rows : ndarray of shape (n_images, n_coordinates)
        The coordinates of each row.
    back : ndarray of shape (n_coordinates, n_features)
        Turns coefficients of coordinates into those of features. Instead of both, None where all
        features are zero, as constant ones are behind a scaler.
    """
    exact = X.astype(np.float64)
    squares, rotation = np.linalg.eigh(exact @ exact.T)
    # What is left of the others is rounding.
    is_kept = squares > squares[-1] * len(X) * np.finfo(np.float64).eps
    if not is_kept.any():
        return None
    lengths, rotation = np.sqrt(squares[is_kept]), rotation[:, is_kept]
    return (rotation * lengths).astype(X.dtype), (rotation / lengths).T @ exact
