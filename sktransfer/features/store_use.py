"""A feature store during one call: faults of its files end in a warning, never in an error.

A damaged database is replaced by a new one, and a full disk only ends storing. File locks decide
which process computes which images; the kernel releases them when a process ends.
"""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from sktransfer.features.connections import no_fork
from sktransfer.features.database import (
    Database,
    NoRoomError,
    OtherFormatError,
    is_damage,
    is_own,
    size_on_disk,
)

if TYPE_CHECKING:
    from sktransfer.features.store import FeatureStore

#: Largest size of a store whose bound is not given, and the share of the free space it may take.
MAX_BYTES, MAX_SHARE = 4 << 30, 4

# Locks over the first byte of the digests. More of them let processes get less into each other's
# way: one that works on 64 images holds about a fifth of them.
_N_SHARDS = 256

_T = TypeVar("_T")

# Folders and their faults of which this process was warned: ten folds need no ten warnings.
_warned: set[tuple[Path, str]] = set()


class FeatureStoreWarning(UserWarning):
    """Features could not be cached, or cached features were damaged. All features are correct."""


class StoreUse:
    """A store during one call; rows that it reads or writes count as most recently used.

    Parameters
    ----------
    store : FeatureStore
        The store.
    """

    def __init__(self, store: FeatureStore) -> None:
        self.store = store
        self._database: Database | None = None
        self._age = 1
        self._touched: list[int] = []
        self.bound = 0
        # What is being written, in bytes.
        self._wanted = 0
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
        """Read the cached rows of images."""
        positions: dict[bytes, list[int]] = {}
        for position, image in enumerate(images):
            positions.setdefault(image, []).append(position)
        found = np.zeros(len(images), dtype=bool)

        def read() -> None:
            rows = self._opened.read(recipe, list(positions), 4 * out.shape[1])
            for row, image, features in rows:
                out[positions[image]] = features
                found[positions[image]] = True
                self._touched.append(row)

        self._attempt(read, None)
        return found

    def write(self, recipe: str, images: Sequence[bytes], rows: np.ndarray) -> None:
        """Store the rows of images, if there is room."""
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
        """Mark the rows that were read as used now."""
        if self._touched:
            self._attempt(lambda: self._opened.transaction(self._refresh), None)

    def count(self) -> tuple[dict[str, int], int]:
        """Count the rows of each recipe, and those that were ever written."""
        nothing: dict[str, int] = {}
        counts = self._attempt(lambda: self._opened.count_rows(), nothing)
        return counts, self._attempt(lambda: self._opened.count_written(), 0)

    def shrink(self, max_bytes: int) -> None:
        """Remove the oldest rows down to a size, and free their space."""
        self._age += 1  # rows of every age may go

        def remove() -> int:
            return self._opened.make_room(0, age=self._age, bound=max_bytes)

        self._attempt(lambda: self._opened.transaction(remove), 0)
        self._attempt(lambda: self._opened.execute("VACUUM"), None)
        self._attempt(lambda: self._opened.execute("PRAGMA wal_checkpoint(TRUNCATE)"), None)

    # -- with errors of the files

    @property
    def _opened(self) -> Database:
        assert self._database is not None
        return self._database

    def _connect(self) -> None:
        self._database = self.store.connect()
        self._age = self._database.newest_age() + 1
        self.bound = self.store.bound()

    def _write(self, recipe: str, images: Sequence[bytes], rows: np.ndarray) -> None:
        database = self._opened
        n_bytes = size_on_disk(rows[0].nbytes)
        self._wanted = n_bytes * len(images)
        if self._touched and database.used_bytes() + self._wanted > self.bound:
            database.transaction(self._refresh)  # what this call has read so far is not old

        def insert() -> int:
            return database.insert(recipe, images, rows, age=self._age, bound=self.bound)

        try:
            n_stored = database.transaction(insert)
        except NoRoomError:
            n_stored = 0
        if n_stored < len(images):
            self.is_storing = False
            self._warn_once("full", self._describe_bound(n_bytes))

    def _refresh(self) -> None:
        touched, self._touched = self._touched, []
        self._opened.refresh(touched, self._age)

    def _attempt(self, work: Callable[[], _T], otherwise: _T) -> _T:
        """Work on the database, and turn any fault of it into a warning."""
        if self._database is None and work != self._connect:
            return otherwise
        try:
            with no_fork():
                return work()
        except OtherFormatError as error:
            self.is_storing = False
            self._warn_once(
                "format",
                f"FeatureStore leaves {str(error.path)!r} untouched, which was written by a newer "
                "version of sktransfer or by another program. Features are computed without being "
                "stored. Update sktransfer, or name another folder with cache=.",
            )
            return otherwise
        except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
            if is_damage(error) and self._set_aside(error):
                return otherwise
            self._stop_storing(error)
            return otherwise

    def _set_aside(self, error: Exception) -> bool:
        before = self.store.databases()
        path = self._database.path if self._database else (before[-1] if before else None)
        self.close()
        if path is None:
            return False
        whose = "set it aside"
        cure = "FeatureStore.clear() removes the old one."
        if not is_own(path):
            whose = "leaves it untouched, as this version of sktransfer did not make it"
            cure = "Remove it if nobody needs it."
        try:
            self.store.set_aside(path)
            with no_fork():
                self._connect()
        except (sqlite3.Error, OSError, OtherFormatError, UnicodeDecodeError):
            return False
        self._touched = []
        warnings.warn(
            f"FeatureStore found {str(path)!r} damaged ({error}) and {whose}: features are "
            f"computed again and stored in a new database. {cure}",
            FeatureStoreWarning,
            stacklevel=2,
        )
        return True

    def _stop_storing(self, error: Exception) -> None:
        if self.is_storing:
            self._warn_once(
                f"{type(error)}: {error}",
                f"FeatureStore cannot store features in {str(self.store.path)!r}: "
                f"{error}{self._describe_disk()}. They are computed without being stored. Free "
                "disk space, choose another folder with cache=, or set cache=None.",
            )
        self.is_storing = False

    def _describe_disk(self) -> str:
        if not self._wanted:
            return ""
        free = self.store.free_bytes()
        return f" ({_mb(self._wanted)} were to be written, and {_mb(free)} are free)"

    def _describe_bound(self, n_bytes: int) -> str:
        """Describe a full store, and the size that rows of this width need."""
        if self.store.max_bytes is not None:
            reason, cure = "", "Raise max_bytes"
        elif self.bound == MAX_BYTES:
            reason, cure = "", "Give FeatureStore(path, max_bytes=...) more"
        else:
            reason = f", a quarter of the {_mb(self.bound * MAX_SHARE)} that are free or its own"
            cure = "Free disk space, or name a folder on a larger disk"
        return (
            f"FeatureStore is full: {str(self.store.path)!r} may take {_mb(self.bound)}{reason}, "
            f"and each of these images takes {_mb(n_bytes)}, so that about "
            f"{self.bound // n_bytes:,} fit, and this call has more. The features of as many as "
            "fit are stored, and those of the others are computed each time. "
            f"{cure}, pool the features, or set cache=None."
        )

    def _warn_once(self, kind: str, text: str) -> None:
        """Warn, unless this process was warned of the same fault of this folder before."""
        if (self.store.path, kind) not in _warned:
            warnings.warn(text, FeatureStoreWarning, stacklevel=2)
            _warned.add((self.store.path, kind))


def _mb(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.{1 if n_bytes >= 1e6 else 3}f} MB"


def _shard(image: bytes) -> int:
    return image[0] % _N_SHARDS
