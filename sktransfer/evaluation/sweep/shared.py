"""Base classes of both kinds of sweeps: rows with their classes, and sentences about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from sktransfer.evaluation.probing.by_class import say_worst, tabulate_classes
from sktransfer.evaluation.probing.metrics import are_unequal
from sktransfer.evaluation.probing.recalls import Recalls
from sktransfer.evaluation.probing.selection import count_pairs
from sktransfer.evaluation.probing.significance import PairedDifference
from sktransfer.evaluation.probing.targets import say_target
from sktransfer.results.result import Result
from sktransfer.results.tables import Table


class TestedRow(Recalls):
    """A row with scores and, where classes are predicted, the confusion of all folds."""

    scores: dict[str, list[float]]
    to_best: PairedDifference | None
    error: float | None
    balanced_to_best: PairedDifference | None


Row = TypeVar("Row", bound=TestedRow)


@dataclass(repr=False)
class SweepResult(Result, Generic[Row]):
    """A result whose rows were scored on the same folds, and tested against the best of them."""

    #: What it is called in the titles of tables, among those of other results.
    _called: ClassVar[str] = "the sweep"

    n_images: int
    n_folds: int
    classes: list[Any]
    positive: Any
    metric: str
    rows: list[Row] = field(default_factory=list)
    skipped: list[Any] = field(default_factory=list)
    target: str = "classes"
    is_weighted: bool = False

    @property
    def best(self) -> Row | None:
        """The row of the highest mean, of equal ones the cheapest; None without rows."""
        return min(self.rows, key=lambda row: (-self.mean(row), self._cost(row)), default=None)

    @property
    def _near(self) -> list[Row]:
        """The best row, and those that cannot be told from it."""
        return [row for row in self.rows if row.to_best is None or row.to_best.finding != "lower"]

    def _cost(self, row: Row) -> tuple[float, ...]:
        """Return what a row costs, by which equal ones are ordered."""
        raise NotImplementedError

    def subject(self) -> str:
        """Say what was swept over what, without a full stop."""
        return (
            f"{self.n_images:,} images, {say_target(self.target, self.classes)}"
            f"{', weighted' * self.is_weighted}; the same classifier and {self.n_folds} folds for "
            "every row"
        )

    @property
    def n_comparisons(self) -> int:
        """How many differences are tested together: those of all pairs of rows.

        Where classes are of unequal size, these are tested by accuracy and by balanced accuracy.
        """
        is_balanced = any(row.balanced_to_best is not None for row in self.rows)
        return count_pairs(len(self.rows)) * (2 if is_balanced else 1)

    def _say_classes(self) -> list[str]:
        """Name the worst class of the best row, and who is best where all classes count alike."""
        best = self.best
        if best is None or not best.recalls:
            return []
        one = "class" if best.confusion else "label"
        found = [f"its worst {one}: {say_worst(best.recalls, self.classes)}"]
        if are_unequal([sum(row) for row in best.confusion]):
            found.append(self._say_balance(best))
        return found

    def _say_balance(self, best: Row) -> str:
        said = (
            "classes are of unequal size: its balanced accuracy, the mean of their recalls, is "
            f"{best.balanced_accuracy:.3f}"
        )
        if len(self.rows) == 1 or not any(row.balanced_to_best for row in self.rows):
            return said
        top = next(row for row in self.rows if row.balanced_to_best is None)
        near = sum(
            row.balanced_to_best is not None and row.balanced_to_best.finding != "lower"
            for row in self.rows
        )
        which = "which is best" if top is best else f"and {top} is best, "
        if top is not best:
            which += f"{top.balanced_accuracy:.3f}"
        return (
            f"{said}, {which}; not significantly worse: {near} of {len(self.rows) - 1} other rows "
            f"({self.n_comparisons} comparisons counted)"
        )

    def _by_class(self) -> list[Table]:
        if self.best is None:
            return []
        rows = [(str(row), row.recalls, row.confusion) for row in self.rows]
        classes = [str(each) for each in self.classes]
        return tabulate_classes(rows, str(self.best), classes, when=f", in {self._called}")

    def _content(self) -> dict[str, Any]:
        content = super()._content()
        for row, entry in zip(self.rows, content["rows"], strict=True):
            entry |= row.describe_recalls()
        return content

    def mean(self, row: Row) -> float:
        """Return the mean of the first metric over the folds; minus infinity where undefined."""
        return float(np.nan_to_num(np.mean(row.scores[self.metric]), nan=-np.inf))
