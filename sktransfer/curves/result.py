"""What a comparison of learning curves found, as numbers, tables and sentences."""

from __future__ import annotations

import csv
import io
import json
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from sktransfer._tables import Table, format_markdown, format_table, import_pandas
from sktransfer.curves.estimates import Estimate, first_part
from sktransfer.curves.power_law import PowerLaw
from sktransfer.probing import to_plain

_WIDTH, _COLUMN = 100, 24  # letters


@dataclass
class CurveRow:
    """One way to see the images, and what each number of labels gave.

    Attributes
    ----------
    name : str
        What the classifier was given.
    kind : {'raw', 'control', 'transfer', 'estimator'}
        Raw pixels, features of a network with random weights, features of a trained one, or an
        estimator that took the images themselves.
    n_features : int or None
        Values per image; None where an estimator took images.
    scores : list of list of float
        For each number of labels the score of every repeat.
    means : list of Estimate
        Their means, with 95 % intervals.
    slope : Estimate or None
        Mean gain per doubling of labels over the first part of the curve.
    cut : Estimate or None
        Part of what the score lacks to 1 that each doubling of labels takes away there; unlike the
        slope, no smaller for a curve that starts higher. None for scores beyond 0 to 1.
    law : PowerLaw or None
        The power law that the means follow.
    no_law : str or None
        Why there is none.
    feature_seconds : float
        Time to compute the features of all images, once.
    classifier_seconds : float
        Time to fit and score on all draws.
    n_not_converged : int
        Draws on which the classifier stopped at `max_iter`.
    control : str or None
        Of trained weights, the name of the row with random ones.
    unavailable : str or None
        Why the row could not be computed.
    """

    name: str
    kind: str
    n_features: int | None = None
    scores: list[list[float]] = field(default_factory=list)
    means: list[Estimate] = field(default_factory=list)
    slope: Estimate | None = None
    cut: Estimate | None = None
    law: PowerLaw | None = None
    no_law: str | None = None
    feature_seconds: float = 0.0
    classifier_seconds: float = 0.0
    n_not_converged: int = 0
    control: str | None = None
    unavailable: str | None = None

    @property
    def doubt(self) -> str | None:
        """Why the asymptote is not known, or None where it is."""
        return self.no_law if self.law is None else self.law.doubt


@dataclass
class Lead:
    """How far the best row of a criterion is ahead of another one.

    Attributes
    ----------
    over : str
        The other row.
    difference : Estimate
        By how much, repeat by repeat, with a 95 % interval.
    is_noise : bool
        Whether the interval holds zero.
    """

    over: str
    difference: Estimate
    is_noise: bool


@dataclass
class Criterion:
    """Which row is best by one criterion.

    Attributes
    ----------
    name : {'start', 'slope', 'all labels', 'asymptote'}
        What is compared.
    best : str or None
        The row with the highest value; None where fewer than two can be compared.
    value : float or None
        Its value.
    leads : list of Lead
        The best against every other row that can be compared.
    left_out : dict of str to str
        Rows that cannot be, with the reason.
    """

    name: str
    best: str | None = None
    value: float | None = None
    leads: list[Lead] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass
class Saving:
    """How many labels one row needs for what another one reaches.

    Attributes
    ----------
    name, than : str
        The row, and the one that it is compared with.
    n_labels : int
        Labels of the latter.
    score : float
        What it reaches with them.
    needed : float or None
        Labels that the row needs for the same score, read between its sizes. The fewest measured,
        where these do already: it may be fewer. None, where all labels do not.
    low, high : float or None
        Ends of the 95 % interval of `needed`, of the same meaning.
    """

    name: str
    than: str
    n_labels: int
    score: float
    needed: float | None
    low: float | None
    high: float | None


