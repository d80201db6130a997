"""A survey of the sampled images: sizes, values, colours, digests, and a small copy.

Images of any size are loaded one group at a time and released, so that memory stays small.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from sktransfer.evaluation.diagnosis.traces import measure_traces
from sktransfer.features.digest import digest
from sktransfer.features.preprocessing import Resizing, resize, to_255
from sktransfer.inputs.images import ArrayImages, Images
from sktransfer.inputs.scale import ValueRange

#: Side of the small copies, in pixels, at most.
THUMBNAIL = 32
# Values of an array that are searched for copies and blank images: a second or two.
_SEARCHED_VALUES = 1 << 28


@dataclass
class Survey:
    """Facts about the pixels of the sampled images; values from black 0 to white 255.

    Attributes
    ----------
    sizes : ndarray of shape (n_images, 2)
        Height and width, in pixels.
    raw_low, raw_high : ndarray of shape (n_images, 3)
        Smallest and largest value of each channel as given; of grey images the same three times.
    low, high : ndarray of shape (n_images,)
        Smallest and largest value.
    is_outside : ndarray of shape (n_images,)
        Share of the values below black or above white.
    colour : ndarray of shape (n_images, 3)
        Mean of each channel.
    warmth : ndarray of shape (n_images, 2)
        Red minus blue, in the upper and the lower half.
    is_grey : ndarray of shape (n_images,)
        Whether all channels are equal.
    digests : list of bytes
        Equal for equal images.
    thumbnails : ndarray of shape (n_images, side, side, 3)
        Small copies; of small arrays no larger than these.
    traces : dict of str to ndarray
        What single pixels tell, as `measure_traces` describes it.
    """

    sizes: np.ndarray
    raw_low: np.ndarray
    raw_high: np.ndarray
    low: np.ndarray
    high: np.ndarray
    is_outside: np.ndarray
    colour: np.ndarray
    warmth: np.ndarray
    is_grey: np.ndarray
    thumbnails: np.ndarray
    digests: list[bytes] = field(default_factory=list)
    traces: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def grey(self) -> np.ndarray:
        """The small copies in grey, from 0 to 255."""
        return self.thumbnails.mean(axis=3)

    @property
    def n_distinct(self) -> int:
        """How many images differ."""
        return len(set(self.digests))

    @property
    def pixel_rows(self) -> np.ndarray:
        """The small copies as flat rows from 0 to 1, one channel if all images are grey."""
        copies = self.thumbnails[..., :1] if self.is_grey.all() else self.thumbnails
        return copies.reshape(len(copies), -1) / np.float32(255)


def take_survey(images: Images, value_range: ValueRange | None) -> Survey:
    """Look at every image once."""
    n = len(images)
    side = THUMBNAIL if images.image_shape is None else min(THUMBNAIL, *images.image_shape[:2])
    survey = Survey(
        sizes=np.empty((n, 2), dtype=int),
        raw_low=np.empty((n, 3)),
        raw_high=np.empty((n, 3)),
        low=np.empty(n),
        high=np.empty(n),
        is_outside=np.empty(n),
        colour=np.empty((n, 3)),
        warmth=np.empty((n, 2)),
        is_grey=np.empty(n, dtype=bool),
        thumbnails=np.empty((n, side, side, 3), dtype=np.float32),
    )
    traces: list[dict[str, np.ndarray | float]] = []
    resizing = Resizing(side, "stretch", "bilinear", antialias=True)
    for row, (raw, values, opaque) in enumerate(load_values(images, value_range)):
        image = values[0]
        height, width = image.shape[:2]
        survey.sizes[row] = height, width
        colours = raw[0, ..., :3].reshape(-1, min(raw.shape[3], 3))
        survey.raw_low[row], survey.raw_high[row] = colours.min(axis=0), colours.max(axis=0)
        survey.low[row], survey.high[row] = image.min(), image.max()
        # Half a grey level is what rounding may add.
        survey.is_outside[row] = np.mean((image < -0.5) | (image > 255.5))
        survey.colour[row] = image.mean(axis=(0, 1), dtype=np.float64)
        warm = (image[..., 0] - image[..., -1]).mean(axis=1)
        survey.warmth[row] = warm[: max(height // 2, 1)].mean(), warm[height // 2 :].mean()
        survey.is_grey[row] = (image == image[..., :1]).all()
        survey.thumbnails[row] = resize(values, resizing)[0]
        survey.digests.append(digest(values))
        traces.append(measure_traces(image, opaque))
    survey.traces = {name: np.array([each[name] for each in traces]) for name in traces[0]}
    return survey


def load_values(
    images: Images, value_range: ValueRange | None
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    """Give the values of each image, what the network gets, and the same without alpha."""
    for pixels, own_range in images.load(0, len(images), value_range):
        for i in range(len(pixels)):
            raw = pixels[i : i + 1]
            opaque = to_255(raw[..., :3], own_range)[0] if raw.shape[3] == 4 else None
            yield raw, to_255(raw, own_range), opaque


def search_copies(images: Images) -> tuple[list[bytes], np.ndarray] | None:
    """Find equal and blank images among all that one array holds, far beyond the sample."""
    if not isinstance(images, ArrayImages) or images.data.size > _SEARCHED_VALUES:
        return None
    (pixels,) = images.arrays
    digests, spreads = [], np.empty(len(pixels))
    step = max(1, (1 << 20) // max(1, math.prod(pixels.shape[1:])))
    for start in range(0, len(pixels), step):
        chunk = np.asarray(pixels[start : start + step][..., :3], dtype=np.float64)
        spreads[start : start + step] = np.ptp(chunk, axis=(1, 2, 3))
        digests += [digest(chunk[i : i + 1]) for i in range(len(chunk))]
    return digests, spreads


def roughness(values: np.ndarray) -> float:
    """Measure how much neighbouring pixels differ."""
    differences = [np.abs(np.diff(values, axis=axis)) for axis in (1, 2)]
    present = [each.mean(dtype=np.float64) for each in differences if each.size]
    return float(np.mean(present)) if present else 0.0
