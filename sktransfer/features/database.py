"""The database of a feature store: rows in SQLite, identified by recipe and digest of the image.

Faults of a file are errors here: a database of another version or program, tables that were
changed, values that no version writes. A row with a wrong checksum counts as missing.

References
----------
SQLite's write-ahead log, https://www.sqlite.org/wal.html, is what makes a process that is killed at
any instant leave either all of a transaction's rows or none.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from xxhash import xxh3_64_intdigest

from sktransfer.features.connections import no_fork, opened

# Large pages suit rows of 100 KB. The log is written back to the database at this many of them.
_PAGE_BYTES = 1 << 16
_LOG_PAGES = 256
_BUSY_SECONDS = 60
_FORMAT = 1
# Of the file's header, where SQLite keeps whose it is. Databases made before lack it.
_APPLICATION = b"skTr"
_FEATURE_TABLE = "CREATE TABLE feature (id INTEGER PRIMARY KEY, data BLOB NOT NULL)"
# Rows per SQL statement.
_ROWS = 256
_DAMAGES = {
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_TOOBIG,
}

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS recipe (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS entry (
    id INTEGER PRIMARY KEY, recipe INTEGER NOT NULL, image BLOB NOT NULL,
    n_bytes INTEGER NOT NULL, checksum INTEGER NOT NULL, age INTEGER NOT NULL,
    UNIQUE (recipe, image));
CREATE INDEX IF NOT EXISTS entry_age ON entry (age);
{_FEATURE_TABLE.replace("TABLE", "TABLE IF NOT EXISTS")};
CREATE TABLE IF NOT EXISTS tally (n_written INTEGER NOT NULL);
INSERT INTO tally SELECT 0 WHERE NOT EXISTS (SELECT * FROM tally);
"""
# Ages change with every use; kept apart from the features, that rewrites no feature.

_T = TypeVar("_T")


class NoRoomError(Exception):
    """The rows do not fit together with those that this call uses."""


