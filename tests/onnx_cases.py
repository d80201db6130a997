"""Small networks in ONNX files, for all tests of these."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from sktransfer import ImageFeatureExtractor

SCALING = {"scale": 1 / 255, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
FREE = ("n", 3, "h", "w")


def tensor(name: str, values: Any) -> Any:
    return numpy_helper.from_array(np.asarray(values), name)


def make_model(
    nodes: Sequence[Any],
    initializers: Sequence[Any],
    outputs: Sequence[str],
    *,
    shape: Sequence[Any] = FREE,
    element: int = TensorProto.FLOAT,
    result: int = TensorProto.FLOAT,
    metadata: dict[str, str] | None = None,
) -> Any:
    """Make a model; `element` is the type of its input, `result` that of its outputs."""
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("images", element, shape)],
        [helper.make_tensor_value_info(name, result, None) for name in outputs],
        initializers,
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    helper.set_model_props(model, metadata or {})
    return onnx.shape_inference.infer_shapes(model)  # which outputs have to tell


def make_residual(first: str = "images", dtype: type = np.float32, **params: Any) -> Any:
    """Make a small residual network with a classifier; `first` is what its convolution reads."""
    rng = np.random.default_rng(0)

    def draw(name: str, *size: int) -> Any:
        return tensor(name, (rng.standard_normal(size).astype(np.float32) / 4).astype(dtype))

    before = params.pop("before", [])
    nodes = [
        *before,
        helper.make_node("Conv", [first, "w1", "b1"], ["conv"], strides=[2, 2]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("Conv", ["relu", "w2"], ["inner"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["relu", "inner"], ["sum"]),
        helper.make_node("GlobalAveragePool", ["sum"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w3"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["shares"]),
    ]
    weights = [draw("w1", 8, 3, 3, 3), draw("b1", 8), draw("w2", 8, 8, 3, 3), draw("w3", 8, 4)]
    return make_model(nodes, weights, params.pop("outputs", ["shares"]), **params)


def save(model: Any, path: Path) -> Path:
    onnx.save(model, path)
    return path


def make_extractor(path: Path, layer: Any = None, **params: Any) -> ImageFeatureExtractor:
    params = {"preprocessing": SCALING, "input_size": 24, "cache": None} | params
    return ImageFeatureExtractor(path, layer, **params)


def run(model: Any, name: str, inputs: np.ndarray) -> np.ndarray:
    """Compute one tensor by ONNX Runtime, image by image."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    if name not in {output.name for output in model.graph.output}:
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    given = session.get_inputs()[0].name
    return np.concatenate([session.run([name], {given: each[None]})[0] for each in inputs])
