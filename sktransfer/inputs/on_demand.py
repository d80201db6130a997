"""Images that are read from disk on demand: one by one, or as blocks of rows."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

# Blocks of a source kept in memory: threads read neighbours, which share one. Larger blocks are
# read in part, again for every part.
_MAX_BLOCKS = 4
_MAX_BLOCK_BYTES = 64 << 20


class OnDemand(Sequence):
    """Images one by one, each of which its source reads when it is asked for.

    Sources need not stand being read by several threads at once.
    """

    def __init__(
        self,
        read: Callable[[int], Any],
        rows: Sequence[int],
        lock: threading.Lock | None = None,
    ) -> None:
        self._read, self._rows = read, rows
        self._lock = lock or threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, position: Any) -> Any:
        with self._lock:
            return self._read(int(self._rows[position]))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the lock, which stays in its process."""
        return {"_read": self._read, "_rows": self._rows}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())

    def take(self, rows: Sequence[int]) -> OnDemand:
        """Select some of the images."""
        return OnDemand(self._read, [self._rows[row] for row in rows], self._lock)


class Blocks:
    """Reads rows of an array on disk by the blocks in which it is stored."""

    def __init__(self, source: Any, block_length: int | None) -> None:
        self.source = source
        row_bytes = source.dtype.itemsize * int(np.prod(source.shape[1:]))
        is_small = block_length is not None and block_length * row_bytes <= _MAX_BLOCK_BYTES
        self._length = block_length if is_small else None
        self._blocks: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, start: int, stop: int) -> np.ndarray:
        """Read rows."""
        if self._length is None:
            return np.asarray(self.source[start:stop])
        parts = []
        for number in range(start // self._length, -(-stop // self._length)):
            first = number * self._length
            parts.append(self._block(number)[max(start - first, 0) : stop - first])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _block(self, number: int) -> np.ndarray:
        assert self._length is not None
        with self._lock:
            if number not in self._blocks:
                first = number * self._length
                self._blocks[number] = np.asarray(self.source[first : first + self._length])
                while len(self._blocks) > _MAX_BLOCKS:
                    self._blocks.popitem(last=False)
            self._blocks.move_to_end(number)
            return self._blocks[number]


class ChunkedArray:
    """An array on disk, of which rows are read when they are asked for, never the whole.

    Attributes
    ----------
    shape, dtype, ndim, size
        As of a NumPy array.
    """

    def __init__(
        self,
        blocks: Blocks,
        rows: np.ndarray | None = None,
        view: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self._blocks, self._rows, self._view = blocks, rows, view
        n_rows = blocks.source.shape[0] if rows is None else len(rows)
        one = blocks.source.shape[1:]
        if view is not None:
            # Of no values: what tells the shape of a row.
            one = view(np.broadcast_to(np.uint8(0), (1, *one))).shape[1:]
        self.shape = (int(n_rows), *map(int, one))
        self.dtype = np.dtype(blocks.source.dtype)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: int | slice) -> np.ndarray:
        """Read one row, or a slice of rows."""
        if not isinstance(key, slice):
            return self[key : key + 1][0]
        start, stop, step = key.indices(len(self))
        if self._rows is None and step == 1:
            values = self._blocks.read(start, max(start, stop))
        else:
            rows = np.arange(start, stop, step) if self._rows is None else self._rows[key]
            values = np.empty((len(rows), *self._blocks.source.shape[1:]), self.dtype)
            for i, row in enumerate(rows):
                values[i] = self._blocks.read(row, row + 1)[0]
        return values if self._view is None else self._view(values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read the whole, for what needs all pixels in memory."""
        return self[:].astype(dtype or self.dtype, copy=False)

    def take(self, rows: Any) -> ChunkedArray:
        """Select some of the rows."""
        own = np.arange(len(self)) if self._rows is None else self._rows
        return ChunkedArray(self._blocks, own[rows], self._view)

    def viewed(self, view: Callable[[np.ndarray], np.ndarray]) -> ChunkedArray:
        """Return the same rows, shaped by a function when they are read."""
        return ChunkedArray(self._blocks, self._rows, view)
