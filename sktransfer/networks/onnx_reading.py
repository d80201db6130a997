"""Reading of an ONNX file, and the checks that it is a network of images.

The file is read by the package onnx, which checks that it is well formed, and by OpenVINO, which
runs it and says what shape each tensor has. What is checked here is what features promise: that
they depend on one image, and are the same every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sktransfer.networks.onnx_graphs import (
    dimensions,
    float_types,
    inputs_of,
    inputs_without_weights,
    list_nodes,
    set_dimension,
    spell_dimensions,
)
from sktransfer.networks.onnx_network import OnnxNetwork
from sktransfer.networks.outputs import as_shape, as_size, spell_size
from sktransfer.networks.quiet import import_openvino

if TYPE_CHECKING:
    import onnx

# What a free batch is while shapes are inferred: no other dimension is likely to be the same.
_PROBE_IMAGES = 13
# Whole numbers that hold all pixel values from 0 to 255.
_WHOLE = ("UINT8", "INT16", "UINT16", "INT32", "UINT32", "INT64", "UINT64")
_RANDOM = {
    *("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"),
    *("Multinomial", "Bernoulli"),
}


def open_onnx(
    path: Path, input_size: int | tuple[int, int] | None, *, who: str, param: str = "network"
) -> OnnxNetwork:
    """Read an ONNX file, or say why it cannot be used; `input_size` None is its own."""
    try:
        import onnx

        import_openvino()
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
    _check_repeatable(model, path, rule)
    n_images = _images_per_call(model, dimensions(images)[0], path, rule)
    is_channels_last = dimensions(images)[1] != 3
    axes = (1, 2) if is_channels_last else (2, 3)
    size = _settle(dimensions(images), axes, input_size, path, who)
    for axis, length in zip(axes, size, strict=True):
        set_dimension(images, axis, length)
    if dimensions(images)[0] is None:
        set_dimension(images, 0, _PROBE_IMAGES)
    shapes = _infer_shapes(model, size, path, rule)
    n_probed = dimensions(images)[0]
    of_images: dict[str, tuple[int, ...]] = {
        name: shape  # type: ignore[misc]
        for name, shape in shapes.items()
        if _is_of_images(shape, n_probed)
    }
    network = OnnxNetwork(model, of_images, is_channels_last, as_size(size), n_images)
    _check_output(network, shapes, n_probed, path, rule)
    return network


def _find_images(graph: onnx.GraphProto, path: Path, rule: str) -> onnx.ValueInfoProto:
    """Find the one input of a graph, which must take images in RGB."""
    inputs = inputs_without_weights(graph)
    if len(inputs) != 1:
        found = [f"{each.name} {spell_dimensions(dimensions(each))}" for each in inputs]
        raise ValueError(
            f"{rule} must have one input, images. Got {str(path)!r} with {len(inputs)} inputs: "
            f"{', '.join(found)}. Export the part that takes images."
        )
    (images,) = inputs
    shape = dimensions(images)
    if len(shape) != 4 or 3 not in (shape[1], shape[3]):
        grey = (
            " If it has one channel, export it with a layer before it that converts RGB to grey."
            if len(shape) == 4 and 1 in (shape[1], shape[3])
            else ""
        )
        raise ValueError(
            f"{rule} must take images of the shape (n, 3, height, width) or (n, height, width, 3). "
            f"Got {str(path)!r}, whose input {images.name!r} has the shape "
            f"{spell_dimensions(shape)}.{grey}"
        )
    element = images.type.tensor_type.elem_type
    if element not in float_types() and _name_type(element) not in _WHOLE:
        raise ValueError(
            f"{rule} must take images of floats, or of whole numbers that hold 0 to 255. Got "
            f"{str(path)!r}, whose input {images.name!r} is of the type {_name_type(element)}: "
            "export it with an input of floats."
        )
    return images


def _name_type(element: int) -> str:
    """Name the type of a tensor's values as ONNX does."""
    from onnx import TensorProto

    return TensorProto.DataType.Name(element)


def _check_repeatable(model: onnx.ModelProto, path: Path, rule: str) -> None:
    """Check that nothing is drawn at random, and that layers run as they do after training."""
    fixed = _list_constants(model)
    found = sorted(
        {
            node.op_type + (" in training mode" if node.op_type not in _RANDOM else "")
            for node in list_nodes(model)
            if node.op_type in _RANDOM or _is_in_training(node, fixed)
        }
    )
    if found:
        raise ValueError(
            f"{rule} must give the same features of an image every time, in any company. Got "
            f"{str(path)!r} with {', '.join(found)}: export it in evaluation mode (of PyTorch "
            "model.eval() before torch.onnx.export), without layers that draw at random."
        )


