"""What the network makes of one image on its way to the cut, layer by layer."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone

from sktransfer import value_range as _value_range
from sktransfer.extractor import VGGFeatureExtractor
from sktransfer.images import ImageWarning, read_images
from sktransfer.networks import TRAINED_SIZE, Layer, plan_cut
from sktransfer.preprocessing import Resizing, resize, to_255
from sktransfer.weights import hash_up_to


@dataclass(frozen=True)
class FeatureMaps:
    """The strongest feature maps of one layer for one image.

    Attributes
    ----------
    layer : Layer
        The layer.
    channels : ndarray of shape (n_maps,)
        Which of its channels they are, the strongest first: that whose values differ most from
        place to place, by their standard deviation.
    maps : ndarray of shape (n_maps, height, width)
        Their values, float32.
    """

    layer: Layer
    channels: np.ndarray
    maps: np.ndarray


def compute_feature_maps(
    extractor: VGGFeatureExtractor,
    image: Any,
    layers: Sequence[str] | None = None,
    *,
    n_maps: int = 6,
    who: str = "compute_feature_maps",
) -> tuple[np.ndarray, list[FeatureMaps]]:
    """Follow one image through the network, in one forward pass and no deeper than to the cut.

    Parameters
    ----------
    extractor : VGGFeatureExtractor
        Fitted or not; never changed. Not fitted, a copy is fitted on the image.
    image : path-like, PIL image, or ndarray of shape (n_values,), (h, w), (h, w, c) or (c, h, w)
        One image in any form that the extractor takes images in.
    layers : list of str or None, default=None
        Convolutional or pooling layers, none deeper than the extractor's own cut. None takes the
        last layer of each block, as far as the cut reaches.
    n_maps : int, default=6
        How many feature maps of each layer are wanted.
    who : str, default='compute_feature_maps'
        The function named in errors.

    Returns
    -------
    picture : ndarray of shape (input_size, input_size, 1 or 3)
        The image as the network gets it, resized, grey or RGB, from black as 0 to white as 255;
        the channel means, which are then subtracted, are left in.
    maps : list of FeatureMaps
        The maps of each layer, in the order of the network.

    Raises
    ------
    ValueError
        If a layer has no feature maps or lies deeper than the cut, or there is more than one image.
    OSError
        If the weights or the image file cannot be read.
    """
    images = _as_list(image, who)
    is_fitted = hasattr(extractor, "n_features_out_")
    size = getattr(extractor, "input_size_", extractor.input_size)
    size = TRAINED_SIZE if isinstance(size, str) else int(size)
    # Before weights are looked for: which layers there are does not hang on the size.
    wanted = _choose_layers(extractor, size, layers, who)
    fitted = extractor if is_fitted else clone(extractor).fit(images)

    probe = copy(fitted)
    own = plan_cut(fitted.layer, fitted.architecture, None, fitted.input_size_)
    # The deepest layer comes along, since the fitted weights are those up to there.
    names = list(dict.fromkeys([*wanted, own.trunk[-1].name]))
    probe.layer, probe.pooling, probe.cache, probe.verbose = names, None, None, 0
    cut = plan_cut(names, fitted.architecture, None, fitted.input_size_)
    probe._layer_sha256 = hash_up_to(cut, cut.layers, probe._load_fitted_weights())
    features = probe.transform(images)[0]
    ends = np.cumsum((0, *cut.widths))
    found = {
        layer.name: _strongest(layer, features[start:stop], n_maps)
        for layer, (start, stop) in zip(cut.layers, itertools.pairwise(ends), strict=True)
        if layer.name in wanted
    }
    order = [layer.name for layer in cut.trunk]
    return _picture(fitted, images), [found[name] for name in sorted(found, key=order.index)]


def _as_list(image: Any, who: str) -> Any:
    """Make a collection of one image."""
    is_array = not (isinstance(image, str | os.PathLike) or hasattr(image, "getbands"))
    if not is_array:
        return [image]
    array = np.asarray(image)
    if array.ndim not in (1, 2, 3) or array.dtype.kind not in "biuf":
        raise ValueError(
            f"The 'image' parameter of {who} must be one image: a path, a PIL image, a row of "
            "pixels, or an array of two or three dimensions. Got "
            f"{_describe(image, array)}: pass one of them, as in X[0]."
        )
    return array[None] if array.ndim == 1 else [array]


def _describe(image: Any, array: np.ndarray) -> str:
    if array.dtype.kind in "biuf":
        return f"an array of shape {array.shape}"
    return f"{type(image).__name__} of length {len(image)}" if array.ndim else repr(image)


def _choose_layers(
    extractor: VGGFeatureExtractor, size: int, layers: Sequence[str] | None, who: str
) -> list[str]:
    own = plan_cut(extractor.layer, extractor.architecture, None, size)
    grids = [layer for layer in own.trunk[1:] if len(layer.output_shape) == 3]
    if layers is None:
        last = {layer.name.split("_")[0]: layer.name for layer in grids}
        return list(last.values())
    plan = plan_cut(layers, extractor.architecture, None, size, who=who, param="layers")
    bad = [layer.name for layer in plan.layers if layer not in grids]
    if bad:
        raise ValueError(
            f"The 'layers' parameter of {who} must name convolutional or pooling layers no deeper "
            f"than the extractor's cut, which ends at {own.trunk[-1].name!r}. Got {bad}: leave "
            "them out, or cut the extractor deeper."
        )
    return [layer.name for layer in plan.layers]


def _strongest(layer: Layer, features: np.ndarray, n_maps: int) -> FeatureMaps:
    maps = np.moveaxis(features.reshape(layer.output_shape), -1, 0)
    # Not by the mean: a map that is bright everywhere says nothing about the image. The sort is
    # stable, so that of equally strong maps the first channel stands first.
    channels = np.argsort(-maps.std(axis=(1, 2)), kind="stable")[:n_maps]
    return FeatureMaps(layer, channels, np.ascontiguousarray(maps[channels]))


def _picture(fitted: VGGFeatureExtractor, images: Any) -> np.ndarray:
    """Resize the image as the network gets it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)  # transform has said what there is to say
        found = read_images(images, image_shape=fitted.image_shape, value_range=fitted.value_range)
        value_range = fitted.value_range_ or _value_range.by_dtype(found)
        ((pixels, own_range),) = found.load(0, 1, value_range)
    resizing = Resizing(fitted.input_size_, fitted.aspect, fitted.interpolation, fitted.antialias)
    return resize(to_255(pixels, own_range), resizing)[0]
