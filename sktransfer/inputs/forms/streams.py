"""Data sets that can only be read from the beginning: TensorFlow's, and loaders.

They give batches, or single images, with labels or without, and may give them in another order each
time. They are read in one pass, and every pass is used as it comes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sktransfer.inputs.forms.elements import IMAGE_NAMES, find_name, image_of, label_of
from sktransfer.inputs.forms.tensors import is_tensor, to_array

# Images in memory at once, at least. A batch stays together.
_PIECE = 256
# Where each kind is found.
_KINDS = (
    ("tensorflow", "tf.data.Dataset", ("data", "Dataset")),
    ("torch.utils.data", "DataLoader", ("DataLoader",)),
    ("torch.utils.data", "IterableDataset", ("IterableDataset",)),
    ("datasets", "datasets.IterableDataset", ("IterableDataset",)),
    ("keras", "PyDataset", ("utils", "PyDataset")),
)


def is_stream(X: Any) -> bool:
    """Tell whether something is a data set that is read in passes."""
    return _find_kind(X) is not None


def _find_kind(X: Any) -> str | None:
    for module, name, path in _KINDS:
        found: Any = sys.modules.get(module)
        for part in path:
            found = getattr(found, part, None)
        if isinstance(found, type) and isinstance(X, found):
            return name
    return None


@dataclass(frozen=True)
class Part:
    """Some images of a pass, and their labels.

    Attributes
    ----------
    images : ndarray or list
        An array of images of one shape, or images one by one.
    labels : list
        One for each image; empty where none were asked for.
    """

    images: Any
    labels: list[Any]


def read_parts(
    X: Any, who: str, *, image: Any = None, label: Any = None, labels: bool = False
) -> Iterator[Part]:
    """Read a data set from its beginning, in one pass."""
    name = _find_kind(X) or type(X).__name__
    has_batches = _has_batches(X, name)
    elements = (X[i] for i in range(len(X))) if name == "PyDataset" else iter(X)
    for element in elements:
        images = _values(image_of(element, name, who, image))
        found = _values(label_of(element, name, who, label)) if labels else []
        if not has_batches:
            images, found = [images], [found] if labels else []
        yield Part(images, list(found))


def _values(value: Any) -> Any:
    return to_array(value) if is_tensor(value) else value


def _has_batches(X: Any, name: str) -> bool:
    """Tell whether each element holds many images."""
    if name == "tf.data.Dataset":
        spec = X.element_spec
        if isinstance(spec, dict):
            spec = spec[find_name(spec, IMAGE_NAMES) or next(iter(spec))]
        elif isinstance(spec, tuple):
            spec = spec[0]
        return _is_batch(spec)
    if name == "DataLoader":
        return getattr(X, "batch_size", 1) is not None or X.batch_sampler is not None
    return name == "PyDataset"


def _is_batch(spec: Any) -> bool:
    """Tell a batch of TensorFlow's from an image by its shape, as far as that is known."""
    rank = spec.shape.rank
    if rank is None:
        return False
    shape = spec.shape.as_list()
    if str(getattr(spec, "dtype", "")) == "<dtype: 'string'>":
        return rank == 1
    if rank == 3:
        return shape[2] not in (None, 1, 3, 4)
    # Rows of pixels come in batches whose number of rows is not told; (28, 28) is a grey image.
    return rank >= 4 or (rank == 2 and shape[0] is None)


def read_pieces(X: Any, who: str) -> Iterator[Any]:
    """Read a data set in one pass, some images at a time."""
    is_array = has_fixed_shape(X)
    parts: list[Any] = []
    for part in read_parts(X, who):
        parts.append(part.images)
        if sum(map(len, parts)) >= _PIECE:
            yield join(parts, is_array)
            parts = []
    if parts:
        yield join(parts, is_array)


def read_whole(X: Any, who: str) -> Any:
    """Read all images into memory: as an array if they came as such and have one shape."""
    return join([part.images for part in read_parts(X, who)], has_fixed_shape(X))


def join(parts: list[Any], is_array: bool) -> Any:
    """Put the images of all parts together."""
    if parts and all(isinstance(part, np.ndarray) for part in parts):
        if len({part.shape[1:] for part in parts}) == 1:
            return np.concatenate(parts)
        return [image for part in parts for image in part]
    images = [image for part in parts for image in part]
    if is_array and images and all(isinstance(image, np.ndarray) for image in images):
        return np.stack(images)
    return images


def has_fixed_shape(X: Any) -> bool:
    """Tell whether single images are known to be arrays of one shape, before any is read."""
    spec = getattr(X, "element_spec", None)
    if isinstance(spec, dict):
        spec = spec[find_name(spec, IMAGE_NAMES) or next(iter(spec))]
    elif isinstance(spec, tuple):
        spec = spec[0]
    shape = getattr(spec, "shape", None)
    return shape is not None and shape.rank in (1, 2, 3) and shape.is_fully_defined()
