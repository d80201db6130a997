"""Logistic regression for several labels: one for each, against images without it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression

from sktransfer.evaluation.probing.wide import is_wide, rotate

# How sure to be of a label that all training images have, or none: log odds.
_SURE = 30.0


class OneVsRestLogisticRegression(ClassifierMixin, BaseEstimator):
    """A logistic regression for each label, by itself.

    Few images of many features are rotated once for all labels, as
    :class:`WideLogisticRegression` does for one. A label that all training images have, or none, is
    predicted for all images, or none: so few labels say no more.

    Parameters
    ----------
    max_iter : int, default=1000
        Iterations of each solver, at most.
    """

    def __init__(self, max_iter: int = 1000) -> None:
        self.max_iter = max_iter

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> OneVsRestLogisticRegression:
        """Fit one label after the other."""
        y = np.asarray(y)
        rotated = rotate(X) if is_wide(X) else None
        rows, rotate_back = (X, None) if rotated is None else rotated
        n_labels = y.shape[1]
        self.intercept_ = np.empty(n_labels)
        coefficients = np.zeros((n_labels, rows.shape[1]))
        counts = y if sample_weight is None else y[np.asarray(sample_weight) > 0]
        for i, label in enumerate(y.T):
            if (share := counts[:, i].mean()) in (0, 1):
                self.intercept_[i] = _SURE if share else -_SURE
                continue
            fitted = LogisticRegression(max_iter=self.max_iter).fit(rows, label, sample_weight)
            coefficients[i], self.intercept_[i] = fitted.coef_[0], fitted.intercept_[0]
        self.coef_ = coefficients if rotate_back is None else rotate_back(coefficients)
        self.classes_ = [np.array([0, 1])] * n_labels
        self.n_features_in_ = X.shape[1]
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the log odds of every label."""
        return X @ self.coef_.T + self.intercept_

    def predict(self, X: Any) -> np.ndarray:
        """Return 1 for the labels that are more likely than not, else 0."""
        return (self.decision_function(X) > 0).astype(np.int64)
