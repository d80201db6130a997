"""ONNX export of fitted models, from pixels to predictions.

The graph is written node by node, from the same table of layers and the same resizing weights that
the package uses elsewhere. Of the networks other than VGG only timm's need another framework's
converter, that of PyTorch.

References
----------
The operators of ONNX, https://onnx.ai/onnx/operators/ (opset 17).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sktransfer.base import name_extractor_in
from sktransfer.export.onnx_graph import (
    WHO,
    Graph,
    add_preprocessing,
    add_vector,
    import_onnx,
)
from sktransfer.export.onnx_networks import add_network, start_graph
from sktransfer.features.estimator import FeatureExtractor
from sktransfer.features.fitted import get_reader, get_runner
from sktransfer.inputs.images import CHANNELS
from sktransfer.networks import Cut, Layer
from sktransfer.training.finetuning.base import FineTuner
from sktransfer.training.finetuning.head import Head
from sktransfer.training.finetuning.prediction import NumberOutputs, Prediction
from sktransfer.training.finetuning.tuned import get_prediction

if TYPE_CHECKING:
    import onnx


def export_onnx(
    estimator: Any, path: str | os.PathLike, *, image_shape: Sequence[int] | None = None
) -> None:
    """Write a fitted model, including preprocessing, to an ONNX file.

    The input ``images`` takes float32 arrays of shape (n, height, width, n_channels) with pixel
    values like those in `fit`, without scaling or resizing. In the alpha channel, the value for
    opaque depends on the dtype of the images in `fit`: 255 after uint8 and files, 65535 after
    uint16. Predictions agree with those of the model to about 1e-4, and features to about 1e-5 of
    their length.

    Parameters
    ----------
    estimator : VGGFeatureExtractor, ImageFeatureExtractor, VGGClassifier, VGGRegressor, \
