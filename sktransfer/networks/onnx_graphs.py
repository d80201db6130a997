"""What an ONNX graph says of its nodes, its tensors and its input."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def inputs_of(node: onnx.NodeProto) -> Iterator[str]:
    """List what a node reads, the graphs in it included."""
    yield from node.input
    for graph in _graphs_in(node):
        for inner in graph.node:
            yield from inputs_of(inner)
        yield from (each.name for each in graph.output)


def list_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """List all nodes, those of functions and of graphs in other nodes included."""
    functions = itertools.chain.from_iterable(each.node for each in model.functions)
    yield from _with_inner((*model.graph.node, *functions))


def _with_inner(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for graph in _graphs_in(node):
            yield from _with_inner(graph.node)


def _graphs_in(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        yield from (attribute.g, *attribute.graphs)


def float_types() -> Sequence[int]:
    """List the types of tensors that hold numbers with fractions."""
    from onnx import TensorProto

    return TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE


def inputs_without_weights(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """List the inputs of a graph for which it has no values."""
    weights = {tensor.name for tensor in graph.initializer}
    return [each for each in graph.input if each.name not in weights]


def images_of(graph: onnx.GraphProto) -> onnx.ValueInfoProto:
    """Return the only input that is no weight."""
    (images,) = inputs_without_weights(graph)
    return images


def dimensions(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    """Return the shape of a tensor, None where it is free."""
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims)


def set_dimension(value: onnx.ValueInfoProto, axis: int, size: int) -> None:
    """Settle one axis of a tensor."""
    value.type.tensor_type.shape.dim[axis].dim_value = size


def spell_dimensions(shape: Sequence[int | None]) -> str:
    """Write a shape, for an error."""
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"
