"""Images and labels of a source that holds both, in one order."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sktransfer.inputs.forms.arrow import is_arrow
from sktransfer.inputs.forms.elements import (
    IMAGE_NAMES,
    LABEL_NAMES,
    find_name,
    image_of,
    label_of,
)
from sktransfer.inputs.forms.huggingface import find_image_column, from_dataset, is_dataset
from sktransfer.inputs.forms.saved import is_saved, open_archive
from sktransfer.inputs.forms.streams import has_fixed_shape, is_stream, join, read_parts
from sktransfer.inputs.forms.tensors import is_tensor, to_array
from sktransfer.inputs.forms.torch_data import is_torch_dataset
from sktransfer.inputs.on_demand import OnDemand

_WHO = "with_labels"


def with_labels(dataset: Any, *, image: Any = None, label: Any = None) -> tuple[Any, np.ndarray]:
    """Split a source of images with labels into `X` and `y` in the same order, for ``fit(X, y)``.

    Data sets that shuffle give another order each time they are read. Here images and labels
    come from one pass, so they belong together whatever the order.

    Parameters
    ----------
    dataset : object
        A data set of Hugging Face's `datasets`; a ``tf.data.Dataset``, also of
        ``keras.utils.image_dataset_from_directory``; a ``keras.utils.PyDataset``; a data set or
        loader of ``torch.utils.data``; a data frame of pandas or polars, or a table of Arrow; the
        path of an `.npz` file.
    image, label : str or int, default=None
        Names of the two columns, or of the keys or positions in each element. None takes the
        first and second of a tuple, and of names the usual ones, such as `image` and `label`.

    Returns
    -------
    X : object
        The images in a form that `fit` takes. Those of sources that can only be read from the
        beginning are in memory; others are read when they are needed.
    y : ndarray of shape (n_images,) or (n_images, n_outputs)
        The labels.

    Raises
    ------
    TypeError
        If it is not such a source.
    ValueError
        If images or labels cannot be found in it.

    Examples
    --------
    >>> import pandas as pd
    >>> from sktransfer import with_labels
    >>> table = pd.DataFrame({"path": ["cat.png", "dog.png"], "label": ["cat", "dog"]})
    >>> X, y = with_labels(table, image="path")
    >>> y
    array(['cat', 'dog'], dtype=object)
    """
    if is_dataset(dataset) and hasattr(dataset, "features"):
        name = image if image is not None else find_image_column(dataset, _WHO)
        name = _choose(dataset.column_names, name, IMAGE_NAMES, "image")
        key = _choose(dataset.column_names, label, LABEL_NAMES, "label")
        plain = dataset.select_columns(key).with_format(None)
        return from_dataset(dataset.select_columns(name), _WHO), np.asarray(plain[:][key])
    if is_torch_dataset(dataset):
        return _split_torch(dataset, image, label)
    if is_stream(dataset):
        parts = list(read_parts(dataset, _WHO, image=image, label=label, labels=True))
        labels = [_plain(each) for part in parts for each in part.labels]
        images = join([part.images for part in parts], has_fixed_shape(dataset))
        return _checked(images, np.asarray(labels))
    if is_saved(dataset) and Path(os.fsdecode(dataset)).suffix == ".npz":
        with open_archive(dataset, _WHO) as archive:
            columns = archive.names
            image = _choose(columns, image, IMAGE_NAMES, "image")
            label = _choose(columns, label, LABEL_NAMES, "label")
            return _checked(archive.read(image), archive.read(label))
    if hasattr(dataset, "columns") or is_arrow(dataset):
        names = getattr(dataset, "column_names", None)
        return _columns(dataset, list(dataset.columns if names is None else names), image, label)
    raise TypeError(
        f"{_WHO} needs a source of images with labels: a data set of Hugging Face, TensorFlow or "
        "PyTorch, a loader, a data frame, or the path of an .npz file. Got "
        f"{type(dataset).__name__}: pass images and labels to fit separately."
    )


def _choose(names: Any, given: Any, usual: tuple[str, ...], what: str) -> Any:
    names = list(names)
    found = find_name(names, usual) if given is None else given
    if found not in names:
        raise ValueError(
            f"{_WHO} needs to know where the {what}s are. Got the names {names}"
            f"{'' if given is None else f' and {what}={given!r}'}: set {what}= to one of them."
        )
    return found


def _columns(table: Any, names: list[Any], image: Any, label: Any) -> tuple[Any, np.ndarray]:
    """Take two columns out of a table."""
    image = _choose(names, image, IMAGE_NAMES, "image")
    label = _choose(names, label, LABEL_NAMES, "label")
    return _checked(table[image], np.asarray(table[label]))


def _split_torch(dataset: Any, image: Any, label: Any) -> tuple[Any, np.ndarray]:
    """Read the labels of a data set item by item, and the images when they are needed."""
    name = type(dataset).__name__
    labels = [_plain(label_of(dataset[i], name, _WHO, label)) for i in range(len(dataset))]
    if image is None:
        return dataset, np.asarray(labels)

    def read(i: int) -> Any:
        return image_of(dataset[i], name, _WHO, image)

    return OnDemand(read, range(len(dataset))), np.asarray(labels)


def _plain(label: Any) -> Any:
    """Return a label as Python or NumPy have it."""
    label = to_array(label) if is_tensor(label) else label
    if isinstance(label, Mapping):
        raise ValueError(f"{_WHO} needs one label for each image. Got several, {list(label)}.")
    return label.item() if isinstance(label, np.ndarray) and label.ndim == 0 else label


def _checked(X: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
    if len(X) != len(y):
        raise ValueError(
            f"{_WHO} needs one label for each image. Got {len(X)} images and {len(y)} labels."
        )
    return X, y
