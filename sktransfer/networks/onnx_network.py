"""An ONNX model as a network that can be cut at any of its tensors.

What runs it reads the part that is needed.

References
----------
https://onnx.ai/onnx/repo-docs/MetadataProps.html (what a file says about its images).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sktransfer.networks.graph import NetworkCut, NetworkLayer
from sktransfer.networks.onnx_graphs import (
    float_types,
    images_of,
    inputs_of,
    set_dimension,
)
from sktransfer.networks.onnx_layouts import find_layouts
from sktransfer.networks.outputs import as_shape
from sktransfer.networks.pixels import PixelScaling
from sktransfer.networks.tokens import how_to_pool

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


@dataclass(frozen=True, eq=False)
class OnnxNetwork:
    """An ONNX model whose input size is settled, as `open_onnx` returns it.

    Attributes
    ----------
    model : onnx.ModelProto
        The model, with the data of its weights, for images of one size.
    shapes : mapping from str to tuple of int
        The shape, batch included, of each tensor that has values of every image.
    is_channels_last : bool
        Whether the input is (n, height, width, 3) rather than (n, 3, height, width).
    input_size : int or tuple of int
        The size of its images, in pixels.
    n_images : int or None
        Images that each call takes; None where any number will do.
    """

    model: onnx.ModelProto
    shapes: Mapping[str, tuple[int, ...]]
    is_channels_last: bool
    input_size: int | tuple[int, int]
    n_images: int | None

    @property
    def framework(self) -> str:
        """What it was written in."""
        return "onnx"

    @property
    def takes_integers(self) -> bool:
        """Whether its images are whole numbers."""
        return self._element not in float_types()

    @property
    def _element(self) -> int:
        """The type of the values in its input."""
        return images_of(self.model.graph).type.tensor_type.elem_type

    @cached_property
    def architecture(self) -> str:
        """What tells its graph from all others, whatever the size of images."""
        how = (self._element, self.is_channels_last, self.n_images)
        sha256 = hashlib.sha256(repr(how).encode())
        model = self.model
        # The same nodes may mean something else in another version of the operators.
        for each in (*model.opset_import, *model.functions, *model.graph.node):
            sha256.update(each.SerializeToString(deterministic=True))
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
    def _layouts(self) -> dict[str, bool]:
        """Whether the channels are last in each map of which that is known."""
        graph = self.model.graph
        maps = {name for name, shape in self.shapes.items() if len(shape) == 4}
        return find_layouts(graph, images_of(graph).name, maps, is_last=self.is_channels_last)

    def has_channels_last(self, name: str) -> bool:
        """Tell where the channels of a layer stand."""
        return len(self.shapes[name]) < 4 or self._layouts[name]

    @cached_property
    def unclear(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the maps of which it is unknown where their channels stand."""
        return {
            name: shape[1:]
            for name, shape in self.shapes.items()
            if len(shape) == 4 and name not in self._layouts
        }

    @cached_property
    def layers(self) -> tuple[NetworkLayer, ...]:
        """All tensors at which it can be cut, from the input on."""
        first = NetworkLayer("input", "Input", (*as_shape(self.input_size), 3), 0, 0)
        found = [first]
        for node in self.model.graph.node:
            names = [name for name in node.output if name in self.shapes]
            names = [name for name in names if name not in self.unclear]
            for i, name in enumerate(names):
                shape = self._shape_of(name)
                # What a node costs is counted once, however many tensors it gives.
                counts = (0, 0) if i else self._counts(node, shape)
                found.append(NetworkLayer(name, node.op_type, shape, *counts))
        return tuple(found)

    def _shape_of(self, name: str) -> tuple[int, ...]:
        """Return the shape of a layer for an image, of a map with its channels last."""
        first, *others = self.shapes[name][1:]
        return (first, *others) if self.has_channels_last(name) else (*others, first)

    def _counts(self, node: onnx.NodeProto, shape: tuple[int, ...]) -> tuple[int, int | None]:
        """Count the parameters of a node, and its multiply-adds."""
        weights = [self._initializers[name] for name in node.input if name in self._initializers]
        sizes = [math.prod(tensor.dims) for tensor in weights if tensor.data_type in float_types()]
        if node.op_type in ("Conv", "Gemm", "MatMul") and sizes:
            return sum(sizes), sizes[0] * math.prod(shape[:-1])
        return sum(sizes), None if node.op_type in ("MatMul", "Einsum") else 0

    @cached_property
    def embedding(self) -> tuple[str, str | None]:
        """The tensor of the embedding, and how it is pooled."""
        name = self._before_classifier(self.model.graph.output[0].name)
        if name in self.unclear:
            return name, None  # which is an error where it is wanted
        return name, how_to_pool(self._shape_of(name), self.input_size)

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
        is_dense = self._is_constant(node.input[1]) and len(self.shapes.get(name, ())) == 2
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
            wanted += inputs_of(node)
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
            wanted += inputs_of(node)
        return [node for node in self.model.graph.node if id(node) in needed]

    def ancestors(self, name: str) -> Sequence[str]:
        """List what a tensor is computed from, itself included, by name."""
        needed = self._needed([name])
        # Of a node that gives several tensors some may not be used.
        used = {name, *(each for node in needed for each in inputs_of(node))}
        return [each for node in needed for each in node.output if each in used]

    @cached_property
    def _known_hashes(self) -> dict[str, bytes]:
        return {}

    def hash_up_to(self, name: str) -> str:
        """Hash the weights up to a tensor, on which its features depend, and on no others."""
        sha256 = hashlib.sha256()
        for node in self._needed([name]):
            sha256.update(node.SerializeToString(deterministic=True))
            for each in inputs_of(node):
                if each in self._initializers:
                    sha256.update(self._hash(each))
        return sha256.hexdigest()

    def vectors_up_to(self, name: str) -> Iterator[np.ndarray]:
        """Give the weights up to a tensor that are vectors: biases, gains, means and variances."""
        from onnx import numpy_helper

        used = {each for node in self._needed([name]) for each in inputs_of(node)}
        for each, tensor in self._initializers.items():
            if each in used and len(tensor.dims) == 1 and tensor.data_type in float_types():
                yield numpy_helper.to_array(tensor)

    def scale_pixels(self, values: np.ndarray) -> np.ndarray:
        """Return pixels as they are: which nodes only scale them is not known."""
        return values

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
        used = {name for node in nodes for name in inputs_of(node)}
        graph = self.model.graph
        images = onnx.ValueInfoProto()
        images.CopyFrom(images_of(graph))
        set_dimension(images, 0, n_images)
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
