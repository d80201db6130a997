"""Feature maps of one image on its way to the cut, layer by layer."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import clone

from sktransfer.extractor import VGGFeatureExtractor
from sktransfer.features.estimator import FeatureExtractor
from sktransfer.features.fitted import get_runner, read_fitted
from sktransfer.features.preprocessing import Resizing, resize, to_255
from sktransfer.inputs.images import Images
from sktransfer.inputs.scale import ValueRange
from sktransfer.networks import (
    TRAINED_SIZE,
    NetworkCut,
    plan_cut,
    plan_network_cut,
)


@dataclass(frozen=True)
class FeatureMaps:
    """The strongest feature maps of one layer for one image.

    Attributes
    ----------
    layer : Layer or NetworkLayer
        The layer.
    channels : ndarray of shape (n_maps,)
        Which of its channels they are, the strongest first: that whose values differ most from
        place to place, by their standard deviation.
    maps : ndarray of shape (n_maps, height, width)
        Their values, float32.
    """

    layer: Any
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

    Returns the picture as the network gets it, from black as 0 to white as 255, and the maps of the
    layers in their order: of the last layer of each block where none are named.
    """
    images = _as_list(image, who)
    if hasattr(extractor, "to_extractor"):
        extractor = extractor.to_extractor()
    is_fitted = hasattr(extractor, "n_features_out_")
    if not hasattr(extractor, "architecture"):
        fitted = extractor if is_fitted else clone(extractor).fit(images)
        return _compute(fitted, _plan_any(fitted, layers, who), images, n_maps)
    size = getattr(extractor, "input_size_", extractor.input_size)
    size = TRAINED_SIZE if isinstance(size, str) else size
    # Checked before weights are located: the layers do not depend on the size.
    wanted = _choose_layers(extractor, size, layers, who)
    fitted = extractor if is_fitted else clone(extractor).fit(images)

    cut = plan_cut(wanted, fitted.architecture, None, fitted.input_size_)
    return _compute(fitted, cut, images, n_maps)


def _compute(
    fitted: FeatureExtractor, cut: Any, images: Any, n_maps: int
) -> tuple[np.ndarray, list[FeatureMaps]]:
    """Compute the maps of a cut for the first image."""
    runner = replace(get_runner(fitted).cut_at(cut), cache=None, verbose=0)
    read, value_range = read_fitted(fitted, images)
    features = runner.compute(read, value_range)[0]
    ends = np.cumsum((0, *cut.widths))
    found = {
        layer.name: _strongest(layer, features[start:stop], n_maps)
        for layer, (start, stop) in zip(cut.layers, itertools.pairwise(ends), strict=True)
    }
    order = [layer.name for layer in cut.trunk]
    return _picture(read, value_range, runner.resizing), [
        found[name] for name in sorted(found, key=order.index)
    ]


def _as_list(image: Any, who: str) -> Any:
    """Make a collection of one image."""
    if isinstance(image, str | os.PathLike) or hasattr(image, "getbands"):
        return [image]
    array = np.asarray(image)
    is_numeric = array.dtype.kind in "biuf"
    if is_numeric and array.ndim in (1, 2, 3):
        return array[None] if array.ndim == 1 else [array]
    found = repr(image)
    if is_numeric:
        found = f"an array of shape {array.shape}"
    elif array.ndim:
        found = f"{type(image).__name__} of length {len(image)}"
    raise ValueError(
        f"The 'image' parameter of {who} must be one image: a path, a PIL image, a row of pixels, "
        f"or an array of two or three dimensions. Got {found}: pass one of them, as in X[0]."
    )


def _choose_layers(
    extractor: VGGFeatureExtractor,
    size: int | tuple[int, int],
    layers: Sequence[str] | None,
    who: str,
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


def _plan_any(fitted: FeatureExtractor, layers: Sequence[str] | None, who: str) -> NetworkCut:
    """Plan the maps of a network other than VGG: the last of each resolution if none are named."""
    runner = get_runner(fitted)
    own = {layer.name: layer for layer in runner.cut.trunk if len(layer.output_shape) == 3}
    own.pop("input", None)
    if not own:
        raise ValueError(
            f"{who} draws feature maps, and none lie before the extractor's cut at "
            f"{runner.cut.trunk[-1].name!r}."
        )
    wanted = {layer.output_shape[:2]: name for name, layer in own.items()}
    if len(wanted) > 1:  # a map of one value, as pooling leaves it, shows nothing
        wanted.pop((1, 1), None)
    names = list(wanted.values() if layers is None else layers)
    bad = [name for name in names if name not in own]
    if bad:
        raise ValueError(
            f"The 'layers' parameter of {who} must name layers with feature maps that the "
            f"extractor's own are computed from. Got {bad} instead of some of {', '.join(own)}."
        )
    return plan_network_cut(runner.weights.load(), names, None, who=who)


def _strongest(layer: Any, features: np.ndarray, n_maps: int) -> FeatureMaps:
    maps = np.moveaxis(features.reshape(layer.output_shape), -1, 0)
    # Not by the mean: a map that is bright everywhere says nothing about the image. The sort is
    # stable, so that of equally strong maps the first channel stands first.
    channels = np.argsort(-maps.std(axis=(1, 2)), kind="stable")[:n_maps]
    return FeatureMaps(layer, channels, np.ascontiguousarray(maps[channels]))


def _picture(images: Images, value_range: ValueRange | None, resizing: Resizing) -> np.ndarray:
    """Resize the image as the network gets it."""
    ((pixels, own_range),) = images.load(0, 1, value_range)
    return resize(to_255(pixels, own_range), resizing)[0]
