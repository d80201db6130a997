"""The result of a sweep over layers, as text, tables, files and frames."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from scipy import stats

from sktransfer.evaluation.probing.selection import score_choice
from sktransfer.evaluation.probing.significance import PairedDifference
from sktransfer.evaluation.sweep.grid import Skipped, Variant
from sktransfer.evaluation.sweep.shared import SweepResult, TestedRow
from sktransfer.networks.outputs import spell_size
from sktransfer.results.tables import (
    Table,
    format_markdown,
    format_table,
    import_pandas,
    spell_number,
    spell_spread,
)

_CHEAP = {
    "classes": "accuracy of 5 nearest neighbours and of class centres, LogME, H-score, LEEP",
    "numbers": "R2 of 5 nearest neighbours, LogME",
    "labels": "share of right labels of 5 nearest neighbours, LogME",
}


@dataclass
class SweepRow(TestedRow):
    """One variant, and how well images were classified with it.

    Attributes
    ----------
    variant : Variant
        Layer, pooling, input size, width and multiply-adds.
    scores : dict of str to list of float
        Each metric's value on every fold.
    milliseconds : float or None
        Time for one image, from pixels to features, of an extractor with this cut; None if there
        was no time left to measure it.
    classifier_seconds : float
        Time to fit and score the classifier on all folds.
    n_not_converged : int
        Folds in which the classifier stopped before it converged.
    to_best : PairedDifference or None
        By how much the first metric differs from that of the best row, with a test that counts how
        many rows it was chosen from; None for the best row itself.
    error : float or None
        The standard error of this difference.
    confusion : list of list of float
        Images by class (rows) and by prediction (columns), in the order of the
        result's `classes`, over all folds; with `sample_weight` the sums of weights. Empty where no
        classes are predicted.
    cheap : dict of str to float
        Scores that cost little: the accuracies of five nearest neighbours (``knn``) and of the
        nearest class centre (``centroid``), and LogME, H-score and LEEP, on the images of CKA. For
        numbers and sets of labels, nearest neighbours and LogME only.
    label_recalls : list of float
        For sets of labels, the share of the test images with each label for which it was predicted;
        else empty.
    balanced_to_best : PairedDifference or None
        By how much balanced accuracy differs from that of the row where it is highest; None for
        that row, and where classes are of equal size or the first metric is not accuracy.
    """

    variant: Variant
    scores: dict[str, list[float]]
    milliseconds: float | None
    classifier_seconds: float
    n_not_converged: int
    to_best: PairedDifference | None = None
    error: float | None = None
    confusion: list[list[float]] = field(default_factory=list)
    cheap: dict[str, float] = field(default_factory=dict)
    label_recalls: list[float] = field(default_factory=list)
    balanced_to_best: PairedDifference | None = None

    def __str__(self) -> str:
        return str(self.variant)


@dataclass(repr=False)
class LayerSweep(SweepResult[SweepRow]):
    """The scores of all variants on the same folds; ``print`` shows a table.

    :meth:`to_csv` gives a record for each row and fold, and one for each variant that was skipped,
    with ``layer``, ``pooling`` (``'flat'`` for all values), ``input_size``, ``width``,
    ``multiply_adds``, ``fold`` (from 1), one column per metric, ``milliseconds``,
    ``classifier_seconds`` and ``skipped`` (the reason). :meth:`to_json` describes variants by the
    same names, and adds ``recalls`` and ``balanced_accuracy`` to every row.

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
        The first metric, by which variants are ranked.
    rows : list of SweepRow
        Small inputs first, and narrow before wide.
    skipped : list of Skipped
        What was asked for and not computed, each with its reason.
    cka : ndarray of shape (n_rows, n_rows)
        Linear CKA between all pairs of rows.
    n_cka_images : int
        Images that it was computed on.
    target : {'classes', 'numbers', 'labels'}
        What was predicted for each image: a class, a number, or any of several labels.
    is_weighted : bool
        Whether images had weights.
    """

    skipped: list[Skipped] = field(default_factory=list)
    cka: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    n_cka_images: int = 0

    @property
    def cheapest(self) -> SweepRow | None:
        """The row with the fewest multiply-adds, then values, within a standard error of the best.

        The standard error is that of the difference between both, and allows for the training
        images that folds share. Among rows of equal cost, the one with the higher score counts.
        """
        near = [
            row
            for row in self.rows
            if row.to_best is None
            or (row.error is not None and -row.to_best.mean <= row.error)  # not NaN
        ]
        return min(near, key=lambda row: (self._cost(row), -self.mean(row)), default=None)

    @property
    def not_worse(self) -> list[SweepRow]:
        """The best row, and all rows that are not significantly worse.

        If all rows were equally good, the chance that any of them is missing would be 5 %.
        """
        return self._near

    @property
    def nested_score(self) -> float:
        """The score of the best row, corrected for selection; NaN without rows.

        On every fold, the row that is best on the other folds is scored, and these scores are
        averaged.
        """
        if not self.rows:
            return float("nan")
        rows = sorted(self.rows, key=self._cost)
        return float(score_choice(np.array([row.scores[self.metric] for row in rows])).mean())

    def to_frame(self) -> Any:
        """Return one row for each variant.

        Returns
        -------
        pandas.DataFrame
            With the columns ``layer``, ``pooling`` (``'flat'`` for all values), ``input_size``,
            ``width``, ``multiply_adds``, ``milliseconds``, for each metric its mean and, as
            ``..._std``, its standard deviation over the folds, the cheap scores,
            ``classifier_seconds`` and ``n_not_converged``.
        """
        pd = import_pandas("LayerSweep.to_frame")
        records = []
        for row in self.rows:
            record = _describe(row.variant) | {"milliseconds": row.milliseconds}
            for metric, scores in row.scores.items():
                record |= {metric: np.mean(scores), f"{metric}_std": np.std(scores)}
            record |= row.cheap | {"classifier_seconds": row.classifier_seconds}
            records.append(record | {"n_not_converged": row.n_not_converged})
        return pd.DataFrame(records)

    def cka_to_frame(self) -> Any:
        """Return linear CKA between all pairs of rows.

        Returns
        -------
        pandas.DataFrame
            Rows and columns have the variants' names, such as ``'block2_pool avg, 32 px'``.
        """
        pd = import_pandas("LayerSweep.cka_to_frame")
        names = [str(row.variant) for row in self.rows]
        return pd.DataFrame(self.cka, index=names, columns=names)

    def to_markdown(self) -> str:
        """Return the table in Markdown."""
        return format_markdown(*self._table())

    def __str__(self) -> str:
        """Lay out the table, the best row and the cheapest near it, and what was skipped."""
        parts = [self.subject()]
        if self.rows:
            parts.append(format_table(*self._table()))
            parts += [
                f"{title}\n{format_table(header, body)}" for title, header, body in self._by_class()
            ]
            if self.rows[0].cheap:
                parts.append(f"cheap scores\n{format_table(*self._cheap_table())}")
            parts.append("\n".join(self.sentences()))
        return "\n\n".join([*parts, "\n".join(self.notes())])

    def sentences(self) -> list[str]:
        """Say which row is best, and which costs least among those near it."""
        best, cheapest = self.best, self.cheapest
        if best is None or cheapest is None:
            return []
        lines = [f"best: {self._summary(best)}"]
        if len(self.rows) > 1:
            lines.append(
                f"corrected for choosing among {len(self.rows)} rows: {self.metric} "
                f"{self.nested_score:.3f}"
            )
            lines.append(self._tell_from_best())
        lines += self._say_classes()
        if cheapest is not best:
            lines.append(f"cheapest within one standard error: {self._summary(cheapest)}")
        return lines

    def _tell_from_best(self) -> str:
        others = [row for row in self.not_worse if row.to_best is not None]
        how = f"{self.n_comparisons} comparisons counted"
        if not others:
            return f"all other rows are worse ({how})"
        n_others = len(self.rows) - 1
        return f"not significantly worse (marked =): {len(others)} of {n_others} other rows, {how}"

    def tables(self) -> list[Table]:
        """Return the table as text."""
        if not self.rows:
            return []
        tables = [(f"{self.metric} of every variant", *self._table())]
        tables += self._by_class()
        return tables + ([("cheap scores", *self._cheap_table())] if self.rows[0].cheap else [])

    def notes(self) -> list[str]:
        """Say what must be known to read the table, and what was skipped."""
        notes = []
        if self.rows:
            notes += [
                "mean ± standard deviation over the folds",
                "ms: milliseconds per image up to the cut, measured separately",
                f"CKA: linear CKA with the best row, on {self.n_cka_images} images",
            ]
        if self.rows and self.rows[0].cheap:
            notes.append(f"cheap scores, on {self.n_cka_images} images: {_CHEAP[self.target]}")
        if len(self.not_worse) > 1:
            notes.append("= not significantly worse than the best row")
        if any(row.n_not_converged for row in self.rows):
            notes.append("* the classifier stopped before it converged")
        return notes + [f"skipped: {each}" for each in self.skipped]

    def _cost(self, row: SweepRow) -> tuple[float, ...]:
        return row.variant.multiply_adds, row.variant.width

    def _content(self) -> dict[str, Any]:
        content = super()._content()
        for name in ("rows", "skipped"):
            for entry, own in zip(content[name], getattr(self, name), strict=True):
                del entry["variant"]
                entry |= _describe(own.variant)
        return content

    def _records(self) -> list[dict[str, Any]]:
        records = []
        for row in self.rows:
            tail = {
                "milliseconds": row.milliseconds,
                "classifier_seconds": row.classifier_seconds,
                "skipped": None,
            }
            for fold in range(self.n_folds):
                scores = {metric: each[fold] for metric, each in row.scores.items()}
                records.append(_describe(row.variant) | {"fold": fold + 1} | scores | tail)
        metrics = list(self.rows[0].scores) if self.rows else [self.metric]
        unknown = dict.fromkeys(["fold", *metrics, "milliseconds", "classifier_seconds"])
        for each in self.skipped:
            records.append(_describe(each.variant) | unknown | {"skipped": each.reason})
        return records

    def _table(self) -> tuple[list[str], list[list[str]]]:
        best = self.best
        to_best = self.cka[self.rows.index(best)] if best is not None else []
        header = ["layer", "pooling", "px", "width", self.metric, "ms", "classifier, s", "CKA"]
        body = [
            [
                row.variant.layer,
                row.variant.pooling or "flat",
                spell_size(row.variant.input_size),
                f"{row.variant.width:,}",
                spell_spread(row.scores[self.metric])
                + ("=" if row.to_best is not None and row.to_best.finding != "lower" else "")
                + ("*" if row.n_not_converged else ""),
                _milliseconds(row),
                f"{row.classifier_seconds:.1f}",
                f"{cka:.2f}",
            ]
            for row, cka in zip(self.rows, to_best, strict=True)
        ]
        return header, body

    def _cheap_table(self) -> tuple[list[str], list[list[str]]]:
        names = list(self.rows[0].cheap)
        body = [
            [str(row.variant), *(f"{row.cheap[name]:.3f}" for name in names)] for row in self.rows
        ]
        if len(self.rows) > 2:
            means = [self.mean(row) for row in self.rows]
            with np.errstate(invalid="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of equal scores
                ranks = [
                    stats.spearmanr([row.cheap[name] for row in self.rows], means).statistic
                    for name in names
                ]
            body.append([f"rank correlation with {self.metric}", *map(spell_number, ranks)])
        return ["features", *names], body

    def _summary(self, row: SweepRow) -> str:
        score = f"{self.metric} {spell_spread(row.scores[self.metric])}"
        return f"{row.variant}, {score}, {row.variant.width:,} values, {_milliseconds(row)} ms"


def _describe(variant: Variant) -> dict[str, Any]:
    return asdict(variant) | {"pooling": variant.pooling or "flat"}


def _milliseconds(row: SweepRow) -> str:
    if row.milliseconds is None:
        return "-"
    return f"{row.milliseconds:.{max(0, 2 - len(str(int(row.milliseconds))))}f}"
