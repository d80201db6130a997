"""Recalls and confusion matrices as tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sktransfer.results.tables import Table, spell_number

#: With more classes, only the worst one is shown.
SHOWN_CLASSES = 12

#: The name of a row, its recalls, and its confusion, which sets of labels have not.
Counted = tuple[str, Sequence[float], Sequence[Sequence[float]]]


def tabulate_classes(
    rows: Sequence[Counted], best: str, classes: Sequence[str], *, when: str = ""
) -> list[Table]:
    """Lay out the share found of each class in every row, and what one row mistakes for what.

    Parameters
    ----------
    rows : sequence of tuple of str and list
        Names with recalls and confusions; those without are left out, and without any there is no
        table.
    best : str
        The row whose confusion is shown.
    classes : sequence of str
        The names of classes, or of labels.
    when : str, default=''
        What the titles add, which tells the tables of several results apart.
    """
    known = [row for row in rows if len(row[1])]
    if not known:
        return []
    confusions = {name: confusion for name, _, confusion in known}
    one = "class" if len(confusions[best]) else "label"
    is_small = len(classes) <= SHOWN_CLASSES
    body = []
    for name, recalls, _ in known:
        worst = int(np.nanargmin(recalls))
        cells = [name, *(spell_number(each) for each in recalls if is_small)]
        cells += [classes[worst], spell_number(recalls[worst])]
        body.append([*cells, spell_number(float(np.nanmean(recalls)))])
    header = [
        "features",
        *(classes if is_small else []),
        f"worst {one}",
        "its recall",
        "mean of all",
    ]
    tables = [(f"recall of each {one}{when}: the share of its test images found", header, body)]
    if is_small and len(confusions[best]):
        counts = [
            [name, *(f"{count:,.10g}" for count in np.round(row, 1))]
            for name, row in zip(classes, confusions[best], strict=True)
        ]
        title = f"confusion matrix of {best}{when}: rows are classes, columns predictions"
        tables.append((title, ["class", *classes], counts))
    return tables


def say_worst(recalls: Sequence[float], classes: Sequence[object]) -> str:
    """Name the class of the lowest recall, with its recall."""
    worst = int(np.nanargmin(recalls))
    return f"{classes[worst]}, recall {recalls[worst]:.3f}"
