"""The values of black, white and opaque alpha: by the dtype of pixels, or by channel."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np

#: The values of black and white: numbers, or one for each of red, green and blue.
ValueRange = tuple[Any, Any]

#: Mean and standard deviation of red, green and blue in pixels from 0 to 1, by which the models of
#: torchvision and timm (ImageNet's), and of CLIP, want their input to be normalised.
#: https://docs.pytorch.org/vision/stable/models.html and https://github.com/openai/CLIP, `clip.py`.
NORMALISATIONS = {
    "CLIP's": (
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
    ),
    "ImageNet's": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}

#: White by dtype, and the largest value of the next smaller depth that people store in that dtype:
#: data that stays below it is suspicious (embedded digits 0..16 in uint8, 12-bit data in uint16).
WHITE_OF_DTYPE = {"bool": (1, 0), "uint8": (255, 16), "uint16": (65535, 4095)}


def is_finite(value: Any) -> bool:
    """Tell whether a parameter is a finite number."""
    try:
        return isinstance(value, Real) and math.isfinite(value)
    except OverflowError:  # an int beyond every float
        return False


def name_not_finite(values: np.ndarray) -> set[str]:
    """Say which values among others are no finite numbers."""
    found = {"NaN": np.isnan(values).any(), "infinity": np.isinf(values).any()}
    return {name for name, is_there in found.items() if is_there}


def to_range(value_range: Any) -> ValueRange:
    """Return what the user gave as numbers of Python's, or tuples of three."""
    black, white = (np.asarray(end, dtype=float).tolist() for end in value_range)
    return (tuple(black), tuple(white)) if isinstance(black, list) else (black, white)


def is_per_channel(value_range: Any) -> bool:
    """Tell whether black and white differ by channel."""
    return value_range is not None and not isinstance(value_range[0], Real)


def ends(value_range: ValueRange) -> tuple[float, float]:
    """Return black and white as two numbers; by channel, those farthest apart."""
    if not is_per_channel(value_range):
        return value_range
    black, white = map(np.asarray, value_range)
    if (black < white).all():
        return float(black.min()), float(white.max())
    return float(black.max()), float(white.min())


def describe_range(value_range: ValueRange) -> str:
    """Write black and white as a user would, with four digits by channel."""
    if not is_per_channel(value_range):
        return str(value_range)
    return "({}, {})".format(
        *("(" + ", ".join(f"{value:.4g}" for value in end) + ")" for end in value_range)
    )


def normalised_range(name: str) -> ValueRange:
    """Return black and white after a normalisation."""
    mean, deviation = map(np.asarray, NORMALISATIONS[name])
    return to_range((-mean / deviation, (1 - mean) / deviation))


def opaque_alpha(dtype: np.dtype, value_range: ValueRange) -> float:
    """Return the value of alpha that hides what lies below."""
    if str(dtype) in WHITE_OF_DTYPE:
        return float(WHITE_OF_DTYPE[str(dtype)][0])
    # Where no value exceeds 0, as far from 0 as the range goes.
    return max(value_range) if max(value_range) > 0 else -min(value_range)
