"""Which values are black and white, and whether the data are finite.

Pixels come as 0..1, 0..16, 0..255, 0..4095 or 0..65535, and nothing in an array says which. Read in
the wrong range all images look alike to the network, so that the choice is made once, in ``fit``,
kept, and warned of where it is doubtful.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from sktransfer.decoding import ValueRange
from sktransfer.images import ArrayImages, Images, ImageWarning

# White by dtype, and the largest value of the next smaller depth that people store in that dtype:
# data that stays below it is suspicious (embedded digits 0..16 in uint8, 12-bit data in uint16).
_WHITE_OF_DTYPE = {"bool": (1, 0), "uint8": (255, 16), "uint16": (65535, 4095)}
_USUAL_WHITES = (1, 16, 255, 4095, 65535)
# How far beyond a range rounding may carry a value, in parts of the range.
_ROUNDING = 1e-6
# How many values are scanned at a time: bounds the scan's own memory to a few MiB.
_SCAN_VALUES = 1 << 20


def measure(images: Images) -> list[tuple[float, float]]:
    """Find the smallest and the largest value of every array, and refuse what has none.

    Parameters
    ----------
    images : ArrayImages or ImageList
        The images; files and PIL images hold no such values and are not looked at.

    Returns
    -------
    list of tuple of float
        Minimum and maximum of each array's grey or colours; empty without arrays.

    Raises
    ------
    ValueError
        Saying which images hold NaN or infinity, or that dtypes of different ranges are mixed.
    """
    dtypes = {str(array.dtype) for array in images.arrays}
    if len({_WHITE_OF_DTYPE.get(dtype) for dtype in dtypes}) > 1:
        raise ValueError(
            f"{images.who} needs the arrays of one list to share a value range. Got arrays of the "
            f"dtypes {sorted(dtypes)}, whose ranges differ: convert them to one dtype."
        )
    extents = []
    for array in images.arrays:
        low, high = _extent(_colours(array))
        if not (math.isfinite(low) and math.isfinite(high)):
            _raise_not_finite(images)
        extents.append((low, high))
    return extents


def _colours(array: np.ndarray) -> np.ndarray:
    return array[..., :3]


def _extent(array: np.ndarray) -> tuple[float, float]:
    if array.dtype.kind == "b":
        return 0.0, 1.0
    step = max(1, _SCAN_VALUES // max(1, math.prod(array.shape[1:])))
    low, high = math.inf, -math.inf
    for start in range(0, len(array), step):
        chunk = array[start : start + step]
        # np.min and np.max hand NaN on, so that one scan finds the extent and whatever is wrong.
        low, high = float(np.minimum(low, chunk.min())), float(np.maximum(high, chunk.max()))
    return low, high


def _raise_not_finite(images: Images) -> None:
    each = images.data if isinstance(images, ArrayImages) else images.items
    bad = [
        position
        for position, image in enumerate(each)
        if isinstance(image, np.ndarray) and not np.isfinite(image).all()
    ]
    raise ValueError(
        f"{images.who} needs finite pixel values. Got NaN or infinity (inf) in {len(bad)} of "
        f"{len(images)} images, at positions {bad[:10]}{' and more' if len(bad) > 10 else ''}: "
        "repair or leave out these images."
    )


def _whole(extents: list[tuple[float, float]]) -> tuple[float, float]:
    return min(low for low, _ in extents), max(high for _, high in extents)


def _power_of_two(value: float) -> float:
    exponent = math.ceil(math.log2(value))
    return 2**exponent if exponent <= 1023 else sys.float_info.max


def choose(
    images: Images, extents: Iterable[tuple[float, float]], value_range: Any
) -> ValueRange | None:
    """Choose the values of black and white for arrays, as ``fit`` does.

    Parameters
    ----------
    images : ArrayImages or ImageList
        The images.
    extents : iterable of tuple of float
        Minimum and maximum of each array, as :func:`measure` gives them.
    value_range : 'auto' or tuple of float
        The user's choice.

    Returns
    -------
    tuple of float or None
        Black and white; None where there are only files and PIL images, whose own bit depth
        decides.
    """
    if not isinstance(value_range, str):
        return _check_scale(images, float(value_range[0]), float(value_range[1]))
    extents = list(extents)
    if not extents:
        return None
    low, high = _whole(extents)
    dtype = images.arrays[0].dtype
    doubt = None
    white: float
    black: float
    if str(dtype) in _WHITE_OF_DTYPE:
        white, suspicious = _WHITE_OF_DTYPE[str(dtype)]
        if 0 < high <= suspicious:
            doubt = f"no value exceeds {high:g}, as in data of a smaller depth"
        black = 0
    elif low < 0:
        white = _power_of_two(max(-low, high))
        black = -white
        doubt = f"values reach from {low:g} to {high:g}, and pixels are seldom negative"
    else:
        black = 0
        white = next((usual for usual in _USUAL_WHITES if high <= usual), 0)
        if white == 0:
            white = _power_of_two(high)
            doubt = f"values reach {high:g}, above every usual range"
        elif high == 0:
            doubt = "all values are 0"
        elif high < white / 2 or (white == 1 and dtype.kind != "f"):
            doubt = f"no value exceeds {high:g}"
    if doubt:
        warnings.warn(
            f"{images.who} takes {black:g} for black and {white:g} for white, which is doubtful: "
            f"{doubt} (dtype {dtype}). If that is wrong, set value_range=(black, white).",
            ImageWarning,
            stacklevel=2,
        )
    return _check_scale(images, float(black), float(white))


def _check_scale(images: Images, black: float, white: float) -> ValueRange:
    # In Python's floats, which overflow to infinity without a warning.
    width = white - black
    if not 1e-300 < abs(width) < math.inf:
        raise ValueError(
            f"{images.who} needs a value range that can be scaled to 0..255 in float64. Got black "
            f"{black:g} and white {white:g}: rescale the images, for example to 0..1."
        )
    return (black, white)


def choose_unseen(images: Images, value_range: Any) -> ValueRange | None:
    """Choose black and white for arrays whose values are not to be looked at.

    Parameters
    ----------
    images : ArrayImages or ImageList
        Images that stand for them, of the same dtype.
    value_range : 'auto' or tuple of float
        The user's choice.

    Returns
    -------
    tuple of float or None
        Black and white; None where there are only files and PIL images.

    Raises
    ------
    ValueError
        If the dtype does not tell.
    """
    if not isinstance(value_range, str):
        return _check_scale(images, float(value_range[0]), float(value_range[1]))
    dtypes = {str(array.dtype) for array in images.arrays}
    if dtypes - set(_WHITE_OF_DTYPE):
        raise ValueError(
            f"{images.who} computes nothing in fit of a Dask collection, and cannot tell black and "
            f"white in pixels of dtype {', '.join(dtypes)}. Pass uint8 or uint16 pixels, set "
            "value_range=(black, white), or fit on a sample in memory."
        )
    return by_dtype(images)


def by_dtype(images: Images) -> ValueRange | None:
    """Choose black and white by dtype alone, where ``fit`` saw only files.

    Parameters
    ----------
    images : ArrayImages or ImageList
        The images.

    Returns
    -------
    tuple of float or None
        Black and white; None where there are no arrays.

    Raises
    ------
    ValueError
        If the dtype does not tell.
    """
    if not images.arrays:
        return None
    dtype = str(images.arrays[0].dtype)
    if dtype in _WHITE_OF_DTYPE:
        return (0.0, float(_WHITE_OF_DTYPE[dtype][0]))
    raise ValueError(
        f"{images.who} was fitted on files and cannot tell black and white in arrays of dtype "
        f"{dtype}. Pass uint8 or uint16 arrays, or set value_range=(black, white)."
    )


def opaque_alpha(dtype: np.dtype, value_range: ValueRange) -> float:
    """Return the value of alpha that hides what lies below.

    Parameters
    ----------
    dtype : dtype
        Of the pixels.
    value_range : tuple of float
        The values of black and white in the colours, which alpha need not share.

    Returns
    -------
    float
        The largest value of bool, uint8 and uint16; of other dtypes the end of the value range.
    """
    if str(dtype) in _WHITE_OF_DTYPE:
        return float(_WHITE_OF_DTYPE[str(dtype)][0])
    # Where no value exceeds 0, as far from 0 as the range goes.
    return max(value_range) if max(value_range) > 0 else -min(value_range)


def check_alpha(images: Images, value_range: ValueRange | None) -> None:
    """Check that alpha lies between transparent and opaque, and warn where it seems not to.

    Parameters
    ----------
    images : ArrayImages or ImageList
        The images.
    value_range : tuple of float or None
        Black and white in arrays; None without arrays.

    Raises
    ------
    ValueError
        If some alpha is negative, above opaque, or not a number.
    """
    for array in images.arrays:
        if array.shape[-1] != 4 or value_range is None:
            continue
        opaque = opaque_alpha(array.dtype, value_range)
        low, high = _extent(array[..., 3:])
        if not (low >= 0 and high <= opaque * (1 + _ROUNDING)):
            raise ValueError(
                f"{images.who} needs alpha, the fourth channel, from 0 (transparent) to "
                f"{opaque:g} (opaque, dtype {array.dtype}, value range {value_range}). Got values "
                f"from {low:g} to {high:g}: rescale alpha, or pass the three colours alone."
            )
        if 0 < high <= 1 and opaque >= 16:
            warnings.warn(
                f"{images.who} takes {opaque:g} for opaque in alpha, the fourth channel, which is "
                f"doubtful: no alpha exceeds {high:g} (dtype {array.dtype}), so that all images "
                f"are nearly white. If 1 is opaque, multiply alpha by {opaque:g}.",
                ImageWarning,
                stacklevel=2,
            )
            return


def warn_outside(
    images: Images, extents: Iterable[tuple[float, float]], value_range: ValueRange
) -> None:
    """Warn once where arrays seem to have another range than the fitted one.

    Parameters
    ----------
    images : ArrayImages or ImageList
        The images.
    extents : iterable of tuple of float
        Minimum and maximum of each array, as :func:`measure` gives them.
    value_range : tuple of float
        Black and white.
    """
    extents = list(extents)
    if not extents:
        return
    low, high = _whole(extents)
    dtype = images.arrays[0].dtype
    problem = _mismatch(low, high, dtype, value_range)
    if problem:
        warnings.warn(
            f"{images.who} was fitted with value_range_={value_range} and got values from {low:g} "
            f"to {high:g} (dtype {dtype}), {problem}. They are mapped linearly, without clipping. "
            "If these images have another range, rescale them or set value_range=(black, white).",
            ImageWarning,
            stacklevel=2,
        )


def warn_file(images: Images, pixels: np.ndarray) -> None:
    """Warn once where a file or PIL image does not fit the range that the user gave.

    Parameters
    ----------
    images : ArrayImages or ImageList
        The images; arrays are looked at by :func:`warn_outside`, before anything is computed.
    pixels : ndarray of shape (n_images, height, width, n_channels)
        Some of them, loaded.
    """
    if isinstance(images, ArrayImages) or images.file_range is None or images.has_warned:
        return
    low, high = _extent(_colours(pixels))
    problem = _mismatch(low, high, pixels.dtype, images.file_range)
    if problem:
        images.has_warned = True
        warnings.warn(
            f"{images.who} was given value_range={images.file_range}, which holds for files and "
            f"PIL images too, and got one with values from {low:g} to {high:g} (dtype "
            f"{pixels.dtype}), {problem}. They are mapped linearly, without clipping. If that is "
            "wrong, leave value_range at 'auto', which goes by each file's bit depth.",
            ImageWarning,
            stacklevel=2,
        )


def _mismatch(low: float, high: float, dtype: np.dtype, value_range: ValueRange) -> str | None:
    """Say what is wrong if values do not look as if they had a range."""
    bottom, top = min(value_range), max(value_range)
    rounding = _ROUNDING * (top - bottom)
    if low < bottom - rounding or high > top + rounding:
        return "some of which lie outside it"
    largest = max(-bottom, top)
    if str(dtype) in _WHITE_OF_DTYPE and _WHITE_OF_DTYPE[str(dtype)][0] < largest / 2:
        return "a dtype that cannot reach half of it"
    if low >= 0 and 0 < high <= 1 and largest >= 16:
        return "which look like values from 0 to 1"
    return None
