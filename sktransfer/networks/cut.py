"""Cuts of a network, and the features they give: decided from names and sizes alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sktransfer.networks.layers import (
    TRAINED_SIZE,
    Layer,
    find_layer,
    imagenet_class_names,
    list_layers,
)
from sktransfer.networks.outputs import Outputs, name_values, numbers, settle_poolings


@dataclass(frozen=True)
class Cut(Outputs):
    """The cut of a network, and its outputs.

    Attributes
    ----------
    architecture : {'vgg16', 'vgg19'}
        The network.
    layers : tuple of Layer
        The wanted layers, in the order in which their features are concatenated.
    poolings : tuple of {'avg', 'max'} or None
        For each of them, how a feature map becomes one value.
    input_size : int or tuple of int
        Side of the square image, or height and width, in pixels.
    """

    architecture: str
    layers: tuple[Layer, ...]
    poolings: tuple[str | None, ...]
    input_size: int | tuple[int, int]

    @cached_property
    def trunk(self) -> tuple[Layer, ...]:
        """Every layer up to the deepest wanted one: all that is built and computed."""
        layers = list_layers(self.architecture, self.input_size)
        return layers[: 1 + max(layers.index(layer) for layer in self.layers)]

    @cached_property
    def weighted_layers(self) -> tuple[Layer, ...]:
        """The layers of the trunk that have weights."""
        return self.weighted_above(self.trunk[-1])

    def weighted_above(self, layer: Layer) -> tuple[Layer, ...]:
        """List the layers with weights from the input to a layer of the trunk, itself included."""
        above = self.trunk[: self.trunk.index(layer) + 1]
        return tuple(layer for layer in above if layer.kernel_shape is not None)

    def hash_of(self, layer_sha256: Mapping[str, str]) -> str:
        """Return the hash of all weights of the cut, of the hashes of those up to each layer."""
        return layer_sha256[self.trunk[-1].name]

    def take(self, weights: Any) -> dict[str, Any]:
        """Take the weights of this cut from those of a deeper one."""
        return {layer.name: weights[layer.name] for layer in self.weighted_layers}

    def _names_of(self, layer: Layer, pooling: str | None) -> list[str]:
        if layer.name == "predictions":
            pairs = zip(numbers(layer.output_shape[0], 4), imagenet_class_names(), strict=True)
            return [f"{layer.name}_{number}_{name}" for number, name in pairs]
        # What flatten flattens is the last feature map, so its names keep row, column, channel.
        grid = layer
        if layer.kind == "flatten":
            grid = self.trunk[self.trunk.index(layer) - 1]
        return name_values(layer.name, grid.output_shape, pooling)


def plan_cut(
    layer: str | Sequence[str],
    architecture: str = "vgg16",
    pooling: str | Sequence[str | None] | None = None,
    input_size: int | tuple[int, int] = TRAINED_SIZE,
    *,
    who: str = "VGGFeatureExtractor",
    param: str = "layer",
) -> Cut:
    """Decide from names and sizes alone what a cut gives.

    The caller checks `architecture` and `input_size`; `param` is its name of the parameter `layer`.
    A ValueError says that a layer is unknown, absent at this size, named twice with one pooling or
    has no feature map to pool, or that the poolings are not one for each layer.
    """
    rule = f"The {param!r} parameter of {who}"
    names = [layer] if isinstance(layer, str) else list(layer)
    if not names:
        raise ValueError(f"{rule} must name at least one layer. Got an empty list instead.")
    found = tuple(find_layer(name, architecture, input_size, rule) for name in names)
    poolings = settle_poolings(names, pooling, rule, who)
    flat = [
        layer.name
        for layer, how in zip(found, poolings, strict=True)
        if how is not None and len(layer.output_shape) == 1
    ]
    if flat:
        raise ValueError(
            f"The 'pooling' parameter of {who} pools feature maps, which convolutional and "
            f"pooling layers give. Got pooling={pooling!r} with {', '.join(map(repr, flat))}, "
            "which give plain vectors. Set pooling=None, or cut at 'block5_pool'."
        )
    return Cut(architecture, found, poolings, input_size)
