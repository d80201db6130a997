"""The forms in which features are written: one class each, all of them block by block.

A block is complete and on the disk when `write` returns. Writing the same block again gives the
same bytes, so that a run which was cut off in the middle of one can begin there.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sktransfer.extraction.sources import spell

#: Position among the inputs, path and label.
Row = tuple[int, str, str | None]

# Room for the header of an .npy file: what NumPy takes for any number of rows.
_HEADER_BYTES = 128


class Writer(Protocol):
    """What every form of output does."""

    def write(self, block: int, rows: np.ndarray, entries: Sequence[Row]) -> None:
        """Write the rows of a block, and return when they are on the disk."""

    def finish(self, n_rows: int) -> None:
        """Complete the output, of which all blocks are written."""


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

    def finish(self, n_rows: int) -> None:
        """Write the header, and cut off what a run that was cut off may have left behind."""
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "<f4", "fortran_order": False, "shape": (n_rows, self._width)}
        )
        assert header.tell() == _HEADER_BYTES
        self._path.touch()
        with self._path.open("r+b") as file:
            file.write(header.getvalue())
            file.truncate(_HEADER_BYTES + n_rows * self._width * 4)
            _sync(file)


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
        # Not every version of Zarr replaces what it writes at once: a chunk that was half written
        # is written again, but a description of the arrays would be lost.
        self._describe(stop)
        group = self._zarr.open_group(self._path, mode="r+")
        group["features"][start:stop] = rows
        group["position"][start:stop] = np.array([entry[0] for entry in entries], dtype=np.int64)
        _sync_all()

    def finish(self, n_rows: int) -> None:
        """Settle the number of rows, and remove what a run that was cut off may have left."""
        self._describe(n_rows)
        for path in self._path.rglob("*.partial"):
            path.unlink()
        _sync_all()

    def _describe(self, n_rows: int) -> None:
        """Say how long the arrays are, in files that are replaced at once."""
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
        self._path = path
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
        """Write the rows of a block as a file, which appears under its name when it is whole."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        positions, paths, labels = zip(*entries, strict=True)
        values = pa.array(np.ascontiguousarray(rows).reshape(-1))
        table = pa.Table.from_arrays(
            [
                pa.array(positions, pa.int64()),
                pa.array([spell(path) for path in paths], pa.string()),
                pa.array(labels, pa.string()),
                pa.FixedSizeListArray.from_arrays(values, rows.shape[1]),
            ],
            schema=self._schema,
        )
        path = self._path / f"part-{block:06d}.parquet"
        unfinished = path.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
            _sync(file)
        unfinished.replace(path)

    def finish(self, n_rows: int) -> None:
        """Remove what a run that was cut off may have left behind."""
        for path in self._path.glob("*.unfinished"):
            path.unlink()


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


def _sync_all() -> None:
    """Have everything that was written on the disk: Zarr does not say which files it wrote."""
    if hasattr(os, "sync"):
        os.sync()
