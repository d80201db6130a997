"""From pixels of any size and value range to what VGG was trained on.

VGG's authors trained on photographs with blue before green before red, values from 0 to 255, the
mean of each channel over ImageNet subtracted and nothing divided. This module is the one
definition of that: every engine gets its images from here.

Resizing is a product with two sparse matrices, one per axis, whose rows are the weights of the
source pixels. That equals Keras' own resizing, whatever the backend, and each image's values are
sums in a fixed order, which no neighbour in a batch can change.

References
----------
K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
2015, https://arxiv.org/abs/1409.1556, section 2.1; the means are those of
``keras.applications.imagenet_utils.preprocess_input`` in mode "caffe".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.sparse

from sktransfer.value_range import opaque_alpha

#: Mean of blue, green and red over ImageNet's training images, in values from 0 to 255.
CHANNEL_MEANS_BGR = (103.939, 116.779, 123.68)

ASPECTS = ("stretch", "crop", "pad")


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


_KERNELS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "bilinear": _triangle,
    "bicubic": _keys_cubic,
    "lanczos3": _lanczos(3),
    "lanczos5": _lanczos(5),
}

INTERPOLATIONS = ("nearest", *_KERNELS)


@dataclass(frozen=True)
class Resizing:
    """How an image of any size becomes a square, in the words of Keras' ``Resizing`` layer.

    Attributes
    ----------
    size : int
        Side of the square, in pixels.
    aspect : {'stretch', 'crop', 'pad'}
        What happens to an image that is no square: stretched, cut to its central square, or
        filled up with black.
    interpolation : {'nearest', 'bilinear', 'bicubic', 'lanczos3', 'lanczos5'}
        How values between pixels are found.
    antialias : bool
        Whether shrinking averages over all pixels that fall together.
    """

    size: int
    aspect: str
    interpolation: str
    antialias: bool


def preprocess(values: np.ndarray, resizing: Resizing) -> np.ndarray:
    """Turn images into the network's input.

    Parameters
    ----------
    values : ndarray of shape (n_images, height, width, 1 or 3)
        Grey or RGB images of one size as :func:`to_255` gives them. Never changed.
    resizing : Resizing
        The size of the result and the way to it.

    Returns
    -------
    ndarray of shape (n_images, size, size, 3)
        float32 in the order blue, green, red, with VGG's channel means subtracted.
    """
    return centre(resize(values, resizing))


def centre(values: np.ndarray) -> np.ndarray:
    """Bring the channels into VGG's order, and subtract its means.

    Parameters
    ----------
    values : ndarray of shape (n_images, height, width, 1 or 3)
        Grey or RGB images, float32 from 0 to 255. Never changed.

    Returns
    -------
    ndarray of shape (n_images, height, width, 3)
        float32 in the order blue, green, red.
    """
    out = np.empty((*values.shape[:3], 3), dtype=np.float32)
    for i, mean in enumerate(CHANNEL_MEANS_BGR):
        # The last channel is blue; a grey image has a single one, which serves three times.
        np.subtract(values[..., max(values.shape[3] - 1 - i, 0)], np.float32(mean), out[..., i])
    return out


def to_255(pixels: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    """Map black to 0 and white to 255, and lay transparent images over white.

    Parameters
    ----------
    pixels : ndarray of shape (n_images, height, width, n_channels)
        Grey (1), RGB (3) or RGBA (4) images of any numeric dtype. Never changed.
    value_range : tuple of float
        The values of black and white in `pixels`; values beyond them map linearly too.

    Returns
    -------
    ndarray of shape (n_images, height, width, 1 or 3)
        float32. Grey stays one channel: what follows treats channels alike, so it is copied last.
    """
    black, white = value_range
    # float32 holds every integer up to 65,535 exactly; wider data is mapped in float64 first.
    is_exact = pixels.dtype.itemsize <= 2
    exact: np.ndarray = pixels[..., :3].astype(np.float32 if is_exact else np.float64)
    if (black, white) != (0, 255):
        exact = (exact - black) * (255.0 / (white - black))
    values: np.ndarray = exact.astype(np.float32, copy=False)
    if pixels.shape[3] == 4:
        alpha = (pixels[..., 3:] / opaque_alpha(pixels.dtype, value_range)).astype(np.float32)
        values = values * alpha + np.float32(255) * (1 - alpha)
    return values


def resize(values: np.ndarray, resizing: Resizing) -> np.ndarray:
    """Resize images to a square.

    Parameters
    ----------
    values : ndarray of shape (n_images, height, width, n_channels)
        float32 images of one size. Never changed.
    resizing : Resizing
        The size of the result and the way to it.

    Returns
    -------
    ndarray of shape (n_images, size, size, n_channels)
        float32; `values` itself where nothing is to be done.
    """
    values = _to_square(values, resizing.aspect)
    for axis in (1, 2):
        values = _resize_axis(values, axis, resizing)
    return values


def _to_square(values: np.ndarray, aspect: str) -> np.ndarray:
    n, height, width, n_channels = values.shape
    if aspect == "stretch" or height == width:
        return values
    if aspect == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return values[:, top : top + side, left : left + side]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.zeros((n, side, side, n_channels), dtype=values.dtype)
    square[:, top : top + height, left : left + width] = values
    return square


def _resize_axis(values: np.ndarray, axis: int, resizing: Resizing) -> np.ndarray:
    n_in, n_out = values.shape[axis], resizing.size
    if n_in == n_out:
        return values
    weights = axis_weights(n_in, n_out, resizing.interpolation, resizing.antialias)
    first = np.moveaxis(values, axis, 0)
    result = weights @ first.reshape(n_in, -1)
    return np.moveaxis(result.reshape(n_out, *first.shape[1:]), 0, axis)


@lru_cache(maxsize=256)
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
    centres = (np.arange(n_out) + 0.5) * scale - 0.5
    stretch = max(scale, 1.0) if antialias else 1.0
    distances = np.abs(centres[:, None] - np.arange(n_in)[None, :]) / stretch
    weights = _KERNELS[interpolation](distances)
    weights /= weights.sum(axis=1, keepdims=True)
    return scipy.sparse.csr_array(weights.astype(np.float32))
