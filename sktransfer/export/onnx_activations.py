"""Keras' activations as ONNX nodes: functions, and layers that do nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable

from sktransfer.export.onnx_call import Node


def activated(node: Node, name: str) -> str:
    """Add the activation of a layer, a function of Keras."""
    import keras

    kind = keras.activations.serialize(node.activation)
    node.need(isinstance(kind, str) and kind in _ACTIVATIONS, f"activation {kind}")
    return _ACTIVATIONS[kind](node, name)


def _gelu(node: Node, x: str) -> str:
    share = node.add("Erf", node.add("Mul", x, node.graph.constant(1 / math.sqrt(2))))
    share = node.add("Add", share, node.graph.constant(1))
    return node.add("Mul", node.add("Mul", x, node.graph.constant(0.5)), share)


def _hard_sigmoid(node: Node, x: str) -> str:
    return node.add("HardSigmoid", x, alpha=1 / 6, beta=0.5)


def _softmax(node: Node, x: str) -> str:
    return node.add("Softmax", x, axis=1 if node.is_map else -1)


def _clip(node: Node, x: str, highest: float) -> str:
    return node.add("Clip", x, node.graph.constant(0), node.graph.constant(highest))


_ACTIVATIONS: dict[str, Callable[[Node, str], str]] = {
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


def activation(node: Node) -> str:
    """Write a layer that is a function of Keras."""
    return activated(node, node.given.name)


def relu(node: Node) -> str:
    """Write Keras' layer ReLU, with its limit or its slope below zero."""
    node.need(not node.threshold, "threshold")
    if node.max_value is not None:
        node.need(not node.negative_slope, "negative_slope with max_value")
        return _clip(node, node.given.name, float(node.max_value))
    return node.add("LeakyRelu", node.given.name, alpha=float(node.negative_slope))


def leaky_relu(node: Node) -> str:
    """Write Keras' layer LeakyReLU."""
    return node.add("LeakyRelu", node.given.name, alpha=float(node.negative_slope))


def softmax_layer(node: Node) -> str:
    """Write Keras' layer Softmax over the channels."""
    node.need(node.axes == {len(node.given.shape)}, f"axis {node.axis}")
    return _softmax(node, node.given.name)
