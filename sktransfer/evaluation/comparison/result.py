"""The result of a comparison, as tables, text and data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sktransfer.evaluation.comparison.rows import ComparisonRow, FewLabels, best_of
from sktransfer.evaluation.comparison.verdict import say_resolution, word_verdict
from sktransfer.evaluation.probing.by_class import tabulate_classes
from sktransfer.evaluation.probing.significance import PairedDifference
from sktransfer.evaluation.probing.targets import say_target
from sktransfer.results.result import Result
from sktransfer.results.tables import (
    Table,
    format_markdown,
    format_table,
    spell_number,
    spell_spread,
    wrap,
)

# How images are tested, by what is predicted.
_TESTS = {
    "classes": "McNemar's test",
    "numbers": "paired t-test of errors",
    "labels": "McNemar's test, by the share of right labels",
}
# With more folds, such as one for each image, only the mean is shown.
_SHOWN_FOLDS = 30


@dataclass(repr=False)
class TransferComparison(Result):
    """The scores of raw pixels and of features on the same folds; ``print`` shows tables.

    :meth:`to_csv` and :meth:`to_frame` give a record for each row, number of labels and fold, with
    ``features`` (the row's name), ``fold`` (from 1), one column per metric, ``positive`` (the name
    of the class that they are about, empty for macro averages), ``kind``, ``labels_per_class``
    (empty for all labels; few labels have the first metric only), ``n_features``,
    ``setup_seconds``, ``seconds_per_image``, ``feature_seconds``, ``classifier_seconds`` and
    ``unavailable``. :meth:`to_json` adds ``verdict``, and in every row ``pays_from``, ``recalls``
    and ``balanced_accuracy``.

    Attributes
    ----------
    n_images : int
        Images compared on.
    n_folds : int
        Folds of the cross-validation.
    classes : list
        The labels; empty for numbers.
    positive : object or None
        The label that precision, recall, F1 and ROC AUC are about; None with more than two
        classes, whose scores are macro averages.
    target_names : list of str
        What the labels stand for, in the order of `classes`.
    metrics : list of str
        What was scored. The first one decides which rows are best, and is tested.
    classifier : str
        The classifier of all rows except those as in the article.
    rows : list of ComparisonRow
        Raw pixels first.
    n_tests : int
        Differences that were tested, for all of which p-values and intervals are corrected.
    target : {'classes', 'numbers', 'labels'}
        What was predicted for each image: a class, a number, or any of several labels.
    is_by_images : bool
        Whether the first metric was tested image by image, and not fold by fold.
    is_weighted : bool
        Whether images had weights.
    """

    n_images: int
    n_folds: int
    classes: list[Any]
    positive: Any
    target_names: list[str]
    metrics: list[str]
    classifier: str
    rows: list[ComparisonRow]
    n_tests: int = 0
    target: str = "classes"
    is_by_images: bool = True
    is_weighted: bool = False

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
        """Whether transfer helped, what pretraining adds to it, and what it costs."""
        few = "label{s} of each class" if self.target == "classes" else "image{s}"
        words = word_verdict(self.rows, self.metrics[0], few=few)
        if self.is_by_images and self.metrics[0] == "accuracy":
            words += f"\n\n{say_resolution(self.rows, self.n_images, self.n_tests)}"
        return words.rstrip()

    def to_markdown(self) -> str:
        """Return the verdict and the tables in Markdown."""
        parts = ["## Verdict", self.verdict, f"{self.subject()}."]
        for title, header, body in self.tables():
            parts += [f"### {title[:1].upper()}{title[1:]}", format_markdown(header, body)]
        return "\n\n".join([*parts, *self.notes()]) + "\n"

    def __str__(self) -> str:
        """Lay out the article's two tables, all rows, their differences, and the verdict."""
        parts = [wrap(self.subject())]
        for title, header, body in self.tables():
            parts.append(f"{title}\n{format_table(header, body)}")
        parts.append("\n".join(wrap(note) for note in self.notes()))
        return "\n\n".join([*parts, *map(wrap, self.verdict.split("\n\n"))])

    def _content(self) -> dict[str, Any]:
        content = super()._content() | {"verdict": self.verdict}
        for row, entry in zip(self.rows, content["rows"], strict=True):
            entry |= {"pays_from": row.pays_from} | row.describe_recalls()
        return content

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
        """Say what was compared on what, without a full stop."""
        what = say_target(self.target, self.classes)
        if self.positive is not None:
            what = f"classes {' and '.join(self.target_names)}, {self._positive_name()} is positive"
        elif self.target != "numbers":
            what += ", scores as macro averages"
        return (
            f"{self.n_images:,} images, {what}{', weighted' * self.is_weighted}; "
            f"{self.classifier}; the same {self.n_folds} folds for every row"
        )

    def tables(self) -> list[Table]:
        """Return every table as text."""
        features = self.best_transfer or best_of(self.rows, self.metrics[0], "control")
        tables = [
            (f"{row.name}, fold by fold", ["fold", *self.metrics], self._fold_by_fold(row))
            for row in (self.best_raw, features)
            if row is not None
        ]
        tables.append(self._all_rows())
        if self._few_numbers():
            tables.append(self._by_labels())
        tables += self._by_class()
        compared = [row for row in self.rows if row.kind != "raw" and row.unavailable is None]
        if compared:
            metric = self.metrics[0]
            tables.append(_differences(f"differences in {metric}", compared, compared))
            if any(row.balanced_against_raw for row in compared):
                title = "differences in balanced accuracy"
                tables.append(_differences(title, compared, compared, prefix="balanced_"))
            for position, n in enumerate(self._few_numbers()):
                few = [row.few[position] for row in compared]
                title = f"differences in {metric}, {self._say_images(n)}"
                tables.append(_differences(title, compared, few))
        return tables

    def _by_class(self) -> list[Table]:
        """Lay out the share found of each class, and what the best features mistake for what."""
        best = self.best_transfer or best_of(self.rows, self.metrics[0], "control") or self.best_raw
        rows = [(row.name, row.recalls, row.confusion) for row in self.rows]
        return tabulate_classes(rows, best.name, self.target_names)

    def _few_numbers(self) -> list[int]:
        return [few.n_labels for few in self.rows[0].few]

    def _by_labels(self) -> Table:
        body = [
            [
                row.name,
                *(spell_spread(few.scores) for few in row.few),
                spell_spread(row.scores[self.metrics[0]]),
            ]
            for row in self.rows
            if row.few
        ]
        header = ["features", *map(str, self._few_numbers()), "all"]
        title = f"{self.metrics[0]} by {self._say_images()}"
        return title, header, body

    def _say_images(self, n: int | None = None) -> str:
        number = "" if n is None else f"{n} "
        return f"{number}training images" + " of each class" * (self.target == "classes")

    def _fold_by_fold(self, row: ComparisonRow) -> list[list[str]]:
        shown = self.n_folds if self.n_folds <= _SHOWN_FOLDS else 0
        body = [
            [str(fold + 1), *(spell_number(row.scores[metric][fold]) for metric in self.metrics)]
            for fold in range(shown)
        ]
        return [*body, ["mean", *(spell_spread(row.scores[metric]) for metric in self.metrics)]]

    def _all_rows(self) -> Table:
        first, *others = self.metrics
        body = [
            [
                row.name + ("*" if row.n_not_converged else ""),
                f"{row.n_features:,}",
                spell_spread(row.scores[first]),
                *(spell_number(row.mean(metric)) for metric in others),
                f"{1000 * row.seconds_per_image:.2f}",
                f"{row.classifier_seconds:.1f}",
            ]
            for row in self.rows
            if row.unavailable is None
        ]
        header = ["features", "width", *self.metrics, "ms per image", "classifier, s"]
        return "all rows", header, body

    def _has_controls(self) -> bool:
        return any(row.against_control is not None for row in self.rows)

    def _family(self) -> str:
        if self.n_tests == 1:
            return "This is the only test, so no correction is needed."
        return (
            f"p-values and 95 % intervals are corrected for all {self.n_tests} tests of this "
            "comparison together (Holm): the chance of any false finding among them is 5 %."
        )

    def notes(self) -> list[str]:
        """Say what must be known to read the tables."""
        metric = self.metrics[0]
        notes = [
            "± is the standard deviation over the folds. Differences are taken to the best raw row"
            + " and to the same network with random weights" * self._has_controls()
            + "."
        ]
        if self.n_tests:
            how = "fold by fold (corrected resampled t-test of Nadeau and Bengio, 2003)"
            if self.is_by_images:
                test = _TESTS[self.target]
                how = f"image by image ({test}, widened for the choice of training images)"
            notes.append(f"{metric} with all labels is tested {how}. {self._family()}")
        n_drawn = max((len(row.drawn) for row in self.rows), default=0)
        if n_drawn > 1:
            notes.append(
                f"Random weights are drawn with {n_drawn} seeds: scores are means over them, and "
                "the tests count their spread."
            )
        if any(row.kind == "article" for row in self.rows):
            notes.append(
                "Rows as in the article are compared with raw pixels as in the article: unscaled "
                "values, and 100 iterations, on both sides."
            )
        if numbers := self._few_numbers():
            notes.append(
                f"With few labels, {' or '.join(map(str, numbers))} images"
                f"{' of each class' * (self.target == 'classes')} are drawn from the training "
                "images of every fold, the same for every row. The test is a t-test over the "
                "draws, which allows for the training images that they share."
            )
        if any(row.n_not_converged for row in self.rows):
            notes.append("* the classifier stopped before it converged.")
        notes += [
            f"{row.name}: not shown. {row.unavailable}" for row in self.rows if row.unavailable
        ]
        return notes


def _differences(
    title: str,
    rows: list[ComparisonRow],
    compared: Sequence[ComparisonRow | FewLabels],
    *,
    prefix: str = "",
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
            cells += _difference_cells(getattr(each, prefix + attribute))
        body.append(cells)
    return title, header, body


def _difference_cells(difference: PairedDifference | None) -> list[str]:
    if difference is None:
        return ["", "", ""]
    is_known = difference.finding not in ("equal", "unclear")
    interval = f"{difference.low:+.3f} to {difference.high:+.3f}" if is_known else "-"
    return [f"{difference.mean:+.3f}", interval, spell_number(difference.p_value)]
