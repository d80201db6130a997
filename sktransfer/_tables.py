"""Tables as text, and pandas where one is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: Title, header and rows.
Table = tuple[str, list[str], list[list[str]]]


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
    """Lay out a table in Markdown: the first column to the left, the others to the right.

    Parameters
    ----------
    header : sequence of str
        Names of the columns.
    body : sequence of sequence of str
        The rows.

    Returns
    -------
    str
        The table, without a final newline.
    """
    marks = ["---", *["---:"] * (len(header) - 1)]
    # A bar would end the cell, and a line break the table.
    rows = [[" ".join(cell.replace("|", r"\|").split()) for cell in row] for row in [header, *body]]
    rows.insert(1, marks)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def import_pandas(who: str) -> Any:
    """Return pandas, which only data frames need.

    Parameters
    ----------
    who : str
        The method named in the error.

    Returns
    -------
    module
        pandas.

    Raises
    ------
    ImportError
        If it is not installed, saying how to install it.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            f"{who} needs pandas, which is not installed. Install it with `pip install pandas`."
        ) from error
    return pandas
