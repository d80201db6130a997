"""The value range of pixels: which values are black and white, and whether all are finite.

Pixels come as 0..1, 0..16, 0..255, 0..4095 or 0..65535, and nothing in an array says which. In
the wrong range all images look alike to the network. So the choice is made once, in ``fit``,
and stored, with a warning if it is doubtful.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

from sktransfer.inputs.images import ArrayImages, ImageList, Images, ImageWarning
from sktransfer.inputs.scale import (
    NORMALISATIONS,
    WHITE_OF_DTYPE,
    ValueRange,
    describe_range,
    ends,
    is_finite,
    is_per_channel,
    name_not_finite,
    normalised_range,
    opaque_alpha,
    to_range,
)

_USUAL_WHITES = (1, 16, 255, 4095, 65535)
# How far a few operations may carry a value beyond its range, in units of the last place.
_ROUNDING_STEPS = 8
# How many values are scanned at a time: bounds the scan's own memory to a few MiB.
_SCAN_VALUES = 1 << 20
_COLOURS, _ALPHA = slice(3), slice(3, None)
# By how much of their width values may miss a normalisation's black and white, and how much of it
# they must fill in each channel.
_ROUGHLY, _MOSTLY = 0.01, 0.7


def check_range_parameter(value_range: Any, who: str) -> None:
    """Check that the parameter `value_range` is 'auto' or two values."""
    if isinstance(value_range, str):
        return
    values = np.array(value_range, dtype=object)
    if not (
        values.shape in ((2,), (2, 3))
        and all(is_finite(value) for value in values.flat)
        and np.all(values[0] != values[1])
    ):
        raise ValueError(
            f"The 'value_range' parameter of {who} must be 'auto' or two different finite "
            "numbers, (black, white), or both with one number for each of red, green and blue. "
            f"Got {value_range!r} instead."
        )


def measure(images: Images) -> list[tuple[float, float]]:
    """Find the smallest and the largest value of every array, and refuse what has none."""
    dtypes: set[str] = set()
    extents = []
    for array in images.arrays:
        dtypes.add(str(array.dtype))
        low, high = _extent(array, _COLOURS)
        if not (math.isfinite(low) and math.isfinite(high)):
            _raise_not_finite(images)
        extents.append((low, high))
    if len({WHITE_OF_DTYPE.get(dtype) for dtype in dtypes}) > 1:
        raise ValueError(
            f"{images.who} needs the arrays of one list to share a value range. Got arrays of the "
            f"dtypes {sorted(dtypes)}, whose ranges differ: convert them to one dtype."
        )
    return extents


def _extent(array: np.ndarray, channels: slice) -> tuple[float, float]:
    if array.dtype.kind == "b":
        return 0.0, 1.0
    step = max(1, _SCAN_VALUES // max(1, math.prod(array.shape[1:])))
    low, high = math.inf, -math.inf
    for start in range(0, len(array), step):
        # Rows first: an array on disk gives them, and only them.
        chunk = array[start : start + step][..., channels]
        # np.min and np.max hand NaN on, so that one scan finds the extent and whatever is wrong.
        low, high = float(np.minimum(low, chunk.min())), float(np.maximum(high, chunk.max()))
    return low, high


def _raise_not_finite(images: Images) -> None:
    each = images.data if isinstance(images, ArrayImages) else images.items
    faults = {
        position: found
        for position, image in enumerate(each)
        if isinstance(image, np.ndarray) and (found := name_not_finite(image))
    }
    bad, kinds = list(faults), sorted(set().union(*faults.values()))
    raise ValueError(
        f"{images.who} needs finite pixel values. Got {' and '.join(kinds)} in {len(bad)} of "
        f"{len(images)} images, at positions {bad[:10]}{' and more' if len(bad) > 10 else ''}: "
        "repair or leave out these images."
    )


def _whole(extents: list[tuple[float, float]]) -> tuple[float, float]:
    return min(low for low, _ in extents), max(high for _, high in extents)


def _rounding(dtype: np.dtype) -> float:
    """Say how far rounding may carry a value beyond its range, in parts of the range.

    Floats of 64 bits have often been computed in 32: both get the tolerance of 32 bits.
    """
    if dtype.kind != "f":
        return 0.0
    return _ROUNDING_STEPS * float(max(np.finfo(dtype).eps, np.finfo(np.float32).eps))


def without_rounding(low: float, high: float, dtype: np.dtype) -> tuple[float, float]:
    """Take back what rounding carried beyond black, or beyond a usual white."""
    rounding = _rounding(dtype)
    if -rounding * max(-low, high) <= low < 0:
        low = 0.0
    within = (usual for usual in _USUAL_WHITES if usual < high <= usual * (1 + rounding))
    return low, float(next(within, high))


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
    value_range : 'auto' or array-like of two floats
        The user's choice.

    Returns
    -------
    tuple of float or None
        Black and white; None where there are only files and PIL images, whose own bit depth
        decides.
    """
    if not isinstance(value_range, str):
        return _check_scale(images, to_range(value_range))
    extents = list(extents)
    if not extents:
        return None
    dtype = images.arrays[0].dtype
    low, high = without_rounding(*_whole(extents), dtype)
    rounding = _rounding(dtype)
    doubt = None
    cure = "If that is wrong, set value_range=(black, white)."
    white: float
    black: float
    if str(dtype) in WHITE_OF_DTYPE:
        white, suspicious = WHITE_OF_DTYPE[str(dtype)]
        if 0 < high <= suspicious:
            doubt = f"no value exceeds {high:g}, as in data of a smaller depth"
        black = 0
    elif low < 0:
        white = _power_of_two(max(-low, high) / (1 + rounding))
        black = -white
        doubt = f"values reach from {low:g} to {high:g}, and pixels are seldom negative"
        cure = _recognise(images) or cure
    else:
        black = 0
        white = next((usual for usual in _USUAL_WHITES if high <= usual), 0)
        if white == 0:
            white = _power_of_two(high / (1 + rounding))
            doubt = f"values reach {high:g}, above every usual range"
        elif high == 0:
            doubt = "all values are 0"
        elif high < white / 2 or (white == 1 and dtype.kind != "f"):
            doubt = f"no value exceeds {high:g}"
    if doubt:
        warnings.warn(
            f"{images.who} uses {black:g} as black and {white:g} as white, which is doubtful: "
            f"{doubt} (dtype {dtype}). {cure}",
            ImageWarning,
            stacklevel=2,
        )
    return _check_scale(images, (float(black), float(white)))


