"""The head: scaling by the first statistics of the features, and dense layers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Begins the names of the head's layers in Keras.
HEAD = "head_"
# Length of all features of an image together, on average, if all are scaled alike. An optimizer's
# step then changes the output by as much whether there are 64 features or 25,088, and this length
# suits the learning rate that Keras' Adam has by default.
_LENGTH = 10.0
#: Features of less variance than this part of the mean one are not scaled up further: few images
#: tell little about them.
SMALLEST_VARIANCE = 0.01
#: The same for a head that is fitted at once, which makes most of rare features: with 0.01, it is
#: less accurate on five and ten images of each class of digits and letters at VGG16's `flatten`.
SMALLEST_OF_PROBE = 1.0


@dataclass(frozen=True)
class Head:
    """The head that is put on the features.

    Attributes
    ----------
    mean, variance : ndarray of shape (n_features,)
        What features are shifted by, and by whose root they are divided; fixed before training.
    dense : list of tuple of ndarray
        Kernel and bias of each layer, the output last. ReLU lies between them.
    """

    mean: np.ndarray
    variance: np.ndarray
    dense: list[tuple[np.ndarray, np.ndarray]]

    @property
    def hidden(self) -> tuple[int, ...]:
        """Widths of the hidden layers."""
        return tuple(kernel.shape[1] for kernel, _ in self.dense[:-1])

    @property
    def n_outputs(self) -> int:
        """Width of the output."""
        return len(self.dense[-1][1])

    def arrays(self) -> list[np.ndarray]:
        """List all arrays in the order of the layers."""
        return [self.mean, self.variance, *itertools.chain.from_iterable(self.dense)]

    @classmethod
    def from_arrays(cls, arrays: Sequence[np.ndarray]) -> Head:
        """Make a head of arrays in the order of :meth:`arrays`."""
        mean, variance, *rest = arrays
        return cls(mean, variance, list(zip(rest[::2], rest[1::2], strict=True)))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Compute the output of features in float64: a row does not depend on its neighbours."""
        scale = 1 / np.sqrt(self.variance.astype(np.float64))
        values = (features - self.mean.astype(np.float64)) * scale
        for number, (kernel, bias) in enumerate(self.dense):
            if number:
                values = np.maximum(values, 0)
            values = values @ kernel.astype(np.float64) + bias
        return values


def draw_head(
    mean: np.ndarray,
    variance: np.ndarray,
    hidden: Sequence[int],
    bias: np.ndarray,
    seed: int,
    smallest: float = SMALLEST_VARIANCE,
) -> Head:
    """Draw a head: He normal in hidden layers, and one output whatever the features."""
    floor = smallest * variance.mean() or 1.0
    scale = np.maximum(variance, floor) * (len(mean) / _LENGTH**2)
    widths = [len(mean), *hidden]
    dense = []
    for index, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        kernel = np.random.default_rng([seed, index]).standard_normal((n_in, n_out), np.float32)
        # He's rule, which divides by the mean square of the inputs too.
        deviation = np.sqrt(2 / n_in) if index else np.sqrt(2) / _LENGTH
        dense.append((kernel * np.float32(deviation), np.zeros(n_out, np.float32)))
    output = np.zeros((widths[-1], len(bias)), np.float32), bias.astype(np.float32)
    return Head(mean.astype(np.float32), scale.astype(np.float32), [*dense, output])


def measure_features(parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, ...]:
    """Compute the weighted mean and variance of features."""
    total: Any = 0.0
    first: Any = 0.0
    second: Any = 0.0
    for features, weights in parts:
        wide = features.astype(np.float64)
        total = total + weights.sum()
        first = first + weights @ wide
        second = second + weights @ np.square(wide)
    mean = first / total
    return mean, np.maximum(second / total - np.square(mean), 0)


def add_head(tensor: Any, hidden: Sequence[int], n_outputs: int) -> Any:
    """Add the layers of a head to a Keras network."""
    from keras import layers

    # In inference, this only scales. Its two arrays are not parameters.
    tensor = layers.BatchNormalization(
        center=False,
        scale=False,
        epsilon=0.0,
        trainable=False,
        dtype="float32",
        name="head_scaling",
    )(tensor)
    zeros = {"kernel_initializer": "zeros", "bias_initializer": "zeros", "dtype": "float32"}
    for number, width in enumerate(hidden, start=1):
        tensor = layers.Dense(width, activation="relu", name=f"head_{number}", **zeros)(tensor)
    return layers.Dense(n_outputs, name="head_output", **zeros)(tensor)
