"""The result of a comparison, as tables, text and data."""

from __future__ import annotations

import csv
import io
import json
import math
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sktransfer._tables import Table, format_markdown, format_table, import_pandas
from sktransfer.comparison.rows import ComparisonRow, FewLabels, best_of, word_verdict
from sktransfer.probing.significance import PairedDifference

_LINE = 100
# Of more folds, such as one for each image, only the mean is shown.
_SHOWN_FOLDS = 30


@dataclass
class TransferComparison:
    """The scores of raw pixels and of features on the same folds; printed, they are tables.

    Attributes
    ----------
    n_images : int
        Images compared on.
    n_folds : int
        Folds of the cross-validation.
    classes : list
        The labels.
    positive : object or None
        The label that precision, recall, F1 and ROC AUC are about; None with more than two
        classes, whose scores are macro averages.
    target_names : list of str
        What the labels stand for, in the order of `classes`.
    metrics : list of str
        What was scored. The first one decides which rows are best, and is tested.
    classifier : str
        The classifier of all rows but that of the article.
    rows : list of ComparisonRow
        Raw pixels first.
    """

    n_images: int
    n_folds: int
    classes: list[Any]
    positive: Any
    target_names: list[str]
    metrics: list[str]
    classifier: str
    rows: list[ComparisonRow]

    @property
    def best_raw(self) -> ComparisonRow:
        """The row of raw pixels that features have to beat."""
        row = best_of(self.rows, self.metrics[0], "raw")
        assert row is not None
        return row

    @property
    def best_transfer(self) -> ComparisonRow | None:
        """The best row of trained weights; None where there is none."""
        return best_of(self.rows, self.metrics[0], "transfer")

    @property
    def verdict(self) -> str:
        """Whether transfer helped, what of it is owed to training, and from when on it pays."""
        return word_verdict(self.rows, self.metrics[0])

    def to_json(self) -> str:
        """Return everything as JSON.

        Returns
        -------
        str
            One object: the attributes, ``verdict``, and ``pays_from`` in every row. What is
            undefined is null.
        """
        content = asdict(self) | {"verdict": self.verdict}
        for row, entry in zip(self.rows, content["rows"], strict=True):
            entry["pays_from"] = row.pays_from
        return json.dumps(_to_json(content), indent=2, allow_nan=False)

    def to_csv(self) -> str:
        """Return one line for each row, number of labels and fold.

        Returns
        -------
        str
            With the columns ``features``, ``fold`` (from 1), one per metric, ``positive`` (the
            name of the class that they are about, empty for macro averages), ``kind``,
            ``labels_per_class`` (empty for all, which have only the first metric otherwise),
            ``n_features``, ``setup_seconds``, ``seconds_per_image``, ``feature_seconds``,
            ``classifier_seconds`` and ``unavailable``.
        """
        text = io.StringIO()
        records = self._records()
        writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return text.getvalue()

    def to_frame(self) -> Any:
        """Return one line for each row and fold, with the columns of :meth:`to_csv`.

        Returns
        -------
        pandas.DataFrame
            The scores.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        return import_pandas(f"{type(self).__name__}.to_frame").DataFrame(self._records())

    def to_markdown(self) -> str:
        """Return the verdict and the tables in Markdown.

        Returns
        -------
        str
            The verdict; fold by fold, the best row of raw pixels and the best one of features,
            with the same columns; all rows; the differences.
        """
        parts = ["## Verdict", self.verdict, f"{self.subject()}."]
        for title, header, body in self.tables():
            parts += [f"### {title[:1].upper()}{title[1:]}", format_markdown(header, body)]
        return "\n\n".join([*parts, *self.notes()]) + "\n"

    _repr_markdown_ = to_markdown

    def __str__(self) -> str:
        """Lay out the article's two tables, all rows, their differences, and the verdict."""
        parts = [_fill(self.subject())]
        for title, header, body in self.tables():
            parts.append(f"{title}\n{format_table(header, body)}")
        parts.append("\n".join(_fill(note) for note in self.notes()))
        return "\n\n".join([*parts, *map(_fill, self.verdict.split("\n\n"))])

    def _records(self) -> list[dict[str, Any]]:
        records = []
        for row in self.rows:
            shared = {
                "positive": self._positive_name(),
                "kind": row.kind,
                "labels_per_class": None,
                "n_features": row.n_features,
                "setup_seconds": row.setup_seconds,
                "seconds_per_image": row.seconds_per_image,
                "feature_seconds": row.feature_seconds,
                "classifier_seconds": row.classifier_seconds,
                "unavailable": row.unavailable,
            }
            if row.unavailable is not None:
                nothing = dict.fromkeys(["fold", *self.metrics])
                records.append({"features": row.name, **nothing, **shared})
                continue
            for fold in range(self.n_folds):
                scores = {metric: row.scores[metric][fold] for metric in self.metrics}
                records.append({"features": row.name, "fold": fold + 1, **scores, **shared})
            first, *others = self.metrics
            for few in row.few:
                for fold, score in enumerate(few.scores):
                    record = {"features": row.name, "fold": fold + 1, first: score}
                    record |= dict.fromkeys(others) | shared
                    records.append(record | {"labels_per_class": few.n_labels})
        return records

    def _positive_name(self) -> str | None:
        if self.positive is None:
            return None
        return self.target_names[self.classes.index(self.positive)]

    def subject(self) -> str:
        """Say what was compared on what.

        Returns
        -------
        str
            One sentence, without its full stop.
        """
        if self.positive is None:
            what = f"{len(self.classes)} classes, scores as macro averages"
        else:
            what = f"classes {' and '.join(self.target_names)}, {self._positive_name()} is positive"
        return (
            f"{self.n_images:,} images, {what}; {self.classifier}; the same {self.n_folds} folds "
            "for every row"
        )

    def tables(self) -> list[Table]:
        """Return every table as text.

        Returns
        -------
        list of tuple
            Title, header and rows of each.
        """
        features = self.best_transfer or best_of(self.rows, self.metrics[0], "control")
        tables = [
            (f"{row.name}, fold by fold", ["fold", *self.metrics], self._fold_by_fold(row))
            for row in (self.best_raw, features)
            if row is not None
        ]
        tables.append(self._all_rows())
        if self._few_numbers():
            tables.append(self._by_labels())
        compared = [row for row in self.rows if row.kind != "raw" and row.unavailable is None]
        if compared:
            metric = self.metrics[0]
            tables.append(_differences(f"differences in {metric}", compared, compared))
            for position, n in enumerate(self._few_numbers()):
                few = [row.few[position] for row in compared]
                title = f"differences in {metric}, {n} of each class to learn from"
                tables.append(_differences(title, compared, few))
        return tables

    def _few_numbers(self) -> list[int]:
        return [few.n_labels for few in self.rows[0].few]

    def _by_labels(self) -> Table:
        body = [
            [
                row.name,
                *(_spell_mean(few.scores) for few in row.few),
                _mean_and_spread(row, self.metrics[0]),
            ]
            for row in self.rows
            if row.unavailable is None
        ]
        header = ["features", *map(str, self._few_numbers()), "all"]
        return f"{self.metrics[0]} by images of each class to learn from", header, body

    def _fold_by_fold(self, row: ComparisonRow) -> list[list[str]]:
        shown = self.n_folds if self.n_folds <= _SHOWN_FOLDS else 0
        body = [
            [str(fold + 1), *(_number(row.scores[metric][fold]) for metric in self.metrics)]
            for fold in range(shown)
        ]
        return [*body, ["mean", *(_mean_and_spread(row, metric) for metric in self.metrics)]]

    def _all_rows(self) -> Table:
        first, *others = self.metrics
        body = [
            [
                row.name + ("*" if row.n_not_converged else ""),
                f"{row.n_features:,}",
                _mean_and_spread(row, first),
                *(_number(row.mean(metric)) for metric in others),
                f"{1000 * row.seconds_per_image:.2f}",
                f"{row.classifier_seconds:.1f}",
            ]
            for row in self.rows
            if row.unavailable is None
        ]
        header = ["features", "width", *self.metrics, "ms per image", "classifier, s"]
        return "all rows", header, body

    def notes(self) -> list[str]:
        """Say what must be known to read the tables.

        Returns
        -------
        list of str
            A sentence or two each.
        """
        notes = [
            "± standard deviation over the folds. Differences to the best raw row and to the same "
            "network with random weights, paired by fold; 95 % intervals and p by the corrected "
            "resampled t-test (Nadeau and Bengio, 2003)."
        ]
        if numbers := self._few_numbers():
            notes.append(
                f"With few labels, {' or '.join(map(str, numbers))} images of each class are drawn "
                "from the training images of every fold, the same for every row. Draws are taken "
                "to correlate by the images that they share."
            )
        n_trained = sum(row.kind == "transfer" and row.unavailable is None for row in self.rows)
        if n_trained > 1:
            notes.append(
                f"Intervals and p allow for {n_trained} trained rows being judged (Bonferroni)."
            )
        if any(row.n_not_converged for row in self.rows):
            notes.append("* the classifier stopped before it converged.")
        notes += [
            f"{row.name}: not shown. {row.unavailable}" for row in self.rows if row.unavailable
        ]
        return notes


