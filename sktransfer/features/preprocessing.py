"""Preprocessing: from pixels of any size and value range to what a network was trained on.

VGG's authors trained on photographs with blue before green before red, values from 0 to 255, the
mean of each channel over ImageNet subtracted and nothing divided; other networks need another
scaling, which `PixelScaling` describes. This module alone defines what is done: every engine gets
its images from here.

Resizing is a product with two sparse matrices, one per axis, whose rows are the weights of the
source pixels. That equals Keras' own resizing, whatever the backend, and each image's values are
sums in a fixed order, which no neighbour in a batch can change. Padding is part of the weights, and
large images are resized in strips: neither a padded image nor a large one in floats is ever made.

References
----------
K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
2015, https://arxiv.org/abs/1409.1556, section 2.1; the means are those of
``keras.applications.imagenet_utils.preprocess_input`` in mode "caffe".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.sparse

from sktransfer.inputs.scale import ValueRange, is_per_channel, opaque_alpha
from sktransfer.networks.outputs import as_shape
from sktransfer.networks.pixels import CAFFE, PixelScaling

#: Mean of blue, green and red over ImageNet's training images, in values from 0 to 255.
CHANNEL_MEANS_BGR = CAFFE.mean

ASPECTS = ("stretch", "crop", "pad")
# How many values of an image are floats at a time, where they are not needed all at once.
_STRIP_VALUES = 1 << 22
# How many weights of an axis are computed at a time.
_WEIGHTS_AT_ONCE = 1 << 18


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(0.0, 1.0 - x)


def _keys_cubic(x: np.ndarray) -> np.ndarray:
    # R. Keys, "Cubic convolution interpolation for digital image processing", 1981, a = -1/2.
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x >= 2.0, 0.0, np.where(x >= 1.0, far, near))


def _lanczos(radius: int) -> Callable[[np.ndarray], np.ndarray]:
    def kernel(x: np.ndarray) -> np.ndarray:
        return np.where(x < radius, np.sinc(x) * np.sinc(x / radius), 0.0)

    return kernel


# How far each kernel reaches, in source pixels.
_REACH = {"bilinear": 1, "bicubic": 2, "lanczos3": 3, "lanczos5": 5}
_KERNELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "bilinear": _triangle,
    "bicubic": _keys_cubic,
    "lanczos3": _lanczos(3),
    "lanczos5": _lanczos(5),
}

INTERPOLATIONS = ("nearest", *_KERNELS)


@dataclass(frozen=True)
class Resizing:
    """How an image of any size becomes one of a fixed size, in the words of Keras' ``Resizing``.

    Attributes
    ----------
    size : int or tuple of int
        Side of the square, or height and width, in pixels.
    aspect : {'stretch', 'crop', 'pad'} or float
        What happens to an image of another shape: stretched, cut to the largest central part of
        the right shape, or filled up with black. A share from 0 to 1 resizes the whole image, and
        keeps a central part of the size, which is that share of the part that 'crop' keeps.
    interpolation : {'nearest', 'bilinear', 'bicubic', 'lanczos3', 'lanczos5'}
        How values between pixels are found.
    antialias : bool
        Whether shrinking averages over all pixels that fall together.
    """

    size: int | tuple[int, int]
    aspect: str | float
    interpolation: str
    antialias: bool


def preprocess(
    pixels: np.ndarray,
    resizing: Resizing,
    value_range: ValueRange | None = None,
    scaling: PixelScaling = CAFFE,
) -> np.ndarray:
    """Turn images into the network's input."""
    return centre(resize(pixels, resizing, value_range), scaling)


def centre(values: np.ndarray, scaling: PixelScaling = CAFFE) -> np.ndarray:
    """Bring the channels into the network's order, scale them and subtract its means."""
    out = np.empty((*values.shape[:3], 3), dtype=np.float32)
    last = values.shape[3] - 1
    for i, (mean, std) in enumerate(zip(scaling.mean, scaling.std, strict=True)):
        # The last channel is blue; a grey image has a single one, which serves three times.
        channel = values[..., min(max(last - i if scaling.order == "BGR" else i, 0), last)]
        if scaling.scale != 1:
            channel = np.multiply(channel, np.float32(scaling.scale), out[..., i])
        np.subtract(channel, np.float32(mean), out[..., i])
        if std != 1:
            out[..., i] /= np.float32(std)
    return out