def _is_in_training(node: onnx.NodeProto, fixed: dict[str, onnx.TensorProto]) -> bool:
    """Tell whether a layer takes its statistics from the batch, or leaves values out at random."""
    from onnx import numpy_helper

    if node.op_type == "BatchNormalization":
        said = any(each.name == "training_mode" and each.i for each in node.attribute)
        # Before opset 14, to give the statistics of the batch too was to train.
        return said or sum(map(bool, node.output)) > 1
    if node.op_type == "Dropout" and len(node.input) > 2:
        mode = fixed.get(node.input[2])
        return mode is not None and bool(numpy_helper.to_array(mode).any())
    return False


def _list_constants(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """List the tensors of a graph that are written in the file, by name."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in list_nodes(model):
        if node.op_type == "Constant":
            values = [each.t for each in node.attribute if each.name == "value"]
            constants |= dict(zip(node.output, values, strict=False))
    return constants


def _images_per_call(
    model: onnx.ModelProto, given: int | None, path: Path, rule: str
) -> int | None:
    """Return how many images each call must take: one where levels are those of a whole call."""
    kinds = {node.op_type for node in list_nodes(model)}
    joint = sorted(kind for kind in kinds if kind.startswith("DynamicQuantize"))
    if not joint:
        return given
    if given not in (None, 1):
        raise ValueError(
            f"{rule} must give the same features of an image in any company. Got {str(path)!r}, "
            f"which takes {given} images at a time and rounds to levels that they share "
            f"({', '.join(joint)}): export it for one image, or with a free first dimension."
        )
    return 1


def _infer_shapes(
    model: onnx.ModelProto, size: tuple[int, int], path: Path, rule: str
) -> dict[str, tuple[int | None, ...]]:
    """Return the shape of every tensor of numbers with fractions, as it follows from the input's.

    By OpenVINO: onnx itself follows sizes that are computed in the graph through few operators, and
    knows nothing behind those that PyTorch writes for a ZeroPad2d.
    """
    from onnx import ValueInfoProto

    outputs = model.graph.output
    n_outputs = len(outputs)
    # OpenVINO leaves out what no output is computed from, which is a layer, too.
    outputs.extend(ValueInfoProto(name=name) for name in _list_unread(model.graph))
    whole = model.SerializeToString()
    del outputs[n_outputs:]
    try:
        read = import_openvino().Core().read_model(whole)
    except RuntimeError as error:
        raise ValueError(
            f"{rule} must be an ONNX file that OpenVINO can run. Got {str(path)!r}, of which "
            f"OpenVINO says, for images of {spell_size(size)} pixels: "
            f"{' '.join(str(error).split())[:300]}. Set the input_size that it was exported at; if "
            "OpenVINO lacks an operator, export it up to the layer that you need."
        ) from error
    return {
        name: tuple(each.get_length() if each.is_static else None for each in shape)
        for operation in read.get_ops()
        for output in operation.outputs()
        if output.element_type.is_real() and (shape := output.partial_shape).rank.is_static
        for name in output.names
    }


def _list_unread(graph: onnx.GraphProto) -> list[str]:
    """List the tensors that no node reads, and that are no outputs."""
    read = {name for node in graph.node for name in inputs_of(node)}
    read |= {output.name for output in graph.output}
    return [name for node in graph.node for name in node.output if name and name not in read]


def _is_of_images(shape: tuple[int | None, ...], n_images: int | None) -> bool:
    """Tell whether a tensor has values for each image, as a vector, a sequence or a map."""
    return 2 <= len(shape) <= 4 and None not in shape and 0 not in shape and shape[0] == n_images


def _check_output(
    network: OnnxNetwork,
    shapes: dict[str, tuple[int | None, ...]],
    n_images: int | None,
    path: Path,
    rule: str,
) -> None:
    """Check that features of each image come out."""
    name = network.model.graph.output[0].name
    if name not in network.shapes:
        raise ValueError(
            f"{rule} must give numbers of each image by itself: a tensor (n, ...) of two to four "
            f"dimensions. Got {str(path)!r}, whose output {name!r} has the shape "
            f"{spell_dimensions(shapes.get(name, ()))} for {n_images} images of "
            f"{spell_size(network.input_size)} pixels. Export it with a free first dimension, or "
            "with one image."
        )


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
                f"shape {spell_dimensions(shape)}."
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