ImageClassifier, ImageRegressor or Pipeline
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
        If the model or a layer of Keras has an unsupported type, or skl2onnx does not support a
        step.
    ValueError
        If the shape is missing or invalid, the model does not compute in float32, or a network in
        an ONNX file is of an unsupported opset.
    FileNotFoundError
        If there is no such folder.
    ImportError
        If onnx, or for a pipeline skl2onnx, is not installed.

    Notes
    -----
    The outputs are ``features`` for an extractor, ``label`` and ``probabilities`` for a classifier,
    and ``values`` for a regressor. The outputs of a pipeline are named by skl2onnx, which uses the
    same names for a classifier.

    Networks of Keras are written layer by layer, on every backend; those in ONNX files are joined
    to the preprocessing in the file's own opset; those of timm are written by PyTorch. A file that
    takes a fixed number of images keeps it.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_digits
    >>> from sktransfer import VGGFeatureExtractor, export_onnx
    >>> X, y = load_digits(return_X_y=True)
    >>> extractor = VGGFeatureExtractor(
    ...     "block1_pool", weights=None, pooling="avg", input_size=32, random_state=0
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_onnx(extractor.fit(X), Path(folder, "features.onnx"))
    """
    if isinstance(estimator, Pipeline):
        extractor, *others = (step for _, step in estimator.steps if step not in ("passthrough",))
    else:
        extractor, others = estimator, []
    tuned = extractor if isinstance(extractor, FineTuner) else None
    if not isinstance(extractor, FeatureExtractor) and (others or tuned is None):
        raise TypeError(
            f"{WHO} needs a VGGFeatureExtractor, ImageFeatureExtractor, VGGClassifier, "
            "VGGRegressor, ImageClassifier, ImageRegressor, or a pipeline whose first step is one "
            f"of the first two. Got {type(extractor).__name__} as its first step."
            f"{name_extractor_in(extractor)}"
        )
    check_is_fitted(extractor)
    file = Path(path)
    if file.is_dir() or not file.parent.is_dir():
        raise FileNotFoundError(
            f"The 'path' parameter of {WHO} must name a file in a folder that exists. Got "
            f"{str(file)!r}: make its folder, or name another place."
        )
    if extractor.precision_ != "float32":
        raise ValueError(
            f"{WHO} writes networks in float32, whose predictions would differ from those in "
            f"{extractor.precision_}. Got precision={extractor.precision_!r}: fit with "
            "precision='float32'."
        )
    shape = _input_shape(extractor, image_shape)
    runner = get_runner(extractor)
    cut, weights = runner.cut, runner.load_weights()
    graph = Graph() if isinstance(cut, Cut) else start_graph(cut, weights)
    scale = get_reader(extractor).scale
    tensor = add_preprocessing(graph, scale, runner.resizing, runner.scaling, shape)
    if isinstance(cut, Cut):
        features = _add_vgg(graph, cut, weights, tensor)
    else:
        features = add_network(graph, cut, weights, tensor)
    if tuned is not None:
        _add_prediction(graph, get_prediction(tuned), features)
    else:
        graph.output(features, "features", [None, cut.n_features])
    model = graph.model(shape)
    if others:
        rest = Pipeline([(str(i), step) for i, step in enumerate(others)])
        model = _join(model, rest, cut.n_features, graph.opsets)
    import_onnx().save(model, file)


def _input_shape(extractor: Any, image_shape: Sequence[int] | None) -> tuple[int, int, int]:
    fitted = getattr(extractor, "image_shape_", None)
    if image_shape is None:
        if fitted is None:
            raise ValueError(
                f"{WHO} needs the shape of the input images, because {type(extractor).__name__} "
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
            f"The 'image_shape' parameter of {WHO} must be {rule}. Got {image_shape!r} instead."
        )
    return shape


def _add_vgg(graph: Graph, cut: Cut, weights: Any, tensor: str) -> str:
    """Add the trunk, and return the features of all wanted layers side by side."""
    tensors = {}
    for layer in cut.trunk[1:]:
        tensor = tensors[layer.name] = _add_layer(graph, layer, weights, tensor)
    features = [
        add_vector(graph, pooling, len(layer.output_shape), tensors[layer.name])
        for layer, pooling in cut.outputs
    ]
    return features[0] if len(features) == 1 else graph.add("Concat", *features, axis=1)


def _add_layer(graph: Graph, layer: Layer, weights: Any, tensor: str) -> str:
    if layer.kind == "pool":
        return graph.add("MaxPool", tensor, kernel_shape=[2, 2], strides=[2, 2])
    if layer.kind == "flatten":
        return add_vector(graph, None, 3, tensor)
    kernel, bias = weights[layer.name]
    if layer.kind == "conv":
        kernel = graph.constant(kernel.transpose(3, 2, 0, 1))
        tensor = graph.add("Conv", tensor, kernel, graph.constant(bias), pads=[1, 1, 1, 1])
        return graph.add("Relu", tensor)
    tensor = graph.add("Gemm", tensor, graph.constant(kernel), graph.constant(bias))
    return graph.add("Softmax" if layer.name == "predictions" else "Relu", tensor)


def _add_prediction(graph: Graph, prediction: Prediction, features: str) -> None:
    head, meaning = prediction.head, prediction.meaning
    outputs = _add_head(graph, head, features)
    n_outputs = head.n_outputs
    if isinstance(meaning, NumberOutputs):
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


def _add_head(graph: Graph, head: Head, tensor: str) -> str:
    tensor = graph.add("Sub", tensor, graph.constant(head.mean))
    tensor = graph.add("Mul", tensor, graph.constant(1 / np.sqrt(head.variance)))
    for number, (kernel, bias) in enumerate(head.dense):
        if number:
            tensor = graph.add("Relu", tensor)
        tensor = graph.add("Gemm", tensor, graph.constant(kernel), graph.constant(bias))
    return tensor


def _join(
    model: onnx.ModelProto, rest: Pipeline, n_features: int, opsets: Mapping[str, int]
) -> onnx.ModelProto:
    """Put what skl2onnx makes of the other steps behind the features."""
    try:
        import skl2onnx
        from skl2onnx.common.data_types import FloatTensorType
        from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
    except ImportError as error:
        raise ImportError(
            f"{WHO} needs the package 'skl2onnx' for a pipeline, which is not installed: install "
            'it with `pip install "sktransfer[onnx]"`.'
        ) from error
    last = rest.steps[-1][1]
    try:
        second = skl2onnx.to_onnx(
            rest,
            initial_types=[("features_in", FloatTensorType([None, n_features]))],
            options={id(last): {"zipmap": False}} if is_classifier(last) else None,
            target_opset={"": opsets[""], "ai.onnx.ml": opsets.get("ai.onnx.ml", 3)},
        )
    except (MissingConverter, MissingShapeCalculator) as error:
        raise TypeError(
            f"{WHO} needs steps that skl2onnx supports. Got "
            f"{', '.join(type(step).__name__ for _, step in rest.steps)}: {error}"
        ) from error
    second.ir_version = model.ir_version
    onnx = import_onnx()
    # skl2onnx names a domain once for each step; a file may name it once.
    opsets = {entry.domain: entry.version for entry in second.opset_import} | dict(opsets)
    del second.opset_import[:]
    second.opset_import.extend(onnx.helper.make_opsetid(*entry) for entry in opsets.items())
    names = [("features", second.graph.input[0].name)]
    return onnx.compose.merge_models(model, second, io_map=names)
