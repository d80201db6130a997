"""Keras models as ONNX nodes, layer by layer, whatever the backend.

Keras' own export needs a converter that cannot write all of the networks of ``keras.applications``:
with TensorFlow 2.21 and tf2onnx 1.17 it makes inputs of what a normalization holds, and gives up at
the exact GELU. Here the graph is read off the model's configuration, which is plain data.

Maps are held channels first, as ONNX's operators want them; all else lies as in Keras.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.export.onnx_graph import WHO, Graph

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Value:
    """A tensor: its name in the graph, and its shape in Keras, without that of the batch."""

    name: str
    shape: tuple[int, ...]

    @property
    def is_map(self) -> bool:
        """Whether it has rows, columns and channels, and is held channels first."""
        return len(self.shape) == 3


class _Unknown(Exception):
    """Why a layer cannot be written."""


@dataclass(frozen=True)
class _Node:
    """A call of a layer: what it reads, what else it was given, and what comes out."""

    graph: Graph
    layer: Any
    operands: list[Any]
    shape: tuple[int, ...]

    def __getattr__(self, name: str) -> Any:
        """Return what the layer says of itself."""
        return getattr(self.layer, name)

    @property
    def given(self) -> Value:
        """The only tensor that it reads."""
        return self.operands[0]

    @property
    def is_map(self) -> bool:
        """Whether the result is held channels first."""
        return len(self.shape) == 3

    def weight(self, name: str) -> np.ndarray:
        """Return one of its weights."""
        for variable, values in zip(self.layer.weights, self.layer.get_weights(), strict=True):
            if variable.name == name:
                return values
        raise _Unknown(f"it has no weight {name!r}")

    def need(self, is_so: bool, what: str) -> None:
        """Check what is written here of all that Keras can do."""
        if not is_so:
            raise _Unknown(what)

    def need_channels_last(self) -> None:
        """Check that channels come last in Keras."""
        self.need(getattr(self.layer, "data_format", None) != "channels_first", "channels first")

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        return self.graph.add(kind, *inputs, **attributes)

    def channels(self, values: Any) -> str:
        """Add one value per channel, or one for all, to be combined with the tensor read."""
        values = np.ravel(np.asarray(values, np.float64))
        shape = (-1, 1, 1) if self.given.is_map and values.size > 1 else (-1,)
        return self.graph.constant(values.reshape(shape))

    def last(self, value: Value) -> str:
        """Lay a tensor out as in Keras."""
        if value.is_map:
            return self.add("Transpose", value.name, perm=[0, 2, 3, 1])
        return value.name

    def from_last(self, name: str) -> str:
        """Hold what lies as in Keras as it is held here."""
        return self.add("Transpose", name, perm=[0, 3, 1, 2]) if self.is_map else name


# -- layers with weights


def _conv(node: _Node) -> str:
    kernel = node.weight("kernel").transpose(3, 2, 0, 1)
    return _activated(node, _convolve(node, node.given, kernel, node.groups, node.padding))


def _depthwise(node: _Node) -> str:
    kernel = _depthwise_kernel(node.weight("kernel"))
    groups = node.given.shape[-1]
    return _activated(node, _convolve(node, node.given, kernel, groups, node.padding))


def _separable(node: _Node) -> str:
    kernel = _depthwise_kernel(node.weight("depthwise_kernel"))
    depthwise = _window(node, node.given, kernel, node.given.shape[-1], node.padding)
    pointwise = node.graph.constant(node.weight("pointwise_kernel").transpose(3, 2, 0, 1))
    bias = [node.graph.constant(node.weight("bias"))] if node.use_bias else []
    return _activated(node, node.add("Conv", depthwise, pointwise, *bias))


def _depthwise_kernel(kernel: np.ndarray) -> np.ndarray:
    rows, columns = kernel.shape[:2]
    return kernel.transpose(2, 3, 0, 1).reshape(-1, 1, rows, columns)


def _convolve(node: _Node, given: Value, kernel: np.ndarray, groups: int, padding: str) -> str:
    bias = [node.graph.constant(node.weight("bias"))] if node.use_bias else []
    return _window(node, given, kernel, groups, padding, *bias)


def _window(
    node: _Node, given: Value, kernel: np.ndarray, groups: int, padding: str, *bias: str
) -> str:
    node.need_channels_last()
    window = {"strides": list(node.strides), "dilations": list(node.dilation_rate)}
    pads = _pads(padding, given.shape[:2], kernel.shape[2:], node.strides, node.dilation_rate)
    constant = node.graph.constant(kernel)
    return node.add("Conv", given.name, constant, *bias, group=groups, pads=pads, **window)


def _pads(
    padding: str,
    size: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int] = (1, 1),
) -> list[int]:
    """Return what is added before both axes and after them."""
    if padding != "same":
        return [0, 0, 0, 0]
    totals = [
        max((math.ceil(n / step) - 1) * step + (k - 1) * apart + 1 - n, 0)
        for n, k, step, apart in zip(size, kernel, strides, dilations, strict=True)
    ]
    return [*(total // 2 for total in totals), *(total - total // 2 for total in totals)]


def _dense(node: _Node) -> str:
    kernel = node.weight("kernel")
    bias = node.weight("bias") if node.use_bias else None
    if node.given.is_map:  # a convolution of one pixel
        constants = [node.graph.constant(kernel.T[..., None, None])]
        constants += [] if bias is None else [node.graph.constant(bias)]
        return _activated(node, node.add("Conv", node.given.name, *constants))
    out = node.add("MatMul", node.given.name, node.graph.constant(kernel))
    return _activated(
        node, out if bias is None else node.add("Add", out, node.graph.constant(bias))
    )


def _batch_normalization(node: _Node) -> str:
    node.need(_axes(node) == {len(node.given.shape)}, f"axis {node.axis}")
    mean, variance = (
        node.weight(f"moving_{name}").astype(np.float64) for name in ("mean", "variance")
    )
    factor = (node.weight("gamma") if node.scale else 1) / np.sqrt(variance + node.epsilon)
    offset = (node.weight("beta") if node.center else 0) - mean * factor
    scaled = node.add("Mul", node.given.name, node.channels(factor))
    return node.add("Add", scaled, node.channels(offset))


def _layer_normalization(node: _Node) -> str:
    node.need(_axes(node) == {len(node.given.shape)}, f"axis {node.axis}")
    node.need(not getattr(node.layer, "rms_scaling", False), "rms_scaling")
    n_channels = node.given.shape[-1]
    gamma = node.weight("gamma") if node.scale else np.ones(n_channels)
    beta = node.weight("beta") if node.center else np.zeros(n_channels)
    inputs = node.last(node.given), node.graph.constant(gamma), node.graph.constant(beta)
    return node.from_last(node.add("LayerNormalization", *inputs, epsilon=node.epsilon))


def _normalization(node: _Node) -> str:
    import keras

    node.need(not node.invert, "invert")
    node.need(_axes(node) <= {len(node.given.shape)}, f"axis {node.axis}")
    mean, variance = (
        np.asarray(keras.ops.convert_to_numpy(each), np.float64)
        for each in (node.mean, node.variance)
    )
    deviation = np.maximum(np.sqrt(variance), keras.backend.epsilon())
    centred = node.add("Sub", node.given.name, node.channels(mean))
    return node.add("Div", centred, node.channels(deviation))


def _axes(node: _Node) -> set[int]:
    """Return the axes that a layer works along, counted from that of the batch."""
    axes = node.axis if isinstance(node.axis, list | tuple) else [node.axis]
    rank = len(node.given.shape) + 1
    return {axis % rank for axis in axes if axis is not None}


def _layer_scale(node: _Node) -> str:
    (gamma,) = node.get_weights()
    return node.add("Mul", node.given.name, node.channels(gamma))


def _rescaling(node: _Node) -> str:
    scaled = node.add("Mul", node.given.name, node.channels(node.scale))
    return node.add("Add", scaled, node.channels(node.offset)) if np.any(node.offset) else scaled


# -- activations


def _activated(node: _Node, name: str) -> str:
    """Add the activation of a layer, a function of Keras."""
    import keras

    kind = keras.activations.serialize(node.activation)
    node.need(isinstance(kind, str) and kind in _ACTIVATIONS, f"activation {kind}")
    return _ACTIVATIONS[kind](node, name)


def _gelu(node: _Node, x: str) -> str:
    share = node.add("Erf", node.add("Mul", x, node.graph.constant(1 / math.sqrt(2))))
    share = node.add("Add", share, node.graph.constant(1))
    return node.add("Mul", node.add("Mul", x, node.graph.constant(0.5)), share)


def _hard_sigmoid(node: _Node, x: str) -> str:
    return node.add("HardSigmoid", x, alpha=1 / 6, beta=0.5)


def _softmax(node: _Node, x: str) -> str:
    return node.add("Softmax", x, axis=1 if node.is_map else -1)


def _clip(node: _Node, x: str, highest: float) -> str:
    return node.add("Clip", x, node.graph.constant(0), node.graph.constant(highest))


_ACTIVATIONS: dict[str, Callable[[_Node, str], str]] = {
    "linear": lambda node, x: x,
    "relu": lambda node, x: node.add("Relu", x),
    "relu6": lambda node, x: _clip(node, x, 6),
    "sigmoid": lambda node, x: node.add("Sigmoid", x),
    "hard_sigmoid": _hard_sigmoid,
    "silu": lambda node, x: node.add("Mul", x, node.add("Sigmoid", x)),
    "hard_silu": lambda node, x: node.add("Mul", x, _hard_sigmoid(node, x)),
    "gelu": _gelu,
    "tanh": lambda node, x: node.add("Tanh", x),
    "elu": lambda node, x: node.add("Elu", x, alpha=1.0),
    "selu": lambda node, x: node.add("Selu", x),
    "softplus": lambda node, x: node.add("Softplus", x),
    "softsign": lambda node, x: node.add("Softsign", x),
    "exponential": lambda node, x: node.add("Exp", x),
    "leaky_relu": lambda node, x: node.add("LeakyRelu", x, alpha=0.2),
    "softmax": _softmax,
}


def _activation(node: _Node) -> str:
    return _activated(node, node.given.name)


def _relu(node: _Node) -> str:
    node.need(not node.threshold, "threshold")
    if node.max_value is not None:
        node.need(not node.negative_slope, "negative_slope with max_value")
        return _clip(node, node.given.name, float(node.max_value))
    return node.add("LeakyRelu", node.given.name, alpha=float(node.negative_slope))


def _leaky_relu(node: _Node) -> str:
    return node.add("LeakyRelu", node.given.name, alpha=float(node.negative_slope))


def _softmax_layer(node: _Node) -> str:
    node.need(_axes(node) == {len(node.given.shape)}, f"axis {node.axis}")
    return _softmax(node, node.given.name)


# -- places


def _pool(kind: str) -> Callable[[_Node], str]:
    def write(node: _Node) -> str:
        node.need_channels_last()
        size = list(node.pool_size)
        pads = _pads(node.padding, node.given.shape[:2], size, node.strides)
        window = {"kernel_shape": size, "strides": list(node.strides), "pads": pads}
        return node.add(kind, node.given.name, **window)

    return write


def _global_pool(kind: str) -> Callable[[_Node], str]:
    def write(node: _Node) -> str:
        node.need_channels_last()
        pooled = node.add(kind, node.given.name)
        return pooled if node.keepdims else node.add("Flatten", pooled, axis=1)

    return write


def _zero_padding(node: _Node) -> str:
    node.need_channels_last()
    (top, bottom), (left, right) = node.padding
    pads = node.graph.constant([0, 0, top, left, 0, 0, bottom, right], np.int64)
    return node.add("Pad", node.given.name, pads)


def _cropping(node: _Node) -> str:
    node.need_channels_last()
    (top, _), (left, _) = node.cropping
    height, width = node.shape[:2]
    limits = ([top, left], [top + height, left + width], [2, 3])
    return node.add(
        "Slice", node.given.name, *(node.graph.constant(each, np.int64) for each in limits)
    )


def _reshape(node: _Node) -> str:
    node.need_channels_last()
    shape = node.graph.constant([-1, *node.shape], np.int64)
    return node.from_last(node.add("Reshape", node.last(node.given), shape))


def _permute(node: _Node) -> str:
    turned = node.add("Transpose", node.last(node.given), perm=[0, *node.dims])
    return node.from_last(turned)


def _item(node: _Node) -> str:
    """Take one entry of an axis, or add axes of one entry."""
    given, key = node.operands[0], node.operands[1:]
    name, axis = node.last(given), 0
    for part in key:
        if part is None:
            continue  # the shape tells
        if isinstance(part, int):
            node.need(axis > 0, "an entry of the batch")
            name = node.add("Gather", name, node.graph.constant(part, np.int64), axis=axis)
            continue
        limits = part.get("config", {}) if isinstance(part, dict) else {"start": part}
        node.need(set(limits.values()) <= {None}, "a part of an axis")
        axis += 1
    shape = node.graph.constant([-1, *node.shape], np.int64)
    return node.from_last(node.add("Reshape", name, shape))


def _reduced(kind: str) -> Callable[[_Node], str]:
    def write(node: _Node) -> str:
        axes = sorted(_axes(node))
        node.need(bool(axes) and 0 not in axes, f"axis {node.axis}")
        inputs = node.last(node.given)
        return node.from_last(node.add(kind, inputs, axes=axes, keepdims=int(node.keepdims)))

    return write


# -- several tensors


def _joined(kind: str) -> Callable[[_Node], str]:
    def write(node: _Node) -> str:
        names = _names(node)
        out = names[0]
        for name in names[1:]:
            out = node.add(kind, out, name)
        return out

    return write


def _names(node: _Node) -> list[str]:
    """Name what is joined: tensors of one number of axes, and numbers."""
    ranks = {len(each.shape) for each in node.operands if isinstance(each, Value)}
    node.need(len(ranks) == 1, "tensors of different numbers of axes")
    for each in node.operands:
        node.need(isinstance(each, Value | int | float), "an array")
    return [
        each.name if isinstance(each, Value) else node.graph.constant(each)
        for each in node.operands
    ]


def _average(node: _Node) -> str:
    total = _joined("Add")(node)
    return node.add("Mul", total, node.graph.constant(1 / len(node.operands)))


def _concatenate(node: _Node) -> str:
    (axis,) = _axes(node)
    if node.is_map:
        axis = {1: 2, 2: 3, 3: 1}[axis]
    return node.add("Concat", *_names(node), axis=axis)


def _scaled_sum(node: _Node) -> str:
    """Write what stands in Keras' InceptionResNetV2: one tensor and a share of another."""
    first, second = _names(node)
    share = node.add("Mul", second, node.graph.constant(node.scale))
    return node.add("Add", first, share)


