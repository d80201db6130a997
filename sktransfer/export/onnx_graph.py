"""The ONNX graph that is written node by node, and the part of it that brings pixels to a network.

References
----------
The operators of ONNX, https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.features.preprocessing import Resizing, plan_axes
from sktransfer.networks.pixels import PixelScaling

if TYPE_CHECKING:
    import onnx

#: The function named in errors.
WHO = "export_onnx"
#: The version of the operators, where a file does not say another.
OPSET = 17
# The version of the opset's release: current runtimes refuse newer ones.
_IR_VERSION = 8


def import_onnx() -> Any:
    """Import onnx, or say how it is installed."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            f"{WHO} needs the package 'onnx', which is not installed: install it with "
            '`pip install "sktransfer[onnx]"`.'
        ) from error
    return onnx


class Graph:
    """Nodes in their order; each tensor is known by its name."""

    def __init__(
        self,
        opsets: Mapping[str, int] | None = None,
        ir_version: int = _IR_VERSION,
        n_images: int | None = None,
    ) -> None:
        self._onnx = import_onnx()
        self.opsets = dict(opsets or {"": OPSET})
        self._ir_version = max(ir_version, _IR_VERSION)
        self._n_images = n_images or "N"
        self._functions: list[Any] = []
        self._sparse: list[Any] = []
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._outputs: list[Any] = []

    def add(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node, and return the name of what it gives."""
        name = f"{kind.lower()}_{len(self._nodes)}"
        node = self._onnx.helper.make_node(kind, inputs, [name], name, domain=domain, **attributes)
        self._nodes.append(node)
        return name

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Add an array, and return its name."""
        name = f"constant_{len(self._constants)}"
        array = np.array(values, dtype, order="C")
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def strings(self, values: Sequence[str]) -> str:
        """Add an array of strings, and return its name."""
        name = f"constant_{len(self._constants)}"
        kind = self._onnx.TensorProto.STRING
        encoded = [value.encode() for value in values]
        self._constants.append(self._onnx.helper.make_tensor(name, kind, [len(values)], encoded))
        return name

    def output(self, tensor: str, name: str, shape: Sequence[Any], kind: str = "FLOAT") -> None:
        """Let a tensor come out under a name."""
        node = self._onnx.helper.make_node("Identity", [tensor], [name], f"{name}_output")
        self._nodes.append(node)
        kind = getattr(self._onnx.TensorProto, kind)
        self._outputs.append(
            self._onnx.helper.make_tensor_value_info(name, kind, [self._n_images, *shape[1:]])
        )

    def absorb(self, model: onnx.ModelProto, images: str) -> list[str]:
        """Add another model, whose only input is `images`; return the names of its outputs."""
        prefix = "network/"
        other = self._onnx.compose.add_prefix(model, prefix)
        graph = other.graph
        self._nodes.append(
            self._onnx.helper.make_node("Identity", [images], [graph.input[0].name], "network")
        )
        self._nodes.extend(graph.node)
        self._constants.extend(graph.initializer)
        self._sparse.extend(graph.sparse_initializer)
        self._functions.extend(other.functions)
        return [output.name for output in graph.output]

    def model(self, image_shape: Sequence[int]) -> onnx.ModelProto:
        """Return the whole, for images of one shape."""
        helper = self._onnx.helper
        shape = [self._n_images, *image_shape]
        images = helper.make_tensor_value_info("images", self._onnx.TensorProto.FLOAT, shape)
        graph = helper.make_graph(
            self._nodes,
            "sktransfer",
            [images],
            self._outputs,
            self._constants,
            sparse_initializer=self._sparse,
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid(*entry) for entry in self.opsets.items()],
            functions=self._functions,
            ir_version=self._ir_version,
            producer_name="sktransfer",
        )


