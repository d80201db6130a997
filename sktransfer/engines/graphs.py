"""Networks other than VGG in OpenVINO's operations: converted from what they were written in."""

from __future__ import annotations

import math
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.networks import NetworkCut
from sktransfer.networks.onnx_network import OnnxNetwork
from sktransfer.networks.outputs import as_shape
from sktransfer.networks.quiet import import_openvino
from sktransfer.networks.timm_network import TimmNetwork

if TYPE_CHECKING:
    import openvino


def convert(network: Any, cut: NetworkCut, n_images: int) -> openvino.Model:
    """Convert a network up to the wanted layers, for so many images at a time."""
    if isinstance(network, OnnxNetwork):
        return _convert_onnx(network, cut, n_images)
    if isinstance(network, TimmNetwork):
        return _convert_timm(network, cut, n_images)
    try:
        return _convert_keras(network.cut(cut), n_images)
    except Exception as error:  # of OpenVINO, TensorFlow or Keras, of many kinds
        raise ValueError(
            f"OpenVINO cannot run {cut.architecture} up to "
            f"{', '.join(layer.name for layer in cut.layers)}: "
            f"{' '.join(str(error).split())[:300]}. Set engine='keras', or name an earlier layer."
        ) from error


def _convert_onnx(network: OnnxNetwork, cut: NetworkCut, n_images: int) -> openvino.Model:
    """Read the part of an ONNX model that is needed, and make features of its tensors."""
    ov = import_openvino()
    part = network.cut(cut, n_images).SerializeToString()
    try:
        model = ov.Core().read_model(part)
        outputs = [
            _to_vector(model.output(layer.name), pooling, network.has_channels_last(layer.name))
            for layer, pooling in cut.outputs
        ]
        model = ov.Model(outputs, model.get_parameters(), "cut")
        layout = "NHWC" if network.is_channels_last else "NCHW"
        model = _take_channels_last(model, layout, is_whole=network.takes_integers)
    except RuntimeError as error:
        raise ValueError(
            f"OpenVINO cannot run {cut.architecture} up to "
            f"{', '.join(layer.name for layer in cut.layers)} on {n_images} images at a time: "
            f"{' '.join(str(error).split())[:300]}"
        ) from error
    return model


def _convert_timm(network: TimmNetwork, cut: NetworkCut, n_images: int) -> openvino.Model:
    """Convert what PyTorch traces of a network of timm."""
    ov = import_openvino()
    import torch

    images = torch.zeros(n_images, 3, *as_shape(network.input_size))
    with torch.no_grad(), warnings.catch_warnings():
        # OpenVINO traces by what PyTorch is going to replace; and timm's checks of sizes, which are
        # settled here, are traced as constants.
        warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        model = ov.convert_model(network.cut(cut), example_input=images, share_weights=False)
    model.reshape(list(images.shape))
    return _take_channels_last(model, "NCHW")


def _take_channels_last(
    model: openvino.Model, layout: str, *, is_whole: bool = False
) -> openvino.Model:
    """Let a model take images in float32, channels last, whatever it takes itself.

    `is_whole` says that it takes whole numbers, to which pixels are rounded.
    """
    ov = import_openvino()
    images = ov.preprocess.PrePostProcessor(model)
    if is_whole:
        images.input().preprocess().custom(_round_pixels)
    images.input().tensor().set_element_type(ov.Type.f32)
    images.input().tensor().set_layout(ov.Layout("NHWC"))
    images.input().model().set_layout(ov.Layout(layout))
    return images.build()


def _round_pixels(value: Any) -> Any:
    """Round pixels to whole numbers from 0 to 255, beyond which resizing may reach."""
    from openvino import opset13 as op

    return op.clamp(op.round(value, "half_to_even"), 0.0, 255.0).output(0)


def _to_vector(output: Any, pooling: str | None, is_channels_last: bool) -> Any:
    """Make the features of a tensor: its values in a row, or one for each channel."""
    from openvino import opset13 as op

    node = output.get_node()
    value = node.input_value(0) if node.get_type_name() == "Result" else output
    value = op.convert(value, "f32")
    n_images, *shape = value.get_output_shape(0)
    if len(shape) == 3 and not is_channels_last:
        value = op.transpose(value, op.constant([0, 2, 3, 1], np.int64))
        shape = [*shape[1:], shape[0]]
    if pooling is None or len(shape) == 1:
        return op.reshape(value, op.constant([n_images, math.prod(shape)], np.int64), False)
    if pooling == "cls":
        first = op.gather(value, op.constant(0, np.int64), op.constant(1, np.int64))
        return first
    mean_or_max = {"avg": op.reduce_mean, "max": op.reduce_max}[pooling]
    return mean_or_max(value, op.constant(list(range(1, len(shape))), np.int64), False)


def _convert_keras(model: Any, n_images: int) -> openvino.Model:
    """Convert a Keras model by its backend: by what TensorFlow traced, or by Keras' own export.

    References
    ----------
    https://docs.openvino.ai/2025/openvino-workflow/model-preparation/convert-model-keras.html
    """
    ov = import_openvino()
    import keras

    shape = [n_images, *model.inputs[0].shape[1:]]
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        signature = [tf.TensorSpec(shape, tf.float32)]
        function = tf.function(lambda x: model(x, training=False), input_signature=signature)
        traced = function.get_concrete_function()
        # Copied: the weights of the converted network would else live only as long as the model.
        converted = ov.convert_model(traced, share_weights=False)
        # The order of results is that of their names, and some activations leave results of theirs.
        results = [converted.output(output.name) for output in traced.outputs]
        return ov.Model(results, converted.get_parameters(), "cut")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.xml"
        model.export(str(path), format="openvino", verbose=False)
        converted = ov.Core().read_model(path)
    converted.reshape(shape)
    widths = [int(output.shape[-1]) for output in model.outputs]
    found = [output.get_partial_shape()[-1].get_length() for output in converted.outputs]
    if found != widths:
        raise RuntimeError(
            f"Keras' export to OpenVINO must keep the outputs of a network, of widths {widths}. "
            f"Got {found}: set engine='keras'."
        )
    return converted
