"""The record of an extraction: updated after every block, checked by a resumed run."""

from __future__ import annotations

import json
import sqlite3
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm
from xxhash import xxh3_128_digest

from sktransfer.export.extraction.sources import (
    Entry,
    UnreadableImages,
    hash_texts,
    read_state,
)

#: The file in the folder of an unfinished run.
NAME = "progress.sqlite"
# Of one value. The longest, which says what was asked for, has some kilobytes.
_MAX_BYTES = 64 << 20

_SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE inputs (
    position INTEGER PRIMARY KEY, path BLOB NOT NULL, label BLOB, state TEXT
);
CREATE TABLE failures (position INTEGER PRIMARY KEY, reason TEXT NOT NULL);
CREATE TABLE blocks (
    block INTEGER PRIMARY KEY, n_read INTEGER NOT NULL, n_rows INTEGER NOT NULL, seal BLOB NOT NULL
);
"""
# SQLite's errors that are caused by the system and not by the file.
_SYSTEM_FAULTS = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}


class DamagedProgress(ValueError):
    """The record of an extraction holds something that no extraction writes."""

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(
            f"extract cannot resume {str(path)!r}, which is damaged or was not written by this "
            f"version of sktransfer: {reason}. Remove the folder {str(path.parent)!r} and make the "
            "same call again: it starts again."
        )


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Explain errors in writing an unfinished run, or in reading its damaged record."""
    try:
        yield
    except (UnreadableImages, FileExistsError):  # they name other files, and their own cure
        raise
    except (OSError, sqlite3.Error) as error:
        code = getattr(error, "sqlite_errorcode", -1) & 0xFF
        if isinstance(error, sqlite3.Error) and code not in _SYSTEM_FAULTS:
            raise DamagedProgress(folder / NAME, error) from error
        raise OSError(
            f"extract cannot write to {str(folder)!r}: {error}. What is written is kept: free disk "
            "space or remove the cause, and make the same call again to continue."
        ) from error


