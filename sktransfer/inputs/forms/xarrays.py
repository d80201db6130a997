"""Arrays of xarray, whose dimensions have names."""

from __future__ import annotations

import sys
from typing import Any

# In the order in which they are wanted; the dimension of the images has any other name.
_HEIGHT = ("height", "y", "row", "rows", "lat", "latitude", "h")
_WIDTH = ("width", "x", "column", "columns", "lon", "longitude", "w")
_CHANNEL = ("channel", "channels", "band", "bands", "rgb", "color", "colour", "c")


def is_xarray(X: Any) -> bool:
    """Tell whether something is an array or a data set of xarray."""
    library: Any = sys.modules.get("xarray")
    names = ("DataArray", "Dataset")
    kinds = tuple(getattr(library, name) for name in names if hasattr(library, name))
    return bool(kinds) and isinstance(X, kinds)


def lay_out(X: Any, who: str) -> Any:
    """Return the data of an array of xarray, lazy or not, and anything else as it is."""
    return from_xarray(X, who) if is_xarray(X) else X


def from_xarray(X: Any, who: str) -> Any:
    """Return the data as `(n, height, width, n_channels)`; a Dask array if they are one."""
    if not hasattr(X, "data"):
        raise TypeError(
            f"{who} needs one array of images. Got an xarray.Dataset of the variables "
            f"{list(X.data_vars)}: pass one of them, X[name]."
        )
    places: dict[Any, int] = {}
    for kind, names in enumerate((_HEIGHT, _WIDTH, _CHANNEL), start=1):
        places |= {dim: kind for dim in X.dims if str(dim).lower() in names}
    # Sorting keeps the order of those without a place, which come first.
    return X.transpose(*sorted(X.dims, key=lambda dim: places.get(dim, 0))).data
