"""Networks other than VGG in int8: where their values are rounded, and to which levels.

As for VGG, the inputs of convolutions and dense layers but the first are rounded to 256 levels, up
to the largest value met in calibration; kernels to 255, with a scale for each output channel.
Inputs that are never negative get levels from zero on, others get them on both sides of zero. The
inputs of depthwise convolutions, whose channels never meet, have one range per channel. Everything
else is computed in float32, including the output of a wanted layer.

A range belongs to an operation by its position in the converted network, which is the same
wherever the same cut is converted.

References
----------
R. Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference: A whitepaper",
2018, https://arxiv.org/abs/1806.08342.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from sktransfer.engines.openvino import compile_model
from sktransfer.networks.quiet import import_openvino

if TYPE_CHECKING:
    import openvino

#: The position of an operation, and the least and the largest value of its input, or of each
#: channel of it.
InputRange: TypeAlias = tuple[int, tuple[float, ...], tuple[float, ...]]

_WEIGHTED = ("Convolution", "GroupConvolution", "MatMul")


def find_ranges(model: openvino.Model, inputs: np.ndarray) -> tuple[InputRange, ...]:
    """Find which values enter each operation with weights, over some preprocessed images.

    Their number is a multiple of that which the network takes at a time.
    """
    from openvino import opset13 as op

    found = _weighted(model)
    if not found:
        return ()
    results = []
    for _, node in found:
        value = node.input_value(0)
        rank = len(value.get_shape())
        axes = [axis for axis in range(rank) if axis != 1 or not _is_depthwise(node)]
        axes = op.constant(np.array(axes, np.int64))
        results += [op.reduce_min(value, axes, False), op.reduce_max(value, axes, False)]
    ov = import_openvino()
    watched = ov.Model([op.result(each) for each in results], model.get_parameters(), "ranges")
    request = compile_model(watched, "float32").create_infer_request()
    n_images = model.inputs[0].get_shape()[0]
    seen: list[list[np.ndarray]] = []
    for start in range(0, len(inputs), n_images):
        request.infer([inputs[start : start + n_images]])
        seen.append([tensor.data.ravel().copy() for tensor in request.output_tensors])
    lows, highs = (
        [np.array(values) for values in list(zip(*seen, strict=True))[first::2]] for first in (0, 1)
    )
    return tuple(
        (position, tuple(low.min(axis=0).tolist()), tuple(high.max(axis=0).tolist()))
        for (position, _), low, high in zip(found, lows, highs, strict=True)
    )


def quantize(model: openvino.Model, ranges: tuple[InputRange, ...]) -> None:
    """Round the inputs and the weights of a network's operations."""
    from openvino import opset13 as op

    found = _weighted(model)
    if [position for position, _ in found] != [position for position, *_ in ranges]:
        raise ValueError(
            f"OpenVINO {version('openvino')} converts the network differently than at calibration, "
            "and the int8 ranges no longer fit its operations: call fit again."
        )
    for (_, node), (_, lows, highs) in zip(found, ranges, strict=True):
        value = node.input_value(0)
        shape = [-1, *[1] * (len(value.get_shape()) - 2)] if len(lows) > 1 else []
        low, high = (
            op.constant(each.reshape(shape).astype(np.float32)) for each in _levels(lows, highs)
        )
        rounded = op.fake_quantize(value, low, high, low, high, 256)
        kernel = _round_kernel(node)
        node.input(0).replace_source_output(rounded.output(0))
        node.input(1).replace_source_output(kernel.output(0))
    model.validate_nodes_and_infer_types()


def _weighted(model: openvino.Model) -> list[tuple[int, Any]]:
    """List the operations with weights behind the first on images, by their positions."""
    varying: set[str] = set()  # what depends on the images
    behind: set[str] = set()  # and on weights
    found = []
    for position, node in enumerate(model.get_ordered_ops()):
        sources = [each.get_source_output().get_node() for each in node.inputs()]
        depends = [source.get_name() in varying for source in sources]
        if node.get_type_name() == "Parameter" or any(depends):
            varying.add(node.get_name())
        is_behind = any(source.get_name() in behind for source in sources)
        is_weighted = node.get_type_name() in _WEIGHTED and depends == [True, False]
        if is_behind or is_weighted:
            behind.add(node.get_name())
        # What a file has quantized already stays as it is.
        if is_weighted and is_behind and sources[0].get_type_name() != "FakeQuantize":
            found.append((position, node))
    return found


def _is_depthwise(node: Any) -> bool:
    """Tell whether each channel has a kernel of its own."""
    return node.get_type_name() == "GroupConvolution" and node.input_value(1).get_shape()[2] == 1


def _levels(lows: tuple[float, ...], highs: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the lowest and the highest level; zero, with which maps are padded, is one of them."""
    low, high = np.array(lows), np.array(highs)
    largest = np.maximum(np.abs(low), np.abs(high))
    largest[largest == 0] = 1  # of what no image activates; any range works
    # All channels alike: the processor knows either sign or none.
    return (-largest * 128 / 127 if (low < 0).any() else np.zeros_like(largest)), largest


def _round_kernel(node: Any) -> Any:
    """Return the weights of an operation in 8 bits, with what brings them back."""
    from openvino import opset13 as op

    kernel = _evaluate(node.input_value(1))
    n_axes = {"Convolution": 1, "GroupConvolution": 2}.get(node.get_type_name())
    if n_axes is not None:
        axes = tuple(range(n_axes, kernel.ndim))
    else:
        is_turned = node.get_attributes()["transpose_b"]
        axes = (-1 if is_turned else -2,) if kernel.ndim > 1 else (0,)
    largest = np.abs(kernel).max(axis=axes, keepdims=True)
    scale = np.maximum(largest, np.finfo(np.float32).tiny) / np.float32(127)
    levels = op.constant(np.rint(kernel / scale).astype(np.int8))
    return op.multiply(op.convert(levels, "f32"), op.constant(scale.astype(np.float32)))


def _evaluate(value: Any) -> np.ndarray:
    """Compute what depends on no image."""
    node = value.get_node()
    if node.get_type_name() == "Constant":
        return np.array(node.data, np.float32)
    ov = import_openvino()
    request = compile_model(ov.Model([value], [], "weights"), "float32").create_infer_request()
    request.infer([])
    return np.array(request.output_tensors[0].data, np.float32)
