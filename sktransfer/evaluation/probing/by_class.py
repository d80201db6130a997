"""What becomes of each class, as tables: the share found of it, and what it was taken for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sktransfer.evaluation.probing.metrics import balance, recalls_of
from sktransfer.results.tables import Table, spell_number

#: With more classes, only the worst one is shown.
SHOWN_CLASSES = 12

#: The name of a row, and its confusion.
Counted = tuple[str, Sequence[Sequence[float]]]


def tabulate_classes(
    rows: Sequence[Counted], best: str, classes: Sequence[str], *, what: str = "features"
) -> list[Table]:
    """Lay out the share found of each class in every row, and what one row mistakes for what.

    Parameters
    ----------
    rows : sequence of tuple of str and list
        Names with confusions; those without one are left out, and without any there is no table.
    best : str
        The row whose confusion is shown.
    classes : sequence of str
        Their names.
    what : str, default='features'
        The head of the column of names.
    """
    known = [row for row in rows if len(row[1])]
    if not known:
        return []
    is_small = len(classes) <= SHOWN_CLASSES
    body = []
    for name, confusion in known:
        recalls = recalls_of(confusion)
        worst = int(np.nanargmin(recalls))
        cells = [name, *(spell_number(each) for each in recalls if is_small)]
        cells += [classes[worst], spell_number(recalls[worst])]
        body.append([*cells, spell_number(balance(confusion))])
    header = [what, *(classes if is_small else []), "worst class", "its recall", "mean of all"]
    tables = [("recall of each class: the share of its test images found", header, body)]
    if is_small:
        counts = [
            [name, *(f"{count:,.10g}" for count in np.round(row, 1))]
            for name, row in zip(classes, dict(known)[best], strict=True)
        ]
        title = f"confusion matrix of {best}: rows are classes, columns predictions"
        tables.append((title, ["class", *classes], counts))
    return tables


def say_worst(confusion: Sequence[Sequence[float]], classes: Sequence[object]) -> str:
    """Name the class of the lowest recall, with its recall."""
    recalls = recalls_of(confusion)
    worst = int(np.nanargmin(recalls))
    return f"{classes[worst]}, recall {recalls[worst]:.3f}"