def add_preprocessing(
    graph: Graph,
    scale: tuple[Any, Any, float],
    resizing: Resizing,
    scaling: PixelScaling,
    shape: tuple[int, int, int],
) -> str:
    """Add what brings pixels to (n, 3, height, width), as `preprocess` does."""
    height, width, n_channels = shape
    black, white, opaque = scale
    tensor = graph.add("Transpose", "images", perm=[0, 3, 1, 2])
    colours = tensor
    if n_channels == 4:
        colours = _slice(graph, tensor, [0], [3], [1])
        alpha = _slice(graph, tensor, [3], [4], [1])
        alpha = graph.add("Mul", alpha, graph.constant(1 / opaque))
    # One for all channels, or one for each.
    black, white = (np.reshape(end, (1, -1, 1, 1)) for end in (black, white))
    colours = graph.add("Sub", colours, graph.constant(black))
    colours = graph.add("Mul", colours, graph.constant(255.0 / (white - black)))
    if n_channels == 4:
        over = graph.add("Mul", colours, alpha)
        rest = graph.add("Sub", graph.constant(1), alpha)
        colours = graph.add("Add", over, graph.add("Mul", rest, graph.constant(255)))
    resized = _add_resizing(graph, colours, height, width, resizing)
    return _add_scaling(graph, resized, n_channels, scaling)


def _add_scaling(graph: Graph, tensor: str, n_channels: int, scaling: PixelScaling) -> str:
    # A grey image has one channel, which serves three times.
    order = [2, 1, 0] if scaling.order == "BGR" else [0, 1, 2]
    order = [0, 0, 0] if n_channels == 1 else order
    tensor = graph.add("Gather", tensor, graph.constant(order, np.int64), axis=1)
    if scaling.scale != 1:
        tensor = graph.add("Mul", tensor, graph.constant(scaling.scale))
    mean, std = (np.reshape(each, (1, 3, 1, 1)) for each in (scaling.mean, scaling.std))
    tensor = graph.add("Sub", tensor, graph.constant(mean))
    return graph.add("Div", tensor, graph.constant(std)) if (std != 1).any() else tensor


def _add_resizing(graph: Graph, tensor: str, height: int, width: int, resizing: Resizing) -> str:
    # A product with one matrix for each axis, whatever the interpolation.
    part, *axes = plan_axes(height, width, resizing)
    top, left, *size = part
    if tuple(size) != (height, width):
        tensor = _slice(graph, tensor, [top, left], [top + size[0], left + size[1]], [2, 3])
    rows, columns = (axis.matrix(length) for axis, length in zip(axes, size, strict=True))
    if rows is not None:
        tensor = graph.add("MatMul", graph.constant(rows), tensor)
    if columns is not None:
        tensor = graph.add("MatMul", tensor, graph.constant(columns.T))
    return tensor


def _slice(graph: Graph, tensor: str, starts: list[int], ends: list[int], axes: list[int]) -> str:
    return graph.add(
        "Slice", tensor, *(graph.constant(each, np.int64) for each in (starts, ends, axes))
    )


def add_vector(
    graph: Graph, pooling: str | None, n_axes: int, tensor: str, *, is_channels_last: bool = False
) -> str:
    """Add what makes features of a tensor: its values in a row, or one for each channel.

    `n_axes` are those of one image. Maps come channels first, unless said otherwise.
    """
    if n_axes == 1:
        return tensor
    if pooling == "cls":
        return graph.add("Gather", tensor, graph.constant(0, np.int64), axis=1)
    if pooling is None:
        if n_axes == 3 and not is_channels_last:
            # Rows, columns, channels, in this order.
            tensor = graph.add("Transpose", tensor, perm=[0, 2, 3, 1])
        return graph.add("Flatten", tensor, axis=1)
    if n_axes == 2 or is_channels_last:
        last = n_axes
        tensor = graph.add("Transpose", tensor, perm=[0, last, *range(1, last)])
    kind = {"avg": "GlobalAveragePool", "max": "GlobalMaxPool"}[pooling]
    return graph.add("Flatten", graph.add(kind, tensor), axis=1)