@dataclass
class TransferCurve:
    """Scores against numbers of labels; printed, tables and what they say.

    Attributes
    ----------
    n_images : int
        Images in all.
    n_test : int
        Images of them on which each repeat was scored.
    is_test_fixed : bool
        Whether these were the same in all repeats.
    n_repeats : int
        Draws for each number of labels.
    classes : list
        The labels.
    metric : str
        What the scores are.
    sizes : list of int
        Numbers of labels, over all classes.
    rows : list of CurveRow
        Raw pixels first.
    criteria : list of Criterion
        Start, slope, all labels, asymptote.
    savings : list of Saving
        Labels for equal scores, against the better raw pixels, and of trained weights against
        random ones.
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

    @property
    def available(self) -> list[CurveRow]:
        """The rows that could be computed."""
        return [row for row in self.rows if row.unavailable is None]

    def to_json(self) -> str:
        """Return everything as JSON.

        Returns
        -------
        str
            One object whose keys are the attributes.
        """
        return json.dumps(asdict(self), indent=2, default=to_plain)

    def to_csv(self) -> str:
        """Return one line for each score.

        Returns
        -------
        str
            With the columns of :meth:`to_frame`.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self._columns())
        writer.writerows(self._lines())
        return text.getvalue()

    def to_frame(self) -> Any:
        """Return every score as a data frame.

        Returns
        -------
        DataFrame
            With the columns ``features`` (the row's name), ``labels``, ``repeat`` (from 1) and one
            that is called as the metric.
        """
        pandas = import_pandas(f"{type(self).__name__}.to_frame")
        return pandas.DataFrame(self._lines(), columns=self._columns())

    def to_markdown(self) -> str:
        """Return the tables and sentences for a Markdown page.

        Returns
        -------
        str
            Tables, each under its caption, and a list of sentences.
        """
        parts = [self.subject()]
        for caption, header, body in self.tables():
            parts += [f"{caption}:", format_markdown(header, body)]
        parts.append("\n".join(f"- {sentence}" for sentence in self.sentences()))
        return "\n\n".join(parts) + "\n"

    def sentences(self) -> list[str]:
        """Say in words which row wins by which criterion, and what is within noise.

        Returns
        -------
        list of str
            One for each criterion, then the labels saved, then doubts.
        """
        out = [self._sentence(criterion) for criterion in self.criteria]
        out += [self._saving_sentence(s) for s in self.savings if s.n_labels == self.sizes[-1]]
        out += [
            f"{row.name}: asymptote in doubt, {row.doubt}."
            for row in self.available
            if row.law is not None and row.doubt
        ]
        out += [
            f"{row.name}: the classifier stopped at max_iter on {row.n_not_converged} of "
            f"{len(self.sizes) * self.n_repeats} draws."
            for row in self.available
            if row.n_not_converged
        ]
        out += [f"{row.name}: not shown. {row.unavailable}" for row in self.rows if row.unavailable]
        return out

    def __str__(self) -> str:
        """Lay out the headline, the tables and the sentences."""
        parts = [textwrap.fill(self.subject(), _WIDTH)]
        for caption, header, body in self.tables():
            parts.append(f"{caption}\n{format_table(header, body)}")
        parts.append("\n".join(_fill(sentence) for sentence in self.sentences()))
        return "\n\n".join(parts)

    def _columns(self) -> list[str]:
        return ["features", "labels", "repeat", self.metric]

    def _lines(self) -> list[tuple[str, int, int, float]]:
        return [
            (row.name, n, repeat, score)
            for row in self.available
            for n, scores in zip(self.sizes, row.scores, strict=True)
            for repeat, score in enumerate(scores, start=1)
        ]

    def subject(self) -> str:
        """Say what was measured on what.

        Returns
        -------
        str
            Sentences.
        """
        tested = "the same" if self.is_test_fixed else "drawn anew in each repeat"
        about = (
            "where the mean of other draws of labels from these images would lie, on these test "
            "images"
            if self.is_test_fixed
            else "where the mean for other images of the same kind would lie"
        )
        return (
            f"{self.metric} by number of labels: {self.n_images:,} images of {len(self.classes)} "
            f"classes, {self.n_test:,} of them for testing, {tested}; {self.n_repeats} repeats "
            f"with the same draws for every row. In brackets 95 % intervals: {about}."
        )

    def tables(self) -> Iterator[Table]:
        """Return every table as text.

        Yields
        ------
        tuple
            Title, header and rows of each.
        """
        rows = self.available
        yield (
            f"{self.metric}, mean ± half of the interval",
            ["labels", *(_wrap(row.name) for row in rows)],
            [
                [f"{n:,}", *(_plus_minus(row.means[i]) for row in rows)]
                for i, n in enumerate(self.sizes)
            ],
        )
        first, last = self.sizes[0], self.sizes[first_part(self.sizes)]
        yield (
            f"start: at {first:,} labels; slope: gain per doubling of labels up to {last:,}; cut: "
            "part of what is missing from 1\nthat such a doubling takes away; asymptote a and "
            "exponent c of the law a - b n^-c (?: in doubt)",
            ["row", "start", "slope", "cut", "all labels", "asymptote", "exponent"],
            [
                [
                    row.name,
                    str(row.means[0]),
                    str(row.slope),
                    "-" if row.cut is None else str(row.cut),
                    str(row.means[-1]),
                    *_law_cells(row.law),
                ]
                for row in rows
            ],
        )
        # Savings come row by row, baseline by baseline: a table for each baseline.
        for than in dict.fromkeys(saving.than for saving in self.savings):
            some = [saving for saving in self.savings if saving.than == than]
            names = list(dict.fromkeys(saving.name for saving in some))
            body = []
            for n in self.sizes:
                cells = [s for s in some if s.n_labels == n]
                shown = [_needed(s, self.sizes[0], self.sizes[-1]) for s in cells]
                body.append([f"{n:,}", f"{cells[0].score:.3f}", *shown])
            yield (
                f"labels needed for what {than} reaches",
                ["labels", "reach", *map(_wrap, names)],
                body,
            )

    def _sentence(self, criterion: Criterion) -> str:
        first, last = self.sizes[0], self.sizes[first_part(self.sizes)]
        head = {
            "start": f"Start ({first:,} labels)",
            "slope": f"Slope (per doubling from {first:,} to {last:,} labels)",
            "all labels": f"All labels ({self.sizes[-1]:,})",
            "asymptote": "Asymptote",
        }[criterion.name]
        left_out = "".join(f" Not compared: {name}." for name in criterion.left_out)
        if criterion.best is None:
            return f"{head}: cannot be compared, for want of two rows without doubt.{left_out}"
        leads = "; ".join(
            f"{lead.difference.value:+.3f} [{lead.difference.low:+.3f}, "
            f"{lead.difference.high:+.3f}] over {lead.over}"
            + (", within noise" if lead.is_noise else "")
            for lead in criterion.leads
        )
        text = f"{head}: {criterion.best} is highest, {criterion.value:.3f}: {leads}.{left_out}"
        start = self.criteria[0].best
        if criterion.name == "slope" and criterion.best != start:
            text += " A curve that starts higher has less left to gain"
            cuts = {row.name: row.cut for row in self.available}
            ahead, steep = cuts[str(start)], cuts[criterion.best]
            if ahead is not None and steep is not None:
                text += (
                    f": of what is missing from 1, a doubling takes {ahead.value:.0%} away from "
                    f"{start}, and {steep.value:.0%} from {criterion.best}"
                )
            text += "."
        return text

    def _saving_sentence(self, saving: Saving) -> str:
        return (
            f"Labels: for the {saving.score:.3f} that {saving.than} reach with {saving.n_labels:,} "
            f"labels, {saving.name} needs {_needed(saving, self.sizes[0], self.sizes[-1])}."
        )


def _wrap(name: str) -> str:
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


def _needed(saving: Saving, fewest: int, most: int) -> str:
    """Say how many labels are needed, with the interval, as far as it was measured."""

    def say(n: float | None) -> str:
        return f"over {most:,}" if n is None else f"{n:,.0f}"

    if saving.needed is not None and saving.needed <= fewest:
        value = f"{fewest:,} or fewer"
    else:
        value = say(saving.needed)
    return f"{value} [{say(saving.low)}, {say(saving.high)}]"


def _fill(sentence: str) -> str:
    return textwrap.fill(
        sentence, _WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
