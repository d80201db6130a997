"""Logistic regression that is fast with many features and few images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpstrf
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_X_y

#: How many times as many features as images there must be: with fewer, rotating costs more time
#: than it saves.
_WIDE = 4


class WideLogisticRegression(LogisticRegression):
    """Logistic regression whose time hardly grows with the number of features.

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
        rows, rotate_back = rotated
        super().fit(rows, y, sample_weight)
        self.coef_: np.ndarray = rotate_back(self.coef_).astype(X.dtype)
        self.n_features_in_ = X.shape[1]
        return self


def is_wide(X: Any) -> bool:
    """Tell whether rotating features saves time.

    With thousands of images of two classes it does not. But it is done all the same: by all
    features the solver stops so early that accuracy may be lower by 0.005.
    """
    return isinstance(X, np.ndarray) and X.ndim == 2 and X.shape[1] >= _WIDE * len(X)


def rotate(X: np.ndarray) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]] | None:
    """Rotate rows into as few coordinates as there are rows.

    Returns
    -------
    rows : ndarray of shape (n_images, n_coordinates)
        The coordinates of each row.
    rotate_back : callable
        Turns coefficients of coordinates, (n_vectors, n_coordinates), into those of features.
        Instead of both, None where all features are zero, as constant ones are behind a scaler.
    """
    exact = X.astype(np.float64)
    products = exact @ exact.T
    # What is left of the others is rounding.
    rounding = products.diagonal().max() * len(X) * np.finfo(np.float64).eps
    # The Cholesky factor with pivoting holds the coordinates of each image along those before it.
    factor, pivots, rank, _ = dpstrf(products, tol=rounding, lower=1)
    if not factor[0, 0] > 0:
        return None
    order = pivots - 1
    coordinates = np.empty((len(X), rank))
    coordinates[order] = np.tril(factor)[:, :rank]
    spanning = order[:rank]

    def rotate_back(coefficients: np.ndarray) -> np.ndarray:
        shares = solve_triangular(
            coordinates[spanning], coefficients.T.astype(np.float64), trans="T", lower=True
        )
        return shares.T @ exact[spanning]

    return coordinates.astype(X.dtype), rotate_back
