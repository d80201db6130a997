"""Recalls of a row: the share of each class that it finds."""

from __future__ import annotations

from typing import Any

from sktransfer.evaluation.probing.metrics import balance, recalls_of


class Recalls:
    """What a row of a result says about each class, from its confusion matrix."""

    confusion: list[list[float]]
    label_recalls: list[float]

    @property
    def recalls(self) -> list[float]:
        """The share of the test images of each class or label that were found."""
        return self.label_recalls or recalls_of(self.confusion)

    @property
    def balanced_accuracy(self) -> float:
        """The mean of the recalls: accuracy, if all classes were of equal size. NaN without."""
        return balance(self.confusion)

    def describe_recalls(self) -> dict[str, Any]:
        """Return what is derived from the confusion matrix, for JSON."""
        balanced = self.balanced_accuracy if self.confusion else None
        return {"recalls": self.recalls, "balanced_accuracy": balanced}
