"""An ONNX file as a network that can be cut at any of its tensors.

The file is read by the package onnx, which checks it; what runs it reads the part that is needed.

References
----------
https://onnx.ai/onnx/repo-docs/MetadataProps.html (what a file says about its images).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sktransfer.networks.graph import NetworkCut, NetworkLayer
from sktransfer.networks.keras_network import how_to_pool
from sktransfer.networks.outputs import as_shape, as_size, spell_size
from sktransfer.networks.pixels import PixelScaling

if TYPE_CHECKING:
    import onnx

#: Metadata by which a file says what its pixels are; see the reference.
_FORMATS = {"Rgb8": "RGB", "Bgr8": "BGR"}
_RANGES = {
    "NominalRange_0_255": (1.0, 0.0),
    "Normalized_0_1": (1 / 255, 0.0),
    "Normalized_1_1": (1 / 127.5, 1.0),
}
# What may stand behind a classifier, and changes nothing but its scale.
_AFTER_CLASSIFIER = {
    *("Softmax", "LogSoftmax", "Sigmoid", "Identity", "Dropout", "Cast"),
    *("QuantizeLinear", "DequantizeLinear"),
}
# What a free batch is while shapes are inferred: no other dimension is likely to be the same.
_PROBE_IMAGES = 13


@dataclass(frozen=True, eq=False)
class OnnxNetwork:
    """An ONNX model whose input size is settled.

    Attributes
    ----------
    model : onnx.ModelProto
        The model, with the data of its weights, for images of one size.
    is_channels_last : bool
        Whether the input is (n, height, width, 3) rather than (n, 3, height, width).
    input_size : int or tuple of int
        The size of its images, in pixels.
    n_images : int or None
        Images that each call takes; None where any number will do.
    """

    model: onnx.ModelProto
    is_channels_last: bool
    input_size: int | tuple[int, int]
    n_images: int | None

    @property
    def framework(self) -> str:
        """What it was written in."""
        return "onnx"

    @cached_property
    def architecture(self) -> str:
        """What tells its graph from all others."""
        sha256 = hashlib.sha256()
        for node in self.model.graph.node:
            sha256.update(node.SerializeToString(deterministic=True))
        return f"an ONNX model of graph {sha256.hexdigest()[:16]}"

    @cached_property
    def scaling(self) -> PixelScaling | None:
        """How pixels become the input, if the file's metadata says so."""
        said = {each.key: each.value for each in self.model.metadata_props}
        order = _FORMATS.get(said.get("Image.BitmapPixelFormat", ""))
        scaled = _RANGES.get(said.get("Image.NominalPixelRange", ""))
        if order is None or scaled is None:
            return None
        return PixelScaling(order, scaled[0], (scaled[1],) * 3)

    # -- the graph

    @cached_property
    def _maker(self) -> dict[str, onnx.NodeProto]:
        """The node that gives each tensor."""
        return {name: node for node in self.model.graph.node for name in node.output if name}

    @cached_property
    def _initializers(self) -> dict[str, onnx.TensorProto]:
        return {tensor.name: tensor for tensor in self.model.graph.initializer}

    @cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor that has values of every image, batch included."""
        graph = self.model.graph
        n_images = _dimensions(_images_of(graph))[0]
        shapes = {
            each.name: _dimensions(each)
            for each in (*graph.value_info, *graph.output)
            if each.type.tensor_type.elem_type in _float_types()
        }
        return {
            name: shape  # type: ignore[misc]
            for name, shape in shapes.items()
            if 2 <= len(shape) <= 4 and None not in shape and 0 not in shape
            if shape[0] == n_images
        }

    @cached_property
    def layers(self) -> tuple[NetworkLayer, ...]:
        """All tensors at which it can be cut, from the input on."""
        first = NetworkLayer("input", "Input", (*as_shape(self.input_size), 3), 0, 0)
        found = [first]
        for node in self.model.graph.node:
            name = node.output[0]
            if name in self._shapes:
                shape = self._last(self._shapes[name][1:])
                found.append(NetworkLayer(name, node.op_type, shape, *self._counts(node, shape)))
        return tuple(found)

    def _last(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Write the shape of a map with its channels last."""
        if len(shape) == 3 and not self.is_channels_last:
            return (*shape[1:], shape[0])
        return shape

    def _counts(self, node: onnx.NodeProto, shape: tuple[int, ...]) -> tuple[int, int | None]:
        """Count the parameters of a node, and its multiply-adds."""
        weights = [self._initializers[name] for name in node.input if name in self._initializers]
        sizes = [math.prod(tensor.dims) for tensor in weights if tensor.data_type in _float_types()]
        if node.op_type in ("Conv", "Gemm", "MatMul") and sizes:
            return sum(sizes), sizes[0] * math.prod(shape[:-1])
        return sum(sizes), None if node.op_type in ("MatMul", "Einsum") else 0

    @cached_property
    def embedding(self) -> tuple[str, str | None]:
        """The tensor of the embedding, and how it is pooled."""
        known = {layer.name: layer.output_shape for layer in self.layers[1:]}
        end = self.model.graph.output[0].name
        name = self._before_classifier(end)
        name = name if name in known else end
        return name, how_to_pool(known[name], self.input_size)

    def _before_classifier(self, name: str) -> str:
        """Step back over a dense layer at the end; without one the end itself is meant."""
        node = self._maker.get(name)
        while node is not None and node.op_type in _AFTER_CLASSIFIER:
            node = self._maker.get(node.input[0])
        if node is not None and node.op_type == "Add":  # of a bias
            variable = [each for each in node.input if not self._is_constant(each)]
            node = self._maker.get(variable[0]) if len(variable) == 1 else None
        if node is None or node.op_type not in ("Gemm", "MatMul"):
            return name
        is_dense = self._is_constant(node.input[1]) and len(self._shapes.get(name, ())) == 2
        return node.input[0] if is_dense else name

    def _is_constant(self, name: str) -> bool:
        """Tell whether a tensor is a weight, or computed from nothing else."""
        wanted, seen = [name], set()
        while wanted:
            each = wanted.pop()
            if not each or each in seen or each in self._initializers:
                continue
            seen.add(each)
            node = self._maker.get(each)
            if node is None:  # the images
                return False
            wanted += _inputs_of(node)
        return True

    def _needed(self, names: Sequence[str]) -> list[onnx.NodeProto]:
        """List the nodes that some tensors are computed from, in order."""
        wanted, needed = list(names), set()
        seen: set[str] = set()
        while wanted:
            name = wanted.pop()
            node = self._maker.get(name)
            if name in seen or node is None:
                continue
            seen.add(name)
            needed.add(id(node))
            wanted += _inputs_of(node)
        return [node for node in self.model.graph.node if id(node) in needed]

    def ancestors(self, name: str) -> Sequence[str]:
        """List what a tensor is computed from, itself included, by name."""
        return [each for node in self._needed([name]) for each in node.output]

    @cached_property
    def _known_hashes(self) -> dict[str, bytes]:
        return {}

    def hash_up_to(self, name: str) -> str:
        """Hash the weights up to a tensor, on which its features depend, and on no others."""
        sha256 = hashlib.sha256()
        for node in self._needed([name]):
            sha256.update(node.SerializeToString(deterministic=True))
            for each in _inputs_of(node):
                if each in self._initializers:
                    sha256.update(self._hash(each))
        return sha256.hexdigest()

    def vectors_up_to(self, name: str) -> Iterator[np.ndarray]:
        """Give the weights up to a tensor that are vectors: biases, gains, means and variances."""
        from onnx import numpy_helper

        used = {each for node in self._needed([name]) for each in _inputs_of(node)}
        for each, tensor in self._initializers.items():
            if each in used and len(tensor.dims) == 1 and tensor.data_type in _float_types():
                yield numpy_helper.to_array(tensor)

    def _hash(self, name: str) -> bytes:
        if name not in self._known_hashes:
            content = self._initializers[name].SerializeToString(deterministic=True)
            self._known_hashes[name] = hashlib.sha256(content).digest()
        return self._known_hashes[name]

    def cut(self, cut: NetworkCut, n_images: int) -> onnx.ModelProto:
        """Return the model up to the wanted tensors, each once, for so many images at a time."""
        import onnx

        names = list(dict.fromkeys(layer.name for layer in cut.layers))
        nodes = self._needed(names)
        used = {name for node in nodes for name in _inputs_of(node)}
        graph = self.model.graph
        images = onnx.ValueInfoProto()
        images.CopyFrom(_images_of(graph))
        _set_dimension(images, 0, n_images)
        part = onnx.ModelProto()
        part.CopyFrom(self.model)
        part.graph.Clear()
        part.graph.name = "cut"
        part.graph.node.extend(nodes)
        part.graph.input.append(images)
        part.graph.initializer.extend(
            tensor for name, tensor in self._initializers.items() if name in used
        )
        part.graph.sparse_initializer.extend(
            each for each in graph.sparse_initializer if each.values.name in used
        )
        part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
        return part


