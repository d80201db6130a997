"""The result of a sweep across networks, as text, tables, files and frames."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import numpy as np

from sktransfer.evaluation.probing.significance import PairedDifference
from sktransfer.evaluation.sweep.grid import Variant
from sktransfer.evaluation.sweep.shared import SweepResult, TestedRow
from sktransfer.networks.outputs import spell_size
from sktransfer.results.tables import Table, format_markdown, format_table, spell_spread, wrap


@dataclass
class NetworkRow(TestedRow):
    """One network at one layer and size, and how well images were classified with it.

    Attributes
    ----------
    network : str
        Its name.
    milliseconds : float or None
        Time for one image, from pixels to features.
    megabytes : float
        What the weights up to the layer take in float32.
    variant, scores, n_not_converged, to_best, error, confusion, label_recalls, balanced_to_best
        As of :class:`SweepRow`.
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
class NetworkSweep(SweepResult[NetworkRow]):
    """The scores of several networks on the same folds; ``print`` shows a table.

    :meth:`to_csv` and :meth:`to_frame` give a record for each row, with ``network``, ``layer``,
    ``pooling`` (``'flat'`` for all values), ``input_size``, ``width``, ``multiply_adds``, one
    column for the mean of each metric and, as ``..._std``, for its standard deviation,
    ``milliseconds``, ``megabytes``, ``is_on_front``, ``difference`` (from the best row), ``low``,
    ``high``, ``p_value`` and ``finding``. :meth:`to_json` adds ``recalls`` and
    ``balanced_accuracy`` to every row.

    Attributes
    ----------
    rows : list of NetworkRow
        In the order of the networks.
    skipped : list of str
        What was asked for and not computed, each with its reason.
    n_images, n_folds, classes, positive, metric, target, is_weighted
        As of :class:`LayerSweep`.
    """

    _called: ClassVar[str] = "the sweep across networks"

    @property
    def cheapest(self) -> NetworkRow | None:
        """The fastest row that is not significantly worse than the best one."""
        return min(self._near, key=lambda row: (self._cost(row), -self.mean(row)), default=None)

    @property
    def front(self) -> list[NetworkRow]:
        """The Pareto front, fastest first: no faster row scores as well."""
        front: list[NetworkRow] = []
        for row in sorted(self.rows, key=lambda row: (self._cost(row), -self.mean(row))):
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
        told = f"Not significantly worse: {n_near} of {len(self.rows) - 1} others ({counted})"
        if cheapest is best:
            return f"{answer} {told}; none of them is faster."
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
            "+ on the Pareto front: no faster row scores as well",
        ]
        if any(row.n_not_converged for row in self.rows):
            notes.append("* the classifier stopped before it converged")
        return notes + [f"skipped: {each}" for each in self.skipped]

    def _cost(self, row: NetworkRow) -> tuple[float, ...]:
        return (np.inf if row.milliseconds is None else row.milliseconds,)

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


def _spell(difference: PairedDifference | None) -> str:
    if difference is None:
        return "best"
    if np.isnan(difference.low):
        return f"{difference.mean:+.3f}"
    return f"{difference.mean:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"
