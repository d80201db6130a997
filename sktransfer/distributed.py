"""Dask collections of images: seen without being computed, and turned into lazy features.

Dask's graph holds the fitted extractor once, in a key of its own on which every task depends, so
that it travels once to each worker. Weights do not travel at all unless they are a mapping: each
worker finds them as any other process does, and checks that they are those that `fit` saw.
"""

from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import dask.array


def is_lazy(X: Any) -> bool:
    """Tell whether an input is a Dask collection, without importing Dask.

    Parameters
    ----------
    X : object
        Anything.

    Returns
    -------
    bool
        False where nobody has imported Dask: then there can be no collection.
    """
    dask = sys.modules.get("dask")
    return dask is not None and bool(dask.is_dask_collection(X))


def stand_in(X: Any, who: str) -> Any:
    """Return a few images in memory that look like those of a collection, and compute nothing.

    Parameters
    ----------
    X : dask.array.Array, dask.dataframe.DataFrame, dask.dataframe.Series or dask.bag.Bag
        The collection.
    who : str
        The class named in errors.

    Returns
    -------
    ndarray, DataFrame, Series or list
        Of the same shape, columns and dtypes but for the number of images. What will be paths or
        other images one by one is a list of one path, which is not there.

    Raises
    ------
    ValueError, TypeError
        If it is no collection of images, or its shape is not known.
    """
    kind = _kind(X)
    if kind == "bag":
        return ["image"]
    if kind == "frame":
        from dask.dataframe.utils import meta_nonempty

        return meta_nonempty(X._meta).head(1)  # of the two rows one may be missing
    if kind != "array":
        raise TypeError(
            f"{who} takes Dask arrays, data frames, series and bags of images. Got a "
            f"{type(X).__module__}.{type(X).__name__}: pass X.data of an xarray.DataArray, and "
            "dask.array.from_delayed or dask.bag.from_delayed of delayed objects."
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


def transform_lazily(extractor: Any, X: Any) -> dask.array.Array:
    """Describe the features of a collection that suits a fitted extractor; compute nothing.

    Parameters
    ----------
    extractor : VGGFeatureExtractor
        The fitted extractor.
    X : dask.array.Array, dask.dataframe.DataFrame, dask.dataframe.Series or dask.bag.Bag
        The collection.

    Returns
    -------
    dask.array.Array of shape (n_images, n_features_out)
        float32, one block of rows for each block or partition of images.
    """
    import dask
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    width = extractor.n_features_out_
    fitted = dask.delayed(_without_baggage(extractor), pure=True, traverse=False)
    meta = np.empty((0, width), np.float32)
    name = f"vgg-features-{dask.base.tokenize(X, fitted)}"
    if _kind(X) == "array":
        # An image lies in one block, whole.
        X = X.rechunk(dict.fromkeys(range(1, X.ndim), -1))
        return X.map_blocks(
            _features,
            fitted,
            name=name,
            chunks=(X.chunks[0], (width,)),
            drop_axis=list(range(2, X.ndim)),
            new_axis=1 if X.ndim == 1 else None,
            meta=meta,
        )
    if _kind(X) == "frame":
        X = X.optimize()  # which settles the names of its partitions
    parts = X.__dask_keys__()
    tasks = {(name, i, 0): (_features, part, fitted.key) for i, part in enumerate(parts)}
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=[X, fitted])
    # How many images a partition holds is known when it is computed.
    return da.Array(graph, name, chunks=((np.nan,) * len(parts), (width,)), meta=meta)


def _kind(X: Any) -> str | None:
    """Name the kind of a collection; None if it is none of images."""
    for module, names, kind in (
        ("dask.array", ("Array",), "array"),
        ("dask.dataframe", ("DataFrame", "Series"), "frame"),
        ("dask.bag", ("Bag",), "bag"),
    ):
        # A collection's own module is there, or nobody could have made it.
        loaded = sys.modules.get(module)
        if loaded is not None and isinstance(X, tuple(getattr(loaded, name) for name in names)):
            return kind
    return None


def _without_baggage(extractor: Any) -> Any:
    """Copy what `transform` needs, and leave what only `fit` uses."""
    light = copy.copy(extractor)
    light.calibration = None
    light.random_state = None
    light.verbose = 0  # bars of many workers would run into each other
    return light


def _features(block: Any, extractor: Any) -> np.ndarray:
    """Compute the features of one block, on a worker."""
    images = block if hasattr(block, "shape") else list(block)
    if len(images) == 0:
        return np.empty((0, extractor.n_features_out_), np.float32)
    return extractor.transform(images)