def _mean_and_spread(row: ComparisonRow, metric: str) -> str:
    return _spell_mean(row.scores[metric])


def _spell_mean(scores: list[float]) -> str:
    return f"{_number(float(np.mean(scores)))} ± {_number(float(np.std(scores)))}"


def _differences(
    title: str, rows: list[ComparisonRow], compared: Sequence[ComparisonRow | FewLabels]
) -> Table:
    """Lay out the differences of rows, with all labels or few."""
    references = {"to raw": "against_raw", "to random": "against_control"}
    if all(each.against_control is None for each in compared):
        del references["to random"]
    header = ["features"]
    for name in references:
        header += [name, "95 % interval", "p"]
    body = []
    for row, each in zip(rows, compared, strict=True):
        cells = [row.name]
        for attribute in references.values():
            cells += _difference_cells(getattr(each, attribute))
        body.append(cells)
    return title, header, body


def _difference_cells(difference: PairedDifference | None) -> list[str]:
    if difference is None:
        return ["", "", ""]
    is_known = difference.finding not in ("equal", "unclear")
    interval = f"{difference.low:+.3f} to {difference.high:+.3f}" if is_known else "-"
    return [f"{difference.mean:+.3f}", interval, _number(difference.p_value)]


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _fill(text: str) -> str:
    return textwrap.fill(text, _LINE, break_long_words=False, break_on_hyphens=False)


def _to_json(value: Any) -> Any:
    """Turn NumPy's scalars into Python's own, and what is not finite into None."""
    if isinstance(value, dict):
        return {key: _to_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
