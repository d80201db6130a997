"""The base of all results: the same numbers as JSON, CSV, data frame and Markdown."""

from __future__ import annotations

import io
import json
import math
import reprlib
from dataclasses import asdict, fields
from typing import Any, ClassVar

import numpy as np

from sktransfer.results.tables import import_pandas, write_csv


class Result:
    """A dataclass of results that can be printed, saved and shown in a notebook.

    A subclass says in its docstring which columns its records have.
    """

    # Of the records, for results that may have none.
    _columns: ClassVar[tuple[str, ...]] = ()

    def to_json(self) -> str:
        """Return everything as JSON.

        Returns
        -------
        str
            One object whose keys are the attributes. Undefined and infinite numbers are null.
        """
        return json.dumps(to_plain(self._content()), indent=2, allow_nan=False)

    def to_csv(self) -> str:
        """Return the records as CSV.

        Returns
        -------
        str
            A line for each record, below a line of names. Lists and dictionaries are JSON.
        """
        records = self._records()
        columns = self._columns or list(records[0])
        text = io.StringIO()
        write_csv(text, columns, ([_to_cell(each[name]) for name in columns] for each in records))
        return text.getvalue()

    def to_frame(self) -> Any:
        """Return the records as a data frame.

        Returns
        -------
        pandas.DataFrame
            A row for each record.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = import_pandas(f"{type(self).__name__}.to_frame")
        return pandas.DataFrame(self._records(), columns=self._columns or None)

    def to_markdown(self) -> str:
        """Return what is printed as Markdown.

        Returns
        -------
        str
            Sentences and tables, as a notebook shows them.
        """
        raise NotImplementedError

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def __repr__(self) -> str:
        """Show numbers and texts that are no defaults, and count everything else."""
        shown = []
        for each in fields(self):  # type: ignore[arg-type]
            value = getattr(self, each.name)
            if value is each.default:
                continue
            is_short = value is None or isinstance(value, int | float | str)
            number = f"{each.name}={reprlib.repr(value)}"
            shown.append(number if is_short else f"{len(value)} {each.name}")
        return f"<{type(self).__name__}: {', '.join(shown)}>"

    def _content(self) -> dict[str, Any]:
        return asdict(self)  # type: ignore[call-overload]

    def _records(self) -> list[dict[str, Any]]:
        raise NotImplementedError


def to_plain(value: Any) -> Any:
    """Turn NumPy's values into Python's own, and numbers that JSON does not know into None."""
    if isinstance(value, dict):
        return {key: to_plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(each) for each in value]
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _to_cell(value: Any) -> Any:
    return json.dumps(to_plain(value)) if isinstance(value, dict | list | tuple) else value
