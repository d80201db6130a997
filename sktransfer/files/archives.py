"""Reading .npz files that others made: sizes are known and limited before memory is taken."""

from __future__ import annotations

import math
import os
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy

from sktransfer.files.regular import open_regular

#: What an archive may unpack to: so many times its own size, or so many bytes if that is more.
#: Photographs shrink to a half and drawn digits to a tenth; deflate allows a thousandth.
MAX_RATIO = 100
FREE_BYTES = 256 << 20

_CHUNK_BYTES = 1 << 20
_ENDING = ".npy"
_MAX_REASON = 300  # characters


class Header(NamedTuple):
    """The header of one array in an archive.

    Attributes
    ----------
    shape : tuple of int
        Its shape.
    dtype : dtype
        Its type. :meth:`NpzReader.read` refuses types that hold Python objects.
    """

    shape: tuple[int, ...]
    dtype: np.dtype


class NpzReader:
    """An open .npz file; a context manager.

    Every fault of the file is one OSError, which begins with `lead` (who reads what) and ends with
    `cure`, a sentence. Nothing pickled is loaded. A pipe or a device is refused, and so is an
    archive that would unpack to far more than its own size.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from sktransfer.files.archives import NpzReader
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "digits.npz")
    ...     np.savez(path, images=np.zeros((4, 28, 28), np.uint8), digit=[6, 8, 7, 8])
    ...     with NpzReader(path, f"cannot read {str(path)!r}", "Copy it again.") as archive:
    ...         names, shape = archive.names, archive.header("images").shape
    ...         labels = archive.read("digit")
    >>> names, shape, labels
    (['images', 'digit'], (4, 28, 28), array([6, 8, 7, 8]))
    """

    def __init__(self, path: str | os.PathLike, lead: str, cure: str) -> None:
        self._lead, self._cure = lead, cure
        with ExitStack() as stack, self._faults():
            file = stack.enter_context(open_regular(path))
            n_bytes = os.fstat(file.fileno()).st_size
            self._left = max(FREE_BYTES, MAX_RATIO * n_bytes)
            self._zip = stack.enter_context(zipfile.ZipFile(file))
            self._open = stack.pop_all()

    @property
    def names(self) -> list[str]:
        """Names of its arrays, in the order of the file."""
        names = self._zip.namelist()
        return [name.removesuffix(_ENDING) for name in names if name.endswith(_ENDING)]

    def header(self, name: str) -> Header:
        """Read what the archive says of an array, without reading the array."""
        with self._faults(name), self._member(name) as (member, _):
            header, _ = _read_header(member)
            return header

    def read(self, name: str) -> np.ndarray:
        """Read an array, which is writable."""
        with self._faults(name), self._member(name) as (member, n_bytes):
            (shape, dtype), in_fortran_order = _read_header(member)
            if dtype.hasobject:
                raise ValueError("it holds Python objects, and pickled objects are not loaded")
            n_wanted = math.prod(shape) * dtype.itemsize
            n_there = n_bytes - member.tell()
            if n_wanted != n_there:
                raise ValueError(f"it should take {n_wanted:,} bytes and has {n_there:,}")
            if n_wanted > self._left:
                raise ValueError(
                    f"it unpacks to {n_wanted:,} bytes, and an archive may unpack to "
                    f"{MAX_RATIO} times its own size or {FREE_BYTES:,} bytes, whichever is more"
                )
            self._left -= n_wanted
            values = np.empty(n_wanted, np.uint8)
            _read_into(member, values.data)
            code_points = np.dtype(np.uint32).newbyteorder(dtype.byteorder)
            if dtype.kind == "U" and values.view(code_points).max(initial=0) > sys.maxunicode:
                raise ValueError("it holds characters that do not exist")
            return values.view(dtype).reshape(shape, order="F" if in_fortran_order else "C")

    def __enter__(self) -> NpzReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @contextmanager
    def _member(self, name: str) -> Iterator[tuple[Any, int]]:
        """Open an array's member of the archive, and say how many bytes it unpacks to."""
        info = self._zip.NameToInfo.get(name + _ENDING)
        if info is None:
            raise ValueError("it is not there")
        # Other decompressors cannot be told to stop at a number of bytes.
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError("it is compressed by an unsupported method")
        with self._zip.open(info) as member:
            yield member, info.file_size

    @contextmanager
    def _faults(self, name: str | None = None) -> Iterator[None]:
        """Turn whatever goes wrong into one OSError."""
        try:
            yield
        # For files made to harm, NumPy, zipfile and zlib raise TokenError, KeyError,
        # struct.error, RecursionError and more, according to their versions.
        except Exception as error:
            reason = (isinstance(error, OSError) and error.strerror) or str(error)
            if isinstance(error, zipfile.BadZipFile) and name is None:
                reason = "it is not an .npz archive, is damaged, or is cut off"
            where = f"its array {name!r}: " if name is not None else ""
            # Of a file made to harm, NumPy and zipfile quote names and headers of any length.
            if len(reason) > _MAX_REASON:
                reason = f"{reason[:_MAX_REASON]}..."
            raise OSError(
                f"{self._lead}: {where}{reason or type(error).__name__}. {self._cure}"
            ) from error


def _read_header(member: BinaryIO) -> tuple[Header, bool]:
    """Read the header of an array, and whether it is in Fortran's order."""
    version = npy.read_magic(member)
    # Both limit the header to 10,000 characters.
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"its format {version[0]}.{version[1]} is not known")
    shape, in_fortran_order, dtype = read(member)
    if any(length < 0 for length in shape):
        raise ValueError(f"its shape is {shape}")
    return Header(shape, dtype), in_fortran_order


def _read_into(member: BinaryIO, buffer: memoryview) -> None:
    """Fill a buffer to its end, and compare the checksum."""
    start = 0
    while start < len(buffer):
        chunk = member.read(min(_CHUNK_BYTES, len(buffer) - start))
        if not chunk:
            raise EOFError("it is cut off")
        buffer[start : start + len(chunk)] = chunk
        start += len(chunk)
    member.read(1)  # the checksum is compared at the end
