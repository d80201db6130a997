"""Any way in which people hold images, read as pixels with a known value range.

Two steps, apart: :func:`read_images` decides from types, names and shapes what the input is (and
opens no file but to read its header); then batches are loaded one at a time, so that files are
decoded when needed and big arrays are never copied.
"""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse
from sklearn.utils import check_array

from sktransfer.decoding import ValueRange, check_header, decode, explain
from sktransfer.distributed import is_lazy

#: Images of one size, `(n_images, height, width, n_channels)`, with their black and white.
Group = tuple[np.ndarray, ValueRange]

#: Grey, RGB, and RGB with alpha.
CHANNELS = (1, 3, 4)
#: Rows of more columns than this, which fit no square, are taken for a mistake and not a strip.
MAX_STRIP = 64
# What the images of one group may take as float32: bounds the memory of large ones.
_GROUP_BYTES = 16 << 20

_NO_IMAGES = (
    "{who} needs images as arrays of numbers, or as a one-dimensional list of file paths, PIL "
    "images or arrays. Got {what}, which is neither: {error}"
)


class ImageWarning(UserWarning):
    """The layout or the value range of the images was guessed, and may be guessed wrong."""


@dataclass(frozen=True)
class ArrayImages:
    """Images of one size in one array.

    Attributes
    ----------
    data : ndarray
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

    data: np.ndarray
    row_shape: tuple[int, ...]
    channels_first: bool
    table: Any
    who: str

    def __len__(self) -> int:
        return len(self.data)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Shape of an image as `(height, width, n_channels)`."""
        return _canonical(self.row_shape)  # type: ignore[return-value]

    @property
    def has_columns(self) -> bool:
        """Whether each image is a row of a table."""
        return self.data.ndim == 2

    @property
    def arrays(self) -> Sequence[np.ndarray]:
        """All images as one view `(n, height, width, n_channels)`: nothing is copied."""
        view = self.data.reshape(len(self.data), *self.row_shape)
        if view.ndim == 3:
            view = view[..., None]
        return [np.moveaxis(view, 1, -1) if self.channels_first else view]

    def check_files(self) -> None:
        """Check nothing: there are no files."""

    def take(self, rows: Sequence[int] | slice) -> ArrayImages:
        """Select some of the images.

        Parameters
        ----------
        rows : sequence of int or slice
            Which of them. A slice copies nothing.

        Returns
        -------
        ArrayImages
            These images, in that order.
        """
        return replace(self, data=self.data[rows])

    def load(self, start: int, stop: int, value_range: ValueRange | None) -> Iterator[Group]:
        """Load the images from `start` to `stop`, a few MiB at a time.

        Parameters
        ----------
        start, stop : int
            The range of images.
        value_range : tuple of float
            The values of black and white.

        Yields
        ------
        tuple
            Pixels `(n, height, width, n_channels)` and their value range.
        """
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
    items : list
        Paths as str, PIL images, and arrays `(height, width, n_channels)`.
    table : array-like or None
        What scikit-learn's book-keeping of features looks at; None where there are no columns.
    file_range : tuple of float or None
        The values of black and white in files and PIL images; None: by each one's bit depth.
    who : str
        The class named in errors.
    has_warned : bool
        Whether it was said that files do not fit `file_range`, which is said once.
    """

    items: list[Any]
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
        """The arrays among the items, each `(height, width, n_channels)`."""
        return [item for item in self.items if isinstance(item, np.ndarray)]

    def check_files(self) -> None:
        """Open every file's header, and name all that cannot be read in one error.

        Raises
        ------
        OSError
            Naming every missing and unreadable file, and every one whose header says that it
            would lose depth or does not tell its value range; or else the first such PIL image.
        """
        paths = [item for item in self.items if isinstance(item, str)]
        self._raise_for(paths, lambda path: check_header(path, self.file_range))
        for position, item in enumerate(self.items):
            if _is_pil(item):
                try:
                    check_header(item, self.file_range)
                except (OSError, ValueError) as error:
                    raise self._unreadable(position, error) from error

    def take(self, rows: Sequence[int]) -> ImageList:
        """Select some of the images.

        Parameters
        ----------
        rows : sequence of int
            Which of them.

        Returns
        -------
        ImageList
            These images, in that order.
        """
        return replace(self, items=[self.items[row] for row in rows])

    def load(self, start: int, stop: int, value_range: ValueRange | None) -> Iterator[Group]:
        """Load the images from `start` to `stop`, one at a time.

        Parameters
        ----------
        start, stop : int
            The range of images.
        value_range : tuple of float or None
            The values of black and white in arrays; None where there are none.

        Yields
        ------
        tuple
            Pixels `(1, height, width, n_channels)` and their value range.

        Raises
        ------
        OSError
            Naming every file from `start` to the end of the input that cannot be decoded.
        """
        for position in range(start, stop):
            try:
                yield self.load_one(position, value_range)
            except (OSError, ValueError) as error:
                rest = [item for item in self.items[position:] if isinstance(item, str)]
                self._raise_for(rest, lambda path: decode(path, self.file_range))
                raise self._unreadable(position, error) from error

    def load_one(self, position: int, value_range: ValueRange | None) -> Group:
        """Load one image.

        Parameters
        ----------
        position : int
            Which of them.
        value_range : tuple of float or None
            The values of black and white in arrays; None where there are none.

        Returns
        -------
        pixels : ndarray of shape (1, height, width, n_channels)
            The image.
        value_range : tuple of float
            Its values of black and white.

        Raises
        ------
        OSError, ValueError
            If it is a file that cannot be decoded.
        """
        item = self.items[position]
        if isinstance(item, np.ndarray):
            assert value_range is not None
            return item[None], value_range
        pixels, own_range = decode(item, self.file_range)
        return pixels[None], own_range

    def _unreadable(self, position: int, error: Exception) -> OSError:
        item = self.items[position]
        return OSError(f"{self.who} cannot read image {position}, {item!r}: {explain(error)}")

    def _raise_for(self, paths: list[str], read: Callable[[str], object]) -> None:
        """Try to read every file, and raise one error that names all that cannot be read."""
        failures: list[tuple[str, Exception]] = []
        for path in paths:
            try:
                read(path)
            except (OSError, ValueError) as error:
                failures.append((path, error))
        if not failures:
            return
        all_missing = all(isinstance(error, FileNotFoundError) for _, error in failures)
        lines = "\n".join(f"  {path!r}: {explain(error)}" for path, error in failures)
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
    value_range: str | Sequence[float] = "auto",
    who: str = "VGGFeatureExtractor",
) -> Images:
    """Decide what an input holds, without decoding it.

    Parameters
    ----------
    X : array-like, DataFrame, or list of paths, PIL images or arrays
        Rows of pixels, `(n, h, w)`, `(n, h, w, c)`, `(n, c, h, w)`, or one file, PIL image or
        array per image.
    image_shape : tuple of int or None, default=None
        `(h, w)`, `(h, w, c)` or `(c, h, w)` of one image.
    value_range : 'auto' or tuple of float, default='auto'
        The values of black and white. A given range holds for files and PIL images too, which
        otherwise have one each, by their bit depth.
    who : str, default='VGGFeatureExtractor'
        The class named in errors.

    Returns
    -------
    ArrayImages or ImageList
        The images, to be loaded in batches.

    Raises
    ------
    ValueError, TypeError
        If the input is no set of images; the message says what it looks like and the cure.
    """
    if scipy.sparse.issparse(X):
        raise TypeError(
            f"{who} needs images as dense arrays or files. Got a sparse {type(X).__name__} of "
            f"shape {X.shape}, whose columns would have to be dense pixels: pass X.toarray()."
        )
    if is_lazy(X):
        raise TypeError(
            f"{who} needs images in memory, or files. Got a Dask {type(X).__name__}, of which only "
            "VGGFeatureExtractor.transform makes lazy features: pass X.compute()."
        )
    if np.ma.is_masked(X):
        raise ValueError(
            f"{who} needs a value for every pixel. Got a masked array with {X.mask.sum()} masked "
            "values: fill them, as in X.filled(0)."
        )
    if isinstance(X, str | bytes | os.PathLike) or _is_pil(X):
        raise TypeError(
            f"{who} needs a list of images. Got a single one, {X!r}: put it into a list, [image]."
        )
    if X is None or np.isscalar(X):
        raise TypeError(
            f"{who} needs images. Got {X!r}: pass an array, a data frame or a list of them."
        )
    try:
        found = _items_or_array(X, who)
    except ValueError as error:
        raise ValueError(_NO_IMAGES.format(who=who, what=type(X).__name__, error=error)) from error
    if isinstance(found, list):
        columns = X if len(getattr(X, "shape", ())) == 2 else None
        given = not isinstance(value_range, str)
        file_range = (float(value_range[0]), float(value_range[1])) if given else None
        return _read_list(found, columns, image_shape, file_range, who)
    return _read_array(found, image_shape, who)


def _is_pil(item: Any) -> bool:
    # An image cannot be a PIL image before somebody has imported PIL.
    pil = sys.modules.get("PIL.Image")
    return pil is not None and isinstance(item, pil.Image)


def _is_single_image(item: Any) -> bool:
    return isinstance(item, str | os.PathLike) or _is_pil(item) or getattr(item, "ndim", 0) >= 2


def _items_or_array(X: Any, who: str) -> Any:
    """Return a list of images if X is a collection of such, else what holds numbers."""
    if isinstance(X, Iterator):
        raise TypeError(
            f"{who} reads its input more than once. Got {type(X).__name__}, which can be read "
            "once only: pass list(X)."
        )
    if isinstance(X, list | tuple):
        X = _items_or_rows(list(X))
        if isinstance(X, list):
            return X
    shape = getattr(X, "shape", ())
    if len(shape) not in (1, 2) or shape[1:] not in ((), (1,)):
        return X
    values = X.to_numpy() if hasattr(X, "to_numpy") else X
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "OUT":
        return X
    items = list(values.reshape(-1))
    if any(_is_single_image(item) for item in items):
        return items
    if any(isinstance(item, list | tuple | np.ndarray) for item in items):
        return _items_or_rows(items)
    return X


def _items_or_rows(items: list[Any]) -> Any:
    # A list of images stays one where all are alike, as they may be in a single fold by chance.
    if any(_is_single_image(item) for item in items):
        return items
    try:
        return np.asarray(items)
    except ValueError:
        # Nested lists: of images that differ in size, or rows that differ in length.
        nested = list | tuple
        if all(isinstance(item, nested) and isinstance(item[0], nested) for item in items if item):
            return items
        if all(isinstance(item, list | tuple | np.ndarray) for item in items):
            lengths = sorted({len(item) for item in items})
            if len(lengths) > 1:
                raise ValueError(f"its rows differ in length, {_some(lengths)}") from None
        raise


def _read_list(
    items: list[Any],
    columns: Any,
    image_shape: Sequence[int] | None,
    file_range: ValueRange | None,
    who: str,
) -> ImageList:
    missing = [i for i, item in enumerate(items) if _is_missing(item)]
    if missing:
        raise ValueError(
            f"{who} needs an image in every place. Got missing values (None or NaN) at positions "
            f"{_some(missing)}: leave them out, and their labels too, as pandas' dropna does."
        )
    read: list[Any] = []
    for position, item in enumerate(items):
        if isinstance(item, str | os.PathLike):
            read.append(str(os.fsdecode(item)))  # str: NumPy's strings would be named as such
        elif _is_pil(item):
            read.append(item)
        else:
            read.append(_read_one_array(item, position, image_shape, who))
    return ImageList(read, columns, file_range, who)


def _is_missing(item: Any) -> bool:
    # NaN is what does not equal itself; pandas has a type of its own.
    return item is None or type(item).__name__ == "NAType" or (np.isscalar(item) and item != item)


def _some(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values[:10])) + " and more" * (len(values) > 10)


def _read_one_array(
    item: Any, position: int, image_shape: Sequence[int] | None, who: str
) -> np.ndarray:
    where = f"{who} cannot read image {position} of the list"
    if np.ma.is_masked(item):
        raise ValueError(
            f"{who} needs a value for every pixel. Got image {position} of the list as a masked "
            f"array with {item.mask.sum()} masked values: fill them, as in image.filled(0)."
        )
    try:
        array = np.asarray(item)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    if array.dtype.kind == "c":
        raise ValueError(
            f"{where}: Complex data not supported. Got dtype {array.dtype}: pass np.abs(image) or "
            "image.real."
        )
    if array.dtype.kind not in "buif" or array.ndim not in (2, 3):
        raise TypeError(
            f"{where}: it must be a path, a PIL image, or an array of numbers of shape (height, "
            f"width) or (height, width, n_channels). Got {type(item).__name__} of shape "
            f"{array.shape} and dtype {array.dtype}."
        )
    if image_shape is not None:
        _check_image_shape(image_shape, array.shape, f"image {position} of the list", who)
    _, channels_first = _image_layout(array.shape, f"Image {position} of the list given to {who}")
    if array.ndim == 2:
        array = array[..., None]
    if 0 in array.shape:
        raise ValueError(f"{where}: an image needs at least one pixel. Got shape {array.shape}.")
    return np.moveaxis(array, 0, -1) if channels_first else array


def _read_array(X: Any, image_shape: Sequence[int] | None, who: str) -> ArrayImages:
    names = list(X.columns) if hasattr(X, "dtypes") else []  # the columns of others are no names
    if len(set(names)) < len(names):
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        raise ValueError(
            f"{who} needs columns with names of their own. Got more than one of {_some(twice)}: "
            "rename them, or pass X.to_numpy()."
        )
    try:
        data = check_array(
            X if hasattr(X, "dtypes") else np.asarray(X),
            dtype=None,
            allow_nd=True,
            ensure_2d=False,
            ensure_all_finite=False,
            ensure_min_samples=0,
            ensure_min_features=0,
            input_name="X",
        )
        if data.dtype.kind == "O":
            data = data.astype(np.float64)
    except (TypeError, ValueError) as error:
        if "Sparse data" in str(error):
            raise TypeError(
                f"{who} needs images as dense arrays or files. Got a {type(X).__name__} of sparse "
                "columns: pass X.sparse.to_dense()."
            ) from error
        if "Complex data" not in str(error):
            raise type(error)(
                _NO_IMAGES.format(who=who, what=type(X).__name__, error=error)
            ) from error
        data = np.asarray(X)
    if data.dtype.kind == "c":
        raise ValueError(
            f"{who}: Complex data not supported. Got dtype {data.dtype}: pass np.abs(X) or X.real."
        )
    if data.dtype.kind not in "buif":
        raise ValueError(
            f"{who} needs images as arrays of numbers, or as a one-dimensional list of file paths. "
            f"Got an array of shape {data.shape} and dtype {data.dtype}: "
            + (
                "pass paths as str, os.fsdecode(path), and the content of files as "
                "PIL.Image.open(io.BytesIO(content))."
                if data.dtype.kind == "S"
                else "select the column of paths or the columns of pixels."
            )
        )
    if data.ndim > 0 and len(data) == 0:
        raise ValueError(f"{who} needs at least one image. Got X of shape {data.shape}.")
    if data.ndim not in (2, 3, 4):
        raise ValueError(
            f"{who} needs rows of pixels (n, n_pixels), grey images (n, height, width) or colour "
            f"images (n, height, width, n_channels). Got {data.ndim}-D data of shape "
            f"{data.shape}. Reshape your data: X.reshape(1, -1) for the row of a single image, "
            "X[None] for a single image (height, width), X.reshape(n, height, width) for many."
        )
    if 0 in data.shape:
        raise ValueError(
            f"{who} needs images of at least one pixel. Got X with 0 feature(s) "
            f"(shape={data.shape}) while a minimum of 1 is required."
        )
    row_shape, channels_first = _layout(data.shape, image_shape, who)
    if data.ndim == 2:
        return ArrayImages(data, row_shape, channels_first, X, who)
    # scikit-learn counts the second axis, which of images is their height: show it flat rows.
    flat = np.broadcast_to(np.float32(0), (len(data), math.prod(row_shape)))
    return ArrayImages(data, row_shape, channels_first, flat, who)


def _layout(
    shape: tuple[int, ...], image_shape: Sequence[int] | None, who: str
) -> tuple[tuple[int, ...], bool]:
    """Decide the shape of one image inside the data, and whether its channels stand first."""
    given = tuple(int(n) for n in image_shape) if image_shape is not None else None
    if len(shape) == 2:
        if given is None:
            return _guess_layout(shape[1], who), False
        if math.prod(given) != shape[1]:
            raise ValueError(
                f"The 'image_shape' parameter of {who} must multiply to the number of columns. "
                f"Got image_shape={given}, {math.prod(given)} values, with X of shape {shape}. "
                f"{_factor_pairs(shape[1])}"
            )
        return _image_layout(given, f"The 'image_shape' parameter of {who}")
    if given is not None:
        _check_image_shape(given, shape[1:], f"X of shape {shape}", who)
    if len(shape) == 3 and shape[2] in (3, 4) and shape[1] > 4:
        warnings.warn(
            f"{who} reads X of shape {shape} as {shape[0]} grey images of {shape[1]} x {shape[2]} "
            f"pixels. If it is a single colour image, pass X[None].",
            ImageWarning,
            stacklevel=2,
        )
    return _image_layout(shape[1:], f"X given to {who}")


def _check_image_shape(given: Sequence[int], shape: tuple[int, ...], where: str, who: str) -> None:
    # Of the same pixels, wherever the channels stand: what holds for rows holds for arrays too.
    if _canonical(tuple(given)) != _canonical(shape):
        raise ValueError(
            f"The 'image_shape' parameter of {who} must be the shape of each image. Got "
            f"image_shape={tuple(given)} and images of shape {shape} in {where}: leave it at "
            f"None, or set it to {shape}."
        )


def _canonical(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Spell the shape of an image as `(height, width, n_channels)`."""
    if len(shape) == 2:
        return (*shape, 1)
    return (*shape[1:], shape[0]) if _channels_first(shape) else shape


