"""Predictions of a fitted head, and the meaning of its outputs, for `predict` and for export."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from sktransfer.training.finetuning.head import Head


@dataclass(frozen=True)
class Classes:
    """Outputs that are logits of classes.

    Attributes
    ----------
    labels : ndarray of shape (n_classes,)
        The label of each output.
    """

    labels: np.ndarray

    def decide(self, outputs: np.ndarray) -> np.ndarray:
        """Return the label of the largest output."""
        return self.labels[outputs.argmax(axis=1)]

    def share(self, outputs: np.ndarray) -> np.ndarray:
        """Return the probability of each class."""
        return softmax(outputs, axis=1)


@dataclass(frozen=True)
class NumberOutputs:
    """Outputs that are numbers, standardised by what the targets were.

    Attributes
    ----------
    mean, scale : ndarray of shape (n_outputs,)
        Of the targets.
    is_single : bool
        Whether targets had one dimension.
    """

    mean: np.ndarray
    scale: np.ndarray
    is_single: bool

    @classmethod
    def of(cls, y: np.ndarray, weights: np.ndarray) -> NumberOutputs:
        """Measure targets."""
        values = y.reshape(len(y), -1)
        mean = weights @ values / weights.sum()
        scale = np.sqrt(weights @ np.square(values - mean) / weights.sum())
        return cls(mean, np.where(scale > 0, scale, 1.0), y.ndim == 1)

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """Bring targets of shape (n, n_outputs) to a mean of 0 and a scale of 1."""
        return (values - self.mean) / self.scale

    def restore(self, outputs: np.ndarray) -> np.ndarray:
        """Return what targets the outputs are, in the shape that targets had."""
        values = outputs * self.scale + self.mean
        return values[:, 0] if self.is_single else values


@dataclass(frozen=True)
class Prediction:
    """What a fitted estimator predicts from features, for itself and for what exports it.

    Attributes
    ----------
    head : Head
        Gives outputs of features.
    meaning : Classes or NumberOutputs
        Turns outputs into what is predicted.
    """

    head: Head
    meaning: Classes | NumberOutputs
