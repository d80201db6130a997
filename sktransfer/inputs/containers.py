"""Containers of images, split into single images or one array of numbers.

Types and names decide. No file is opened, and no array of numbers is copied.
"""

from __future__ import annotations

import os
import reprlib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.utils import check_array

from sktransfer.inputs.encoded import Encoded, is_encoded
from sktransfer.inputs.forms.tensors import widen
from sktransfer.inputs.lazy import is_lazy
from sktransfer.inputs.on_demand import ChunkedArray, OnDemand
from sktransfer.inputs.remote import Remote

_NO_IMAGES = (
    "{who} needs images as arrays of numbers, or as a one-dimensional list of file paths, PIL "
    "images or arrays. Got {what}, which is neither: {why}."
)
_SELECT = "select the column of paths or the columns of pixels"


def unpack(X: Any, who: str) -> list[Any] | OnDemand | np.ndarray | ChunkedArray:
    """Take images out of what holds them, or say why it holds none.

    Gives a list, or a source on disk, of what each image is given as, none of which has been looked
    at; or numbers, one image for each entry of the first axis.
    """
    if isinstance(X, OnDemand | ChunkedArray):
        return X  # without a look at what it holds
    _refuse_no_collection(X, who)
    is_frame = hasattr(X, "columns") and hasattr(X, "dtypes")
    if is_frame and X.shape[1] != 1:
        return _frame_of_numbers(X, who)
    try:
        if isinstance(X, list | tuple):
            found = _items_or_rows(list(X))
        else:
            found = _items_or_array(X[X.columns[0]] if is_frame else X)
    except (TypeError, ValueError, OverflowError) as error:
        raise _no_images(X, error, who) from error
    if isinstance(found, list):
        return found
    is_column = found.ndim == 1 and found.dtype.kind != "O"
    return _frame_of_numbers(X, who) if is_frame and is_column else _numbers(found, X, who)


def _refuse_no_collection(X: Any, who: str) -> None:
    if scipy.sparse.issparse(X):
        raise TypeError(
            f"{who} needs images as dense arrays or files. Got a sparse {type(X).__name__} of "
            f"shape {X.shape}, whose columns would have to be dense pixels: pass X.toarray()."
        )
    if type(X).__name__ == "LazyFrame":
        raise TypeError(f"{who} needs images in memory. Got a LazyFrame: pass X.collect().")
    if is_lazy(X):
        raise TypeError(
            f"{who} needs images in memory, or files. Got a Dask {type(X).__name__}, of which only "
            "VGGFeatureExtractor.transform makes lazy features: pass X.compute()."
        )
    if isinstance(X, str | os.PathLike) and Path(X).is_dir():
        raise TypeError(
            f"{who} needs a list of images. Got a folder, {describe(X)}: list its files and labels "
            "by X, y = sktransfer.list_images(folder, return_X_y=True)."
        )
    if np.ma.is_masked(X):
        raise ValueError(
            f"{who} needs a value for every pixel. Got a masked array with {X.mask.sum()} masked "
            "values: fill them, as in X.filled(0)."
        )
    if isinstance(X, str | os.PathLike) or is_pil(X) or is_encoded(X):
        raise TypeError(
            f"{who} needs a list of images. Got a single one, {describe(X)}: put it into a list, "
            "[image]."
        )
    if X is None or np.isscalar(X):
        raise TypeError(
            f"{who} needs images. Got {describe(X)}: pass an array, a data frame or a list of them."
        )
    if isinstance(X, Iterator):
        raise TypeError(
            f"{who} reads its input more than once. Got {type(X).__name__}, which can be read "
            "once only: pass list(X)."
        )
    if isinstance(X, Mapping | Set):
        why = "pass the list or array of images that it holds"
        if isinstance(X, Mapping) and X:
            why = f"pass one of its values, such as X[{next(iter(X))!r}]"
        raise TypeError(_NO_IMAGES.format(who=who, what=describe(X), why=why))


def is_pil(item: Any) -> bool:
    """Tell whether something is a PIL image, without importing PIL."""
    # An image cannot be a PIL image before somebody has imported PIL, which another thread may be
    # about to do.
    kind = getattr(sys.modules.get("PIL.Image"), "Image", None)
    return kind is not None and isinstance(item, kind)


def _is_single_image(item: Any) -> bool:
    if isinstance(item, str | os.PathLike) or is_pil(item) or is_encoded(item):
        return True
    return getattr(item, "ndim", 0) >= 2


def _is_nested(item: Any) -> bool:
    """Tell whether something holds values: a row, or rows."""
    if isinstance(item, str | np.generic):
        return False
    # Series of polars have a shape and no ndim.
    return isinstance(item, list | tuple) or len(getattr(item, "shape", ())) == 1


def _items_or_array(X: Any) -> list[Any] | np.ndarray:
    """Return the items of a column, or else the array of numbers that something is."""
    # polars lays the fields of structs side by side, and makes NaN of a column of None.
    if type(getattr(X, "dtype", None)).__name__ in ("Struct", "Null"):
        return list(X)
    # NumPy's own type of bytes has lost the zeros at their ends: polars and pandas give objects.
    array = widen(np.asarray(X))
    if array.dtype.kind not in "OSTUV" or array.ndim == 0 or array.shape[1:] not in ((), (1,)):
        return array
    items = list(array.reshape(-1))
    return array if all(isinstance(item, Number) for item in items) else _items_or_rows(items)