def _inputs_of(node: onnx.NodeProto) -> Iterator[str]:
    """List what a node reads, the graphs in it included."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            for inner in graph.node:
                yield from _inputs_of(inner)
            yield from (each.name for each in graph.output)


def _float_types() -> Sequence[int]:
    from onnx import TensorProto

    return TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE


def _images_of(graph: onnx.GraphProto) -> onnx.ValueInfoProto:
    """Return the only input that is no weight."""
    weights = {tensor.name for tensor in graph.initializer}
    (images,) = (each for each in graph.input if each.name not in weights)
    return images


def _dimensions(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    """Return the shape of a tensor, None where it is free."""
    dims = value.type.tensor_type.shape.dim
    return tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims)


def _set_dimension(value: onnx.ValueInfoProto, axis: int, size: int) -> None:
    value.type.tensor_type.shape.dim[axis].dim_value = size


def open_onnx(
    path: Path, input_size: int | tuple[int, int] | None, *, who: str, param: str = "network"
) -> OnnxNetwork:
    """Read an ONNX file, or say why it cannot be used; `input_size` None is its own."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            f"{who} reads ONNX files by the package 'onnx' and runs them by 'openvino': install "
            'them with `pip install "sktransfer[fast,onnx]"`.'
        ) from error

    rule = f"The {param!r} parameter of {who}"
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # whatever is wrong with a file that others made
        raise ValueError(
            f"{rule} must be an ONNX file that is whole, with its external data beside it. Got "
            f"{str(path)!r}, which cannot be read ({' '.join(str(error).split())[:300]})."
        ) from error
    images = _find_images(model.graph, path, rule)
    shape = _dimensions(images)
    is_channels_last = shape[1] != 3
    axes = (1, 2) if is_channels_last else (2, 3)
    size = _settle(shape, axes, input_size, path, who)
    for axis, length in zip(axes, size, strict=True):
        _set_dimension(images, axis, length)
    if shape[0] is None:
        _set_dimension(images, 0, _PROBE_IMAGES)
    model = _infer_shapes(model, path, rule)
    network = OnnxNetwork(model, is_channels_last, as_size(size), shape[0])
    if len(network.layers) == 1 or model.graph.output[0].name not in {
        layer.name for layer in network.layers
    }:
        raise ValueError(
            f"{rule} must give numbers of each image by itself: a tensor (n, ...) of two to four "
            f"dimensions. Got {str(path)!r}, whose output {model.graph.output[0].name!r} has the "
            f"shape {_spell(_dimensions(model.graph.output[0]))} for "
            f"{shape[0] or _PROBE_IMAGES} images of {spell_size(size)} pixels. Export it with a "
            "free first dimension, or with one image."
        )
    return network


