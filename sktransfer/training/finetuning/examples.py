"""Training and validation examples: distinct images with targets and weights."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np

from sktransfer.inputs.images import Images
from sktransfer.training.finetuning.rows import Rows, merge_equal_rows


@dataclass(frozen=True)
class DistinctRows:
    """Images, and the distinct rows among them with targets and weights."""

    images: Images
    value_range: tuple[float, float] | None
    positions: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    content: bytes

    @classmethod
    def of(
        cls,
        images: Images,
        value_range: tuple[float, float] | None,
        targets: np.ndarray,
        weights: np.ndarray,
    ) -> DistinctRows:
        """Merge equal rows, whose weights add up."""
        positions, weights, content = merge_equal_rows(images, value_range, targets, weights)
        return cls(images, value_range, positions, targets[positions], weights, content)


@dataclass(frozen=True)
class Examples:
    """The images and targets to train or validate on.

    Attributes
    ----------
    rows : Rows
        Where inputs come from.
    positions : ndarray of int
        Which of them.
    targets : ndarray
        Target of each position.
    weights : ndarray
        Weight of each position.
    """

    rows: Rows
    positions: np.ndarray
    targets: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, chosen: np.ndarray) -> Examples:
        """Return some of them."""
        return replace(
            self,
            positions=self.positions[chosen],
            targets=self.targets[chosen],
            weights=self.weights[chosen],
        )

    def scaled(self) -> Examples:
        """Return them with weights of a mean of one, so that no step depends on their scale."""
        return replace(self, weights=self.weights * (len(self) / self.weights.sum()))

    def load(
        self, batches: Sequence[np.ndarray], epoch: int = 0
    ) -> Generator[tuple[np.ndarray, np.ndarray]]:
        """Load inputs batch by batch; augmented where `epoch` is above 0."""
        taken = self.rows.batches((self.positions[batch] for batch in batches), epoch)
        with closing(taken) as inputs:
            yield from zip(batches, inputs, strict=True)

    def in_batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Load inputs and weights, so many rows at a time."""
        every = np.arange(len(self))
        batches = [every[start : start + size] for start in range(0, len(self), size)]
        return ((inputs, self.weights[batch]) for batch, inputs in self.load(batches))


@dataclass(frozen=True)
class Data:
    """The examples to train on, and those to score only."""

    training: Examples
    validation: Examples | None

    def map(self, change: Callable[[Examples], Examples]) -> Data:
        """Change both."""
        return Data(change(self.training), self.validation and change(self.validation))
