"""The network that is trained: the part above the frozen layers, with a head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.networks import AnyCut
from sktransfer.networks.keras_copies import set_weights
from sktransfer.networks.parts import list_normalizations
from sktransfer.training.finetuning.backends import Group
from sktransfer.training.finetuning.head import HEAD, Head, add_head
from sktransfer.training.finetuning.trunk import Arrays, Trunk

if TYPE_CHECKING:
    import keras


def build_network(
    trunk: Trunk, below: AnyCut | None, hidden: Sequence[int], n_outputs: int
) -> tuple[keras.Model, keras.Model]:
    """Build the network above a cut, without and with a head, whose arrays are zero."""
    import keras

    features = trunk.build(below)
    outputs = add_head(features.output, hidden, n_outputs)
    return features, keras.Model(features.input, outputs, name=f"{trunk.name}_with_head")


def build_head(n_features: int, hidden: Sequence[int], n_outputs: int) -> keras.Model:
    """Build a head by itself, all arrays being zero."""
    import keras

    inputs = keras.Input((n_features,), dtype="float32", name="features")
    return keras.Model(inputs, add_head(inputs, hidden, n_outputs), name="head")


def set_arrays(model: keras.Model, trunk: Arrays, head: Head | None = None) -> None:
    """Give a network its weights."""
    for layer in model.layers:
        if layer.name in trunk:
            set_weights(layer, trunk[layer.name])
    if head is not None:
        arrays = iter(head.arrays())
        for layer in _head_layers(model):
            set_weights(layer, [next(arrays), next(arrays)])


def get_head(model: keras.Model) -> Head:
    """Read the head of a network."""
    variables = [variable for layer in _head_layers(model) for variable in layer.weights]
    return Head.from_arrays(as_arrays(variables))


def get_trunk(model: keras.Model, names: Iterable[str]) -> Arrays:
    """Read the weights of some layers of a network."""
    return {name: tuple(as_arrays(model.get_layer(name).weights)) for name in names}


def choose_trained(
    model: keras.Model,
    trunk: Iterable[str],
    optimizer: dict[str, Any],
    trunk_learning_rate: float | dict[str, Any] | None,
) -> list[Group]:
    """Set what is trained, and make an optimizer for the head and one for the trunk.

    Batch normalization stays as it is: the statistics of few images would spoil the network.
    """
    names = set(trunk)
    for layer in model.layers:
        is_head = layer.name.startswith(HEAD) and layer.name != "head_scaling"
        layer.trainable = is_head or layer.name in names
    for layer in list_normalizations(model):
        layer.trainable = False
    variables = {True: [], False: []}  # type: dict[bool, list[keras.Variable]]
    for layer in model.layers:
        variables[layer.name in names] += layer.trainable_variables
    changed = {} if trunk_learning_rate is None else {"learning_rate": trunk_learning_rate}
    groups = [(make_optimizer(optimizer), variables[False])]
    if names:
        groups.append((make_optimizer(optimizer, **changed), variables[True]))
    for each, own in groups:
        each.build(own)
    return groups


def make_optimizer(optimizer: dict[str, Any], **changed: Any) -> keras.Optimizer:
    """Make a Keras optimizer."""
    import keras

    return keras.optimizers.deserialize(
        {**optimizer, "config": {**optimizer.get("config", {}), **changed}}
    )


def as_arrays(variables: Iterable[keras.Variable]) -> list[np.ndarray]:
    """Copy the values of variables."""
    from keras import ops

    # As tensors, which NumPy accepts without the warning that TensorFlow's variables cause.
    tensors = [ops.stop_gradient(variable.value) for variable in variables]
    return [np.array(ops.convert_to_numpy(tensor)) for tensor in tensors]


def assign(variables: Sequence[keras.Variable], arrays: Sequence[np.ndarray]) -> None:
    """Give variables their values."""
    for variable, values in zip(variables, arrays, strict=True):
        variable.assign(values)


def _head_layers(model: keras.Model) -> list[keras.Layer]:
    return [layer for layer in model.layers if layer.name.startswith(HEAD)]