def _recognise(images: Images) -> str:
    """Say by which means and deviations images seem to be normalised, and how to undo it."""
    if any(array.shape[-1] != 3 for array in images.arrays):
        return ""
    by_channel = [
        [_extent(array, slice(channel, channel + 1)) for channel in range(3)]
        for array in images.arrays
    ]
    low, high = np.min(by_channel, axis=0)[:, 0], np.max(by_channel, axis=0)[:, 1]
    for name in NORMALISATIONS:
        bottom, top = map(np.asarray, normalised_range(name))
        margin = _ROUGHLY * (top - bottom)
        is_inside = np.all(low >= bottom - margin) and np.all(high <= top + margin)
        if is_inside and np.all(high - low >= _MOSTLY * (top - bottom)):
            return (
                f"They look like pixels from 0 to 1 that were normalised by {name} mean and "
                "standard deviation: pass them as they were before, or set "
                f"value_range={describe_range(normalised_range(name))}."
            )
    return ""


def _check_scale(images: Images, value_range: ValueRange) -> ValueRange:
    if is_per_channel(value_range):
        other = [array.shape[-1] for array in images.arrays if array.shape[-1] != 3]
        if other:
            raise ValueError(
                f"{images.who} needs arrays of red, green and blue for a value_range by channel. "
                f"Got images of {other[0]} channels: pass X[..., :3], or one black and one white."
            )
        for black, white in zip(*value_range, strict=True):
            _check_width(images, black, white)
    else:
        _check_width(images, *value_range)
    return value_range


def _check_width(images: Images, black: float, white: float) -> None:
    # In Python's floats, which overflow to infinity without a warning.
    width = white - black
    if not 1e-300 < abs(width) < math.inf:
        raise ValueError(
            f"{images.who} needs a value range that can be scaled to 0..255 in float64. Got black "
            f"{black:g} and white {white:g}: rescale the images, for example to 0..1."
        )


