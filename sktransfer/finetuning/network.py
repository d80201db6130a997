"""The network that is trained: the part above the frozen layers, with a head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.finetuning.backends import Group
from sktransfer.finetuning.head import Head, add_head
from sktransfer.networks import Cut, Layer, build
from sktransfer.weights import Weights

if TYPE_CHECKING:
    import keras


def find_first_trained(unfreeze: str | None, cut: Cut, who: str) -> Layer | None:
    """Find the first layer that is trained.

    Parameters
    ----------
    unfreeze : str or None
        ``'all'``, the name of a block or of a layer; from there on all layers are trained.
    cut : Cut
        The network with a single wanted layer.
    who : str
        The class named in errors.

    Returns
    -------
    Layer or None
        A layer with weights; None where the whole trunk is frozen.

    Raises
    ------
    ValueError
        If there is no such layer up to the cut, or none with weights from there on.
    """
    if unfreeze is None:
        return None
    weighted = cut.weighted_layers
    if unfreeze == "all":
        return weighted[0]
    names = [layer.name for layer in cut.trunk]
    starts = [i for i, name in enumerate(names) if unfreeze in (name, name.partition("_")[0])]
    found = [layer for layer in weighted if starts and layer in cut.trunk[starts[0] :]]
    if unfreeze == "input" or not found:
        starts_of_names = dict.fromkeys(layer.name.partition("_")[0] for layer in weighted)
        blocks = [name for name in starts_of_names if name.startswith("block")]
        raise ValueError(
            f"The 'unfreeze' parameter of {who} must be None, 'all', or a block or layer with "
            f"weights up to {cut.trunk[-1].name!r}, where the network is cut. Got {unfreeze!r} "
            f"instead. There are the blocks {', '.join(blocks)} and the layers "
            f"{', '.join(layer.name for layer in weighted)}."
        )
    return found[0]


def build_network(
    cut: Cut, below: Layer | None, hidden: Sequence[int], n_outputs: int
) -> tuple[keras.Model, keras.Model]:
    """Build the network from a layer to the cut, without and with a head, all arrays being zero.

    Parameters
    ----------
    cut : Cut
        The network with a single wanted layer.
    below : Layer or None
        The layer whose output goes in; None for images.
    hidden : sequence of int
        Widths of the head's hidden layers.
    n_outputs : int
        Width of the output.

    Returns
    -------
    features, whole : keras.Model
        They share their layers.
    """
    import keras

    built = build(cut, below=below)
    features = keras.Model(built.input, built.outputs[0], name=cut.architecture)
    outputs = add_head(features.output, hidden, n_outputs)
    return features, keras.Model(features.input, outputs, name=f"{cut.architecture}_with_head")


def build_head(n_features: int, hidden: Sequence[int], n_outputs: int) -> keras.Model:
    """Build a head by itself, all arrays being zero.

    Parameters
    ----------
    n_features : int
        Width of the features.
    hidden : sequence of int
        Widths of the hidden layers.
    n_outputs : int
        Width of the output.

    Returns
    -------
    keras.Model
        From features to the output.
    """
    import keras

    inputs = keras.Input((n_features,), dtype="float32", name="features")
    return keras.Model(inputs, add_head(inputs, hidden, n_outputs), name="head")


def set_arrays(model: keras.Model, trunk: Weights, head: Head | None = None) -> None:
    """Give a network its weights.

    Parameters
    ----------
    model : keras.Model
        The network.
    trunk : dict of str to tuple of ndarray
        Kernel and bias by layer name; others are left alone.
    head : Head or None, default=None
        The head's arrays.
    """
    for layer in model.layers:
        if layer.name in trunk:
            layer.set_weights(list(trunk[layer.name]))
    if head is not None:
        arrays = iter(head.arrays())
        for layer in _head_layers(model):
            layer.set_weights([next(arrays), next(arrays)])


def get_head(model: keras.Model) -> Head:
    """Read the head of a network.

    Parameters
    ----------
    model : keras.Model
        The network.

    Returns
    -------
    Head
        Its arrays.
    """
    variables = [variable for layer in _head_layers(model) for variable in layer.weights]
    return Head.from_arrays(as_arrays(variables))


def get_trunk(model: keras.Model, names: Iterable[str]) -> Weights:
    """Read the weights of some layers of a network.

    Parameters
    ----------
    model : keras.Model
        The network.
    names : iterable of str
        The layers.

    Returns
    -------
    dict of str to tuple of ndarray
        Kernel and bias by layer name.
    """
    pairs = {name: as_arrays(model.get_layer(name).weights) for name in names}
    return {name: (kernel, bias) for name, (kernel, bias) in pairs.items()}


def choose_trained(
    model: keras.Model,
    trunk: Iterable[str],
    optimizer: dict[str, Any],
    trunk_learning_rate: float | dict[str, Any] | None,
) -> list[Group]:
    """Set what is trained, and make an optimizer for the head and one for the trunk.

    Parameters
    ----------
    model : keras.Model
        The network.
    trunk : iterable of str
        The layers that are trained beside the head.
    optimizer : dict
        A Keras optimizer, serialized.
    trunk_learning_rate : float, dict or None
        The learning rate, or the serialized schedule of it, in the trunk; None for that of the
        head.

    Returns
    -------
    list of tuple
        Each optimizer, built, with its variables.
    """
    names = set(trunk)
    for layer in model.layers:
        is_head = layer.name.startswith("head_") and layer.name != "head_scaling"
        layer.trainable = is_head or layer.name in names
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
    """Make a Keras optimizer.

    Parameters
    ----------
    optimizer : dict
        With the keys ``class_name`` and ``config``.
    **changed : object
        What its configuration has different.

    Returns
    -------
    keras.Optimizer
        A new one.
    """
    import keras

    return keras.optimizers.deserialize(
        {**optimizer, "config": {**optimizer.get("config", {}), **changed}}
    )


def as_arrays(variables: Iterable[keras.Variable]) -> list[np.ndarray]:
    """Copy the values of variables.

    Parameters
    ----------
    variables : iterable of keras.Variable
        The variables.

    Returns
    -------
    list of ndarray
        Copies: on some backends an array would share its memory with the variable.
    """
    from keras import ops

    # As tensors, which NumPy takes without the warning that TensorFlow's variables call forth.
    tensors = [ops.stop_gradient(variable.value) for variable in variables]
    return [np.array(ops.convert_to_numpy(tensor)) for tensor in tensors]


def assign(variables: Sequence[keras.Variable], arrays: Sequence[np.ndarray]) -> None:
    """Give variables their values.

    Parameters
    ----------
    variables : sequence of keras.Variable
        The variables.
    arrays : sequence of ndarray
        A value for each.
    """
    for variable, values in zip(variables, arrays, strict=True):
        variable.assign(values)


def _head_layers(model: keras.Model) -> list[keras.Layer]:
    return [layer for layer in model.layers if layer.name.startswith("head_")]