class Progress:
    """The record of one extraction, in a file of SQLite.

    It holds the inputs as they were listed, those that could not be read, and of every block that
    is safely written how far it reaches and a hash. A transaction is there as a whole or not at
    all, whenever the process or the machine ends.

    Parameters
    ----------
    path : Path
        The file; made if it is not there.

    Raises
    ------
    DamagedProgress
        If there is something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        _check_kind(path)
        # The default journal and level of safety: a commit is on the disk when it returns.
        self._db = sqlite3.connect(path, isolation_level=None)
        # A damaged file may record lengths that no value has: refused before memory is taken.
        self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_BYTES)
        try:
            self._open()
        except UnicodeDecodeError as error:
            self._db.close()
            raise DamagedProgress(path, error) from error
        except MemoryError:
            # SQLite says so without asking for memory where its own table holds a record that it
            # cannot read: sqlite3_exec takes every missing text for a lack of memory.
            self._db.close()
            raise DamagedProgress(path, "SQLite cannot read its list of tables") from None
        except BaseException:
            self._db.close()
            raise

    def _open(self) -> None:
        self._db.execute("PRAGMA synchronous=FULL")
        if not _tables(self._db):
            self._db.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
        with sqlite3.connect(":memory:") as model:
            model.executescript(_SCHEMA)
            # Never query a foreign table or view, which may never end.
            is_own = _tables(self._db) == _tables(model)
        model.close()
        if not is_own:
            raise DamagedProgress(self._path, "its tables are different")
        ((found,),) = self._db.execute("PRAGMA integrity_check(1)").fetchall()
        if found != "ok":
            raise DamagedProgress(self._path, found)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @property
    def identity(self) -> dict[str, Any] | None:
        """The inputs and recipe of the run; None before they are known."""
        return self._read_fact("identity")

    @property
    def placed(self) -> dict[str, Any]:
        """Hashes of the files that were put next to the output before a run was cut off."""
        return self._read_fact("placed") or {}

    def record_placed(self, hashes: Mapping[str, str | None]) -> None:
        """Record the files that are to be put next to the output now."""
        fact = ("placed", json.dumps(hashes))
        self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", fact)

    def _read_fact(self, name: str) -> dict[str, Any] | None:
        found = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        if found is None:
            return None
        try:
            fact = json.loads(found[0])
        except (TypeError, ValueError, RecursionError) as error:
            raise DamagedProgress(self._path, f"its {name} is not valid JSON, {error}") from error
        if not isinstance(fact, dict):
            raise DamagedProgress(self._path, f"its {name} is not a JSON object")
        return fact

    @property
    def n_inputs(self) -> int:
        """The number of listed inputs."""
        (last,) = self._db.execute("SELECT MAX(position) FROM inputs").fetchone()
        return 0 if last is None else last + 1

    @property
    def n_read(self) -> int:
        """The number of inputs that are done."""
        return self._last()[0]

    @property
    def n_rows(self) -> int:
        """The number of rows written."""
        return self._last()[1]

    @property
    def n_failed(self) -> int:
        """The number of inputs that could not be read."""
        return self._db.execute("SELECT COUNT(*) FROM failures").fetchone()[0]

    def _last(self) -> tuple[int, int]:
        """Return the end of the last block, in inputs and rows."""
        found = self._db.execute("SELECT n_read, n_rows FROM blocks ORDER BY block DESC LIMIT 1")
        return found.fetchone() or (0, 0)

    def begin(self, identity: Mapping[str, Any], entries: Iterable[Entry]) -> None:
        """Record the inputs and recipe in one transaction."""
        with self._transaction():
            self._db.executemany(
                "INSERT INTO inputs VALUES (?, ?, ?, ?)",
                (
                    (*_to_row(position, path, label), read_state(path))
                    for position, (path, label) in enumerate(entries)
                ),
            )
            self._db.execute("INSERT INTO facts VALUES ('identity', ?)", (json.dumps(identity),))

    def check_inputs(self, entries: Iterable[Entry]) -> int:
        """Check that the recorded inputs are those listed now, and forget rows of changed files.

        A file that is gone keeps its row, which is still right.

        Returns
        -------
        int
            The number of blocks forgotten: that of the first changed file and all later ones.
        """
        query = "SELECT position, path, label, state FROM inputs ORDER BY position"
        rows = self._db.execute(query)
        position, n_kept = -1, None
        with self._transaction():
            for position, (path, label) in enumerate(entries):
                *row, state = rows.fetchone() or [None]
                if tuple(row) != _to_row(position, path, label):
                    reason = f"input {position} is not the one in the call"
                    raise DamagedProgress(self._path, reason)
                now = read_state(path)
                if now is not None and now != state:
                    n_kept = position if n_kept is None else n_kept
                    change = "UPDATE inputs SET state = ? WHERE position = ?"
                    self._db.execute(change, (now, position))
            if rows.fetchone() is not None:
                raise DamagedProgress(self._path, f"it lists more than {position + 1:,} inputs")
            if n_kept is None:
                return 0
            return self._db.execute("DELETE FROM blocks WHERE n_read > ?", (n_kept,)).rowcount

    def hash_states(self) -> str:
        """Hash the states of the inputs as they were before they were read."""
        found = self._db.execute("SELECT state FROM inputs ORDER BY position")
        return hash_texts(state for (state,) in found)

    def commit(
        self, block: int, n_read: int, n_rows: int, failures: Mapping[int, str], digest: bytes
    ) -> None:
        """Record that a block is on disk."""
        seal = _seal(block, n_read, n_rows, sorted(failures.items()), digest)
        with self._transaction():
            self._db.executemany("INSERT INTO failures VALUES (?, ?)", failures.items())
            self._db.execute(
                "INSERT INTO blocks VALUES (?, ?, ?, ?)", (block, n_read, n_rows, seal)
            )

    def roll_back(self, digest: Callable[[int, int], bytes | None], *, verbose: int) -> int:
        """Forget the first block that is missing or changed on disk, and all later ones.

        Parameters
        ----------
        digest : callable
            Returns the current hash of a block with a number of rows; None if it is incomplete.
        verbose : int
            Above 0, a progress bar.

        Returns
        -------
        int
            The number of blocks forgotten.
        """
        blocks = self._db.execute("SELECT * FROM blocks ORDER BY block").fetchall()
        n_good = n_read = n_rows = 0
        for row in tqdm(blocks, unit="block", desc="verify", disable=not verbose):
            block, next_read, next_rows, seal = row
            is_next = all(isinstance(number, int) for number in row[:3]) and block == n_good
            if not is_next or next_rows < n_rows:
                break
            failures = self._db.execute(
                "SELECT position, reason FROM failures WHERE position >= ? AND position < ? "
                "ORDER BY position",
                (n_read, next_read),
            ).fetchall()
            now = digest(block, next_rows - n_rows) if next_rows > n_rows else b""
            if now is None or seal != _seal(block, next_read, next_rows, failures, now):
                break
            n_good, n_read, n_rows = n_good + 1, next_read, next_rows
        with self._transaction():
            self._db.execute("DELETE FROM blocks WHERE block NOT BETWEEN 0 AND ?", (n_good - 1,))
            # Nothing is known of inputs that are computed again, whatever the record says.
            self._db.execute(
                "DELETE FROM failures WHERE position NOT BETWEEN 0 AND ?", (n_read - 1,)
            )
        return len(blocks) - n_good

    def entries(self, start: int, stop: int) -> list[Entry]:
        """Return the inputs from `start` to `stop`."""
        found = self._db.execute(
            "SELECT path, label FROM inputs WHERE position >= ? AND position < ? ORDER BY position",
            (start, stop),
        )
        return [
            (_to_text(path), None if label is None else _to_text(label)) for path, label in found
        ]

    def failures(self) -> Iterator[tuple[int, str, str]]:
        """Yield position, path and reason of every input that could not be read."""
        found = self._db.execute(
            "SELECT position, path, reason FROM failures JOIN inputs USING (position) "
            "ORDER BY position"
        )
        for position, path, reason in found:
            yield position, _to_text(path), reason

    def rows(self, *, with_failed: bool) -> Iterator[tuple[int, str, str | None]]:
        """Yield position, path and label of every row."""
        rest = "" if with_failed else "WHERE position NOT IN (SELECT position FROM failures) "
        found = self._db.execute(
            f"SELECT position, path, label FROM inputs {rest}ORDER BY position"
        )
        for position, path, label in found:
            yield position, _to_text(path), None if label is None else _to_text(label)

    def _transaction(self) -> sqlite3.Connection:
        self._db.execute("BEGIN")
        return self._db  # which commits at the end of a with block, and rolls back after an error


def _check_kind(path: Path) -> None:
    """Refuse what may block when it is opened; SQLite's own files beside the record too."""
    for each in (path, *(path.with_name(path.name + end) for end in ("-journal", "-wal", "-shm"))):
        try:
            mode = each.lstat().st_mode
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(mode):
            raise DamagedProgress(path, f"{each.name!r} is a folder, a link, a pipe or a device")


def _tables(db: sqlite3.Connection) -> list[tuple]:
    return db.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()


def _seal(
    block: int, n_read: int, n_rows: int, failures: list[tuple[int, str]], digest: bytes
) -> bytes:
    """Hash a block's rows with everything recorded about them."""
    return xxh3_128_digest(repr((block, n_read, n_rows, failures, digest)).encode())


def _to_row(position: int, path: str, label: str | None) -> tuple[int, bytes, bytes | None]:
    return position, _to_bytes(path), None if label is None else _to_bytes(label)


def _to_bytes(text: str) -> bytes:
    # Names of files need not be UTF-8, nor labels, which may be names of folders.
    return text.encode("utf-8", "surrogateescape")


def _to_text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