def _same(node: _Node) -> str:
    return node.given.name


def _cast(node: _Node) -> str:
    node.need(node.dtype == "float32", f"dtype {node.dtype}")
    return node.given.name


_KINDS: dict[str, Callable[[_Node], str]] = {
    "Activation": _activation,
    "Add": _joined("Add"),
    "Average": _average,
    "AveragePooling2D": _pool("AveragePool"),
    "BatchNormalization": _batch_normalization,
    "Cast": _cast,
    "Concatenate": _concatenate,
    "Conv2D": _conv,
    "Cropping2D": _cropping,
    "CustomScaleLayer": _scaled_sum,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise,
    "Divide": _joined("Div"),
    "Flatten": _reshape,
    "GetItem": _item,
    "GlobalAveragePooling2D": _global_pool("GlobalAveragePool"),
    "GlobalMaxPooling2D": _global_pool("GlobalMaxPool"),
    "LayerNormalization": _layer_normalization,
    "LayerScale": _layer_scale,
    "LeakyReLU": _leaky_relu,
    "Max": _reduced("ReduceMax"),
    "MaxPooling2D": _pool("MaxPool"),
    "Maximum": _joined("Max"),
    "Mean": _reduced("ReduceMean"),
    "Minimum": _joined("Min"),
    "Multiply": _joined("Mul"),
    "Normalization": _normalization,
    "Permute": _permute,
    "ReLU": _relu,
    "Rescaling": _rescaling,
    "Reshape": _reshape,
    "SeparableConv2D": _separable,
    "Softmax": _softmax_layer,
    "Subtract": _joined("Sub"),
    "TrueDivide": _joined("Div"),
    "ZeroPadding2D": _zero_padding,
    # What does nothing once a network is trained.
    **dict.fromkeys(
        [
            *("ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout"),
            *("GaussianNoise", "SpatialDropout2D", "StochasticDepth"),
            *("RandomBrightness", "RandomContrast", "RandomFlip", "RandomRotation"),
            *("RandomTranslation", "RandomZoom"),
        ],
        _same,
    ),
}


