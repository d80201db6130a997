"""Short results: the answer, and one table of 100 characters at most."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sktransfer.results.tables import Table, format_table, spell_number, spell_spread, wrap

_NAME = 36  # characters of a name in the first column
_HEAD = 18  # and in the head of another one
_MORE = "--verbose shows all tables and how they were computed."


@dataclass
class Brief:
    """A result in short.

    Attributes
    ----------
    answers : list of str
        What it comes to.
    table : tuple or None
        Title, header and rows.
    missing : list of str
        What is not in the table, and why.
    """

    answers: list[str]
    table: Table | None = None
    missing: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Lay it out as text."""
        table = []
        if self.table is not None:
            _, header, body = self.table
            table = [format_table(header, [row for cells in body for row in _break_name(cells)])]
        return "\n\n".join([*map(wrap, self.answers), *table, *map(wrap, self.missing), _MORE])


def brief_comparison(result: Any) -> Brief:
    """Answer whether transfer helped, and show the scores and differences of all rows."""
    metric = result.metrics[0]
    numbers = [few.n_labels for few in result.rows[0].few]
    unit = "labels\nper class" if result.target == "classes" else "images"
    header = ["features", *(f"{n} {unit}" for n in numbers), f"{metric},\nall labels"]
    header += ["to raw", "95 % interval"]
    body = []
    for row in result.rows:
        if row.unavailable is None:
            few = [spell_number(each.mean) for each in row.few]
            score = spell_spread(row.scores[metric])
            body.append([row.name, *few, score, *_spell(row.against_raw)])
    table = (f"{metric}, and differences to the best row of raw pixels", header, body)
    return Brief([_first(result.verdict)], table, _find_missing(result.notes()))


def _first(verdict: str) -> str:
    """Take the sentence that holds the answer: the one with the first colon."""
    paragraph = verdict.split("\n\n")[0]
    end = re.compile(r"\.\s+(?=[A-Z])").search(paragraph, max(paragraph.find(": "), 0))
    return paragraph[: end.start() + 1] if end else paragraph


def _spell(difference: Any) -> list[str]:
    if difference is None:
        return ["", ""]
    is_known = difference.finding not in ("equal", "unclear")
    ends = f"{difference.low:+.3f} to {difference.high:+.3f}" if is_known else "-"
    return [f"{difference.mean:+.3f}", ends]


def brief_sweep(result: Any) -> Brief:
    """Answer which layer is best and which is cheapest near it, and show all."""
    answers = [f"{sentence[:1].upper()}{sentence[1:]}." for sentence in result.sentences()]
    tables = result.tables()
    return Brief(answers, tables[0] if tables else None, _find_missing(result.notes()))


def brief_networks(result: Any) -> Brief:
    """Answer which network is best and which is fastest near it, and show all."""
    table = result.tables()[0] if result.rows else None
    return Brief(result.sentences(), table, _find_missing(result.notes()))


def brief_curve(result: Any) -> Brief:
    """Answer what few labels and all labels give and how many are saved, and show the scores."""
    shown = ("Start", "All labels", "Balanced accuracy", "Labels:")
    sentences = result.sentences()
    title, header, body = result.tables()[0]
    heads = [textwrap.fill(name.replace("\n", " "), _HEAD) for name in header[1:]]
    answers = [each for each in sentences if each.startswith(shown)]
    return Brief(answers, (title, [header[0], *heads], body), _find_missing(sentences))


#: How a result is shown in short, by its section of the report. Of a diagnosis the findings are the
#: answer, and are shown in full.
BRIEFS: dict[str, Callable[[Any], Any]] = {
    "comparison": brief_comparison,
    "sweep": brief_sweep,
    "networks": brief_networks,
    "curve": brief_curve,
    "diagnosis": str,
}


def _break_name(cells: list[str]) -> list[list[str]]:
    """Break a long name into lines, and put the cells behind the last one."""
    name, *others = cells
    lines = textwrap.wrap(name, _NAME, subsequent_indent="  ", break_on_hyphens=False) or [""]
    return [*([line, *[""] * len(others)] for line in lines[:-1]), [lines[-1], *others]]


def _find_missing(notes: list[str]) -> list[str]:
    missing = [note for note in notes if re.search(r": not shown\.|^skipped: ", note)]
    return [note.replace(", or in Python leave the name out of 'optional'", "") for note in missing]
