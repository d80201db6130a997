"""The writers of features: one class for each file format, writing block by block.

A block is complete and on disk when `write` returns. Writing the same block again gives the same
bytes, so that a run interrupted in the middle of a block can resume there. `digest` shows later
whether a block is unchanged.
"""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from xxhash import xxh3_128

from sktransfer.datasets.bunches import spell

#: Position among the inputs, path and label.
Row = tuple[int, str, str | None]

# Room for the header of an .npy file: what NumPy takes for any number of rows.
_HEADER_BYTES = 128
_HASH_BYTES = 1 << 20


class Writer(Protocol):
    """The methods of every writer."""

    def write(self, block: int, rows: np.ndarray, entries: Sequence[Row]) -> None:
        """Write the rows of a block, and return when they are on disk."""

    def digest(self, block: int, n_rows: int) -> bytes | None:
        """Hash a block with this number of rows, as it is on disk; None if a part is missing."""

    def finish(self, n_rows: int) -> int:
        """Complete the output after its last block, and return its number of rows."""


class NpyWriter:
    """One array in one file, as ``np.load`` opens it.

    Parameters
    ----------
    path : Path
        The file; made if it is not there.
    block_rows : int
        Rows of every block but the last.
    names : list of str
        Names of the features.
    """

    def __init__(self, path: Path, block_rows: int, names: list[str]) -> None:
        self._path, self._block_rows, self._width = path, block_rows, len(names)

    def write(self, block: int, rows: np.ndarray, entries: Sequence[Row]) -> None:
        """Write the rows of a block."""
        self._path.touch()
        with self._path.open("r+b") as file:
            file.seek(_HEADER_BYTES + block * self._block_rows * self._width * 4)
            file.write(np.ascontiguousarray(rows, dtype="<f4").data)
            _sync(file)

    def digest(self, block: int, n_rows: int) -> bytes | None:
        """Hash the bytes of a block."""
        row_bytes = self._width * 4
        return _hash(
            self._path, _HEADER_BYTES + block * self._block_rows * row_bytes, n_rows * row_bytes
        )

    def finish(self, n_rows: int) -> int:
        """Write the header, and remove rows that an interrupted run may have left at the end."""
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f4", "fortran_order": False, "shape": (n_rows, self._width)}
        )
        assert header.tell() == _HEADER_BYTES
        self._path.touch()
        n_held = max(0, self._path.stat().st_size - _HEADER_BYTES) // (self._width * 4)
        if n_held < n_rows:
            return n_held  # grown to the right size, it would hold rows of zeros
        with self._path.open("r+b") as file:
            file.write(header.getvalue())
            file.truncate(_HEADER_BYTES + n_rows * self._width * 4)
            _sync(file)
        return n_rows


class ZarrWriter:
    """A Zarr group with the arrays ``features`` and ``position``.

    Parameters
    ----------
    path : Path
        The folder; made if it is not there.
    block_rows : int
        Rows of every block but the last: one chunk.
    names : list of str
        Names of the features.
    """

    def __init__(self, path: Path, block_rows: int, names: list[str]) -> None:
        self._zarr = _import("zarr", path)
        self._path, self._block_rows, self._width = path, block_rows, len(names)

    def write(self, block: int, rows: np.ndarray, entries: Sequence[Row]) -> None:
        """Write the rows of a block: one chunk of each array."""
        start = block * self._block_rows
        stop = start + len(rows)
        chunks = self._chunks(block)
        for path in chunks:  # which Zarr would read where the block is not a whole chunk
            path.unlink(missing_ok=True)
        # Not every version of Zarr replaces what it writes at once: a chunk that was half written
        # is written again, but a description of the arrays would be lost.
        self._describe(stop)
        group = self._zarr.open_group(self._path, mode="r+")
        # Chunks of zeros are written too: a chunk that is missing is then one that was lost.
        with self._zarr.config.set({"array.write_empty_chunks": True}):
            group["features"][start:stop] = rows
            positions = np.array([entry[0] for entry in entries], dtype=np.int64)
            group["position"][start:stop] = positions
        _sync_paths(chunks, self._path.parent)

    def digest(self, block: int, n_rows: int) -> bytes | None:
        """Hash both chunks of a block."""
        digests = [_hash(path) for path in self._chunks(block)]
        return None if None in digests else b"".join(filter(None, digests))

    def finish(self, n_rows: int) -> int:
        """Set the number of rows, and remove chunks that an interrupted run may have left."""
        self._describe(n_rows)
        for path in self._path.rglob("*.partial"):
            path.unlink()
        n_blocks = -(-n_rows // self._block_rows)
        for name in ("features", "position"):
            for path in (self._path / name / "c").glob("*"):
                if path.name.isdecimal() and int(path.name) >= n_blocks:
                    remove(path)
        n_held = 0
        for block in range(n_blocks):
            if all(path.is_file() for path in self._chunks(block)):
                n_held += min(self._block_rows, n_rows - block * self._block_rows)
        _sync_paths(self._path.rglob("zarr.json"), self._path.parent)
        return n_held

    def _chunks(self, block: int) -> tuple[Path, Path]:
        """Name the files that hold a block, as version 3 of the format does."""
        return (
            self._path / "features" / "c" / str(block) / "0",
            self._path / "position" / "c" / str(block),
        )

    def _describe(self, n_rows: int) -> None:
        """Write the lengths of the arrays, in files that are replaced atomically."""
        new = self._path.with_name("description.zarr")
        group = self._zarr.create_group(new, overwrite=True)
        for name, dtype, shape, dimensions in (
            ("features", "float32", (self._width,), ("row", "feature")),
            ("position", "int64", (), ("row",)),
        ):
            group.create_array(
                name,
                shape=(n_rows, *shape),
                chunks=(self._block_rows, *shape),
                dtype=dtype,
                dimension_names=dimensions,
                fill_value=0,
            )
        for file in new.rglob("zarr.json"):
            place = self._path / file.relative_to(new)
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)


