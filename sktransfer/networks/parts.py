"""The part of a Keras network that can be trained: where it begins, its layers and their arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.networks.building import to_vector
from sktransfer.networks.graph import NetworkCut
from sktransfer.networks.keras_copies import list_plain, set_weights
from sktransfer.networks.keras_network import KerasNetwork
from sktransfer.networks.passages import find_passages

if TYPE_CHECKING:
    import keras

#: Layers whose weights are not learned: statistics of the pixels.
NOT_LEARNED = {"Normalization"}


def list_normalizations(model: keras.Model) -> list[keras.Layer]:
    """List the layers of batch normalization, those of models in the model too."""
    import keras

    return [
        each
        for each in list_plain(model.layers)
        if isinstance(each, keras.layers.BatchNormalization)
    ]


def list_learned(network: KerasNetwork, name: str) -> list[str]:
    """List the layers up to one that training changes: all with weights but normalization."""
    import keras

    return [
        network.name_of(layer)
        for layer in network.up_to(name).layers
        if any(
            each.weights
            and each.__class__.__name__ not in NOT_LEARNED
            and not isinstance(each, keras.layers.BatchNormalization)
            for each in list_plain([layer])
        )
    ]


def list_places(network: KerasNetwork, name: str) -> dict[str, str]:
    """Map each layer from which on the part up to a layer can be trained to the one before it.

    That is ``'input'`` for those that take the images.
    """
    known = {each.name for each in network.layers}
    part = network.up_to(name)
    names = {each.name: network.name_of(each) for each in part.operations}
    first = next(each.name for each in part.layers if each.__class__.__name__ == "InputLayer")
    names[first] = "input"
    return {
        names[behind]: names[passage.before]
        for passage in find_passages(part)
        for behind in passage.behind
        if {names[behind], names[passage.before]} <= known
    }


def build_above(network: KerasNetwork, cut: NetworkCut, place: str | None) -> keras.Model:
    """Return the model from a place, or the input, to the features of a cut with one layer."""
    import keras

    ((layer, pooling),) = cut.outputs
    inputs = network.model.inputs[0] if place is None else network.tensor_of(place)
    features = to_vector(pooling, layer.name, network.tensor_of(layer.name))
    return keras.Model(inputs, features)


def get_arrays(network: KerasNetwork, name: str) -> dict[str, tuple[np.ndarray, ...]]:
    """Copy the weights of all layers up to one."""
    return {
        network.name_of(layer): tuple(np.array(values) for values in layer.get_weights())
        for layer in network.up_to(name).layers
        if layer.weights
    }


def set_arrays(network: KerasNetwork, arrays: dict[str, tuple[np.ndarray, ...]]) -> None:
    """Give layers their weights."""
    layers: dict[str, Any] = {network.name_of(layer): layer for layer in network.model.layers}
    for name, values in arrays.items():
        set_weights(layers[name], values)
