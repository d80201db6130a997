"""Tables as text."""

from __future__ import annotations

from collections.abc import Sequence


def format_table(
    header: Sequence[str], body: Sequence[Sequence[str]], total: Sequence[str] | None = None
) -> str:
    """Align columns: the first to the left, the others to the right.

    Parameters
    ----------
    header : sequence of str
        Names of the columns.
    body : sequence of sequence of str
        The rows.
    total : sequence of str or None, default=None
        A last row, below a rule.

    Returns
    -------
    str
        The table, without a final newline.
    """
    rows = [header, *body, *([total] if total else [])]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    rule = "  ".join("-" * width for width in widths)
    lines.insert(1, rule)
    if total:
        lines.insert(-1, rule)
    return "\n".join(lines)