class ParquetWriter:
    """A folder of Parquet files with the columns position, path, label and features.

    Parameters
    ----------
    path : Path
        The folder; made if it is not there.
    block_rows : int
        Rows of every block but the last: one file.
    names : list of str
        Names of the features, which every file holds in its metadata as ``feature_names``.
    """

    def __init__(self, path: Path, block_rows: int, names: list[str]) -> None:
        pa = _import("pyarrow", path)
        path.mkdir(exist_ok=True)
        self._path, self._block_rows = path, block_rows
        self._schema = pa.schema(
            [
                ("position", pa.int64()),
                ("path", pa.string()),
                ("label", pa.string()),
                ("features", pa.list_(pa.float32(), len(names))),
            ],
            metadata={"feature_names": "\n".join(names)},
        )

    def write(self, block: int, rows: np.ndarray, entries: Sequence[Row]) -> None:
        """Write the rows of a block to a file that gets its name when it is complete."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        positions, paths, labels = zip(*entries, strict=True)
        values = pa.array(np.ascontiguousarray(rows).reshape(-1))
        table = pa.Table.from_arrays(
            [
                pa.array(positions, pa.int64()),
                pa.array([spell(path) for path in paths], pa.string()),
                pa.array([label and spell(label) for label in labels], pa.string()),
                pa.FixedSizeListArray.from_arrays(values, rows.shape[1]),
            ],
            schema=self._schema,
        )
        path = self._part(block)
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
            _sync(file)
        unfinished.replace(path)
        _sync_folders(path, self._path.parent)

    def digest(self, block: int, n_rows: int) -> bytes | None:
        """Hash the file of a block."""
        return _hash(self._part(block))

    def finish(self, n_rows: int) -> int:
        """Remove files that an interrupted run may have left behind."""
        n_blocks = -(-n_rows // self._block_rows)
        for path in self._path.iterdir():
            found = re.fullmatch(r"part-(\d{6,})\.(parquet|unfinished)", path.name)
            if found and (found[2] == "unfinished" or int(found[1]) >= n_blocks):
                path.unlink()
        return sum(map(_count_rows, map(self._part, range(n_blocks))))

    def _part(self, block: int) -> Path:
        return self._path / f"part-{block:06d}.parquet"


def _count_rows(part: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not part.is_file():
        return 0
    with part.open("rb") as file:  # by name, it would be read as an address, in UTF-8
        try:
            return pq.read_metadata(file).num_rows
        except pa.ArrowInvalid:
            return 0


#: By the ending of the output.
WRITERS: dict[str, Callable[[Path, int, list[str]], Writer]] = {
    ".npy": NpyWriter,
    ".zarr": ZarrWriter,
    ".parquet": ParquetWriter,
}


def _import(name: str, path: Path) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"extract needs the package {name!r} to write {path.suffix} files, which is not "
            'installed: install it with `pip install "sktransfer[files]"`, or write an .npy file.'
        ) from error


def _sync(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_paths(paths: Iterable[Path], top: Path) -> None:
    """Sync files that other code wrote, and all folders up to the top."""
    for path in paths:
        with path.open("r+b") as file:
            _sync(file)
        _sync_folders(path, top)


def _sync_folders(path: Path, top: Path) -> None:
    for folder in path.parents:
        # Not every system can do this. A name that is lost is found missing by the next run.
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        if folder == top:
            break


def remove(path: Path) -> None:
    """Remove a file, or a folder with its content, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def hash_file(path: Path) -> str | None:
    """Hash a plain file; None if it is something else."""
    digest = None if path.is_symlink() else _hash(path)
    return None if digest is None else digest.hex()


def _hash(path: Path, start: int = 0, n_bytes: int | None = None) -> bytes | None:
    """Hash a file, or some of its bytes; None if they are missing."""
    if not path.is_file():  # a pipe would block
        return None
    digest = xxh3_128()
    with path.open("rb") as file:
        left = os.fstat(file.fileno()).st_size - start if n_bytes is None else n_bytes
        file.seek(start)
        while left > 0 and (data := file.read(min(left, _HASH_BYTES))):
            digest.update(data)
            left -= len(data)
    return None if left > 0 else digest.digest()
