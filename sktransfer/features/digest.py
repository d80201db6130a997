"""The hash of an image's content, by which the store recognises the image."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
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

    def convert(strip: np.ndarray) -> np.ndarray:
        return strip if value_range is None else to_255(strip, value_range)

    def strips() -> Iterator[np.ndarray]:
        return (convert(image[:, top : top + step]) for top in range(0, height, step))

    # A grey image in three channels gives the features of the grey one. Most others tell by their
    # first row.
    is_grey = n_channels == 1 or all(
        (some == some[..., :1]).all() for some in itertools.chain([convert(image[:, :1])], strips())
    )
    shape = (1, height, width, 1 if is_grey else 3)
    content = blake2b(digest_size=16, key=repr(shape).encode())
    for strip in strips():
        channels = strip[..., :1] if is_grey else strip
        # -0 and 0 are equal, and so are their bits.
        content.update((np.ascontiguousarray(channels) + np.float32(0)).data)
    return content.digest()
