"""The hash of an image's content, by which the store recognises the image."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from hashlib import blake2b

import numpy as np

from sktransfer.features.preprocessing import to_255
from sktransfer.inputs.scale import ValueRange

# How many values of an image are hashed at a time.
_STRIP_VALUES = 1 << 22


def digest(image: np.ndarray, value_range: ValueRange | None = None) -> bytes:
    """Hash the content of an image, in an array of one: 16 bytes, equal where images are equal.

    Without a range the image is one that :func:`to_255` gave.
    """
    _, height, width, n_channels = image.shape
    step = max(1, _STRIP_VALUES // (width * n_channels))
    are_bytes = image.dtype == np.uint8 and n_channels != 4 and value_range == (0, 255)

    def convert(strip: np.ndarray) -> np.ndarray:
        return strip if are_bytes or value_range is None else to_255(strip, value_range)

    def strips() -> Iterator[np.ndarray]:
        return (convert(image[:, top : top + step]) for top in range(0, height, step))

    first = convert(image[:, :1])

    def holds(check: Callable[[np.ndarray], bool]) -> bool:
        # Most images tell by their first row.
        return all(map(check, itertools.chain([first], strips())))

    # A grey image in three channels gives the features of the grey one, and the bytes of a file
    # those of the same numbers in any other type: they are hashed alike, bytes four times as fast.
    is_grey = n_channels == 1 or holds(_is_grey)
    dtype = np.dtype(np.uint8 if are_bytes or holds(_are_bytes) else np.float32)
    shape = (1, height, width, 1 if is_grey else 3)
    content = blake2b(digest_size=16, key=f"{shape} {dtype}".encode())
    for strip in strips():
        channels = np.ascontiguousarray(strip[..., :1] if is_grey else strip, dtype=dtype)
        # -0 and 0 are equal, and so are their bits.
        content.update((channels if dtype == np.uint8 else channels + np.float32(0)).data)
    return content.digest()


def _is_grey(values: np.ndarray) -> bool:
    return bool((values == values[..., :1]).all())


def _are_bytes(values: np.ndarray) -> bool:
    return bool((values == np.clip(np.floor(values), 0, 255)).all())
