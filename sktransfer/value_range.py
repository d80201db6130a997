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
        Minimum and maximum of each array; empty without arrays.

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
        low, high = _extent(array)
        if not (math.isfinite(low) and math.isfinite(high)):
            _raise_not_finite(images)
        extents.append((low, high))
    return extents


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
        black, white = value_range
        return (float(black), float(white))
    extents = list(extents)
    if not extents:
        return None
    low, high = _whole(extents)
    dtype = images.arrays[0].dtype
    how = f"set value_range=(black, white) of {images.who}"
    doubt = None
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
            f"{doubt} (dtype {dtype}). If that is wrong, {how}.",
            ImageWarning,
            stacklevel=2,
        )
    return (float(black), float(white))


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


def warn_outside(
    images: Images, extents: Iterable[tuple[float, float]], value_range: ValueRange
) -> None:
    """Warn once where values lie outside the fitted range.

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
    if low < min(value_range) or high > max(value_range):
        warnings.warn(
            f"{images.who} was fitted with value_range_={value_range} and got values from {low:g} "
            f"to {high:g}. They are mapped linearly, without clipping. If these images have "
            "another range, rescale them or set value_range=(black, white).",
            ImageWarning,
            stacklevel=2,
        )