def add_model(graph: Graph, model: keras.Model, images: Value) -> list[Value]:
    """Add a functional model that reads `images`; return what it gives."""
    faults: dict[str, str] = {}
    values = _Walk(graph, model, faults).run([images])
    if faults:
        raise TypeError(
            f"{WHO} needs layers of Keras that it can write as ONNX. Got "
            f"{'; '.join(f'{kind} ({why})' for kind, why in sorted(faults.items()))}: cut at an "
            "earlier layer, or write the model by Keras' own model.export('network.onnx', "
            "format='onnx'), and pass that file as the network."
        )
    return values


class _Walk:
    """A walk over a model's calls, each after those that it reads from."""

    def __init__(self, graph: Graph, model: keras.Model, faults: dict[str, str]) -> None:
        self._graph, self._faults, self._model = graph, faults, model
        config = model.get_config()
        self._operations = {each.name: each for each in model.operations}
        self._calls = {
            (layer["name"], number): (
                *call["args"],
                *(each for each in call["kwargs"].values() if each is not None),
            )
            for layer in config["layers"]
            for number, call in enumerate(layer["inbound_nodes"])
        }
        self._shapes = {
            _place(tensor): tuple(tensor["config"]["shape"][1:])
            for call in self._calls.values()
            for tensor in _tensors(call)
        }
        self._inputs, self._outputs = (
            [tuple(each) for each in _listed(config[key])]
            for key in ("input_layers", "output_layers")
        )
        for place, output in zip(self._outputs, model.outputs, strict=True):
            self._shapes[place] = tuple(output.shape[1:])
        self._values: dict[tuple[str, int, int], Value] = {}

    def run(self, inputs: Sequence[Value]) -> list[Value]:
        """Write all calls, in the order in which Keras lists them, and what they need first."""
        self._values.update(zip(self._inputs, inputs, strict=True))
        for name, number in self._calls:
            if (name, number, 0) in self._shapes:
                self._value((name, number, 0))
        return [self._value(place) for place in self._outputs]

    def _value(self, place: tuple[str, int, int]) -> Value:
        if place not in self._values:
            name, number, index = place
            operation = self._operations[name]
            operands = list(self._operands(self._calls[name, number]))
            shape = self._shapes[place]
            self._values[place] = Value(self._write(operation, operands, shape, index), shape)
        return self._values[place]

    def _operands(self, given: Any) -> Iterator[Any]:
        """List what a call was given, tensors as values."""
        for each in given:
            if _is_tensor(each):
                yield self._value(_place(each))
            elif isinstance(each, list | tuple):
                yield from self._operands(each)
            else:
                yield each

    def _write(self, operation: Any, operands: list[Any], shape: tuple[int, ...], i: int) -> str:
        import keras

        kind = type(operation).__name__
        is_own = type(operation).__module__.partition(".")[0] == "keras"
        try:
            if is_own and isinstance(operation, keras.Model):
                inner = keras.Model(operation.inputs, operation.outputs)
                values = [each for each in operands if isinstance(each, Value)]
                return _Walk(self._graph, inner, self._faults).run(values)[i].name
            if not (is_own and kind in _KINDS):
                raise _Unknown("not among them")
            if getattr(operation, "compute_dtype", "float32") != "float32":
                raise _Unknown(f"which computes in {operation.compute_dtype}")
            return _KINDS[kind](_Node(self._graph, operation, operands, shape))
        except _Unknown as error:
            self._faults[kind] = str(error)
            return self._graph.add("Identity", "images")  # of a graph that is never used


def _is_tensor(given: Any) -> bool:
    return isinstance(given, dict) and given.get("class_name") == "__keras_tensor__"


def _place(tensor: dict[str, Any]) -> tuple[str, int, int]:
    name, number, index = tensor["config"]["keras_history"]
    return name, number, index


def _tensors(given: Any) -> Iterator[dict[str, Any]]:
    for each in given:
        if _is_tensor(each):
            yield each
        elif isinstance(each, list | tuple):
            yield from _tensors(each)


def _listed(places: Any) -> list[Any]:
    """Return a list of places, of which Keras writes a single one without a list around it."""
    return [places] if isinstance(places[0], str) else list(places)