class OtherFormatError(Exception):
    """A database that this version did not create and cannot read."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.path = path


class _ValueDamagedError(sqlite3.DatabaseError):
    """A value that no version of the package writes."""


class Database:
    """The rows of one file, read and written in the transactions of the caller.

    Every row has an age, that of the last call that used it: what was not used for longest goes
    first.

    Parameters
    ----------
    path : Path
        The file; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._open: sqlite3.Connection | None = None
        self._connection  # noqa: B018 -- so that a fault is found here

    @property
    def _connection(self) -> sqlite3.Connection:
        """What is open, or opened anew after a fork has closed it."""
        if self._open is None:
            self._connect()
        assert self._open is not None
        return self._open

    def _connect(self) -> None:
        from filelock import FileLock

        # A fork in another thread closes it.
        self._open = sqlite3.connect(
            self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._open.text_factory = bytes  # text where none should be need not be UTF-8
        opened.add(self)
        try:
            # One process at a time: SQLite does not wait for others that switch to the log.
            with FileLock(self.path.parent / "open.lock"):
                self._check_or_make()
            self.execute("PRAGMA synchronous = NORMAL")
            self.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
            self.execute(f"PRAGMA journal_size_limit = {_LOG_PAGES * _PAGE_BYTES}")
        except MemoryError as error:
            self.close()
            # Said without asking for memory where SQLite's own table holds a record that it cannot
            # read: sqlite3_exec takes every missing text for a lack of memory.
            raise _ValueDamagedError("its list of tables cannot be read") from error
        except BaseException:
            self.close()
            raise

    def _check_or_make(self) -> None:
        (version,) = self.execute("PRAGMA user_version").fetchone()
        (n_tables,) = self.execute("SELECT count(*) FROM sqlite_master").fetchone()
        # A new database is empty; any other database without our version is not ours.
        if version != _FORMAT and (version or n_tables):
            raise OtherFormatError(self.path)
        if version != _FORMAT:
            self.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
            self.execute("PRAGMA journal_mode = WAL")
            marks = (
                f"PRAGMA application_id = {int.from_bytes(_APPLICATION, 'big')}; "
                f"PRAGMA user_version = {_FORMAT}"
            )
            self._connection.executescript(f"BEGIN; {_SCHEMA} {marks}; END")
        elif _tables(self._connection) != _own_tables():
            # Never query a foreign table or view, which may never end.
            raise _ValueDamagedError("its tables have been changed")

    def close(self) -> None:
        """Close the file."""
        with no_fork():
            connection, self._open = self._open, None
            opened.discard(self)
            if connection is not None:
                connection.close()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Execute a statement."""
        return self._connection.execute(sql, parameters)

    def transaction(self, work: Callable[[], _T]) -> _T:
        """Do all of some work, or none of it."""
        self.execute("BEGIN IMMEDIATE")
        try:
            result = work()
            self.execute("COMMIT")
        except BaseException:
            # After some errors SQLite has rolled back by itself.
            if self._connection.in_transaction:
                self.execute("ROLLBACK")
            raise
        return result

    # -- what there is

    def newest_age(self) -> int:
        """Return the age of the last call that used a row."""
        (newest,) = self.execute("SELECT coalesce(max(age), 0) FROM entry").fetchone()
        return _checked(newest)

    def used_bytes(self) -> int:
        """Return the size of all that is not free to be written over."""
        (n_pages,) = self.execute("PRAGMA page_count").fetchone()
        (n_free,) = self.execute("PRAGMA freelist_count").fetchone()
        return (n_pages - n_free) * _PAGE_BYTES

    def count_rows(self) -> dict[str, int]:
        """Count the rows of each recipe."""
        query = "SELECT text, count(*) FROM entry JOIN recipe ON recipe.id = recipe GROUP BY recipe"
        return {_decode(recipe): n_rows for recipe, n_rows in self.execute(query).fetchall()}

    def count_written(self) -> int:
        """Count the rows that were ever written."""
        # A damaged sum loses no feature.
        (n_written,) = self.execute("SELECT n_written FROM tally").fetchone() or (0,)
        return n_written if isinstance(n_written, int) else 0

    def read(
        self, recipe: str, images: Sequence[bytes], n_bytes: int
    ) -> Iterator[tuple[int, bytes, np.ndarray]]:
        """Yield number, image and features of the rows that are there and whole."""
        salt = _salt(recipe)
        for start in range(0, len(images), _ROWS):
            some = images[start : start + _ROWS]
            rows = self.execute(
                "SELECT entry.id, image, checksum, data FROM entry JOIN feature USING (id) "
                "WHERE recipe = (SELECT id FROM recipe WHERE text = ?) "
                f"AND image IN ({','.join('?' * len(some))})",
                (recipe, *some),
            )
            for row, image, checksum, data in rows:
                if (
                    isinstance(data, bytes)
                    and len(data) == n_bytes
                    and _checksum(salt, image, data) == checksum
                ):  # or it is damaged: computed again and overwritten
                    yield row, image, np.frombuffer(data, dtype="<f4")

    # -- in a transaction

    def insert(
        self, recipe: str, images: Sequence[bytes], rows: np.ndarray, *, age: int, bound: int
    ) -> int:
        """Insert as many rows as fit, and return their number."""
        n_bytes = size_on_disk(rows[0].nbytes)
        room = self.make_room(n_bytes * len(images), age=age, bound=bound)
        images = images[: max(room, 0) // n_bytes]
        if not images:
            raise NoRoomError  # which keeps the older rows that made no room
        salt = _salt(recipe)
        self.execute("INSERT OR IGNORE INTO recipe (text) VALUES (?)", (recipe,))
        number = self._find_id("SELECT id FROM recipe WHERE text = ?", (recipe,))
        for image, row in zip(images, rows[: len(images)], strict=True):
            data = np.ascontiguousarray(row, dtype="<f4").tobytes()
            self.execute(
                "INSERT INTO entry (recipe, image, n_bytes, checksum, age) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET checksum = excluded.checksum, age = excluded.age",
                (number, image, len(data), _checksum(salt, image, data), age),
            )
            query = "SELECT id FROM entry WHERE recipe = ? AND image = ?"
            entry = self._find_id(query, (number, image))
            self.execute("INSERT OR REPLACE INTO feature VALUES (?, ?)", (entry, data))
        self.execute("UPDATE tally SET n_written = n_written + ?", (len(images),))
        return len(images)

    def _find_id(self, query: str, parameters: Sequence[Any]) -> int:
        """Return the number of a row that has just been inserted, or was there."""
        found = self.execute(query, parameters).fetchone()
        if found is None:
            raise _ValueDamagedError("a row that was written is not found")
        return found[0]

    def refresh(self, rows: Sequence[int], age: int) -> None:
        """Make rows as young as this; those that others removed meanwhile are not there."""
        self._connection.executemany(
            "UPDATE entry SET age = ? WHERE id = ? AND age < ?", [(age, row, age) for row in rows]
        )

    def make_room(self, n_bytes: int, *, age: int, bound: int) -> int:
        """Remove the oldest rows until so many more bytes fit; return how many do.

        Rows of this age stay.
        """
        query = "SELECT id, n_bytes FROM entry WHERE age < ? ORDER BY age, id LIMIT ?"
        while (excess := self.used_bytes() + n_bytes - bound) > 0:
            oldest = []
            for row, size in self.execute(query, (age, _ROWS)):
                oldest.append((row,))
                excess -= _checked(size)
                if excess <= 0:
                    break
            if not oldest:
                break
            self._connection.executemany("DELETE FROM feature WHERE id = ?", oldest)
            removed = self._connection.executemany("DELETE FROM entry WHERE id = ?", oldest)
            if removed.rowcount != len(oldest):  # or they would be found again, for ever
                raise _ValueDamagedError("a row that was found cannot be removed")
        return bound - self.used_bytes()


def _tables(database: sqlite3.Connection) -> list[tuple]:
    return database.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()


@lru_cache(maxsize=1)
def _own_tables() -> list[tuple]:
    """Describe the tables of a database that has just been made."""
    with closing(sqlite3.connect(":memory:")) as model:
        model.text_factory = bytes
        model.executescript(_SCHEMA)
        return _tables(model)


def is_damage(error: Exception) -> bool:
    """Tell whether an error is caused by what a file holds."""
    code = getattr(error, "sqlite_errorcode", None) or 0
    # As all statements are fixed, errors in them mean that the tables have been changed. In its
    # messages SQLite quotes bytes of the file, which Python may be unable to decode.
    return (
        isinstance(error, _ValueDamagedError | UnicodeDecodeError)
        or code & 0xFF in _DAMAGES
        or code == sqlite3.SQLITE_IOERR_SHORT_READ
    )


def is_own(path: Path) -> bool:
    """Tell by its first page whether this version made a file, which may be damaged or empty."""
    try:
        with path.open("rb") as file:
            page = file.read(_PAGE_BYTES)
    except OSError:
        return False
    # https://www.sqlite.org/fileformat.html#the_database_header
    return not page or (
        page.startswith(b"SQLite format 3\0")
        and int.from_bytes(page[60:64], "big") == _FORMAT
        and (page[68:72] == _APPLICATION or _FEATURE_TABLE.encode() in page)
    )


def _checked(value: Any) -> int:
    """Return a number of the database, which is neither text nor beyond all bounds."""
    if not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise _ValueDamagedError(f"it holds {value!r:.50} where a number should be")
    return value


def _decode(text: Any) -> str:
    return text.decode(errors="replace") if isinstance(text, bytes) else str(text)


def size_on_disk(n_bytes: int) -> int:
    """Estimate the size of a row: large rows fill whole pages, and part of one for their head."""
    if n_bytes < _PAGE_BYTES // 4:
        return n_bytes + 128
    return -(-n_bytes // _PAGE_BYTES) * _PAGE_BYTES + _PAGE_BYTES // 4


def _salt(recipe: str) -> bytes:
    return blake2b(recipe.encode(), digest_size=16).digest()


def _checksum(salt: bytes, image: bytes, data: bytes) -> int:
    # Over the key too: a row that has come under another image's key is found out. Five times as
    # fast as a CRC, which would take as long as reading.
    return xxh3_64_intdigest(data, xxh3_64_intdigest(salt + image)) - (1 << 63)
