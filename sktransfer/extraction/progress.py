"""How far an extraction has come: written down after every block, found again by the next run."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sktransfer.extraction.sources import Entry

_SCHEMA = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS inputs (position INTEGER PRIMARY KEY, path BLOB NOT NULL, label TEXT);
CREATE TABLE IF NOT EXISTS failures (position INTEGER PRIMARY KEY, reason TEXT NOT NULL);
"""


class Progress:
    """The record of one extraction, in a file of SQLite.

    It holds the inputs as they were listed, those that could not be read, and how many inputs and
    rows are safely written. A transaction is there as a whole or not at all, whenever the process
    or the machine ends.

    Parameters
    ----------
    path : Path
        The file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        # The default journal and level of safety: a commit is on the disk when it returns.
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @property
    def identity(self) -> dict[str, Any] | None:
        """What is extracted, with which recipe; None before it is known."""
        return json.loads(self._fact("identity") or "null")

    @property
    def n_inputs(self) -> int:
        """How many inputs were listed."""
        return int(self._fact("n_inputs") or 0)

    @property
    def n_read(self) -> int:
        """How many of the inputs are done with."""
        return int(self._fact("n_read") or 0)

    @property
    def n_rows(self) -> int:
        """How many rows are written."""
        return int(self._fact("n_rows") or 0)

    @property
    def n_failed(self) -> int:
        """How many of the inputs could not be read."""
        return self._db.execute("SELECT COUNT(*) FROM failures").fetchone()[0]

    def _fact(self, name: str) -> str | None:
        found = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return found and found[0]

    def begin(self, identity: Mapping[str, Any], entries: Iterable[Entry]) -> None:
        """Write down what is to be done, all of it or nothing.

        Parameters
        ----------
        identity : mapping
            What is extracted, with which recipe, as JSON can hold it.
        entries : iterable of tuple
            Path and label of each input, in order.
        """
        with self._transaction():
            self._db.executemany(
                "INSERT INTO inputs VALUES (?, ?, ?)",
                (
                    (position, path.encode("utf-8", "surrogateescape"), label)
                    for position, (path, label) in enumerate(entries)
                ),
            )
            n_inputs = self._db.execute("SELECT COUNT(*) FROM inputs").fetchone()[0]
            self._write(identity=json.dumps(identity), n_inputs=n_inputs, n_read=0, n_rows=0)

    def commit(self, n_read: int, n_rows: int, failures: Mapping[int, str]) -> None:
        """Write down that rows are safe.

        Parameters
        ----------
        n_read : int
            How many inputs are done with, from the first.
        n_rows : int
            How many rows are written.
        failures : mapping of int to str
            The inputs that could not be read since the last time, and why.
        """
        with self._transaction():
            self._db.executemany("INSERT INTO failures VALUES (?, ?)", failures.items())
            self._write(n_read=n_read, n_rows=n_rows)

    def entries(self, start: int, stop: int) -> list[Entry]:
        """Return the inputs from `start` to `stop`.

        Parameters
        ----------
        start, stop : int
            The range.

        Returns
        -------
        list of tuple
            Path and label of each.
        """
        found = self._db.execute(
            "SELECT path, label FROM inputs WHERE position >= ? AND position < ? ORDER BY position",
            (start, stop),
        )
        return [(path.decode("utf-8", "surrogateescape"), label) for path, label in found]

    def failures(self) -> Iterator[tuple[int, str, str]]:
        """Yield position, path and reason of every input that could not be read.

        Yields
        ------
        tuple of int, str and str
            In the order of the inputs.
        """
        found = self._db.execute(
            "SELECT position, path, reason FROM failures JOIN inputs USING (position) "
            "ORDER BY position"
        )
        for position, path, reason in found:
            yield position, path.decode("utf-8", "surrogateescape"), reason

    def rows(self, *, with_failed: bool) -> Iterator[tuple[int, str, str | None]]:
        """Yield position, path and label of every row.

        Parameters
        ----------
        with_failed : bool
            Whether inputs that could not be read have a row.

        Yields
        ------
        tuple of int, str and (str or None)
            In the order of the rows.
        """
        rest = "" if with_failed else "WHERE position NOT IN (SELECT position FROM failures) "
        found = self._db.execute(
            f"SELECT position, path, label FROM inputs {rest}ORDER BY position"
        )
        for position, path, label in found:
            yield position, path.decode("utf-8", "surrogateescape"), label

    def _write(self, **facts: Any) -> None:
        self._db.executemany("REPLACE INTO facts VALUES (?, ?)", facts.items())

    def _transaction(self) -> sqlite3.Connection:
        self._db.execute("BEGIN")
        return self._db  # which commits at the end of a with block, and rolls back after an error
