"""The Keras network of a cut of VGG."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sktransfer.networks.cut import Cut
from sktransfer.networks.frameworks import claim
from sktransfer.networks.layers import Layer

if TYPE_CHECKING:
    import keras


def build(cut: Cut, precision: str = "float32", *, below: Layer | None = None) -> keras.Model:
    """Build the Keras network up to the deepest wanted layer, with weights of zero.

    Notes
    -----
    Precision, layout, names and initializers are all given, so that neither a global policy of
    the user's changes the network nor building it draws from Keras' global seeds.
    """
    claim("keras")
    import keras

    first = cut.trunk[0] if below is None else below
    tensor = inputs = keras.Input(first.output_shape, dtype="float32", name="input")
    tensors = {}
    for layer in cut.trunk[cut.trunk.index(first) + 1 :]:
        tensor = tensors[layer.name] = _keras_layer(layer, precision)(tensor)
    outputs = [
        to_vector(pooling, layer.name, tensors[layer.name]) for layer, pooling in cut.outputs
    ]
    return keras.Model(inputs, outputs, name=cut.architecture)


def _keras_layer(layer: Layer, precision: str) -> keras.Layer:
    from keras import layers

    common = {"name": layer.name, "dtype": precision}
    zeros = {"kernel_initializer": "zeros", "bias_initializer": "zeros"}
    if layer.kind == "conv":
        return layers.Conv2D(
            layer.output_shape[-1],
            3,
            padding="same",
            activation="relu",
            data_format="channels_last",
            **zeros,
            **common,
        )
    if layer.kind == "pool":
        return layers.MaxPooling2D(2, strides=2, data_format="channels_last", **common)
    if layer.kind == "flatten":
        return layers.Flatten(data_format="channels_last", **common)
    activation = "softmax" if layer.name == "predictions" else "relu"
    return layers.Dense(layer.output_shape[0], activation=activation, **zeros, **common)


def to_vector(pooling: str | None, name: str, tensor: Any) -> Any:
    """Make the features of a layer: its values in a row, or one for each channel."""
    from keras import layers, ops

    tensor = ops.cast(tensor, "float32")
    n_places = len(tensor.shape) - 2
    if pooling is None or n_places < 1:
        name = f"{name}_{pooling or 'vector'}"
        return layers.Flatten(name=name, dtype="float32", data_format="channels_last")(tensor)
    if pooling == "cls":
        return tensor[:, 0]
    mean_or_max = {"avg": ops.mean, "max": ops.max}[pooling]
    # Each row by itself first: one long sum in float32 would lose digits.
    for axis in range(n_places, 0, -1):
        tensor = mean_or_max(tensor, axis=axis)
    return tensor