def to_255(pixels: np.ndarray, value_range: ValueRange) -> np.ndarray:
    """Map black to 0 and white to 255, and lay transparent images over white."""
    black, white = value_range
    if is_per_channel(value_range):
        black, white = np.asarray(black), np.asarray(white)
    # float32 holds every integer up to 65,535 exactly; wider data is mapped in float64 first.
    is_exact = pixels.dtype.itemsize <= 2
    exact: np.ndarray = pixels[..., :3].astype(np.float32 if is_exact else np.float64)
    if value_range != (0, 255):
        exact = (exact - black) * (255.0 / (white - black))
    values: np.ndarray = exact.astype(np.float32, copy=False)
    if pixels.shape[3] == 4:
        alpha = (pixels[..., 3:] / opaque_alpha(pixels.dtype, value_range)).astype(np.float32)
        values = values * alpha + np.float32(255) * (1 - alpha)
    return values


def resize(
    pixels: np.ndarray, resizing: Resizing, value_range: ValueRange | None = None
) -> np.ndarray:
    """Resize images to one size.

    Parameters
    ----------
    pixels : ndarray of shape (n_images, height, width, n_channels)
        Images of one size. Never changed.
    resizing : Resizing
        The size of the result and the way to it.
    value_range : tuple of float or None, default=None
        The values of black and white, where `pixels` are to be mapped as :func:`to_255` does; None
        where they are float32 and stay as they are.

    Returns
    -------
    ndarray of shape (n_images, height, width, n_channels)
        float32; `pixels` itself where nothing is to be done.
    """

    def convert(part: np.ndarray) -> np.ndarray:
        return part if value_range is None else to_255(part, value_range)

    part, rows, columns = plan_axes(pixels.shape[1], pixels.shape[2], resizing)
    top, left, height, width = part
    if (height, width) != pixels.shape[1:3]:
        pixels = pixels[:, top : top + height, left : left + width]
    n, n_channels = len(pixels), pixels.shape[3]
    if rows.used is not None:
        pixels = pixels[:, rows.used]
    if columns.used is not None:
        pixels = pixels[:, :, columns.used]
    if rows.weights is None:
        values = convert(pixels)
    else:
        n_used, width = pixels.shape[1:3]
        step = max(1, _STRIP_VALUES // max(n * n_used * n_channels, 1))
        strips = [
            _product(rows.weights, convert(pixels[:, :, left : left + step]), 1)
            for left in range(0, max(width, 1), step)
        ]
        values = strips[0] if len(strips) == 1 else np.concatenate(strips, axis=2)
    return values if columns.weights is None else _product(columns.weights, values, 2)


def plan_axes(
    height: int, width: int, resizing: Resizing
) -> tuple[tuple[int, int, int, int], Axis, Axis]:
    """Say which part of an image is used (top, left, height, width), and how it is resized."""
    wanted = as_shape(resizing.size)
    top = left = 0
    if not isinstance(resizing.aspect, str):
        resized = _resize_whole(height, width, wanted, resizing.aspect)
        rows = _axis(height, height, resized[0], wanted[0], resizing)
        columns = _axis(width, width, resized[1], wanted[1], resizing)
        return (0, 0, height, width), rows, columns
    if resizing.aspect == "crop":
        # The largest part in the middle that has the shape of what is wanted.
        whole = height, width
        height = max(1, min(whole[0], round(whole[1] * wanted[0] / wanted[1])))
        width = max(1, min(whole[1], round(whole[0] * wanted[1] / wanted[0])))
        top, left = (whole[0] - height) // 2, (whole[1] - width) // 2
    whole = height, width
    if resizing.aspect == "pad":
        whole = (
            max(height, round(width * wanted[0] / wanted[1])),
            max(width, round(height * wanted[1] / wanted[0])),
        )
    rows = _axis(height, whole[0], wanted[0], wanted[0], resizing)
    columns = _axis(width, whole[1], wanted[1], wanted[1], resizing)
    return (top, left, height, width), rows, columns


def _resize_whole(
    height: int, width: int, wanted: tuple[int, int], share: float
) -> tuple[int, int]:
    """Say to which size a whole image is resized, of which a central part is kept.

    Rounded down as in torchvision's ``Resize``, before its ``CenterCrop``.
    """
    rows, columns = (math.floor(side / share) for side in wanted)
    if height * columns >= width * rows:
        return max(wanted[0], columns * height // width), columns
    return rows, max(wanted[1], rows * width // height)


def _product(weights: scipy.sparse.csr_array, values: np.ndarray, axis: int) -> np.ndarray:
    """Replace an axis of images by sums over it."""
    first = np.moveaxis(values, axis, 0)
    result = weights @ first.reshape(len(first), math.prod(first.shape[1:]))
    return np.moveaxis(result.reshape(len(result), *first.shape[1:]), 0, axis)


@dataclass(frozen=True)
class Axis:
    """The resizing of one axis: which pixels it uses if not all, and their weights."""

    used: np.ndarray | None
    weights: scipy.sparse.csr_array | None

    def matrix(self, n_in: int) -> np.ndarray | None:
        """Return the weights of all pixels; None where nothing is to be done."""
        if self.weights is None:
            return None
        matrix = np.zeros((self.weights.shape[0], n_in), np.float32)
        matrix[:, slice(None) if self.used is None else self.used] = self.weights.toarray()
        return matrix


@lru_cache(maxsize=256)
def _axis(n_in: int, n_whole: int, n_out: int, n_kept: int, resizing: Resizing) -> Axis:
    """Plan the resizing of an axis that black pixels fill up to `n_whole`; keep the middle."""
    if n_in == n_whole == n_out == n_kept:
        return Axis(None, None)
    if n_whole == n_out:
        # Pixels keep their values, and the black around them is added.
        weights = axis_weights(n_whole, n_whole, "nearest", False)
    else:
        weights = axis_weights(n_whole, n_out, resizing.interpolation, resizing.antialias)
    # Of two places in the middle, the even one, as torchvision rounds.
    first = round((n_out - n_kept) / 2)
    start = (n_whole - n_in) // 2
    weights = weights[first : first + n_kept, start : start + n_in]
    used = np.unique(weights.indices)
    if len(used) == n_in:
        return Axis(None, weights)
    return Axis(used, weights[:, used])


def axis_weights(
    n_in: int, n_out: int, interpolation: str, antialias: bool
) -> scipy.sparse.csr_array:
    """Compute the weights of the source pixels in each target pixel.

    Pixel centres lie at half integers, as in Keras. A kernel that reaches over the border is
    normalised by what is left of it inside.

    Parameters
    ----------
    n_in, n_out : int
        Pixels along the axis, before and after.
    interpolation : {'nearest', 'bilinear', 'bicubic', 'lanczos3', 'lanczos5'}
        How values between pixels are found.
    antialias : bool
        Whether shrinking averages over all pixels that fall together.

    Returns
    -------
    csr_array of shape (n_out, n_in)
        The weights, float32.
    """
    scale = n_in / n_out
    if interpolation == "nearest":
        columns = np.minimum(np.floor((np.arange(n_out) + 0.5) * scale), n_in - 1).astype(int)
        ones = np.ones(n_out, dtype=np.float32)
        return scipy.sparse.csr_array((ones, columns, np.arange(n_out + 1)), shape=(n_out, n_in))
    stretch = max(scale, 1.0) if antialias else 1.0
    reach = _REACH[interpolation] * stretch
    step = max(1, _WEIGHTS_AT_ONCE // n_in)
    dense = np.zeros((min(step, n_out), n_in))
    blocks = []
    for start in range(0, n_out, step):
        centres = (np.arange(start, min(start + step, n_out)) + 0.5) * scale - 0.5
        left = max(int(np.floor(centres[0] - reach)), 0)
        right = min(int(np.ceil(centres[-1] + reach)) + 1, n_in)
        distances = np.abs(centres[:, None] - np.arange(left, right)[None, :]) / stretch
        weights = _KERNELS[interpolation](distances)
        # Summed with all the zeros around them: another order of the sum would give other bits.
        dense[: len(weights), left:right] = weights
        weights /= dense[: len(weights)].sum(axis=1, keepdims=True)
        dense[: len(weights), left:right] = 0
        block = scipy.sparse.csr_array(weights.astype(np.float32))
        placed = (block.data, block.indices + left, block.indptr)
        blocks.append(scipy.sparse.csr_array(placed, shape=(len(weights), n_in)))
    return scipy.sparse.vstack(blocks, format="csr")
