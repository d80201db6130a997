"""Features kept on disk by image and recipe, so that no image is computed twice.

A store is a folder with one SQLite database. A row is found by its recipe (everything besides the
image that decides a feature, as text) and the digest of the image. What may go wrong with files is
settled here: a row whose checksum is wrong counts as missing, a damaged database is left aside for
a new one, a full disk ends storing and nothing else. Which images a process computes while others
work on the same store is settled by file locks, which the kernel frees with their holder.

References
----------
SQLite's write-ahead log, https://www.sqlite.org/wal.html, is what makes a process that is killed at
any instant leave either all of a transaction's rows or none.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from numbers import Integral
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from xxhash import xxh3_64_intdigest

#: Largest size of a store whose bound is not given, and the share of the free space it may take.
MAX_BYTES, MAX_SHARE = 4 << 30, 4
#: Below this, SQLite's own tables would be most of a store.
MIN_BYTES = 1 << 20

# Large pages suit rows of 100 KB. The log is written back to the database at this many of them.
_PAGE_BYTES = 1 << 16
_LOG_PAGES = 256
_BUSY_SECONDS = 60
_FORMAT = 1
# Locks over the first byte of the digests. More of them let processes get less into each other's
# way: one that works on 64 images holds about a fifth of them.
_N_SHARDS = 256
# Rows per SQL statement.
_ROWS = 256

_SCHEMA = """
CREATE TABLE IF NOT EXISTS recipe (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS entry (
    id INTEGER PRIMARY KEY, recipe INTEGER NOT NULL, image BLOB NOT NULL,
    n_bytes INTEGER NOT NULL, checksum INTEGER NOT NULL, age INTEGER NOT NULL,
    UNIQUE (recipe, image));
CREATE INDEX IF NOT EXISTS entry_age ON entry (age);
CREATE TABLE IF NOT EXISTS feature (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS tally (n_written INTEGER NOT NULL);
INSERT INTO tally SELECT 0 WHERE NOT EXISTS (SELECT * FROM tally);
"""
# Ages change with every use; kept apart from the features, that rewrites no feature.

_T = TypeVar("_T")


class FeatureStoreWarning(UserWarning):
    """A feature store could not be used as wanted; features are right all the same."""


@dataclass(frozen=True)
class StoreInfo:
    """What a store holds.

    Attributes
    ----------
    path : Path
        Its folder.
    n_rows : int
        Rows of features, one for each image and recipe.
    n_written : int
        Rows that were ever written; more than there are where rows had to go, or where processes
        computed the same.
    n_bytes : int
        Size of its database, in bytes.
    max_bytes : int
        The bound of that size.
    recipes : dict of str to int
        Rows of each recipe.
    damaged : list of Path
        Databases that were set aside; :meth:`FeatureStore.clear` removes them.
    """

    path: Path
    n_rows: int
    n_written: int
    n_bytes: int
    max_bytes: int
    recipes: dict[str, int]
    damaged: list[Path]

    def __str__(self) -> str:
        """Lay it out as text."""
        lines = [
            f"{self.path}",
            f"{self.n_rows:,} rows ({self.n_written:,} ever written) in {self.n_bytes / 1e6:,.1f} "
            f"of at most {self.max_bytes / 1e6:,.1f} MB",
            *(f"{n_rows:,} rows of {recipe}" for recipe, n_rows in self.recipes.items()),
            *(f"damaged, and set aside: {path.name}" for path in self.damaged),
        ]
        return "\n  ".join(lines)


class FeatureStore:
    """A folder of features that outlives folds, clones, searches, processes and restarts.

    Safe for several threads and processes at once, and for any of them being killed. When the
    bound is reached, the rows that were not used for longest go first.

    Parameters
    ----------
    path : path-like
        The folder; made at first use.
    max_bytes : int or None, default=None
        Bound of the database's size, in bytes; 1 MiB and up. None: the smaller of 4 GiB and, when
        the store is used, a quarter of the free space. The log of recent writes comes on top,
        about 16 MiB.

    Raises
    ------
    TypeError, ValueError
        If a parameter is wrong.

    See Also
    --------
    VGGFeatureExtractor : Takes a store as its parameter `cache`.

    Examples
    --------
    >>> import tempfile
    >>> from sktransfer import FeatureStore
    >>> folder = tempfile.TemporaryDirectory()
    >>> store = FeatureStore(folder.name, max_bytes=100_000_000)
    >>> store.info().n_rows
    0
    >>> folder.cleanup()
    """

    def __init__(self, path: str | os.PathLike, *, max_bytes: int | None = None) -> None:
        if not isinstance(path, str | os.PathLike):
            raise TypeError(
                "The 'path' parameter of FeatureStore must be the path of a folder. Got "
                f"{path!r} instead."
            )
        if max_bytes is not None and not (
            isinstance(max_bytes, Integral) and max_bytes >= MIN_BYTES
        ):
            raise ValueError(
                "The 'max_bytes' parameter of FeatureStore must be None or an int of at least "
                f"{MIN_BYTES:,} bytes. Got {max_bytes!r} instead."
            )
        self.path = Path(path).expanduser().absolute()
        self.max_bytes = max_bytes

    def exists(self) -> bool:
        """Tell whether anything was ever stored.

        Returns
        -------
        bool
            Whether the folder holds a database.
        """
        return bool(self._databases())

    def __repr__(self) -> str:
        bound = "" if self.max_bytes is None else f", max_bytes={self.max_bytes}"
        return f"FeatureStore({str(self.path)!r}{bound})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FeatureStore):
            return NotImplemented
        return (self.path, self.max_bytes) == (other.path, other.max_bytes)

    def __hash__(self) -> int:
        return hash((self.path, self.max_bytes))

    def info(self) -> StoreInfo:
        """Count rows and bytes.

        Returns
        -------
        StoreInfo
            What the store holds.
        """
        with self.open() as use:
            return use.info()

    def clear(self) -> None:
        """Remove all rows, and databases that were set aside."""
        with self.open() as use:
            use.shrink(0)
        for damaged in self._databases()[:-1]:
            _remove_database(damaged)

    def prune(self, max_bytes: int | None = None) -> None:
        """Remove the rows that were not used for longest, and give their space back.

        Parameters
        ----------
        max_bytes : int or None, default=None
            Size to shrink the database to, in bytes; None takes the store's own bound.
        """
        with self.open() as use:
            use.shrink(self.bound() if max_bytes is None else max_bytes)

    @contextmanager
    def open(self) -> Iterator[StoreUse]:
        """Open the store for one call.

        Yields
        ------
        StoreUse
            Reads, claims and writes rows; never raises for what is wrong with the files.

        Raises
        ------
        NotADirectoryError
            If the path is that of a file.
        """
        if self.path.exists() and not self.path.is_dir():
            raise NotADirectoryError(
                f"FeatureStore needs the path of a folder. Got {str(self.path)!r}, which is a "
                "file: name a folder, which need not exist yet."
            )
        use = StoreUse(self)
        try:
            yield use
            use.refresh()
        finally:
            use.close()

    def bound(self) -> int:
        """Return the bound of the database's size, in bytes.

        Returns
        -------
        int
            `max_bytes`, or its default by the free space of now.
        """
        if self.max_bytes is not None:
            return int(self.max_bytes)
        existing = next(p for p in (self.path, *self.path.parents) if p.exists())
        own = sum(p.stat().st_size for p in self._databases()[-1:])
        return min(MAX_BYTES, (shutil.disk_usage(existing).free + own) // MAX_SHARE)

    def _databases(self) -> list[Path]:
        """List the databases; the last is in use, and those before it were found damaged."""
        return sorted(self.path.glob("features-*.sqlite"))

    def connect(self) -> tuple[sqlite3.Connection, Path]:
        """Open the database that is in use, or make it."""
        from filelock import FileLock

        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = next(reversed(self._databases()), self.path / "features-0001.sqlite")
        database = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            # One process at a time: SQLite does not wait for others that switch to the log.
            with FileLock(self.path / "open.lock"):
                if database.execute("PRAGMA user_version").fetchone()[0] != _FORMAT:
                    database.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
                    database.execute("PRAGMA journal_mode = WAL")
                    database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {_FORMAT}; END")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
            database.execute(f"PRAGMA journal_size_limit = {_LOG_PAGES * _PAGE_BYTES}")
        except BaseException:
            database.close()
            raise
        return database, path

    def set_aside(self, damaged: Path) -> None:
        """Have all processes use a new database from now on.

        The damaged one keeps its name, as renaming a database that others have open would mix up
        their logs.
        """
        number = int(damaged.stem.split("-")[1]) + 1
        (damaged.parent / f"features-{number:04d}.sqlite").touch()


class StoreUse:
    """A store during one call: what was read is used, what is written is of this call's age.

    Parameters
    ----------
    store : FeatureStore
        The store.
    """

    def __init__(self, store: FeatureStore) -> None:
        self.store = store
        self._database: sqlite3.Connection | None = None
        self._path: Path | None = None
        self._age = 1
        self._touched: list[int] = []
        self._bound = 0
        #: Whether computed rows are kept: not on a full disk, nor when older rows of this very
        #: call would have to make room.
        self.is_storing = True
        self._attempt(self._connect, None)

    def close(self) -> None:
        """Close the database."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def read(self, recipe: str, images: Sequence[bytes], out: np.ndarray) -> np.ndarray:
        """Read the rows of images that are there.

        Parameters
        ----------
        recipe : str
            The recipe.
        images : sequence of bytes
            Digest of each image.
        out : ndarray of shape (n_images, width)
            Where their rows go, float32.

        Returns
        -------
        ndarray of shape (n_images,)
            Whether each row was there.
        """
        positions: dict[bytes, list[int]] = {}
        for position, image in enumerate(images):
            positions.setdefault(image, []).append(position)
        found = np.zeros(len(images), dtype=bool)
        self._attempt(lambda: self._read(recipe, positions, out, found), None)
        return found

    def write(self, recipe: str, images: Sequence[bytes], rows: np.ndarray) -> None:
        """Keep the rows of images, if there is room.

        Parameters
        ----------
        recipe : str
            The recipe.
        images : sequence of bytes
            Digest of each image.
        rows : ndarray of shape (n_images, width)
            Their features, float32.
        """
        if self.is_storing and len(images):
            self._attempt(lambda: self._write(recipe, images, rows), None)

    @contextmanager
    def claim(self, images: Sequence[bytes], *, wait: bool) -> Iterator[set[bytes]]:
        """Claim images, so that no other process computes them at the same time.

        Parameters
        ----------
        images : sequence of bytes
            Digest of each image.
        wait : bool
            Whether to wait for images that others have claimed.

        Yields
        ------
        set of bytes
            Those of `images` that are claimed until the end of the block: all, if `wait`.
        """
        from filelock import FileLock, Timeout

        shards = sorted({_shard(image) for image in images}) if self.is_storing else []
        with ExitStack() as stack:
            missed = set()
            for shard in shards:  # in one order everywhere: nobody waits in a circle
                lock = FileLock(self.store.path / f"{shard:03d}.lock")
                try:
                    stack.enter_context(lock.acquire(timeout=-1 if wait else 0))
                except Timeout:
                    missed.add(shard)
                except OSError as error:  # no locks: rather twice than not at all
                    self._stop_storing(error)
                    break
            yield {image for image in images if _shard(image) not in missed}

    def refresh(self) -> None:
        """Note the rows that were read as used now."""
        if self._touched:
            self._attempt(lambda: self._transaction(self._refresh), None)

    def info(self) -> StoreInfo:
        """Count rows and bytes.

        Returns
        -------
        StoreInfo
            What the store holds.
        """
        query = "SELECT text, count(*) FROM entry JOIN recipe ON recipe.id = recipe GROUP BY recipe"
        recipes: dict[str, int] = self._attempt(lambda: dict(self._execute(query)), {})
        databases = self.store._databases()
        return StoreInfo(
            path=self.store.path,
            n_rows=sum(recipes.values()),
            n_written=self._attempt(
                lambda: self._execute("SELECT n_written FROM tally").fetchone()[0], 0
            ),
            n_bytes=databases[-1].stat().st_size if databases else 0,
            max_bytes=self._bound,
            recipes=recipes,
            damaged=databases[:-1],
        )

    def shrink(self, max_bytes: int) -> None:
        """Remove the oldest rows down to a size, and give their space back.

        Parameters
        ----------
        max_bytes : int
            The size, in bytes.
        """
        self._age += 1  # rows of every age may go
        self._attempt(lambda: self._transaction(lambda: self._make_room(0, max_bytes)), None)
        self._attempt(lambda: self._execute("VACUUM"), None)
        self._attempt(lambda: self._execute("PRAGMA wal_checkpoint(TRUNCATE)"), None)

    # -- with errors of the files, and in a transaction where there is one

    def _connect(self) -> None:
        self._database, self._path = self.store.connect()
        (newest,) = self._execute("SELECT coalesce(max(age), 0) FROM entry").fetchone()
        self._age = newest + 1
        self._bound = self.store.bound()

    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        assert self._database is not None
        return self._database.execute(sql, parameters)

    def _read(
        self, recipe: str, positions: dict[bytes, list[int]], out: np.ndarray, found: np.ndarray
    ) -> None:
        salt = _salt(recipe)
        images = list(positions)
        for start in range(0, len(images), _ROWS):
            some = images[start : start + _ROWS]
            rows = self._execute(
                "SELECT entry.id, image, checksum, data FROM entry JOIN feature USING (id) "
                "WHERE recipe = (SELECT id FROM recipe WHERE text = ?) "
                f"AND image IN ({','.join('?' * len(some))})",
                (recipe, *some),
            )
            for row, image, checksum, data in rows:
                if len(data) != out.shape[1] * 4 or _checksum(salt, image, data) != checksum:
                    continue  # damaged: computed anew, and written over
                out[positions[image]] = np.frombuffer(data, dtype="<f4")
                found[positions[image]] = True
                self._touched.append(row)

    def _write(self, recipe: str, images: Sequence[bytes], rows: np.ndarray) -> None:
        n_bytes = len(images) * _size_on_disk(rows[0].nbytes)
        if self._touched and self._used_bytes() + n_bytes > self._bound:
            self._transaction(self._refresh)  # what this call has read so far is not old
        self._transaction(lambda: self._insert(recipe, images, rows, n_bytes))

    def _insert(self, recipe: str, images: Sequence[bytes], rows: np.ndarray, n_bytes: int) -> None:
        if not self._make_room(n_bytes, self._bound):
            self.is_storing = False
            raise _NoRoomError
        salt = _salt(recipe)
        self._execute("INSERT OR IGNORE INTO recipe (text) VALUES (?)", (recipe,))
        (number,) = self._execute("SELECT id FROM recipe WHERE text = ?", (recipe,)).fetchone()
        for image, row in zip(images, rows, strict=True):
            data = np.ascontiguousarray(row, dtype="<f4").tobytes()
            self._execute(
                "INSERT INTO entry (recipe, image, n_bytes, checksum, age) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET checksum = excluded.checksum, age = excluded.age",
                (number, image, len(data), _checksum(salt, image, data), self._age),
            )
            query = "SELECT id FROM entry WHERE recipe = ? AND image = ?"
            (entry,) = self._execute(query, (number, image)).fetchone()
            self._execute("INSERT OR REPLACE INTO feature VALUES (?, ?)", (entry, data))
        self._execute("UPDATE tally SET n_written = n_written + ?", (len(images),))

    def _refresh(self) -> None:
        assert self._database is not None
        touched, self._touched = self._touched, []
        # Rows that others removed meanwhile are not there to be changed.
        self._database.executemany(
            "UPDATE entry SET age = ? WHERE id = ? AND age < ?",
            [(self._age, row, self._age) for row in touched],
        )

    def _make_room(self, n_bytes: int, bound: int) -> bool:
        """Remove the oldest rows until so many more bytes fit; none that this call used."""
        query = "SELECT id, n_bytes FROM entry WHERE age < ? ORDER BY age, id LIMIT ?"
        while (excess := self._used_bytes() + n_bytes - bound) > 0:
            oldest = []
            for row, size in self._execute(query, (self._age, _ROWS)):
                oldest.append((row,))
                excess -= size
                if excess <= 0:
                    break
            if not oldest:
                return False
            assert self._database is not None
            self._database.executemany("DELETE FROM feature WHERE id = ?", oldest)
            self._database.executemany("DELETE FROM entry WHERE id = ?", oldest)
        return True

    def _used_bytes(self) -> int:
        (n_pages,) = self._execute("PRAGMA page_count").fetchone()
        (n_free,) = self._execute("PRAGMA freelist_count").fetchone()
        return (n_pages - n_free) * _PAGE_BYTES

    def _transaction(self, work: Callable[[], _T]) -> _T:
        self._execute("BEGIN IMMEDIATE")
        try:
            result = work()
            self._execute("COMMIT")
        except BaseException:
            # After some errors SQLite has rolled back by itself.
            if self._database is not None and self._database.in_transaction:
                self._execute("ROLLBACK")
            raise
        return result

    def _attempt(self, work: Callable[[], _T], otherwise: _T) -> _T:
        """Work on the database; whatever is wrong with it ends in a warning."""
        if self._database is None and work != self._connect:
            return otherwise
        try:
            return work()
        except _NoRoomError:
            return otherwise
        except (sqlite3.Error, OSError) as error:
            if _is_damage(error) and self._set_aside(error):
                return otherwise
            self._stop_storing(error)
            return otherwise

    def _set_aside(self, error: Exception) -> bool:
        path, before = self._path, self.store._databases()
        self.close()
        path = path or (before[-1] if before else None)
        if path is None:
            return False
        try:
            self.store.set_aside(path)
            self._connect()
        except (sqlite3.Error, OSError):
            return False
        self._touched = []
        warnings.warn(
            f"FeatureStore found {str(path)!r} damaged ({error}) and set it aside: features are "
            "computed anew and kept in a new database. FeatureStore.clear() removes the old one.",
            FeatureStoreWarning,
            stacklevel=2,
        )
        return True

    def _stop_storing(self, error: Exception) -> None:
        if self.is_storing:
            warnings.warn(
                f"FeatureStore cannot keep features in {str(self.store.path)!r}: {error}. They are "
                "computed without being kept. Make room or choose another folder with cache=, or "
                "set cache=None.",
                FeatureStoreWarning,
                stacklevel=2,
            )
        self.is_storing = False


class _NoRoomError(Exception):
    """The rows do not fit beside those that this very call uses."""


def _is_damage(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None) or 0
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or code in (
        sqlite3.SQLITE_IOERR_SHORT_READ,
    )


def _size_on_disk(n_bytes: int) -> int:
    """Estimate what a row takes: large ones fill whole pages, and part of one for their head."""
    if n_bytes < _PAGE_BYTES // 4:
        return n_bytes + 128
    return -(-n_bytes // _PAGE_BYTES) * _PAGE_BYTES + _PAGE_BYTES // 4


def _shard(image: bytes) -> int:
    return image[0] % _N_SHARDS


def _salt(recipe: str) -> bytes:
    return blake2b(recipe.encode(), digest_size=16).digest()


def _checksum(salt: bytes, image: bytes, data: bytes) -> int:
    # Over the key too: a row that has come under another image's key is found out. Five times as
    # fast as a CRC, which would take as long as reading.
    return xxh3_64_intdigest(data, xxh3_64_intdigest(salt + image)) - (1 << 63)


def _remove_database(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
