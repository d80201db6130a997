"""Data sets and columns of Hugging Face's `datasets`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from sktransfer.inputs.on_demand import OnDemand


def is_dataset(X: Any) -> bool:
    """Tell whether something is a data set of which each row can be read, or a column of one."""
    library: Any = sys.modules.get("datasets")
    if not hasattr(library, "Dataset") or not hasattr(library, "IterableDataset"):
        return False
    return isinstance(X, library.Dataset) or (type(X).__name__ == "Column" and hasattr(X, "source"))


def from_dataset(X: Any, who: str) -> Any:
    """Return the images of a data set or a column, none of which has been read."""
    if type(X).__name__ == "Column":
        if not hasattr(X.source, "column_names"):  # a column of a column
            return list(X)
        return _images_of(X.source, X.column_name)
    return _images_of(X, find_image_column(X, who))


def find_image_column(X: Any, who: str) -> str:
    """Return the one column that holds images."""
    names = [name for name, feature in X.features.items() if is_image(feature)]
    if len(names) == 1:
        return names[0]
    if len(X.features) == 1:
        return next(iter(X.features))
    found = f"the columns of images {names}" if names else "no column of the feature Image"
    raise ValueError(
        f"{who} needs to know which column of a Hugging Face data set holds the images. Got "
        f"{found}, of the columns {list(X.features)}: pass X['{(names or list(X.features))[0]}'], "
        "or cast the column to datasets.Image()."
    )


def is_image(feature: Any) -> bool:
    """Tell whether a feature is that of images."""
    return type(feature).__name__ in ("Image", "Array2D", "Array3D")


def _images_of(X: Any, name: str) -> OnDemand:
    """Read a column row by row, without decoding its files if they are files."""
    X = X.select_columns(name)
    if X.format["type"] == "custom":
        # The user's own function, which has the last word on what each image is.
        return OnDemand(lambda row: _only(X[row], name), range(len(X)))
    import datasets

    feature = X.features[name]
    X = X.with_format("numpy" if type(feature).__name__ in ("Array2D", "Array3D") else None)
    if isinstance(feature, datasets.Image):
        # `datasets` would decode 16 bits to 8 in some modes, and all images in one thread.
        X = X.cast_column(name, datasets.Image(decode=False))
    return OnDemand(lambda row: _only(X[row], name), range(len(X)))


def _only(row: Any, name: str) -> Any:
    return row[name] if isinstance(row, Mapping) else row
