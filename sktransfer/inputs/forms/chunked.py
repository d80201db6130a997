"""Zarr arrays and HDF5 data sets, read in the blocks in which they are stored."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from sktransfer.inputs.on_demand import Blocks, ChunkedArray


def is_chunked(X: Any) -> bool:
    """Tell whether something is an array of numbers on disk."""
    for module, name in (("zarr", "Array"), ("h5py", "Dataset")):
        loaded = sys.modules.get(module)
        if hasattr(loaded, name) and isinstance(X, getattr(loaded, name)):
            return True
    return False


def from_chunked(X: Any) -> Any:
    """Return what reads the rows of an array when they are asked for; text and bytes are read."""
    if np.dtype(X.dtype).kind not in "buif" or X.ndim < 2 or 0 in X.shape:
        values = X[()] if X.ndim else X[...]
        return np.asarray(values)
    # HDF5 data sets have no chunks where they lie in one piece, of which any part is read as fast.
    chunks = getattr(X, "shards", None) or X.chunks
    return ChunkedArray(Blocks(X, int(chunks[0]) if chunks else None))