def _find_images(graph: onnx.GraphProto, path: Path, rule: str) -> onnx.ValueInfoProto:
    """Find the one input of a graph, which must take images in RGB."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [each for each in graph.input if each.name not in weights]
    if len(inputs) != 1:
        raise ValueError(
            f"{rule} must have one input, images. Got {str(path)!r} with {len(inputs)} inputs: "
            f"{', '.join(f'{each.name} {_spell(_dimensions(each))}' for each in inputs)}. Export "
            "the part that takes images."
        )
    (images,) = inputs
    shape = _dimensions(images)
    if len(shape) != 4 or 3 not in (shape[1], shape[3]):
        grey = (
            " Of one channel, export it with a layer before that makes grey of RGB."
            if len(shape) == 4 and 1 in (shape[1], shape[3])
            else ""
        )
        raise ValueError(
            f"{rule} must take images of the shape (n, 3, height, width) or (n, height, width, 3). "
            f"Got {str(path)!r}, whose input {images.name!r} has the shape {_spell(shape)}.{grey}"
        )
    return images


def _infer_shapes(model: onnx.ModelProto, path: Path, rule: str) -> onnx.ModelProto:
    """Return the model with the shape of every tensor that follows from that of its input."""
    import onnx

    graph = model.graph
    # What a file says about shapes may be of another size, and is inferred anew.
    del graph.value_info[:]
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:  # of any kind
        raise ValueError(
            f"{rule} must be an ONNX file whose shapes follow from that of its input. Got "
            f"{str(path)!r}, and onnx says: {' '.join(str(error).split())[:300]}"
        ) from error


def _settle(
    shape: Sequence[int | None],
    axes: tuple[int, int],
    input_size: int | tuple[int, int] | None,
    path: Path,
    who: str,
) -> tuple[int, int]:
    """Say which size of images a file takes, of those that it may take."""
    own = tuple(shape[axis] for axis in axes)
    if input_size is None:
        if None in own:
            raise ValueError(
                f"The 'input_size' parameter of {who} must be a number of pixels for a network "
                f"that takes images of any size. Got 'auto' for {str(path)!r}, whose input has the "
                f"shape {_spell(shape)}."
            )
        return own  # type: ignore[return-value]
    wanted = as_shape(input_size)
    if any(length not in (None, want) for length, want in zip(own, wanted, strict=True)):
        raise ValueError(
            f"The 'input_size' parameter of {who} must be that of the network. Got "
            f"{spell_size(input_size)} pixels for {str(path)!r}, which takes images of "
            f"{' x '.join('any' if size is None else str(size) for size in own)}: leave it at "
            "'auto'."
        )
    return wanted


def _spell(shape: Sequence[int | None]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"
