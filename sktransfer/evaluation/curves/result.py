"""The result of a comparison of learning curves, as numbers, tables and sentences."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np

from sktransfer.evaluation.curves.estimates import Estimate, first_part
from sktransfer.evaluation.curves.power_law import PowerLaw
from sktransfer.evaluation.curves.rows import Criterion, CurveRow, Saving
from sktransfer.evaluation.probing.by_class import tabulate_classes
from sktransfer.evaluation.probing.targets import say_target
from sktransfer.results.result import Result
from sktransfer.results.tables import Table, format_markdown, format_table, wrap

_COLUMN = 24  # letters


@dataclass(repr=False)
class TransferCurve(Result):
    """Scores against numbers of labels; ``print`` shows tables and their meaning in words.

    :meth:`to_csv` and :meth:`to_frame` give a record for each score, with ``features`` (the row's
    name), ``labels``, ``repeat`` (from 1) and one column that is called as the metric.
    :meth:`to_json` adds ``recalls`` and ``balanced_accuracy`` to every row.

    Attributes
    ----------
    n_images : int
        Images in all.
    n_test : int
        How many of them each repeat was scored on.
    is_test_fixed : bool
        Whether these were the same in all repeats.
    n_repeats : int
        Draws for each number of labels.
    classes : list
        The labels; empty for numbers.
    metric : str
        What the scores are.
    sizes : list of int
        Numbers of labels, over all classes.
    rows : list of CurveRow
        Raw pixels first.
    criteria : list of Criterion
        Start, slope, all labels, asymptote, and balanced accuracy where classes are of unequal
        size.
    savings : list of Saving
        Labels for equal scores, against the better raw pixels, and of trained weights against
        random ones.
    target : {'classes', 'numbers', 'labels'}
        What was predicted for each image: a class, a number, or any of several labels.
    is_weighted : bool
        Whether images had weights.
    n_comparisons : int
        Differences that were tested together for the leads: of all pairs of rows, by all criteria.
    """

    n_images: int
    n_test: int
    is_test_fixed: bool
    n_repeats: int
    classes: list[Any]
    metric: str
    sizes: list[int]
    rows: list[CurveRow]
    criteria: list[Criterion]
    savings: list[Saving]
    target: str = "classes"
    is_weighted: bool = False
    n_comparisons: int = 0

    @property
    def available(self) -> list[CurveRow]:
        """The rows that could be computed."""
        return [row for row in self.rows if row.unavailable is None]

    def to_markdown(self) -> str:
        """Return the tables and sentences for a Markdown page."""
        parts = [self.subject()]
        for caption, header, body in self.tables():
            parts += [f"{caption}:", format_markdown(header, body)]
        parts.append("\n".join(f"- {sentence}" for sentence in self.sentences()))
        return "\n\n".join(parts) + "\n"

    def sentences(self) -> list[str]:
        """Say in words which row wins by which criterion, and what is within noise."""
        out = [self._sentence(criterion) for criterion in self.criteria]
        out += [self._saving_sentence(s) for s in self.savings if s.n_labels == self.sizes[-1]]
        worst = [
            f"{self.classes[int(np.nanargmin(row.recalls))]} of {row.name} "
            f"({np.nanmin(row.recalls):.3f})"
            for row in self.available
            if row.recalls
        ]
        if worst:
            one = "Label" if self.target == "labels" else "Class"
            out.append(f"{one} with the lowest recall, with all labels: {', '.join(worst)}.")
        out += [
            f"{row.name}: the asymptote is in doubt: {row.doubt}."
            for row in self.available
            if row.law is not None and row.doubt
        ]
        n_draws = len(self.sizes) * self.n_repeats
        out += [
            f"{row.name}: the classifier stopped at max_iter on {row.n_not_converged} of "
            f"{n_draws * max(1, len(row.drawn))} draws."
            for row in self.available
            if row.n_not_converged
        ]
        out += [
            f"{row.name}: the mean of {len(row.drawn)} draws of random weights, whose spread "
            "counts in its intervals."
            for row in self.available
            if row.drawn
        ]
        out += [f"{row.name}: not shown. {row.unavailable}" for row in self.rows if row.unavailable]
        return out

    def __str__(self) -> str:
        """Lay out the headline, the tables and the sentences."""
        parts = [wrap(self.subject())]
        for caption, header, body in self.tables():
            parts.append(f"{caption}\n{format_table(header, body)}")
        parts.append("\n".join(wrap(sentence, rest="  ") for sentence in self.sentences()))
        return "\n\n".join(parts)

    def _content(self) -> dict[str, Any]:
        content = super()._content()
        for row, entry in zip(self.rows, content["rows"], strict=True):
            entry |= row.describe_recalls()
        return content

    def _records(self) -> list[dict[str, Any]]:
        return [
            {"features": row.name, "labels": n, "repeat": repeat, self.metric: score}
            for row in self.available
            for n, scores in zip(self.sizes, row.scores, strict=True)
            for repeat, score in enumerate(scores, start=1)
        ]

    def subject(self) -> str:
        """Say what was measured on what."""
        tested = "the same" if self.is_test_fixed else "drawn again in each repeat"
        about = (
            "other draws of labels from these images, on the same test images"
            if self.is_test_fixed
            else "other images of the same kind"
        )
        return (
            f"{self.metric} by number of labels: {self.n_images:,} images "
            f"{'with' if self.target == 'numbers' else 'of'} "
            f"{say_target(self.target, self.classes)}{', weighted' * self.is_weighted}, "
            f"{self.n_test:,} of them for testing, {tested}; {self.n_repeats} repeats "
            f"with the same draws for every row. Brackets hold 95 % intervals for the mean "
            f"on {about}"
            f"{self._counted()}."
        )

    def _counted(self) -> str:
        if self.n_comparisons < 2:
            return ""
        return (
            f"; those of leads count {self.n_comparisons} comparisons together, of all pairs of "
            "rows by every criterion (Holm), since any row might lead by any"
        )

    def tables(self) -> list[Table]:
        """Return every table as text."""
        # Savings come row by row, baseline by baseline: a table for each baseline.
        baselines = dict.fromkeys(saving.than for saving in self.savings)
        tables = [self._means(), self._criteria(), *map(self._savings_over, baselines)]
        return tables + self._by_class()

    def _by_class(self) -> list[Table]:
        """Lay out recalls with all labels, and the confusion of the best row there."""
        best = next(each.best for each in self.criteria if each.name == "all labels")
        rows = [(row.name, row.recalls, row.confusion) for row in self.available]
        classes = [str(each) for each in self.classes]
        return tabulate_classes(rows, str(best), classes, when=", with all labels")

    def _means(self) -> Table:
        body = [
            [f"{n:,}", *(_plus_minus(row.means[i]) for row in self.available)]
            for i, n in enumerate(self.sizes)
        ]
        header = ["labels", *(_narrow(row.name) for row in self.available)]
        return f"{self.metric}, mean ± half of the interval", header, body

    def _criteria(self) -> Table:
        first, last = self.sizes[0], self.sizes[first_part(self.sizes)]
        title = (
            f"start: at {first:,} labels; slope: gain per doubling of labels up to {last:,}; error "
            "reduction: part of the\nerror (1 - score) that it removes; asymptote a and exponent c "
            "of the law a - b n^-c (?: in doubt)"
        )
        header = ["row", "start", "slope", "error reduction", "all labels", "asymptote", "exponent"]
        body = [
            [
                row.name,
                str(row.means[0]),
                str(row.slope),
                "-" if row.error_reduction is None else str(row.error_reduction),
                str(row.means[-1]),
                *_law_cells(row.law),
            ]
            for row in self.available
        ]
        return title, header, body

    def _savings_over(self, baseline: str) -> Table:
        savings = [saving for saving in self.savings if saving.than == baseline]
        body = []
        for n in self.sizes:
            cells = [saving for saving in savings if saving.n_labels == n]
            body.append([f"{n:,}", f"{cells[0].score:.3f}", *map(self._needed, cells)])
        names = dict.fromkeys(saving.name for saving in savings)
        header = ["labels", "score", *map(_narrow, names)]
        return f"labels needed to match {baseline}", header, body

    def _needed(self, saving: Saving) -> str:
        """Say how many labels are needed, with the interval, as far as it was measured."""
        fewest, most = self.sizes[0], self.sizes[-1]

        def say(n: float | None) -> str:
            return f"over {most:,}" if n is None else f"{n:,.0f}"

        value = say(saving.needed)
        if saving.needed is not None and saving.needed <= fewest:
            value = f"{fewest:,} or fewer"
        return f"{value} [{say(saving.low)}, {say(saving.high)}]"

    def _sentence(self, criterion: Criterion) -> str:
        first, last = self.sizes[0], self.sizes[first_part(self.sizes)]
        head = {
            "start": f"Start ({first:,} labels)",
            "slope": f"Slope (per doubling from {first:,} to {last:,} labels)",
            "all labels": f"All labels ({self.sizes[-1]:,})",
            "asymptote": "Asymptote",
            "balanced accuracy": "Balanced accuracy (all labels; classes are of unequal size)",
        }[criterion.name]
        left_out = "".join(f" Not compared: {name}." for name in criterion.left_out)
        if criterion.best is None:
            return (
                f"{head}: cannot be compared, because fewer than two rows have a reliable value."
                f"{left_out}"
            )
        leads = "; ".join(
            f"{lead.difference.value:+.3f} [{lead.difference.low:+.3f}, "
            f"{lead.difference.high:+.3f}] over {lead.over}"
            + (", within noise" if lead.is_noise else "")
            for lead in criterion.leads
        )
        ahead_of = f": {leads}" if leads else ""
        text = f"{head}: {criterion.best} is highest, {criterion.value:.3f}{ahead_of}.{left_out}"
        start = self.criteria[0].best
        if criterion.name == "slope" and criterion.best != start:
            text += " A curve that starts higher has less left to gain"
            reductions = {row.name: row.error_reduction for row in self.available}
            ahead, steep = reductions[str(start)], reductions[criterion.best]
            if ahead is not None and steep is not None:
                text += (
                    f": a doubling removes {ahead.value:.0%} of the error (1 - score) of {start}, "
                    f"and {steep.value:.0%} of that of {criterion.best}"
                )
            text += "."
        return text

    def _saving_sentence(self, saving: Saving) -> str:
        return (
            f"Labels: to match {saving.than} with {saving.n_labels:,} labels ({saving.score:.3f}), "
            f"{saving.name} needs {self._needed(saving)}."
        )


def _narrow(name: str) -> str:
    """Keep a column as narrow as its numbers, where words allow it."""
    return textwrap.fill(name, _COLUMN, break_long_words=False, break_on_hyphens=False)


def _plus_minus(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ± {(estimate.high - estimate.low) / 2:.3f}"


def _law_cells(law: PowerLaw | None) -> list[str]:
    if law is None:
        return ["-", "-"]
    asymptote = Estimate(law.asymptote, *law.asymptote_interval)
    low, high = law.exponent_interval
    return [f"{asymptote}{'?' if law.doubt else ''}", f"{law.exponent:.2f} [{low:.2f}, {high:.2f}]"]
