"""Features of networks in ONNX files, against ONNX Runtime."""

from __future__ import annotations

import itertools
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from sklearn.utils import estimator_checks as checks

from sktransfer import (
    FeatureStore,
    ImageFeatureExtractor,
    VGGFeatureExtractor,
    compare_transfer,
    describe_network,
    sweep_layers,
)
from sktransfer.features.preprocessing import Resizing, resize, to_255

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402 - only where it is installed

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 20, 28, 3), dtype=np.uint8)
SCALING = {"scale": 1 / 255, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
FREE = ("n", 3, "h", "w")


def _tensor(name: str, values: np.ndarray) -> Any:
    return numpy_helper.from_array(np.asarray(values), name)


def _model(
    nodes: Sequence[Any],
    initializers: Sequence[Any],
    outputs: Sequence[str],
    *,
    shape: Sequence[Any] = FREE,
    element: int = TensorProto.FLOAT,
    metadata: dict[str, str] | None = None,
) -> Any:
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("images", element, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        initializers,
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    helper.set_model_props(model, metadata or {})
    return onnx.shape_inference.infer_shapes(model)  # which outputs have to tell


def _residual(first: str = "images", **params: Any) -> Any:
    """Make a small residual network with a classifier; `first` is what its convolution reads."""
    rng = np.random.default_rng(0)

    def draw(name: str, *size: int) -> Any:
        return _tensor(name, rng.standard_normal(size).astype(np.float32) / 4)

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
    return _model(nodes, weights, params.pop("outputs", ["shares"]), **params)


def _save(model: Any, path: Path) -> Path:
    onnx.save(model, path)
    return path


def _extractor(path: Path, layer: Any = None, **params: Any) -> ImageFeatureExtractor:
    params = {"preprocessing": SCALING, "input_size": 24, "cache": None} | params
    return ImageFeatureExtractor(path, layer, **params)


def _inputs(size: int = 24) -> np.ndarray:
    resized = resize(to_255(IMAGES, (0, 255)), Resizing(size, "stretch", "bilinear", False))
    scaled = (resized / 255 - np.array(SCALING["mean"])) / np.array(SCALING["std"])
    return scaled.astype(np.float32)


def _run(model: Any, name: str, inputs: np.ndarray) -> np.ndarray:
    """Compute one tensor by ONNX Runtime, image by image."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    if name not in {output.name for output in model.graph.output}:
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    given = session.get_inputs()[0].name
    return np.concatenate([session.run([name], {given: each[None]})[0] for each in inputs])


def _error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def test_features_are_those_of_onnx_runtime(tmp_path: Path) -> None:
    model = _residual()
    path = _save(model, tmp_path / "network.onnx")
    inputs = _inputs().transpose(0, 3, 1, 2)
    extractor = _extractor(path)
    features = extractor.fit_transform(IMAGES)
    assert _error(features, _run(model, "flat", inputs)) < 1e-5
    np.testing.assert_array_equal(extractor.transform(IMAGES[[4, 1]]), features[[4, 1]])
    assert extractor.engine_ == "openvino"
    assert list(extractor.get_feature_names_out()[:1]) == ["embedding_0000"]

    layers = ["sum", "conv", "shares", "sum"]
    poolings = [None, "avg", None, "max"]
    several = _extractor(path, layers, pooling=poolings).fit_transform(IMAGES)
    maps = _run(model, "sum", inputs)
    expected = [
        maps.transpose(0, 2, 3, 1).reshape(len(maps), -1),
        _run(model, "conv", inputs).mean(axis=(2, 3)),
        _run(model, "shares", inputs),
        maps.max(axis=(2, 3)),
    ]
    assert _error(several, np.concatenate(expected, axis=1)) < 1e-5
    names = _extractor(path, "sum").fit(IMAGES).get_feature_names_out()
    assert list(names[[0, -1]]) == ["sum_r00_c00_f0", "sum_r10_c10_f7"]


def test_only_the_part_up_to_the_layer_is_kept(tmp_path: Path) -> None:
    path = _save(_residual(), tmp_path / "network.onnx")
    early = _extractor(path, "relu", pooling="avg").fit(IMAGES)
    network = early._runner.load_weights()
    part = network.cut(early._runner.cut, 1)
    assert [node.op_type for node in part.graph.node] == ["Conv", "Relu"]
    assert {tensor.name for tensor in part.graph.initializer} == {"w1", "b1"}
    assert early.weights_sha256_ != _extractor(path).fit(IMAGES).weights_sha256_


@pytest.mark.parametrize(
    ("shape", "size"),
    [(FREE, 24), (("n", 3, 24, 24), 24), ((1, 3, 24, 24), 24), ((2, 3, 24, 24), 24)],
    ids=str,
)
def test_free_and_fixed_shapes(shape: tuple[Any, ...], size: int, tmp_path: Path) -> None:
    path = _save(_residual(shape=shape), tmp_path / "network.onnx")
    is_free = "h" in shape
    extractor = _extractor(path, input_size=size if is_free else "auto").fit(IMAGES)
    assert extractor.input_size_ == size
    expected = _run(_residual(), "flat", _inputs().transpose(0, 3, 1, 2))
    assert _error(extractor.transform(IMAGES), expected) < 1e-5
    if is_free:
        with pytest.raises(ValueError, match=r"'input_size'.*Got 'auto'"):
            _extractor(path, input_size="auto").fit(IMAGES)
    else:
        with pytest.raises(ValueError, match=r"takes images of 24 x 24: leave it at 'auto'"):
            _extractor(path, input_size=32).fit(IMAGES)


def test_rectangular_images(tmp_path: Path) -> None:
    path = _save(_residual(), tmp_path / "network.onnx")
    extractor = _extractor(path, "sum", pooling="avg", input_size=(24, 40)).fit(IMAGES)
    assert extractor.input_size_ == (24, 40)
    assert extractor._runner.cut.layers[0].output_shape == (11, 19, 8)
    assert np.isfinite(extractor.transform(IMAGES)).all()


def test_channels_last(tmp_path: Path) -> None:
    turn = helper.make_node("Transpose", ["images"], ["turned"], perm=[0, 3, 1, 2])
    model = _residual("turned", before=[turn], shape=("n", "h", "w", 3))
    extractor = _extractor(_save(model, tmp_path / "network.onnx"))
    expected = _run(_residual(), "flat", _inputs().transpose(0, 3, 1, 2))
    assert _error(extractor.fit_transform(IMAGES), expected) < 1e-5


def test_several_outputs(tmp_path: Path) -> None:
    model = _residual(outputs=["pooled", "logits"])
    path = _save(model, tmp_path / "network.onnx")
    inputs = _inputs().transpose(0, 3, 1, 2)
    # The first output is no classifier: it is the embedding itself.
    features = _extractor(path).fit_transform(IMAGES)
    assert _error(features, _run(model, "pooled", inputs)[:, :, 0, 0]) < 1e-5
    assert _error(
        _extractor(path, "logits").fit_transform(IMAGES), _run(model, "logits", inputs)
    ) < (1e-5)


def test_tokens(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["patches"], strides=[8, 8]),
        helper.make_node("Reshape", ["patches", "shape"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["sequence"], perm=[0, 2, 1]),
        helper.make_node("ReduceMean", ["sequence"], ["mean"], axes=[1]),
        helper.make_node("Concat", ["mean", "sequence"], ["tokens"], axis=1),
    ]
    weights = [
        _tensor("w", rng.standard_normal((6, 3, 8, 8)).astype(np.float32)),
        _tensor("shape", np.array([0, 0, -1], np.int64)),
    ]
    model = _model(nodes, weights, ["tokens"])
    path = _save(model, tmp_path / "network.onnx")
    tokens = _run(model, "tokens", _inputs().transpose(0, 3, 1, 2))
    assert tokens.shape[1:] == (10, 6)  # 9 patches and one token before them
    assert _error(_extractor(path).fit_transform(IMAGES), tokens[:, 0]) < 1e-5
    mean = _extractor(path, "tokens", pooling="avg").fit_transform(IMAGES)
    assert _error(mean, tokens.mean(axis=1)) < 1e-5
    flat = _extractor(path, "tokens").fit_transform(IMAGES)
    assert _error(flat, tokens.reshape(len(tokens), -1)) < 1e-5
    patches = _extractor(path, "sequence").fit(IMAGES)
    assert patches._runner.cut.widths == (54,)


def test_external_data(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    onnx.save(
        _residual(), path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    inside = _extractor(_save(_residual(), tmp_path / "inside.onnx")).fit(IMAGES)
    outside = _extractor(path).fit(IMAGES)
    np.testing.assert_array_equal(outside.transform(IMAGES), inside.transform(IMAGES))
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ValueError, match="with its external data beside it"):
        _extractor(path, input_size=32).fit(IMAGES)


def test_external_data_outside_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    path = tmp_path / "inner" / "network.onnx"
    onnx.save(_residual(), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    content = path.read_bytes().replace(b"w.bin", b"../w.")
    path.write_bytes(content)
    with pytest.raises(ValueError, match="which cannot be read"):
        _extractor(path).fit(IMAGES)


def test_a_quantized_file(tmp_path: Path) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization")
    inputs = _inputs().transpose(0, 3, 1, 2)

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.left = [{"images": each[None]} for each in inputs]

        def get_next(self) -> dict[str, np.ndarray] | None:
            return self.left.pop() if self.left else None

    _save(_residual(), tmp_path / "exact.onnx")
    path = tmp_path / "network.onnx"
    quantization.quantize_static(
        tmp_path / "exact.onnx", path, Reader(), quant_format=quantization.QuantFormat.QDQ
    )
    features = _extractor(path).fit_transform(IMAGES)
    expected = _run(_residual(), "flat", inputs)
    assert 0 < _error(features, expected) < 0.1


def test_vgg16_as_an_onnx_file(shared_data: Path, tmp_path: Path) -> None:
    weights = shared_data / "weights" / "vgg16_notop.h5"
    nodes, initializers, last = [], [], "images"
    with h5py.File(weights) as file:
        for block, n_convs in enumerate((2, 2, 3, 3, 3), start=1):
            for conv in range(1, n_convs + 1):
                name = f"block{block}_conv{conv}"
                found: list[np.ndarray] = []
                file[name].visititems(
                    lambda _, item, found=found: (
                        found.append(item[...]) if isinstance(item, h5py.Dataset) else None
                    )
                )
                kernel = next(each for each in found if each.ndim == 4)
                bias = next(each for each in found if each.ndim == 1)
                initializers += [
                    _tensor(f"{name}_w", kernel.transpose(3, 2, 0, 1).copy()),
                    _tensor(f"{name}_b", bias),
                ]
                nodes += [
                    helper.make_node(
                        "Conv", [last, f"{name}_w", f"{name}_b"], [f"{name}_c"], pads=[1, 1, 1, 1]
                    ),
                    helper.make_node("Relu", [f"{name}_c"], [name]),
                ]
                last = name
            pool = f"block{block}_pool"
            nodes.append(
                helper.make_node("MaxPool", [last], [pool], kernel_shape=[2, 2], strides=[2, 2])
            )
            last = pool
    path = _save(_model(nodes, initializers, [last]), tmp_path / "vgg16.onnx")
    layers = ["block3_pool", "block5_pool"]
    features = ImageFeatureExtractor(
        path,
        layers,
        preprocessing={"order": "BGR", "mean": [103.939, 116.779, 123.68]},
        input_size=224,
        cache=None,
    ).fit_transform(IMAGES[:2])
    expected = VGGFeatureExtractor(
        ["block3_pool", "flatten"], weights=weights, cache=None
    ).fit_transform(IMAGES[:2])
    assert features.shape == expected.shape
    assert _error(features[:, :200_704], expected[:, :200_704]) < 1e-5
    assert _error(features[:, 200_704:], expected[:, 200_704:]) < 1e-5


def test_a_graph_deeper_than_python_recurses(tmp_path: Path) -> None:
    n = sys.getrecursionlimit() + 200
    chain = ["flat", *(f"same{i}" for i in range(n))]
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        *(
            helper.make_node("MatMul", [one, "identity"], [other])
            for one, other in itertools.pairwise(chain)
        ),
        helper.make_node("MatMul", [chain[-1], "w"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["logits"]),
    ]
    weights = [
        _tensor("identity", np.eye(3, dtype=np.float32)),
        _tensor("w", np.ones((3, 5), np.float32)),
        _tensor("b", np.ones(5, np.float32)),
    ]
    path = _save(_model(nodes, weights, ["logits"]), tmp_path / "deep.onnx")
    features = _extractor(path).fit_transform(IMAGES)
    assert features.shape == (5, 3)  # what the classifier at the end takes


def test_metadata_that_says_what_pixels_are(tmp_path: Path) -> None:
    said = {"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "Normalized_0_1"}
    path = _save(_residual(metadata=said), tmp_path / "network.onnx")
    own = _extractor(path, preprocessing="auto").fit(IMAGES)
    given = _extractor(path, preprocessing={"order": "BGR", "scale": 1 / 255}).fit(IMAGES)
    assert own.preprocessing_ == given.preprocessing_
    np.testing.assert_array_equal(own.transform(IMAGES), given.transform(IMAGES))
    assert "scaling: BGR" in str(describe_network(path, input_size=24))
    silent = _save(_residual(), tmp_path / "silent.onnx")
    with pytest.raises(ValueError, match=r"must say what pixels the network was trained on"):
        _extractor(silent, preprocessing="auto").fit(IMAGES)


def test_a_description(tmp_path: Path) -> None:
    path = _save(_residual(), tmp_path / "network.onnx")
    network = describe_network(path, cut="sum", input_size=24)
    assert [layer.name for layer in network.layers] == ["input", "conv", "relu", "inner", "sum"]
    assert network.layers[1].output_shape == (11, 11, 8)
    assert network.layers[1].n_parameters == 8 * 3 * 9 + 8
    assert network.layers[1].multiply_adds == 11 * 11 * 8 * 3 * 9
    with pytest.raises(ValueError, match=r"Got 'su' instead. Did you mean 'sum'"):
        describe_network(path, cut="su", input_size=24)


def test_pickles_are_small_and_hits_exact(tmp_path: Path, computed: list[int]) -> None:
    path = _save(_residual(), tmp_path / "network.onnx")
    fresh = _extractor(path).fit_transform(IMAGES)
    stored = _extractor(path, cache=FeatureStore(tmp_path / "store")).fit(IMAGES)
    stored.transform(IMAGES)
    again = pickle.loads(pickle.dumps(stored))
    computed.clear()
    np.testing.assert_array_equal(again.transform(IMAGES), fresh)
    assert computed == []
    assert len(pickle.dumps(stored)) < 50_000


def test_no_keras_is_imported(tmp_path: Path) -> None:
    import subprocess

    path = _save(_residual(), tmp_path / "network.onnx")
    code = (
        "import sys, numpy as np; from sktransfer import ImageFeatureExtractor\n"
        f"e = ImageFeatureExtractor({str(path)!r}, preprocessing={SCALING!r}, input_size=24)\n"
        "e.fit_transform(np.zeros((2, 24, 24, 3), np.uint8))\n"
        "print([name for name in ('keras', 'tensorflow') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


# -- what is wrong


def test_files_that_are_no_image_networks(tmp_path: Path) -> None:
    identity = [helper.make_node("Relu", ["images"], ["y"])]
    squash = [helper.make_node("ReduceMean", ["images"], ["y"], keepdims=0)]
    for name, model, rule in [
        ("text", _model(identity, [], ["y"], shape=("n", 16)), r"has the shape \(any, 16\)"),
        ("grey", _model(identity, [], ["y"], shape=("n", 1, 8, 8)), "converts RGB to grey"),
        ("scalar", _model(squash, [], ["y"]), "must give numbers of each image by itself"),
    ]:
        path = _save(model, tmp_path / f"{name}.onnx")
        with pytest.raises(ValueError, match=rule):
            _extractor(path).fit(IMAGES)
    graph = _residual()
    graph.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, (1,)))
    with pytest.raises(ValueError, match="with 2 inputs"):
        _extractor(_save(graph, tmp_path / "two.onnx")).fit(IMAGES)


def test_broken_files(tmp_path: Path) -> None:
    whole = _save(_residual(), tmp_path / "whole.onnx").read_bytes()
    for name, content in [("cut", whole[:200]), ("empty", b""), ("text", b"no model" * 99)]:
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="must be an ONNX file that is whole"):
            _extractor(path).fit(IMAGES)
    with pytest.raises(FileNotFoundError, match="must be the path of a file"):
        _extractor(tmp_path / "none.onnx").fit(IMAGES)


def test_what_an_onnx_file_cannot_do(tmp_path: Path) -> None:
    path = _save(_residual(), tmp_path / "network.onnx")
    with pytest.raises(ValueError, match=r"'weights'.*must be 'pretrained' for an ONNX file"):
        _extractor(path, weights=None).fit(IMAGES)
    with pytest.raises(ValueError, match=r"'engine'.*must be 'openvino' for an ONNX model"):
        _extractor(path, engine="keras").fit(IMAGES)
    with pytest.raises(TypeError, match="Keras does not read ONNX files"):
        _extractor(path).fit(IMAGES).to_keras()
    with pytest.raises(ValueError, match=r"Got 'su' instead. Did you mean 'sum'"):
        _extractor(path, "su").fit(IMAGES)


def test_a_comparison_goes_on_without_a_control(tmp_path: Path) -> None:
    path = _save(_residual(), tmp_path / "network.onnx")
    images = np.concatenate([IMAGES // 2, 127 + IMAGES // 2] * 3)
    y = np.repeat([0, 1, 0, 1, 0, 1], 5)
    result = compare_transfer(images, y, extractors={"file": _extractor(path)}, cv=2, few_labels=())
    rows = {row.name: row for row in result.rows}
    assert rows["file"].scores
    assert "an ONNX file" in rows["file, random weights"].unavailable
    assert str(result)
    sweep = sweep_layers(
        images, y, extractor=_extractor(path), poolings=["avg"], input_sizes=[32], cv=2
    )
    assert {row.variant.layer for row in sweep.rows} >= {"sum"}


@pytest.mark.filterwarnings("ignore::sktransfer.ImageWarning")
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names:UserWarning")
def test_check_estimator(tmp_path: Path) -> None:
    estimator = _extractor(_save(_residual(), tmp_path / "network.onnx"))
    results = checks.check_estimator(estimator, on_fail=None, on_skip=None)
    not_passed = {each["check_name"] for each in results if each["status"] != "passed"}
    assert not_passed <= {"check_array_api_input"}
