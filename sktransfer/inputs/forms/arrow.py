"""Columns and tables of Apache Arrow, and columns of pandas and polars that hold structs."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def is_arrow(X: Any) -> bool:
    """Tell whether something is an array or a table of Arrow."""
    arrow = sys.modules.get("pyarrow")
    names = ("Array", "ChunkedArray", "Table", "RecordBatch")
    kinds = tuple(getattr(arrow, name) for name in names if hasattr(arrow, name))
    return bool(kinds) and isinstance(X, kinds)


def from_arrow(X: Any, who: str) -> Any:
    """Return a column as a list or an array, and a table of numbers as an array."""
    import pyarrow as pa

    if isinstance(X, pa.RecordBatch):
        X = pa.Table.from_batches([X])
    if isinstance(X, pa.Table):
        if X.num_columns == 1:
            return _column(X.column(0))
        for name, column in zip(X.column_names, X.columns, strict=True):
            if not _is_number(column.type):
                raise ValueError(
                    f"{who} needs one column of images, or columns of numbers. Got a Table of "
                    f"Arrow whose column {name!r} holds {column.type}: select the column of "
                    f"images, such as X.select([{name!r}])."
                )
        if X.num_columns == 0:
            return np.empty((X.num_rows, 0))
        return np.column_stack([_column(column) for column in X.columns])
    return _column(X)


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)


def _column(column: Any) -> Any:
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # before pyarrow 17 several chunks may stay
            return [item for chunk in column.chunks for item in _column(chunk)]
    if isinstance(column.type, pa.FixedShapeTensorType):
        return column.to_numpy_ndarray()
    if _is_number(column.type) and not column.null_count:
        return column.to_numpy(zero_copy_only=False)
    return column.to_pylist()