def _channels_first(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[2] not in CHANNELS and shape[0] in CHANNELS


def _image_layout(shape: tuple[int, ...], what: str) -> tuple[tuple[int, ...], bool]:
    """Find the channels of one image: last if they can be last, else first."""
    if len(shape) == 3 and shape[2] not in CHANNELS and shape[0] not in CHANNELS:
        raise ValueError(
            f"{what} must have 1 (grey), 3 (RGB) or 4 (RGBA) channels, last or first. Got images "
            f"of shape {shape}. Select or combine the channels first, as in X[..., :3]."
        )
    return shape, _channels_first(shape)


def _guess_layout(n_columns: int, who: str) -> tuple[int, ...]:
    side = math.isqrt(n_columns)
    if side * side == n_columns:
        return (side, side)
    side = math.isqrt(n_columns // 3)
    if 3 * side * side == n_columns:
        warnings.warn(
            f"{who} reads rows of {n_columns} columns as RGB images of {side} x {side} pixels with "
            f"the channels last, image_shape=({side}, {side}, 3). If each row holds all red, then "
            f"all green, then all blue values, as CIFAR's files do, set image_shape=(3, {side}, "
            f"{side}); otherwise set image_shape=({side}, {side}, 3) to silence this.",
            ImageWarning,
            stacklevel=2,
        )
        return (side, side, 3)
    if n_columns <= MAX_STRIP:
        warnings.warn(
            f"{who} reads rows of {n_columns} columns, which fit no square, as strips of 1 x "
            f"{n_columns} pixels: too few pixels for a picture. If they are pictures, set "
            "image_shape=(height, width).",
            ImageWarning,
            stacklevel=2,
        )
        return (1, n_columns)
    raise ValueError(
        f"{who} cannot tell the shape of images from rows of {n_columns} columns, which are "
        f"neither a grey nor an RGB square. Set image_shape=(height, width) or (height, width, 3). "
        f"{_factor_pairs(n_columns)}"
    )


def _factor_pairs(n_columns: int) -> str:
    """List the shapes that so many columns can have."""
    choices = []
    for kind, n in (("grey", n_columns), ("RGB", n_columns / 3)):
        if n == int(n):
            n = int(n)
            pairs = [f"{a} x {n // a}" for a in range(1, math.isqrt(n) + 1) if n % a == 0]
            choices.append(f"{kind} {', '.join(reversed(pairs))}")
    return f"{n_columns} columns could be (either way round): {'; '.join(choices)}."
