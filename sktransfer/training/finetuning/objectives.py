"""The losses that training minimises, and the scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import logsumexp
from sklearn.metrics import accuracy_score, r2_score


class Classification:
    """Cross-entropy of classes, scored by accuracy."""

    dtype = np.int64  # PyTorch takes no other for labels
    is_stratified = True

    def first_output(self, targets: np.ndarray, weights: np.ndarray, n_outputs: int) -> np.ndarray:
        """Return the output that says how frequent classes are, which a step of a bias cannot."""
        sums = np.bincount(targets, weights, minlength=n_outputs)
        # A class without rows so far counts as if it had one row.
        frequencies = np.where(sums > 0, sums, 1) / sums.sum()
        return np.log(frequencies)

    def loss(self, targets: Any, outputs: Any, weights: Any) -> Any:
        """Return the weighted sum over a batch, in Keras' operations."""
        from keras import ops

        each = ops.sparse_categorical_crossentropy(targets, outputs, from_logits=True)
        return ops.sum(each * weights)

    def measure(
        self, targets: np.ndarray, outputs: np.ndarray, weights: np.ndarray
    ) -> tuple[float, float]:
        """Return weighted mean loss and score of all rows."""
        outputs = outputs.astype(np.float64)
        each = logsumexp(outputs, axis=1) - outputs[np.arange(len(targets)), targets]
        score = accuracy_score(targets, outputs.argmax(axis=1), sample_weight=weights)
        return float(np.average(each, weights=weights)), float(score)


class Regression:
    """Squared error, scored by R2; both averaged over the outputs."""

    dtype = np.float32
    is_stratified = False

    def first_output(self, targets: np.ndarray, weights: np.ndarray, n_outputs: int) -> np.ndarray:
        """Return the mean of standardised targets."""
        return np.zeros(n_outputs)

    def loss(self, targets: Any, outputs: Any, weights: Any) -> Any:
        """Return the weighted sum over a batch, in Keras' operations."""
        from keras import ops

        return ops.sum(ops.mean(ops.square(outputs - targets), axis=1) * weights)

    def measure(
        self, targets: np.ndarray, outputs: np.ndarray, weights: np.ndarray
    ) -> tuple[float, float]:
        """Return weighted mean loss and score of all rows."""
        outputs = outputs.astype(np.float64)
        each = np.square(outputs - targets).mean(axis=1)
        # R2 of a single row is not defined, and scikit-learn warns of it.
        score = r2_score(targets, outputs, sample_weight=weights) if len(targets) > 1 else np.nan
        return float(np.average(each, weights=weights)), float(score)


Objective = Classification | Regression
