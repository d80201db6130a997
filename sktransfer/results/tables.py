"""Tables and sentences as text, and pandas data frames."""

from __future__ import annotations

import csv
import itertools
import math
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

import numpy as np

#: Letters in a line of printed results.
WIDTH = 100

#: Title, header and rows.
Table = tuple[str, list[str], list[list[str]]]

# Text that a spreadsheet runs as a formula, also in the wide forms of East Asian keyboards, and
# what ends a cell in one. An apostrophe before it makes it text; so that it can be taken off again,
# text that looks as if it had one gets one more.
_FORMULA = re.compile(r"'*(?:\s*[=+\-@＝＋－＠]|[\t\r\n])")  # noqa: RUF001 - meant
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def format_table(
    header: Sequence[str], body: Sequence[Sequence[str]], total: Sequence[str] | None = None
) -> str:
    """Align columns: the first to the left, the others to the right.

    Parameters
    ----------
    header : sequence of str
        Names of the columns, perhaps of several lines.
    body : sequence of sequence of str
        The rows.
    total : sequence of str or None, default=None
        A last row, below a rule.

    Returns
    -------
    str
        The table, without a final newline.
    """
    # Names of several lines stand on their last one.
    split = [name.split("\n") for name in header]
    n_lines = max(map(len, split))
    heads = list(zip(*([""] * (n_lines - len(name)) + name for name in split), strict=True))
    rows = [*heads, *body, *([total] if total else [])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    rule = "  ".join("-" * width for width in widths)
    lines.insert(n_lines, rule)
    if total:
        lines.insert(-1, rule)
    return "\n".join(lines)


def format_markdown(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Lay out a table in Markdown: the first column to the left, the others to the right."""
    marks = ["---", *["---:"] * (len(header) - 1)]
    # A bar would end the cell, and a line break the table.
    rows = [[" ".join(cell.replace("|", r"\|").split()) for cell in row] for row in [header, *body]]
    rows.insert(1, marks)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def spell_number(value: float) -> str:
    """Write a number with three decimals, and a dash for NaN."""
    return "-" if math.isnan(value) else f"{value:.3f}"


def spell_spread(values: Sequence[float]) -> str:
    """Write the mean of values, and their standard deviation."""
    return f"{spell_number(float(np.mean(values)))} ± {spell_number(float(np.std(values)))}"


def wrap(text: str, *, first: str = "", rest: str = "") -> str:
    """Break text into lines, between words only, with an indent for the first and the others."""
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def write_csv(file: TextIO, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table as CSV of which a spreadsheet runs nothing."""
    writer = csv.writer(file, lineterminator="\n")
    # The csv module does not quote carriage returns, which readers take as the end of a line.
    quoting = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in itertools.chain([header], rows):
        cells = [_escape(cell) if isinstance(cell, str) else cell for cell in row]
        has_return = any(isinstance(cell, str) and "\r" in cell for cell in cells)
        (quoting if has_return else writer).writerow(cells)


def _escape(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def unescape(cell: str) -> str:
    """Take off the apostrophe that :func:`write_csv` put before text."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell, 1) else cell


def import_pandas(who: str) -> Any:
    """Return pandas, which only data frames need."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            f"{who} needs pandas, which is not installed. Install it with `pip install pandas`."
        ) from error
    return pandas
