"""Keras' layers and operations as ONNX nodes: a table of those that can be written."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from sktransfer.export.onnx_activations import (
    activated,
    activation,
    leaky_relu,
    relu,
    softmax_layer,
)
from sktransfer.export.onnx_call import Node, Value

# -- layers with weights


def _conv(node: Node) -> str:
    kernel = node.weight("kernel").transpose(3, 2, 0, 1)
    return activated(node, _convolve(node, node.given, kernel, node.groups, node.padding))


def _depthwise(node: Node) -> str:
    kernel = _depthwise_kernel(node.weight("kernel"))
    groups = node.given.shape[-1]
    return activated(node, _convolve(node, node.given, kernel, groups, node.padding))


def _separable(node: Node) -> str:
    kernel = _depthwise_kernel(node.weight("depthwise_kernel"))
    depthwise = _window(node, node.given, kernel, node.given.shape[-1], node.padding)
    pointwise = node.graph.constant(node.weight("pointwise_kernel").transpose(3, 2, 0, 1))
    bias = [node.graph.constant(node.weight("bias"))] if node.use_bias else []
    return activated(node, node.add("Conv", depthwise, pointwise, *bias))


def _depthwise_kernel(kernel: np.ndarray) -> np.ndarray:
    rows, columns = kernel.shape[:2]
    return kernel.transpose(2, 3, 0, 1).reshape(-1, 1, rows, columns)


def _convolve(node: Node, given: Value, kernel: np.ndarray, groups: int, padding: str) -> str:
    bias = [node.graph.constant(node.weight("bias"))] if node.use_bias else []
    return _window(node, given, kernel, groups, padding, *bias)


def _window(
    node: Node, given: Value, kernel: np.ndarray, groups: int, padding: str, *bias: str
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


def _dense(node: Node) -> str:
    kernel = node.weight("kernel")
    bias = node.weight("bias") if node.use_bias else None
    if node.given.is_map:  # a convolution of one pixel
        constants = [node.graph.constant(kernel.T[..., None, None])]
        constants += [] if bias is None else [node.graph.constant(bias)]
        return activated(node, node.add("Conv", node.given.name, *constants))
    out = node.add("MatMul", node.given.name, node.graph.constant(kernel))
    return activated(node, out if bias is None else node.add("Add", out, node.graph.constant(bias)))


def _batch_normalization(node: Node) -> str:
    node.need(node.axes == {len(node.given.shape)}, f"axis {node.axis}")
    mean, variance = (
        node.weight(f"moving_{name}").astype(np.float64) for name in ("mean", "variance")
    )
    factor = (node.weight("gamma") if node.scale else 1) / np.sqrt(variance + node.epsilon)
    offset = (node.weight("beta") if node.center else 0) - mean * factor
    scaled = node.add("Mul", node.given.name, node.channels(factor))
    return node.add("Add", scaled, node.channels(offset))


def _layer_normalization(node: Node) -> str:
    node.need(node.axes == {len(node.given.shape)}, f"axis {node.axis}")
    node.need(not getattr(node.layer, "rms_scaling", False), "rms_scaling")
    n_channels = node.given.shape[-1]
    gamma = node.weight("gamma") if node.scale else np.ones(n_channels)
    beta = node.weight("beta") if node.center else np.zeros(n_channels)
    inputs = node.last(node.given), node.graph.constant(gamma), node.graph.constant(beta)
    return node.from_last(node.add("LayerNormalization", *inputs, epsilon=node.epsilon))


def _normalization(node: Node) -> str:
    import keras

    node.need(not node.invert, "invert")
    node.need(node.axes <= {len(node.given.shape)}, f"axis {node.axis}")
    mean, variance = (
        np.asarray(keras.ops.convert_to_numpy(each), np.float64)
        for each in (node.mean, node.variance)
    )
    deviation = np.maximum(np.sqrt(variance), keras.backend.epsilon())
    centred = node.add("Sub", node.given.name, node.channels(mean))
    return node.add("Div", centred, node.channels(deviation))


def _layer_scale(node: Node) -> str:
    (gamma,) = node.get_weights()
    return node.add("Mul", node.given.name, node.channels(gamma))


def _rescaling(node: Node) -> str:
    scaled = node.add("Mul", node.given.name, node.channels(node.scale))
    return node.add("Add", scaled, node.channels(node.offset)) if np.any(node.offset) else scaled


# -- places


def _pool(kind: str) -> Callable[[Node], str]:
    def write(node: Node) -> str:
        node.need_channels_last()
        size = list(node.pool_size)
        pads = _pads(node.padding, node.given.shape[:2], size, node.strides)
        window = {"kernel_shape": size, "strides": list(node.strides), "pads": pads}
        return node.add(kind, node.given.name, **window)

    return write


def _global_pool(kind: str) -> Callable[[Node], str]:
    def write(node: Node) -> str:
        node.need_channels_last()
        pooled = node.add(kind, node.given.name)
        return pooled if node.keepdims else node.add("Flatten", pooled, axis=1)

    return write


def _zero_padding(node: Node) -> str:
    node.need_channels_last()
    (top, bottom), (left, right) = node.padding
    pads = node.graph.constant([0, 0, top, left, 0, 0, bottom, right], np.int64)
    return node.add("Pad", node.given.name, pads)


def _cropping(node: Node) -> str:
    node.need_channels_last()
    (top, _), (left, _) = node.cropping
    height, width = node.shape[:2]
    limits = ([top, left], [top + height, left + width], [2, 3])
    return node.add(
        "Slice", node.given.name, *(node.graph.constant(each, np.int64) for each in limits)
    )


def _reshape(node: Node) -> str:
    node.need_channels_last()
    shape = node.graph.constant([-1, *node.shape], np.int64)
    return node.from_last(node.add("Reshape", node.last(node.given), shape))


def _permute(node: Node) -> str:
    turned = node.add("Transpose", node.last(node.given), perm=[0, *node.dims])
    return node.from_last(turned)


def _item(node: Node) -> str:
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


def _reduced(kind: str) -> Callable[[Node], str]:
    def write(node: Node) -> str:
        axes = sorted(node.axes)
        node.need(bool(axes) and 0 not in axes, f"axis {node.axis}")
        node.need(getattr(node.layer, "initial", None) is None, "initial")
        inputs = node.last(node.given)
        return node.from_last(node.add(kind, inputs, axes=axes, keepdims=int(node.keepdims)))

    return write


# -- several tensors


def _joined(kind: str) -> Callable[[Node], str]:
    def write(node: Node) -> str:
        names = _names(node)
        out = names[0]
        for name in names[1:]:
            out = node.add(kind, out, name)
        return out

    return write


def _names(node: Node) -> list[str]:
    """Name what is joined: tensors of one number of axes, and numbers."""
    ranks = {len(each.shape) for each in node.operands if isinstance(each, Value)}
    node.need(len(ranks) == 1, "tensors of different numbers of axes")
    for each in node.operands:
        node.need(isinstance(each, Value | int | float), "an array")
    return [
        each.name if isinstance(each, Value) else node.graph.constant(each)
        for each in node.operands
    ]


def _average(node: Node) -> str:
    node.need(len(node.operands) > 1, "the mean along an axis")
    total = _joined("Add")(node)
    return node.add("Mul", total, node.graph.constant(1 / len(node.operands)))


def _concatenate(node: Node) -> str:
    (axis,) = node.axes
    if node.is_map:
        axis = {1: 2, 2: 3, 3: 1}[axis]
    return node.add("Concat", *_names(node), axis=axis)


def _scaled_sum(node: Node) -> str:
    """Write what stands in Keras' InceptionResNetV2: one tensor and a share of another."""
    first, second = _names(node)
    share = node.add("Mul", second, node.graph.constant(node.scale))
    return node.add("Add", first, share)


def _same(node: Node) -> str:
    return node.given.name


def _cast(node: Node) -> str:
    node.need(node.dtype == "float32", f"dtype {node.dtype}")
    return node.given.name


#: What writes each kind of layer or operation, by the name of its class.
KINDS: dict[str, Callable[[Node], str]] = {
    "Activation": activation,
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
    "LeakyReLU": leaky_relu,
    "Max": _reduced("ReduceMax"),
    "MaxPooling2D": _pool("MaxPool"),
    "Maximum": _joined("Max"),
    "Mean": _reduced("ReduceMean"),
    "Minimum": _joined("Min"),
    "Multiply": _joined("Mul"),
    "Normalization": _normalization,
    "Permute": _permute,
    "ReLU": relu,
    "Rescaling": _rescaling,
    "Reshape": _reshape,
    "SeparableConv2D": _separable,
    "Softmax": softmax_layer,
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
