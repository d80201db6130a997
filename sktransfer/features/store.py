"""The feature store: features cached on disk by image and recipe.

A store is a folder with one SQLite database. A row is found by its recipe (everything besides the
image that decides a feature, as text) and the digest of the image.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

from sktransfer.features.database import Database, is_own
from sktransfer.features.store_use import MAX_BYTES, MAX_SHARE, FeatureStoreWarning, StoreUse
from sktransfer.files.paths import expand

#: Below this, SQLite's own tables would be most of a store.
MIN_BYTES = 1 << 20

_DATABASE_NAME = re.compile(r"features-[0-9]{4,}\.sqlite")


@dataclass(frozen=True)
class StoreInfo:
    """The content of a feature store.

    Attributes
    ----------
    path : Path
        Its folder.
    n_rows : int
        Rows of features, one for each image and recipe.
    n_written : int
        Rows ever written; more than `n_rows` if rows were removed, or if several processes
        computed the same rows.
    n_bytes : int
        Size of its database, in bytes.
    max_bytes : int
        The limit of this size.
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
    """A folder of cached features, shared by folds, clones, searches, processes and later runs.

    Several threads and processes may use a store at the same time, and any of them may be killed.
    When the size limit is reached, the least recently used rows are removed.

    Parameters
    ----------
    path : path-like
        The folder; created at first use.
    max_bytes : int or None, default=None
        Limit of the database's size, in bytes; 1 MiB or more. None means the smaller of 4 GiB and
        a quarter of the free space when the store is used. A log of recent writes takes about
        16 MiB more.

    Raises
    ------
    TypeError, ValueError, OSError
        If a parameter is invalid.

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
        self.path = expand(
            path, "The 'path' parameter of FeatureStore must be the path of a folder."
        ).absolute()
        self.max_bytes = max_bytes

    def exists(self) -> bool:
        """Return whether anything was ever stored.

        Returns
        -------
        bool
            Whether the folder holds a database.
        """
        return bool(self.databases())

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
            The content of the store.
        """
        with self.open() as use:
            recipes, n_written = use.count()
            databases = self.databases()
            return StoreInfo(
                path=self.path,
                n_rows=sum(recipes.values()),
                n_written=n_written,
                n_bytes=databases[-1].stat().st_size if databases else 0,
                max_bytes=use.bound,
                recipes=recipes,
                damaged=[path for path in databases[:-1] if is_own(path)],
            )

    def clear(self) -> None:
        """Remove all rows, and databases that were set aside.

        Databases of other versions or programs stay, with a warning.
        """
        with self.open() as use:
            use.shrink(0)
        left = []
        for path in self.databases()[:-1]:
            if is_own(path):
                _remove_database(path)
            else:
                left.append(str(path))
        if left:
            warnings.warn(
                f"FeatureStore.clear() leaves {left}, which this version of sktransfer did not "
                "make: remove them if nobody needs them.",
                FeatureStoreWarning,
                stacklevel=2,
            )

    def prune(self, max_bytes: int | None = None) -> None:
        """Remove the least recently used rows, and free their space.

        Parameters
        ----------
        max_bytes : int or None, default=None
            Size to shrink the database to, in bytes; None means the limit of the store.

        Raises
        ------
        ValueError
            If it is not an int, or negative.
        """
        if max_bytes is not None and not (isinstance(max_bytes, Integral) and max_bytes >= 0):
            raise ValueError(
                "The 'max_bytes' parameter of FeatureStore.prune must be None or an int of at "
                f"least 0. Got {max_bytes!r} instead."
            )
        with self.open() as use:
            use.shrink(self.bound() if max_bytes is None else int(max_bytes))

    @contextmanager
    def open(self) -> Iterator[StoreUse]:
        """Open the store for one call.

        Yields
        ------
        StoreUse
            Reads, claims and writes rows; never raises because of faults of its files.

        Raises
        ------
        NotADirectoryError
            If the path is a file.
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
        """Return the limit of the database's size, in bytes.

        Returns
        -------
        int
            `max_bytes`, or its default for the current free space.
        """
        if self.max_bytes is not None:
            return int(self.max_bytes)
        own = sum(p.stat().st_size for p in self.databases()[-1:])
        return min(MAX_BYTES, (self.free_bytes() + own) // MAX_SHARE)

    def free_bytes(self) -> int:
        """Return the free space on the disk of the store, in bytes."""
        existing = next(p for p in (self.path, *self.path.parents) if p.exists())
        return shutil.disk_usage(existing).free

    def databases(self) -> list[Path]:
        """List the databases; the last is in use, and those before it were found damaged."""
        paths = (p for p in self.path.glob("features-*.sqlite") if _DATABASE_NAME.fullmatch(p.name))
        return sorted((p for p in paths if p.is_file()), key=_number_of)

    def _database(self, number: int) -> Path:
        """Name the first database from a number on, skipping names that are not files."""
        paths = (self.path / f"features-{n:04d}.sqlite" for n in itertools.count(number))
        return next(p for p in paths if not _is_taken(p))

    def connect(self) -> Database:
        """Open the database that is in use, or make it."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Database(next(reversed(self.databases()), None) or self._database(1))

    def set_aside(self, damaged: Path) -> None:
        """Have all processes use a new database from now on.

        The damaged one keeps its name, as renaming a database that others have open would mix up
        their logs.
        """
        self._database(_number_of(damaged) + 1).touch()


def _is_taken(path: Path) -> bool:
    """Return whether a name is not a file, also while another process creates it."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return path.is_symlink()


def _number_of(database: Path) -> int:
    return int(database.stem.split("-")[1])


def _remove_database(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
