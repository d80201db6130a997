"""What a worker leaves where its process cannot take it along: the input that it is at."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from tests.fuzz.mutate import MAX_BYTES

_HEAD = struct.Struct("<QQ")


class Board:
    """A few bytes that two processes see.

    Parameters
    ----------
    path : Path
        The file behind them; made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        size = _HEAD.size + 4 * MAX_BYTES
        if not path.exists():
            path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)

    def write(self, count: int, data: bytes) -> None:
        """Say which input comes next, and how many were before."""
        kept = data[: 4 * MAX_BYTES]
        self._map[_HEAD.size : _HEAD.size + len(kept)] = kept
        _HEAD.pack_into(self._map, 0, count, len(kept))

    def read(self) -> tuple[int, bytes]:
        """Return both."""
        count, length = _HEAD.unpack_from(self._map, 0)
        return count, bytes(self._map[_HEAD.size : _HEAD.size + length])

    def count(self) -> int:
        """Return the number alone."""
        return _HEAD.unpack_from(self._map, 0)[0]

    def close(self) -> None:
        """Let go of it."""
        self._map.close()
