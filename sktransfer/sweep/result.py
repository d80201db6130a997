"""What a sweep over layers found: as text, tables, files and frames."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy import stats

from sktransfer._tables import Table, format_markdown, format_table, import_pandas
from sktransfer.probing import to_plain
from sktransfer.probing.significance import ALPHA, PairedDifference
from sktransfer.sweep.grid import Skipped, Variant


@dataclass
class SweepRow:
    """One variant, and how well images were told apart by it.

    Attributes
    ----------
    variant : Variant
        Layer, pooling, input size, width and multiply-adds.
    scores : dict of str to list of float
        Each metric's value on every fold.
    milliseconds : float or None
        What one image takes an extractor that cuts here, from pixels to features; None where there
        was no time left to measure it.
    classifier_seconds : float
        Time to fit and score the classifier on all folds.
    n_not_converged : int
        Folds in which the classifier stopped before it converged.
    to_best : PairedDifference or None
        By how much the first metric differs from that of the best row, with a test; None for the
        best row itself.
    """

    variant: Variant
    scores: dict[str, list[float]]
    milliseconds: float | None
    classifier_seconds: float
    n_not_converged: int
    to_best: PairedDifference | None = None


@dataclass
class LayerSweep:
    """The scores of all variants on the same folds; printed, they are a table.

    Attributes
    ----------
    n_images : int
        Images swept over.
    n_folds : int
        Folds of the cross-validation.
    classes : list
        The labels.
    positive : object or None
        The label that precision, recall, F1 and ROC AUC are about; None with more than two classes.
    metric : str
        The first metric, by which variants are ranked.
    rows : list of SweepRow
        Small inputs first, and narrow before wide.
    skipped : list of Skipped
        What was asked for and not computed, each with its reason.
    cka : ndarray of shape (n_rows, n_rows)
        Linear CKA between all pairs of rows.
    n_cka_images : int
        Images that it was computed on.
    """

    n_images: int
    n_folds: int
    classes: list[Any]
    positive: Any
    metric: str
    rows: list[SweepRow] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    cka: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    n_cka_images: int = 0

    @property
    def best(self) -> SweepRow | None:
        """The row of the highest mean, of equal ones the cheapest; None without rows."""
        return min(
            self.rows,
            key=lambda row: (-np.nan_to_num(self._mean(row), nan=-np.inf), *_cost(row)),
            default=None,
        )

    @property
    def cheapest(self) -> SweepRow | None:
        """The row of fewest multiply-adds, then values, within one standard error of the best.

        The standard error is that of the difference between both, paired by fold and corrected for
        the training images that folds share. Of rows that cost the same the higher one counts.
        """
        near = [row for row in self.rows if row.to_best is None or self._is_near(row.to_best)]
        return min(near, key=lambda row: (*_cost(row), -self._mean(row)), default=None)

    def _is_near(self, difference: PairedDifference) -> bool:
        if np.isnan(difference.low):
            return False
        student = stats.t(self.n_folds - 1).ppf(1 - ALPHA / 2)
        return -difference.mean <= (difference.high - difference.mean) / student

    def to_frame(self) -> Any:
        """Return one row for each variant.

        Returns
        -------
        pandas.DataFrame
            With the columns ``layer``, ``pooling`` (``'flat'`` for all values), ``input_size``,
            ``width``, ``multiply_adds``, ``milliseconds``, for each metric its mean and, as
            ``..._std``, its standard deviation over the folds, ``classifier_seconds`` and
            ``n_not_converged``.
        """
        pd = import_pandas("LayerSweep.to_frame")
        records = []
        for row in self.rows:
            record = _describe(row.variant) | {"milliseconds": row.milliseconds}
            for metric, scores in row.scores.items():
                record |= {metric: np.mean(scores), f"{metric}_std": np.std(scores)}
            record["classifier_seconds"] = row.classifier_seconds
            records.append(record | {"n_not_converged": row.n_not_converged})
        return pd.DataFrame(records)

    def cka_to_frame(self) -> Any:
        """Return linear CKA between all pairs of rows.

        Returns
        -------
        pandas.DataFrame
            Rows and columns bear the variants' names, such as ``'block2_pool avg, 32 px'``.
        """
        pd = import_pandas("LayerSweep.cka_to_frame")
        names = [str(row.variant) for row in self.rows]
        return pd.DataFrame(self.cka, index=names, columns=names)

    def to_json(self) -> str:
        """Return everything as JSON.

        Returns
        -------
        str
            One object whose keys are the attributes; a pooling of all values is ``"flat"``.
        """
        content = asdict(self)
        for name in ("rows", "skipped"):
            for item, own in zip(content[name], getattr(self, name), strict=True):
                item |= _describe(own.variant)
                del item["variant"]
        content["cka"] = self.cka.tolist()
        return json.dumps(_without_nan(content), indent=2, default=to_plain)

    def to_csv(self) -> str:
        """Return one line for each row and fold, and one for each variant that was skipped.

        Returns
        -------
        str
            With the columns ``layer``, ``pooling``, ``input_size``, ``width``, ``multiply_adds``,
            ``fold`` (from 1), one per metric, ``milliseconds``, ``classifier_seconds`` and
            ``skipped`` (the reason).
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        metrics = list(self.rows[0].scores) if self.rows else [self.metric]
        names = ("layer", "pooling", "input_size", "width", "multiply_adds")
        writer.writerow([*names, "fold", *metrics, "milliseconds", "classifier_seconds", "skipped"])
        for row in self.rows:
            head = _describe(row.variant).values()
            for fold, scores in enumerate(zip(*row.scores.values(), strict=True), start=1):
                tail = [row.milliseconds, row.classifier_seconds, ""]
                writer.writerow([*head, fold, *scores, *tail])
        for each in self.skipped:
            head = _describe(each.variant).values()
            writer.writerow([*head, "", *[""] * len(metrics), "", "", each.reason])
        return text.getvalue()

    def to_markdown(self) -> str:
        """Return the table in Markdown.

        Returns
        -------
        str
            The rows and columns of the printed table.
        """
        return format_markdown(*self._table())

    def __str__(self) -> str:
        """Lay out the table, the best row and the cheapest near it, and what was skipped."""
        parts = [self.subject()]
        if self.rows:
            parts += [format_table(*self._table()), "\n".join(self.sentences())]
        return "\n\n".join([*parts, "\n".join(self.notes())])

    def subject(self) -> str:
        """Say what was swept over what.

        Returns
        -------
        str
            One sentence, without its full stop.
        """
        return (
            f"{self.n_images:,} images, {len(self.classes)} classes; the same classifier and "
            f"{self.n_folds} folds for every row"
        )

    def sentences(self) -> list[str]:
        """Say which row is best, and which costs least among those near it.

        Returns
        -------
        list of str
            One or two, and none without rows.
        """
        best, cheapest = self.best, self.cheapest
        if best is None or cheapest is None:
            return []
        lines = [f"best: {self._summary(best)}"]
        if cheapest is not best:
            lines.append(f"cheapest within one standard error: {self._summary(cheapest)}")
        return lines

    def tables(self) -> list[Table]:
        """Return the table as text.

        Returns
        -------
        list of tuple
            Its title, header and rows; empty without rows.
        """
        return [(f"{self.metric} of every variant", *self._table())] if self.rows else []

    def notes(self) -> list[str]:
        """Say what must be known to read the table, and what was skipped.

        Returns
        -------
        list of str
            A line each.
        """
        notes = []
        if self.rows:
            notes += [
                "mean ± standard deviation over the folds",
                "ms: milliseconds per image up to the cut, by itself",
                f"CKA: linear CKA with the best row, on {self.n_cka_images} images",
            ]
        if any(row.n_not_converged for row in self.rows):
            notes.append("* the classifier stopped before it converged")
        return notes + [f"skipped: {each}" for each in self.skipped]

    def _table(self) -> tuple[list[str], list[list[str]]]:
        best = self.best
        to_best = self.cka[self.rows.index(best)] if best is not None else []
        header = ["layer", "pooling", "px", "width", self.metric, "ms", "classifier, s", "CKA"]
        body = [
            [
                row.variant.layer,
                row.variant.pooling or "flat",
                f"{row.variant.input_size}",
                f"{row.variant.width:,}",
                self._mean_and_spread(row) + ("*" if row.n_not_converged else ""),
                _milliseconds(row),
                f"{row.classifier_seconds:.1f}",
                f"{cka:.2f}",
            ]
            for row, cka in zip(self.rows, to_best, strict=True)
        ]
        return header, body

    def _summary(self, row: SweepRow) -> str:
        score = f"{self.metric} {self._mean_and_spread(row)}"
        return f"{row.variant}, {score}, {row.variant.width:,} values, {_milliseconds(row)} ms"

    def _mean(self, row: SweepRow) -> float:
        return float(np.mean(row.scores[self.metric]))

    def _mean_and_spread(self, row: SweepRow) -> str:
        return f"{self._mean(row):.3f} ± {np.std(row.scores[self.metric]):.3f}"


def _cost(row: SweepRow) -> tuple[int, int]:
    return row.variant.multiply_adds, row.variant.width


def _describe(variant: Variant) -> dict[str, Any]:
    return asdict(variant) | {"pooling": variant.pooling or "flat"}


def _without_nan(value: Any) -> Any:
    """JSON knows no NaN: it becomes null."""
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def _milliseconds(row: SweepRow) -> str:
    if row.milliseconds is None:
        return "-"
    return f"{row.milliseconds:.{max(0, 2 - len(str(int(row.milliseconds))))}f}"
