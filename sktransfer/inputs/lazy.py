"""Dask collections of images: their shape, columns and dtypes, without computing them."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np


def is_lazy(X: Any) -> bool:
    """Tell whether an input is a Dask collection, without importing Dask."""
    dask = sys.modules.get("dask")
    return dask is not None and bool(dask.is_dask_collection(X))


def stand_in(X: Any, who: str) -> Any:
    """Return a few images in memory that look like those of a collection, and compute nothing.

    Shape, columns and dtypes are the same but for the number of images. What will be paths or other
    images one by one is a list of one path, which is not there.
    """
    kind = find_kind(X)
    if kind == "bag":
        return ["image"]
    if kind == "frame":
        from dask.dataframe.utils import meta_nonempty

        return meta_nonempty(X._meta).head(1)  # of the two rows one may be missing
    if kind != "array":
        raise TypeError(
            f"{who} takes Dask arrays, data frames, series and bags of images. Got a "
            f"{type(X).__module__}.{type(X).__name__}: pass dask.array.from_delayed or "
            "dask.bag.from_delayed of delayed objects."
        )
    if not isinstance(X._meta, np.ndarray):
        raise TypeError(
            f"{who} needs Dask arrays of NumPy arrays. Got one of {type(X._meta).__module__}."
            f"{type(X._meta).__name__}: convert its blocks first, by X.map_blocks."
        )
    if np.isnan(X.shape[1:]).any():
        raise ValueError(
            f"{who} needs to know the shape of the images in a Dask array. Got X of shape "
            f"{X.shape}: call X.compute_chunk_sizes() first."
        )
    if X.dtype.kind in "OUT" and X.shape[1:] in ((), (1,)):
        return ["image"]
    n_images = 0 if X.shape[0] == 0 else 1
    return np.zeros((n_images, *X.shape[1:]), X.dtype)


def find_kind(X: Any) -> str | None:
    """Name the kind of a collection; None if it is none of images."""
    for module, names, kind in (
        ("dask.array", ("Array",), "array"),
        ("dask.dataframe", ("DataFrame", "Series"), "frame"),
        ("dask.bag", ("Bag",), "bag"),
    ):
        # A collection's own module is imported, or the collection could not exist.
        loaded = sys.modules.get(module)
        if loaded is not None and isinstance(X, tuple(getattr(loaded, name) for name in names)):
            return kind
    return None
