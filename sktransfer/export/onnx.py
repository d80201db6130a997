"""ONNX export of fitted models, from pixels to predictions.

The graph is written node by node, from the same table of layers and the same resizing weights that
the package uses elsewhere. No converter of another framework is needed.

References
----------
The operators of ONNX, https://onnx.ai/onnx/operators/ (opset 17).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sktransfer.base import name_extractor_in
from sktransfer.extractor import VGGFeatureExtractor
from sktransfer.features.fitted import get_reader, get_runner
from sktransfer.features.preprocessing import (
    Resizing,
    central_part,
    padded_shape,
    whole_axis_weights,
)
from sktransfer.inputs.images import CHANNELS
from sktransfer.networks import Cut, Layer
from sktransfer.networks.outputs import as_shape
from sktransfer.networks.pixels import PixelScaling
from sktransfer.training.finetuning import VGGClassifier, VGGRegressor
from sktransfer.training.finetuning.head import Head
from sktransfer.training.finetuning.prediction import Numbers, Prediction, get_prediction

if TYPE_CHECKING:
    import onnx

_OPSET = 17
# The version of the opset's release: current runtimes refuse newer ones.
_IR_VERSION = 8
_WHO = "export_onnx"


def export_onnx(
    estimator: Any, path: str | os.PathLike, *, image_shape: Sequence[int] | None = None
) -> None:
    """Write a fitted model, including preprocessing, to an ONNX file.

    The input ``images`` takes float32 arrays of shape (n, height, width, n_channels) with pixel
    values like those in `fit`, without scaling or resizing. In the alpha channel, the value for
    opaque depends on the dtype of the images in `fit`: 255 after uint8 and files, 65535 after
    uint16. Predictions agree with those of the model to about 1e-4.

    Parameters
    ----------
    estimator : VGGFeatureExtractor, VGGClassifier, VGGRegressor or Pipeline
        The fitted model. The first step of a pipeline must extract features, and skl2onnx must
        support all others.
    path : path-like
        The file.
    image_shape : tuple of int or None, default=None
        Shape of the input images, `(height, width)` or `(height, width, n_channels)`. Required if
        the model was fitted on files or on a list of images, whose sizes may differ. Pixels of
        files range from 0 to 255.

    Raises
    ------
    TypeError
        If the model has an unsupported type, or skl2onnx does not support a step.
    ValueError
        If the shape is missing or invalid, or the model does not compute in float32.
    ImportError
        If onnx, or for a pipeline skl2onnx, is not installed.

    Notes
    -----
    The outputs are ``features`` for an extractor, ``label`` and ``probabilities`` for a classifier,
    and ``values`` for a regressor. The outputs of a pipeline are named by skl2onnx, which uses the
    same names for a classifier.
    """
    if isinstance(estimator, Pipeline):
        extractor, *others = (step for _, step in estimator.steps if step not in ("passthrough",))
    else:
        extractor, others = estimator, []
    tuned = extractor if isinstance(extractor, VGGClassifier | VGGRegressor) else None
    if not isinstance(extractor, VGGFeatureExtractor) and (others or tuned is None):
        raise TypeError(
            f"{_WHO} needs a VGGFeatureExtractor, VGGClassifier, VGGRegressor, or a pipeline whose "
            f"first step is a VGGFeatureExtractor. Got {type(extractor).__name__} as its first "
            f"step.{name_extractor_in(extractor)}"
        )
    check_is_fitted(extractor)
    if extractor.precision_ != "float32":
        raise ValueError(
            f"{_WHO} writes networks in float32, whose predictions would differ from those in "
            f"{extractor.precision_}. Got precision={extractor.precision_!r}: fit with "
            "precision='float32'."
        )
    shape = _input_shape(extractor, image_shape)
    graph = _Graph()
    runner = get_runner(extractor)
    cut = runner.vgg_cut
    scale = get_reader(extractor).scale
    tensor = _add_preprocessing(graph, scale, runner.resizing, runner.scaling, shape)
    features = _add_network(graph, cut, runner.load_weights(), tensor)
    if tuned is not None:
        _add_prediction(graph, get_prediction(tuned), features)
    else:
        graph.output(features, "features", [None, cut.n_features])
    model = graph.model(["N", *shape])
    if others:
        model = _join(model, Pipeline([(str(i), step) for i, step in enumerate(others)]), cut)
    _import_onnx().save(model, os.fspath(path))


def _import_onnx() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            f"{_WHO} needs the package 'onnx', which is not installed: install it with "
            '`pip install "sktransfer[onnx]"`.'
        ) from error
    return onnx


def _input_shape(
    extractor: VGGFeatureExtractor, image_shape: Sequence[int] | None
) -> tuple[int, int, int]:
    fitted = getattr(extractor, "image_shape_", None)
    if image_shape is None:
        if fitted is None:
            raise ValueError(
                f"{_WHO} needs the shape of the input images, because {type(extractor).__name__} "
                "was fitted on files or a list of images. Got image_shape=None: pass (height, "
                "width, n_channels)."
            )
        return fitted
    shape = tuple(int(n) for n in image_shape)
    shape = (*shape, 1) if len(shape) == 2 else shape
    if len(shape) != 3 or min(shape) < 1 or shape[2] not in CHANNELS or fitted not in (None, shape):
        rule = "(height, width, n_channels), with 1, 3 or 4 channels"
        if fitted is not None:
            rule = f"None or {fitted}, on which {type(extractor).__name__} was fitted"
        raise ValueError(
            f"The 'image_shape' parameter of {_WHO} must be {rule}. Got {image_shape!r} instead."
        )
    return shape


class _Graph:
    """Nodes in their order; each tensor is known by its name."""

    def __init__(self) -> None:
        self._onnx = _import_onnx()
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
        array = np.ascontiguousarray(np.asarray(values, dtype))
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
            self._onnx.helper.make_tensor_value_info(name, kind, ["N", *shape[1:]])
        )

    def model(self, input_shape: Sequence[Any]) -> onnx.ModelProto:
        """Return the whole."""
        helper = self._onnx.helper
        images = helper.make_tensor_value_info("images", self._onnx.TensorProto.FLOAT, input_shape)
        graph = helper.make_graph(
            self._nodes, "sktransfer", [images], self._outputs, self._constants
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
            producer_name="sktransfer",
        )


def _add_preprocessing(
    graph: _Graph,
    scale: tuple[Any, Any, float],
    resizing: Resizing,
    scaling: PixelScaling,
    shape: tuple[int, int, int],
) -> str:
    """Add what brings pixels to (n, 3, size, size), as sktransfer.features.preprocessing does."""
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
    # VGG's authors saw blue first; a grey image has one channel, which serves three times.
    last = 2 if scaling.order == "BGR" else 0
    order = [0, 0, 0] if n_channels == 1 else [last, 1, 2 - last]
    resized = graph.add("Gather", resized, graph.constant(order, np.int64), axis=1)
    mean, std = (np.reshape(each, (1, 3, 1, 1)) for each in (scaling.mean, scaling.std))
    if scaling.scale != 1:
        resized = graph.add("Mul", resized, graph.constant(scaling.scale))
    resized = graph.add("Sub", resized, graph.constant(mean))
    return resized if (std == 1).all() else graph.add("Div", resized, graph.constant(std))


def _add_resizing(graph: _Graph, tensor: str, height: int, width: int, resizing: Resizing) -> str:
    """Add a product with one matrix for each axis, which resizes, cuts and fills up with black."""
    wanted = as_shape(resizing.size)
    if resizing.aspect == "crop":
        before = height, width
        (top, height), (left, width) = central_part(height, width, wanted)
        if (height, width) != before:
            tensor = _slice(graph, tensor, [top, left], [top + height, left + width], [2, 3])
    whole = padded_shape(height, width, wanted) if resizing.aspect == "pad" else (height, width)
    rows, columns = (
        whole_axis_weights(side, of, to, resizing)
        for side, of, to in zip((height, width), whole, wanted, strict=True)
    )
    if rows is not None:
        tensor = graph.add("MatMul", graph.constant(rows.toarray()), tensor)
    if columns is not None:
        tensor = graph.add("MatMul", tensor, graph.constant(columns.toarray().T))
    return tensor


def _slice(graph: _Graph, tensor: str, starts: list[int], ends: list[int], axes: list[int]) -> str:
    return graph.add(
        "Slice", tensor, *(graph.constant(each, np.int64) for each in (starts, ends, axes))
    )


def _add_network(graph: _Graph, cut: Cut, weights: Any, tensor: str) -> str:
    """Add the trunk, and return the features of all wanted layers side by side."""
    tensors = {}
    for layer in cut.trunk[1:]:
        tensor = tensors[layer.name] = _add_layer(graph, layer, weights, tensor)
    features = [
        _add_vector(graph, pooling, layer, tensors[layer.name]) for layer, pooling in cut.outputs
    ]
    return features[0] if len(features) == 1 else graph.add("Concat", *features, axis=1)


def _add_layer(graph: _Graph, layer: Layer, weights: Any, tensor: str) -> str:
    if layer.kind == "pool":
        return graph.add("MaxPool", tensor, kernel_shape=[2, 2], strides=[2, 2])
    if layer.kind == "flatten":
        return _flatten(graph, tensor)
    kernel, bias = weights[layer.name]
    if layer.kind == "conv":
        kernel = graph.constant(kernel.transpose(3, 2, 0, 1))
        tensor = graph.add("Conv", tensor, kernel, graph.constant(bias), pads=[1, 1, 1, 1])
        return graph.add("Relu", tensor)
    tensor = graph.add("Gemm", tensor, graph.constant(kernel), graph.constant(bias))
    return graph.add("Softmax" if layer.name == "predictions" else "Relu", tensor)


def _add_vector(graph: _Graph, pooling: str | None, layer: Layer, tensor: str) -> str:
    if len(layer.output_shape) == 1:
        return tensor
    if pooling is None:
        return _flatten(graph, tensor)
    kind = {"avg": "GlobalAveragePool", "max": "GlobalMaxPool"}[pooling]
    return graph.add("Flatten", graph.add(kind, tensor), axis=1)


def _flatten(graph: _Graph, tensor: str) -> str:
    # Rows, columns, channels, in this order.
    return graph.add("Flatten", graph.add("Transpose", tensor, perm=[0, 2, 3, 1]), axis=1)


def _add_prediction(graph: _Graph, prediction: Prediction, features: str) -> None:
    head, meaning = prediction.head, prediction.meaning
    outputs = _add_head(graph, head, features)
    n_outputs = head.n_outputs
    if isinstance(meaning, Numbers):
        outputs = graph.add("Mul", outputs, graph.constant(meaning.scale))
        outputs = graph.add("Add", outputs, graph.constant(meaning.mean))
        if meaning.is_single:
            outputs = graph.add("Squeeze", outputs, graph.constant([1], np.int64))
        graph.output(outputs, "values", [None] if meaning.is_single else [None, n_outputs])
        return
    index = graph.add("ArgMax", outputs, axis=1, keepdims=0)
    if meaning.labels.dtype.kind in "iub":
        classes, kind = graph.constant(meaning.labels, np.int64), "INT64"
    else:
        classes, kind = graph.strings([str(label) for label in meaning.labels]), "STRING"
    graph.output(graph.add("Gather", classes, index), "label", [None], kind)
    graph.output(graph.add("Softmax", outputs, axis=1), "probabilities", [None, n_outputs])


def _add_head(graph: _Graph, head: Head, tensor: str) -> str:
    tensor = graph.add("Sub", tensor, graph.constant(head.mean))
    tensor = graph.add("Mul", tensor, graph.constant(1 / np.sqrt(head.variance)))
    for number, (kernel, bias) in enumerate(head.dense):
        if number:
            tensor = graph.add("Relu", tensor)
        tensor = graph.add("Gemm", tensor, graph.constant(kernel), graph.constant(bias))
    return tensor


def _join(model: onnx.ModelProto, rest: Pipeline, cut: Cut) -> onnx.ModelProto:
    """Put what skl2onnx makes of the other steps behind the features."""
    try:
        import skl2onnx
        from skl2onnx.common.data_types import FloatTensorType
        from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
    except ImportError as error:
        raise ImportError(
            f"{_WHO} needs the package 'skl2onnx' for a pipeline, which is not installed: install "
            'it with `pip install "sktransfer[onnx]"`.'
        ) from error
    last = rest.steps[-1][1]
    try:
        second = skl2onnx.to_onnx(
            rest,
            initial_types=[("features_in", FloatTensorType([None, cut.n_features]))],
            options={id(last): {"zipmap": False}} if is_classifier(last) else None,
            target_opset={"": _OPSET, "ai.onnx.ml": 3},
        )
    except (MissingConverter, MissingShapeCalculator) as error:
        raise TypeError(
            f"{_WHO} needs steps that skl2onnx supports. Got "
            f"{', '.join(type(step).__name__ for _, step in rest.steps)}: {error}"
        ) from error
    second.ir_version = _IR_VERSION
    onnx = _import_onnx()
    # skl2onnx names a domain once for each step; a file may name it once.
    opsets = {entry.domain: entry.version for entry in second.opset_import} | {"": _OPSET}
    del second.opset_import[:]
    second.opset_import.extend(onnx.helper.make_opsetid(*entry) for entry in opsets.items())
    names = [("features", second.graph.input[0].name)]
    return onnx.compose.merge_models(model, second, io_map=names)