def choose_unseen(images: Images, value_range: Any) -> ValueRange | None:
    """Choose black and white for arrays whose values are not to be looked at."""
    if not isinstance(value_range, str):
        return _check_scale(images, to_range(value_range))
    dtypes = {str(array.dtype) for array in images.arrays}
    if dtypes - set(WHITE_OF_DTYPE):
        raise ValueError(
            f"{images.who} computes nothing in fit of a Dask collection, and cannot determine "
            f"black and white in pixels of dtype {', '.join(dtypes)}. Pass uint8 or uint16 pixels, "
            "set value_range=(black, white), or fit on a sample in memory."
        )
    return by_dtype(images)


def by_dtype(images: Images) -> ValueRange | None:
    """Choose black and white by dtype alone, where ``fit`` saw only files."""
    if not images.arrays:
        return None
    dtype = str(images.arrays[0].dtype)
    if dtype in WHITE_OF_DTYPE:
        return (0.0, float(WHITE_OF_DTYPE[dtype][0]))
    raise ValueError(
        f"{images.who} was fitted on files and cannot determine black and white in arrays of dtype "
        f"{dtype}. Pass uint8 or uint16 arrays, or set value_range=(black, white)."
    )


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
        low, high = _extent(array, _ALPHA)
        rounding = _rounding(array.dtype)
        if not (low >= -rounding * opaque and high <= opaque * (1 + rounding)):
            raise ValueError(
                f"{images.who} needs alpha, the fourth channel, from 0 (transparent) to "
                f"{opaque:g} (opaque, dtype {array.dtype}, value range {value_range}). Got values "
                f"from {low:g} to {high:g}: rescale alpha, or pass the three colours alone."
            )
        if 0 < high <= 1 + rounding and opaque >= 16:
            warnings.warn(
                f"{images.who} uses {opaque:g} as opaque in alpha, the fourth channel, which is "
                f"doubtful: no alpha exceeds {high:g} (dtype {array.dtype}), so all images "
                f"are nearly white. If 1 is opaque, multiply alpha by {opaque:g}.",
                ImageWarning,
                stacklevel=2,
            )
            return


def warn_outside(
    images: Images, extents: Iterable[tuple[float, float]], value_range: ValueRange
) -> None:
    """Warn once where arrays seem to have another range than the fitted one."""
    extents = list(extents)
    if not extents:
        return
    low, high = _whole(extents)
    dtype = images.arrays[0].dtype
    problem = _mismatch(low, high, dtype, value_range)
    if problem:
        warnings.warn(
            f"{images.who} was fitted with value_range_={describe_range(value_range)} and got "
            f"values from {low:g} to {high:g} (dtype {dtype}), {problem}. They are mapped "
            "linearly, without clipping. "
            "If these images have another range, rescale them or set value_range=(black, white).",
            ImageWarning,
            stacklevel=2,
        )


def find_doubt(images: Images, pixels: np.ndarray) -> str | None:
    """Say why a file or PIL image seems not to fit the range that the user gave."""
    if isinstance(images, ArrayImages) or images.file_range is None or images.has_warned:
        return None
    low, high = _extent(pixels, _COLOURS)
    problem = _mismatch(low, high, pixels.dtype, images.file_range)
    if problem is None:
        return None
    return (
        f"{images.who} was given value_range={images.file_range}, which holds for files and "
        f"PIL images too, and got one with values from {low:g} to {high:g} (dtype "
        f"{pixels.dtype}), {problem}. They are mapped linearly, without clipping. If that is "
        "wrong, leave value_range at 'auto', which goes by each file's bit depth."
    )


def warn_once(images: Images, doubt: str | None) -> None:
    """Warn of the first file or PIL image that is doubtful, and of no other."""
    if doubt and isinstance(images, ImageList) and not images.has_warned:
        images.has_warned = True
        warnings.warn(doubt, ImageWarning, stacklevel=2)


def _mismatch(low: float, high: float, dtype: np.dtype, value_range: ValueRange) -> str | None:
    """Say what is wrong if values do not look as if they had a range."""
    bottom, top = sorted(ends(value_range))
    rounding = _rounding(dtype)
    margin = rounding * (top - bottom)
    if low < bottom - margin or high > top + margin:
        return "some of which lie outside it"
    largest = max(-bottom, top)
    if str(dtype) in WHITE_OF_DTYPE and WHITE_OF_DTYPE[str(dtype)][0] < largest / 2:
        return "a dtype that cannot reach half of it"
    if low >= -rounding and 0 < high <= 1 + rounding and largest >= 16:
        return "which look like values from 0 to 1"
    return None
