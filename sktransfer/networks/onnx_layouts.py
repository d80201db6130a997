"""Where the channels stand in the maps of an ONNX graph: first, last, or nobody knows.

The input says it of the images, and some operators of what they take: convolutions have channels
first by definition. Whatever keeps values in their places passes it on, forwards and backwards; a
transposition turns it. Behind other operators it is unknown.

References
----------
https://onnx.ai/onnx/operators/ (what each operator takes).
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from sktransfer.networks.onnx_graphs import inputs_of

if TYPE_CHECKING:
    import onnx

# A layout is whether channels are last.
_FIRST, _LAST = False, True
_TAKE_FIRST = {
    *("Conv", "ConvTranspose", "ConvInteger", "QLinearConv", "DeformConv"),
    *("MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"),
    *("BatchNormalization", "InstanceNormalization", "GroupNormalization", "LRN"),
    *("DepthToSpace", "SpaceToDepth", "GridSample"),
}
# Operators that do not keep values in their places.
_MOVING = {
    *("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Tile", "Col2Im", "OneHot"),
    *("Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND", "ReverseSequence"),
    *("MatMul", "Gemm", "Einsum", "Attention", "LSTM", "GRU", "RNN", "STFT", "DFT"),
    *("Shape", "Size", "Range", "ConstantOfShape", "NonZero", "If", "Loop", "Scan"),
}
_TURNS = {(0, 2, 3, 1): (_FIRST, _LAST), (0, 3, 1, 2): (_LAST, _FIRST)}


def find_layouts(
    graph: onnx.GraphProto, images: str, maps: Collection[str], *, is_last: bool
) -> dict[str, bool]:
    """Map tensors to whether their channels are last, where that is known.

    `maps` names the tensors that have a map for each image, and `is_last` is the layout of images.
    """
    computed = {images}
    joined: dict[str, list[tuple[str, bool | None, bool | None]]] = defaultdict(list)
    known = {images: is_last}
    fixed = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        taken = [name for name in inputs_of(node) if name in computed]
        if not taken:
            continue
        computed.update(node.output)
        known.update(_say_layouts(node, maps, fixed))
        for one, other, before, behind in _join(node, taken):
            joined[one].append((other, before, behind))
            joined[other].append((one, behind, before))
    waiting = deque(known)
    while waiting:
        name = waiting.popleft()
        for other, needed, given in joined[name]:
            if other in known or needed not in (None, known[name]):
                continue
            known[other] = known[name] if given is None else given
            waiting.append(other)
    return {name: layout for name, layout in known.items() if name in maps}


def _say_layouts(
    node: onnx.NodeProto, maps: Collection[str], fixed: dict[str, int]
) -> dict[str, bool]:
    """Say the layouts that follow from what a node is."""
    ends = [*node.input[:1], *node.output[:1]]
    if node.op_type in _TAKE_FIRST:
        return dict.fromkeys(ends, _FIRST)
    on_maps = [name for name in ends if name in maps]
    is_dense = node.op_type == "MatMul" and fixed.get(node.input[1]) == 2
    if is_dense or (node.op_type == "LayerNormalization" and _axis(node) in (-1, 3)):
        return dict.fromkeys(on_maps, _LAST)
    return {}


def _axis(node: onnx.NodeProto) -> int:
    return next((each.i for each in node.attribute if each.name == "axis"), -1)


def _join(
    node: onnx.NodeProto, taken: list[str]
) -> Iterator[tuple[str, str, bool | None, bool | None]]:
    """List the pairs of tensors of which one layout gives the other: equal ones, or two settled."""
    if node.op_type == "Transpose":
        (turn,) = [tuple(each.ints) for each in node.attribute if each.name == "perm"] or [()]
        if turn in _TURNS:
            yield (taken[0], node.output[0], *_TURNS[turn])
    elif node.op_type not in _MOVING and node.domain in ("", "ai.onnx"):
        names = [*taken, *(name for name in node.output if name)]
        yield from ((names[0], name, None, None) for name in names[1:])
