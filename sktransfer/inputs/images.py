"""Images in any supported form, read as pixels with a known value range.

Two steps, apart: :func:`read_images` decides from types, names and shapes what the input is (and
opens no file but to read its header); then batches are loaded one at a time, so that files are
decoded when needed and big arrays are never copied.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import numpy as np

from sktransfer.inputs.containers import count, describe, is_pil, unpack
from sktransfer.inputs.decoding import check_header, decode, describe_long_side, explain
from sktransfer.inputs.encoded import Encoded
from sktransfer.inputs.forms.opening import open_form
from sktransfer.inputs.items import ItemReader
from sktransfer.inputs.layout import CHANNELS, ImageWarning, canonical, find_layout
from sktransfer.inputs.on_demand import ChunkedArray, OnDemand
from sktransfer.inputs.remote import Remote
from sktransfer.inputs.scale import ValueRange, is_per_channel, to_range

__all__ = ["CHANNELS", "ArrayImages", "ImageList", "ImageWarning", "Images", "read_images"]

#: Images of one size, `(n_images, height, width, n_channels)`, with their black and white.
Group = tuple[np.ndarray, ValueRange]

# What the images of one group may take as float32: bounds the memory of large ones.
_GROUP_BYTES = 16 << 20


@dataclass(frozen=True)
class ArrayImages:
    """Images of one size in one array.

    Attributes
    ----------
    data : ndarray or ChunkedArray
        Rows, `(n, h, w)` or 4-D, as the user holds them.
    row_shape : tuple of int
        Shape of one image inside `data`.
    channels_first : bool
        Whether the channels stand first in `row_shape`.
    table : array-like
        What scikit-learn's book-keeping of features looks at.
    who : str
        The class named in errors.
    """

    data: np.ndarray | ChunkedArray
    row_shape: tuple[int, ...]
    channels_first: bool
    table: Any
    who: str

    def __len__(self) -> int:
        return len(self.data)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape of an image as `(height, width, n_channels)`."""
        return canonical(self.row_shape)  # type: ignore[return-value]

    @property
    def has_columns(self) -> bool:
        """Whether each image is a row of a table."""
        return self.data.ndim == 2

    @property
    def arrays(self) -> Sequence[Any]:
        """All images as one view `(n, height, width, n_channels)`: nothing is copied or read."""
        if isinstance(self.data, ChunkedArray):
            return [self.data.viewed(self._as_images)]
        return [self._as_images(self.data)]

    def _as_images(self, data: np.ndarray) -> np.ndarray:
        view = data.reshape(len(data), *self.row_shape)
        if view.ndim == 3:
            view = view[..., None]
        return np.moveaxis(view, 1, -1) if self.channels_first else view

    def check_files(self) -> None:
        """Check nothing: there are no files."""

    def take(self, rows: Sequence[int] | slice) -> ArrayImages:
        """Select some of the images."""
        if isinstance(self.data, ChunkedArray) and not isinstance(rows, slice):
            return replace(self, data=self.data.take(rows))
        return replace(self, data=self.data[rows])  # type: ignore[index]

    def load(self, start: int, stop: int, value_range: ValueRange | None) -> Iterator[Group]:
        """Load the images from `start` to `stop`, a few MiB at a time."""
        assert value_range is not None
        (pixels,) = self.arrays
        step = max(1, _GROUP_BYTES // (4 * math.prod(self.row_shape)))
        for first in range(start, stop, step):
            yield np.asarray(pixels[first : min(first + step, stop)]), value_range


@dataclass
class ImageList:
    """Images one by one: files, PIL images, and arrays of differing sizes, also mixed.

    Attributes
    ----------
    items : sequence
        Paths as str, contents of files, PIL images, and arrays `(height, width, n_channels)`. A
        list, or what reads them from a source when they are asked for.
    table : array-like or None
        What scikit-learn's book-keeping of features looks at; None where there are no columns.
    file_range : tuple of float or None
        The values of black and white in files and PIL images; None: by each one's bit depth.
    who : str
        The class named in errors.
    has_warned : bool
        Whether it was said that files do not fit `file_range`, which is said once.
    """

    items: list[Any] | OnDemand
    table: Any
    file_range: ValueRange | None
    who: str
    has_warned: bool = False

    def __len__(self) -> int:
        return len(self.items)

    @property
    def image_shape(self) -> None:
        """None: the sizes differ, or are not known before decoding."""
        return None

    @property
    def has_columns(self) -> bool:
        """Whether the images stand in a column of a table."""
        return self.table is not None

    @property
    def arrays(self) -> Sequence[np.ndarray]:
        """The arrays among the items, each `(height, width, n_channels)`.

        A source on disk has nothing else, or none, as its first image tells.
        """
        if isinstance(self.items, OnDemand):
            return self.items if isinstance(self.items[0], np.ndarray) else []
        return [item for item in self.items if isinstance(item, np.ndarray)]

    def check_files(self) -> None:
        """Open every file's header, and name all that cannot be read in one error."""
        if isinstance(self.items, OnDemand) and not isinstance(self.items[0], str | Encoded):
            return  # only reading them shows whether they can be read
        self._raise_for(range(len(self)), self._check_header)
        if isinstance(self.items, OnDemand):
            return
        for position, item in enumerate(self.items):
            if is_pil(item):
                try:
                    check_header(item, self.file_range)
                except (OSError, ValueError) as error:
                    raise self._unreadable(position, error) from error

    def _check_header(self, file: str | Encoded) -> None:
        if not isinstance(file, Remote):  # which would be fetched, and once more to be decoded
            check_header(file, self.file_range)

    def take(self, rows: Sequence[int]) -> ImageList:
        """Select some of the images."""
        if isinstance(self.items, OnDemand):
            return replace(self, items=self.items.take(rows))
        return replace(self, items=[self.items[row] for row in rows])

    def load(self, start: int, stop: int, value_range: ValueRange | None) -> Iterator[Group]:
        """Load the images from `start` to `stop`, one at a time."""
        for position in range(start, stop):
            try:
                yield self.load_one(position, value_range)
            except (OSError, ValueError) as error:
                self.raise_unreadable(position, error)

    def raise_unreadable(self, position: int, error: Exception) -> NoReturn:
        """Name all files that cannot be read, of which this is the first, in one error."""
        first = None if isinstance(self.items, OnDemand) else self.items[position]

        def read(file: str | Encoded) -> None:
            if file is first:
                raise error
            if not isinstance(file, Remote):  # others are not fetched again
                decode(file, self.file_range)

        self._raise_for(range(position, len(self)), read)
        raise self._unreadable(position, error) from error

    def load_one(self, position: int, value_range: ValueRange | None) -> Group:
        """Load one image."""
        item = self.items[position]
        if isinstance(item, np.ndarray):
            if value_range is None:  # files only, as far as the first of a source tells
                raise ValueError(f"its pixels are an array, unlike the first: {describe(item)}")
            return item[None], value_range
        pixels, own_range = decode(item, self.file_range)
        return pixels[None], own_range

    def _unreadable(self, position: int, error: Exception) -> OSError:
        # A source may not even give what it cannot read.
        name = "" if isinstance(self.items, OnDemand) else f", {describe(self.items[position])}"
        return OSError(f"{self.who} cannot read image {position}{name}: {explain(error)}")

    def _raise_for(self, positions: range, read: Callable[[Any], object]) -> None:
        """Try to read every file, and raise one error that names all that cannot be read."""
        failures: list[tuple[str, Exception]] = []
        for position in positions:
            name = f"image {position}"
            try:
                item = self.items[position]
                if isinstance(item, str):
                    name = repr(item)
                elif isinstance(item, Encoded):
                    name += f", {describe(item)}"
                else:
                    continue
                read(item)
            except (OSError, ValueError) as error:
                failures.append((name, error))
        if not failures:
            return
        all_missing = all(isinstance(error, FileNotFoundError) for _, error in failures)
        lines = "\n".join(f"  {name}: {explain(error)}" for name, error in failures)
        raise (FileNotFoundError if all_missing else OSError)(
            f"{self.who} needs image files that exist and can be read without loss. "
            f"{len(failures)} of {len(self.items)} cannot:\n{lines}\n"
            "Repair or leave out these files; none is replaced by an empty image."
        ) from failures[0][1]


Images = ArrayImages | ImageList


def read_images(
    X: Any,
    *,
    image_shape: Sequence[int] | None = None,
    value_range: str | Iterable[float] = "auto",
    allow_remote: bool = False,
    who: str = "VGGFeatureExtractor",
) -> Images:
    """Decide what an input holds, without decoding it, or say what it looks like and the cure.

    A given value range holds for files and PIL images too, which otherwise have one each, by their
    bit depth. URLs are an error unless they are allowed.
    """
    given, X = X, open_form(X, who)
    found = unpack(X, who)
    images: Images
    if isinstance(found, list | OnDemand):
        file_range = None
        if not isinstance(value_range, str):
            given_range = to_range(value_range)
            # Nothing was normalised by channel before it was written to a file.
            file_range = None if is_per_channel(given_range) else given_range
        container = "list" if isinstance(given, list | tuple) else type(given).__name__
        table = X if len(getattr(X, "shape", ())) == 2 else None
        reader = ItemReader(container, image_shape, allow_remote, who)
        images = ImageList(reader.read_all(found), table, file_range, who)
    else:
        images = _read_array(found, X, image_shape, who)
    n_rows = count(X)
    if n_rows is not None and len(images) != n_rows:
        # Features next to the labels of other images would be wrong without a warning.
        raise ValueError(
            f"{who} needs one image for each entry of its input. Got {type(given).__name__} of "
            f"{n_rows:,} entries, which reads as {len(images):,} images: pass an array of shape "
            f"({n_rows}, height, width) or a list of {n_rows:,} images."
        )
    return images


def _read_array(
    data: np.ndarray | ChunkedArray, X: Any, image_shape: Sequence[int] | None, who: str
) -> ArrayImages:
    if data.ndim > 0 and len(data) == 0:
        raise ValueError(f"{who} needs at least one image. Got X of shape {data.shape}.")
    if data.ndim not in (2, 3, 4):
        kind = "" if isinstance(X, np.ndarray) else f", {type(X).__name__} of dtype {data.dtype}"
        raise ValueError(
            f"{who} needs rows of pixels (n, n_pixels), grey images (n, height, width) or colour "
            f"images (n, height, width, n_channels). Got {data.ndim}-D data of shape "
            f"{data.shape}{kind}. Reshape your data: X.reshape(1, -1) for the row of a single "
            "image, X[None] for a single image (height, width), X.reshape(n, height, width) for "
            "many."
        )
    if 0 in data.shape:
        raise ValueError(
            f"{who} needs images of at least one pixel. Got X with 0 feature(s) "
            f"(shape={data.shape}) while a minimum of 1 is required."
        )
    row_shape, channels_first = find_layout(data.shape, image_shape, who)
    sides = row_shape[1:] if channels_first else row_shape[:2]
    if fault := describe_long_side(*sides):
        raise ValueError(f"{who} cannot take these images: {fault}.")
    if data.ndim == 2:
        table = X if len(getattr(X, "shape", ())) == 2 else data
        if isinstance(data, ChunkedArray):
            table = _blank(data.shape)
        return ArrayImages(data, row_shape, channels_first, table, who)
    # scikit-learn counts the second axis, which of images is their height: show it flat rows.
    flat = _blank((len(data), math.prod(row_shape)))
    return ArrayImages(data, row_shape, channels_first, flat, who)


def _blank(shape: tuple[int, ...]) -> np.ndarray:
    """Make an array of a shape that takes no memory."""
    return np.broadcast_to(np.float32(0), shape)