def _items_or_rows(items: list[Any]) -> list[Any] | np.ndarray:
    """Make an array of items that are numbers, or rows of them; leave all others as they are."""
    # A list of images stays one where all are alike, as they may be in a single fold by chance.
    if any(_is_single_image(item) for item in items):
        return items
    if not all(_is_nested(item) for item in items):
        are_numbers = all(isinstance(item, Number | np.bool_) for item in items)
        return np.asarray(items) if are_numbers else items
    try:
        array = np.asarray(items)
    except ValueError:
        # Images that differ in size, or rows that differ in length.
        nested = list | tuple
        if all(isinstance(i, nested) and isinstance(i[0], nested) for i in items if len(i)):
            return items
        lengths = sorted({len(item) for item in items})
        if len(lengths) > 1:
            raise ValueError(f"its rows differ in length, {list_some(lengths)}") from None
        raise
    # A column of lists of one entry is a column of these entries.
    is_column = array.dtype.kind in "OSTUV" and array.shape[1:] == (1,)
    return _items_or_array(array) if is_column else array


def _frame_of_numbers(X: Any, who: str) -> np.ndarray:
    names = list(X.columns)
    if len(set(names)) < len(names):
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        raise ValueError(
            f"{who} needs unique column names. Got more than one of {list_some(twice)}: rename "
            "them, or pass X.to_numpy()."
        )
    for name, dtype in zip(names, X.dtypes, strict=True):
        # Dates would become numbers: pandas tells them by a letter, and polars by methods.
        is_time = getattr(dtype, "kind", "") in ("M", "m") or getattr(dtype, "is_temporal", bool)()
        if is_time or getattr(dtype, "is_nested", bool)():
            why = f"its column {name!r} holds {dtype}: {_SELECT}"
            raise ValueError(_NO_IMAGES.format(who=who, what=type(X).__name__, why=why))
    try:
        data = check_array(
            X,
            dtype=None,
            ensure_2d=False,
            ensure_all_finite=False,
            ensure_min_samples=0,
            ensure_min_features=0,
        )
    except (TypeError, ValueError, OverflowError) as error:
        if "Sparse data" in str(error):
            raise TypeError(
                f"{who} needs images as dense arrays or files. Got a {type(X).__name__} of sparse "
                "columns: pass X.sparse.to_dense()."
            ) from error
        if "Complex data" not in str(error):
            raise _no_images(X, error, who) from error
        data = np.asarray(X)
    return _numbers(data, X, who)


def _numbers(data: np.ndarray, X: Any, who: str) -> np.ndarray:
    """Check that an array holds numbers, or make numbers of its objects."""
    if data.dtype.kind == "O":
        try:
            data = data.astype(np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise _no_images(X, error, who, data) from error
    if data.dtype.kind == "c":
        raise ValueError(
            f"{who}: Complex data not supported. Got dtype {data.dtype}: pass np.abs(X) or X.real."
        )
    if data.dtype.kind not in "buif":
        raise ValueError(
            f"{who} needs images as arrays of numbers, or as a one-dimensional list of file paths. "
            f"Got {_name(X)} of shape {data.shape} and dtype {data.dtype}: "
            f"{_SELECT}."
        )
    return data


def _name(X: Any) -> str:
    return "an array" if isinstance(X, np.ndarray) else type(X).__name__


def _no_images(X: Any, error: Exception, who: str, data: np.ndarray | None = None) -> Exception:
    """Make one error of what went wrong in reading numbers, without printing what is large."""
    why = str(error).rstrip(".")
    text = [] if data is None else [each for each in data.flat if isinstance(each, str | bytes)]
    if text or "could not convert string" in why:
        why = f"it holds {describe(text[0]) if text else 'text'}, which is not a number: {_SELECT}"
    kind = TypeError if isinstance(error, TypeError) else ValueError
    return kind(_NO_IMAGES.format(who=who, what=type(X).__name__, why=why))


def describe(item: Any) -> str:
    """Say in a few words what something is, however large it is."""
    kind = type(item).__name__
    if isinstance(item, Remote):
        return repr(item)
    if isinstance(item, Encoded):
        return describe(item.source)
    if isinstance(item, bytes | bytearray | memoryview):
        return f"{kind} of length {len(item):,}"
    if isinstance(item, Mapping):
        return f"{kind} with the keys {list_some([reprlib.repr(key) for key in item], 5)}"
    if is_pil(item) or item is None or isinstance(item, os.PathLike):
        return repr(item)
    if isinstance(item, str | Number):
        return f"{reprlib.repr(item)} ({kind})" if isinstance(item, Number) else reprlib.repr(item)
    if hasattr(item, "shape") and hasattr(item, "dtype"):
        return f"{kind} of shape {tuple(item.shape)} and dtype {item.dtype}"
    return kind


def cure(item: Any) -> str:
    """Say what to pass instead of something that is no image."""
    if isinstance(item, Mapping):
        key = reprlib.repr(next(iter(item), "image"))
        return f"pass the path or image that it holds, such as item[{key}]"
    if isinstance(item, np.ndarray) and item.dtype.kind in "buif" and item.ndim:
        return "reshape it to (height, width)"
    return _SELECT


def is_missing(item: Any) -> bool:
    """Tell whether something is None, NaN or pandas' NA or NaT."""
    # NaN is what does not equal itself; pandas has a type of its own.
    if item is None or type(item).__name__ in ("NAType", "NaTType"):
        return True
    return bool(np.isscalar(item) and item != item)


def list_some(values: Iterable[Any], most: int = 10) -> str:
    """List values, and of many the first few."""
    values = list(values)
    return ", ".join(map(str, values[:most])) + " and more" * (len(values) > most)


def count(X: Any) -> int | None:
    """Count the images that a collection should give; None if it does not tell."""
    shape = getattr(X, "shape", None)
    if isinstance(shape, Sequence):
        return int(shape[0]) if len(shape) else None
    return len(X) if hasattr(X, "__len__") else None
