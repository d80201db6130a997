"""The result of a sweep across networks, as text, tables, files and frames."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np

from sktransfer.evaluation.probing.significance import PairedDifference
from sktransfer.evaluation.sweep.grid import Variant
from sktransfer.evaluation.sweep.shared import ScoredRow, SweepResult
from sktransfer.networks.outputs import spell_size
from sktransfer.results.tables import Table, format_markdown, format_table, spell_spread, wrap


@dataclass
class NetworkRow(ScoredRow):
    """One network at one layer and size, and how well images were classified with it.

    Attributes
    ----------
    network : str
        Its name.
    variant : Variant
        Layer, pooling, input size, width and multiply-adds.
    scores : dict of str to list of float
        Each metric's value on every fold.
    milliseconds : float or None
        What one image takes, from pixels to features.
    megabytes : float
        What the weights up to the layer take in float32.
    n_not_converged : int
        Folds in which the classifier stopped before it converged.
    to_best : PairedDifference or None
        By how much the first metric differs from that of the best row, with a test that counts all
        pairs of rows; None for the best row itself.
    error : float or None
        The standard error of this difference.
    confusion : list of list of float
        Images by class (rows) and by what they were taken for (columns), in the order of the
        result's `classes`, over all folds; with `sample_weight` the sums of weights. Empty where no
        classes are predicted.
    label_recalls : list of float
        Of sets of labels, the share of the test images with each label for which it was predicted;
        else empty.
    balanced_to_best : PairedDifference or None
        By how much balanced accuracy differs from that of the row where it is highest; None for
        that row, and where classes are of equal size or the first metric is not accuracy.
    """

    network: str
    variant: Variant
    scores: dict[str, list[float]]
    milliseconds: float | None
    megabytes: float
    n_not_converged: int
    to_best: PairedDifference | None = None
    error: float | None = None
    confusion: list[list[float]] = field(default_factory=list)
    label_recalls: list[float] = field(default_factory=list)
    balanced_to_best: PairedDifference | None = None

    def __str__(self) -> str:
        return f"{self.network}, {self.variant}"


@dataclass(repr=False)
class NetworkSweep(SweepResult):
    """The scores of several networks on the same folds; printed, they are a table.

    :meth:`to_csv` and :meth:`to_frame` give a record for each row, with ``network``, ``layer``,
    ``pooling`` (``'flat'`` for all values), ``input_size``, ``width``, ``multiply_adds``, one
    column for the mean of each metric and, as ``..._std``, for its standard deviation,
    ``milliseconds``, ``megabytes``, ``is_on_front``, ``difference`` (from the best row), ``low``,
    ``high``, ``p_value`` and ``finding``. :meth:`to_json` adds ``recalls`` and
    ``balanced_accuracy`` to every row.

    Attributes
    ----------
    n_images : int
        Images swept over.
    n_folds : int
        Folds of the cross-validation.
    classes : list
        The labels; empty for numbers.
    positive : object or None
        The label that precision, recall, F1 and ROC AUC are about; None with more than two classes.
    metric : str
        The first metric, by which rows are ranked.
    rows : list of NetworkRow
        In the order of the networks.
    skipped : list of str
        What was asked for and not computed, each with its reason.
    target : {'classes', 'numbers', 'labels'}
        What was predicted for each image: a class, a number, or any of several labels.
    is_weighted : bool
        Whether images had weights.
    """

    _called: ClassVar[str] = "the sweep across networks"

    n_images: int
    n_folds: int
    classes: list[Any]
    positive: Any
    metric: str
    rows: list[NetworkRow] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    target: str = "classes"
    is_weighted: bool = False

    @property
    def best(self) -> NetworkRow | None:
        """The row of the highest mean, of equal ones the fastest; None without rows."""
        return min(self.rows, key=lambda row: (-self.mean(row), _time(row)), default=None)

    @property
    def cheapest(self) -> NetworkRow | None:
        """The fastest row that cannot be told from the best one."""
        return min(self._near, key=lambda row: (_time(row), -self.mean(row)), default=None)

    @property
    def _near(self) -> list[NetworkRow]:
        """The best row, and those that cannot be told from it."""
        return [row for row in self.rows if row.to_best is None or row.to_best.finding != "lower"]

    @property
    def front(self) -> list[NetworkRow]:
        """The Pareto front: rows than which no faster one is as good, fastest first."""
        front: list[NetworkRow] = []
        for row in sorted(self.rows, key=lambda row: (_time(row), -self.mean(row))):
            if not front or self.mean(row) > self.mean(front[-1]):
                front.append(row)
        return front

    def to_markdown(self) -> str:
        """Return the answer and the tables in Markdown."""
        parts = [*self.sentences(), format_markdown(*self._table())]
        for title, header, body in self._by_class():
            parts += [f"{title[:1].upper()}{title[1:]}:", format_markdown(header, body)]
        return "\n\n".join(parts)

    def __str__(self) -> str:
        """Give the answer first, then the table, and what was skipped."""
        parts = [*map(wrap, self.sentences()), self.subject(), format_table(*self._table())]
        parts += [
            f"{title}\n{format_table(header, body)}" for title, header, body in self._by_class()
        ]
        return "\n\n".join([*parts, "\n".join(self.notes())])

    def sentences(self) -> list[str]:
        """Answer which network is best, and which to take."""
        best, cheapest = self.best, self.cheapest
        if best is None or cheapest is None:
            return []
        answer = f"Best is {self._summary(best)}."
        by_class = [f"{each[:1].upper()}{each[1:]}." for each in self._say_classes()]
        return [self._compare(answer, best, cheapest), *by_class]

    def _compare(self, answer: str, best: NetworkRow, cheapest: NetworkRow) -> str:
        if len(self.rows) == 1:
            return answer
        n_near = len(self._near) - 1
        counted = f"{self.n_comparisons} comparisons counted"
        if not n_near:
            return f"{answer} All others are worse ({counted})."
        told = f"{n_near} of {len(self.rows) - 1} others cannot be told from it ({counted})"
        if cheapest is best:
            return f"{answer} It is also the fastest of those that are as good: {told}."
        return f"{answer} {told}; the fastest of them is {self._summary(cheapest)}."

    def tables(self) -> list[Table]:
        """Return the tables as text."""
        return [(f"{self.metric} of every network", *self._table()), *self._by_class()]

    def notes(self) -> list[str]:
        """Say what must be known to read the table, and what was skipped."""
        notes = [
            "mean ± standard deviation over the folds",
            "ms: milliseconds per image, pixels to features; MB: weights up to the layer, float32",
            "difference from the best row, with its 95 % interval, all pairs of rows counted",
            "+ on the Pareto front: no faster row is as good",
        ]
        if any(row.n_not_converged for row in self.rows):
            notes.append("* the classifier stopped before it converged")
        return notes + [f"skipped: {each}" for each in self.skipped]

    def _records(self) -> list[dict[str, Any]]:
        records, front = [], self.front
        for row in self.rows:
            record = {"network": row.network, **asdict(row.variant)}
            record["pooling"] = row.variant.pooling or "flat"
            for metric, scores in row.scores.items():
                record |= {metric: float(np.mean(scores)), f"{metric}_std": float(np.std(scores))}
            record |= {
                "milliseconds": row.milliseconds,
                "megabytes": row.megabytes,
                "is_on_front": row in front,
            }
            found = row.to_best
            record["difference"] = None if found is None else found.mean
            for name in ("low", "high", "p_value", "finding"):
                record[name] = None if found is None else getattr(found, name)
            records.append(record)
        return records

    def _table(self) -> tuple[list[str], list[list[str]]]:
        header = ["network", "layer", "px", "width", self.metric, "difference", "ms", "MB"]
        front = self.front
        body = [
            [
                row.network + (" +" if row in front else ""),
                f"{row.variant.layer} {row.variant.pooling or 'flat'}",
                spell_size(row.variant.input_size),
                f"{row.variant.width:,}",
                spell_spread(row.scores[self.metric]) + ("*" if row.n_not_converged else ""),
                _spell(row.to_best),
                "-" if row.milliseconds is None else f"{row.milliseconds:.3g}",
                f"{row.megabytes:.3g}",
            ]
            for row in self.rows
        ]
        return header, body

    def _summary(self, row: NetworkRow) -> str:
        cost = "" if row.milliseconds is None else f", {row.milliseconds:.3g} ms per image"
        return f"{row}: {self.metric} {spell_spread(row.scores[self.metric])}{cost}"


def _time(row: NetworkRow) -> float:
    return np.inf if row.milliseconds is None else row.milliseconds


def _spell(difference: PairedDifference | None) -> str:
    if difference is None:
        return "best"
    if np.isnan(difference.low):
        return f"{difference.mean:+.3f}"
    return f"{difference.mean:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"
