"""Features of networks in ONNX files, against ONNX Runtime."""

from __future__ import annotations

import itertools
import pickle
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from differences import relative_error
from sklearn.utils import estimator_checks as checks

from sktransfer import (
    FeatureStore,
    ImageFeatureExtractor,
    VGGFeatureExtractor,
    compare_transfer,
    describe_network,
    export_onnx,
    sweep_layers,
)
from sktransfer.features.fitted import get_runner
from sktransfer.features.preprocessing import Resizing, resize, to_255

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

from onnx import TensorProto, helper  # noqa: E402 - only where it is installed
from onnx_cases import (  # noqa: E402
    FREE,
    SCALING,
    make_extractor,
    make_model,
    make_residual,
    run,
    save,
    tensor,
)

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 20, 28, 3), dtype=np.uint8)


def _inputs(size: int = 24) -> np.ndarray:
    resized = resize(to_255(IMAGES, (0, 255)), Resizing(size, "stretch", "bilinear", False))
    scaled = (resized / 255 - np.array(SCALING["mean"])) / np.array(SCALING["std"])
    return scaled.astype(np.float32)


def _make(op: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    return helper.make_node(op, inputs, [output], **attributes)


def test_features_are_those_of_onnx_runtime(tmp_path: Path) -> None:
    model = make_residual()
    path = save(model, tmp_path / "network.onnx")
    inputs = _inputs().transpose(0, 3, 1, 2)
    extractor = make_extractor(path)
    features = extractor.fit_transform(IMAGES)
    assert relative_error(features, run(model, "flat", inputs)) < 1e-5
    np.testing.assert_array_equal(extractor.transform(IMAGES[[4, 1]]), features[[4, 1]])
    assert extractor.engine_ == "openvino"
    assert list(extractor.get_feature_names_out()[:1]) == ["embedding_0000"]

    layers = ["sum", "conv", "shares", "sum"]
    poolings = [None, "avg", None, "max"]
    several = make_extractor(path, layers, pooling=poolings).fit_transform(IMAGES)
    maps = run(model, "sum", inputs)
    expected = [
        maps.transpose(0, 2, 3, 1).reshape(len(maps), -1),
        run(model, "conv", inputs).mean(axis=(2, 3)),
        run(model, "shares", inputs),
        maps.max(axis=(2, 3)),
    ]
    assert relative_error(several, np.concatenate(expected, axis=1)) < 1e-5
    names = make_extractor(path, "sum").fit(IMAGES).get_feature_names_out()
    assert list(names[[0, -1]]) == ["sum_r00_c00_f0", "sum_r10_c10_f7"]


def test_only_the_part_up_to_the_layer_is_kept(tmp_path: Path) -> None:
    path = save(make_residual(), tmp_path / "network.onnx")
    early = make_extractor(path, "relu", pooling="avg").fit(IMAGES)
    network = get_runner(early).load_weights()
    part = network.cut(get_runner(early).cut, 1)
    assert [node.op_type for node in part.graph.node] == ["Conv", "Relu"]
    assert {tensor.name for tensor in part.graph.initializer} == {"w1", "b1"}
    assert early.weights_sha256_ != make_extractor(path).fit(IMAGES).weights_sha256_


@pytest.mark.parametrize(
    ("shape", "size"),
    [(FREE, 24), (("n", 3, 24, 24), 24), ((1, 3, 24, 24), 24), ((2, 3, 24, 24), 24)],
    ids=str,
)
def test_free_and_fixed_shapes(shape: tuple[Any, ...], size: int, tmp_path: Path) -> None:
    path = save(make_residual(shape=shape), tmp_path / "network.onnx")
    is_free = "h" in shape
    extractor = make_extractor(path, input_size=size if is_free else "auto").fit(IMAGES)
    assert extractor.input_size_ == size
    expected = run(make_residual(), "flat", _inputs().transpose(0, 3, 1, 2))
    assert relative_error(extractor.transform(IMAGES), expected) < 1e-5
    if is_free:
        with pytest.raises(ValueError, match=r"'input_size'.*Got 'auto'"):
            make_extractor(path, input_size="auto").fit(IMAGES)
    else:
        with pytest.raises(ValueError, match=r"takes images of 24 x 24: leave it at 'auto'"):
            make_extractor(path, input_size=32).fit(IMAGES)


def _say_shape(model: Any, name: str, width: int) -> None:
    """Write the shape of the output into a file, where onnx does not know it."""
    output = helper.make_tensor_value_info(name, TensorProto.FLOAT, ("n", width))
    model.graph.output[0].CopyFrom(output)


#: Nodes that compute numbers on which shapes depend, and those numbers that are in the file.
COMPUTED: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "borders, as PyTorch writes ZeroPad2d": (
        [
            _make("ConstantOfShape", ["n_others"], "others", value=tensor("", np.zeros(1, int))),
            _make("Concat", ["borders", "others"], "all", axis=0),
            _make("Reshape", ["all", "pairs"], "paired"),
            _make("Slice", ["paired", "last", "end", "axis", "last"], "turned"),
            _make("Transpose", ["turned"], "columns", perm=[1, 0]),
            _make("Reshape", ["columns", "last"], "flat_pads"),
            _make("Cast", ["flat_pads"], "pads", to=TensorProto.INT64),
            _make("Pad", ["images", "pads"], "ready"),
        ],
        {
            **{"n_others": [4], "borders": [1, 2, 3, 4], "pairs": [-1, 2]},
            **{"last": [-1], "end": [np.iinfo(np.int64).min], "axis": [0]},
        },
    ),
    "a size, by arithmetic": (
        [
            _make("Shape", ["images"], "whole"),
            _make("Slice", ["whole", "two", "four"], "size"),
            _make("Cast", ["size"], "fraction", to=TensorProto.FLOAT),
            _make("Mul", ["fraction", "three_quarters"], "smaller"),
            _make("Floor", ["smaller"], "floored"),
            _make("Cast", ["floored"], "new_size", to=TensorProto.INT64),
            _make("Slice", ["whole", "zero", "two"], "kept"),
            _make("Concat", ["kept", "new_size"], "sizes", axis=0),
            _make("Resize", ["images", "", "", "sizes"], "ready", mode="nearest"),
        ],
        {"zero": [0], "two": [2], "four": [4], "three_quarters": np.float32([0.75])},
    ),
}


@pytest.mark.parametrize("what", COMPUTED)
@pytest.mark.parametrize("shape", [FREE, ("n", 3, 24, 24)], ids=str)
def test_shapes_that_follow_from_computed_numbers(
    what: str, shape: tuple[Any, ...], tmp_path: Path
) -> None:
    nodes, numbers = COMPUTED[what]
    model = make_residual("ready", before=nodes, shape=shape)
    model.graph.initializer.extend(tensor(name, values) for name, values in numbers.items())
    _say_shape(model, "shares", 4)
    path = save(model, tmp_path / "network.onnx")
    inputs = _inputs().transpose(0, 3, 1, 2)
    assert (
        relative_error(make_extractor(path).fit_transform(IMAGES), run(model, "flat", inputs))
        < 1e-5
    )
    known = {layer.name for layer in describe_network(path, input_size=24).layers}
    assert known >= {"ready", "conv", "relu", "inner", "sum", "pooled", "flat", "logits", "shares"}
    maps = run(model, "sum", inputs).transpose(0, 2, 3, 1)
    features = make_extractor(path, "sum").fit_transform(IMAGES)
    assert relative_error(features.reshape(maps.shape), maps) < 1e-5


def test_rectangular_images(tmp_path: Path) -> None:
    path = save(make_residual(), tmp_path / "network.onnx")
    extractor = make_extractor(path, "sum", pooling="avg", input_size=(24, 40)).fit(IMAGES)
    assert extractor.input_size_ == (24, 40)
    assert get_runner(extractor).cut.layers[0].output_shape == (11, 19, 8)
    assert np.isfinite(extractor.transform(IMAGES)).all()


def test_channels_last(tmp_path: Path) -> None:
    turn = helper.make_node("Transpose", ["images"], ["turned"], perm=[0, 3, 1, 2])
    model = make_residual("turned", before=[turn], shape=("n", "h", "w", 3))
    extractor = make_extractor(save(model, tmp_path / "network.onnx"))
    expected = run(make_residual(), "flat", _inputs().transpose(0, 3, 1, 2))
    assert relative_error(extractor.fit_transform(IMAGES), expected) < 1e-5


#: Nodes that give maps with their channels last or first, of images with theirs first.
LAYOUTS: dict[str, tuple[list[Any], bool]] = {
    "turned": ([_make("Transpose", ["sum"], "maps", perm=[0, 2, 3, 1])], True),
    "turned, then changed": (
        [
            _make("Transpose", ["sum"], "turned", perm=[0, 2, 3, 1]),
            _make("Relu", ["turned"], "changed"),
            _make("Add", ["changed", "more"], "maps"),
        ],
        True,
    ),
    "known by what follows": (
        [
            _make("Transpose", ["sum"], "turned", perm=[0, 2, 3, 1]),
            _make("Reshape", ["turned", "same"], "maps"),
            _make("Transpose", ["maps"], "back", perm=[0, 3, 1, 2]),
            _make("MaxPool", ["back"], "end", kernel_shape=[2, 2]),
        ],
        True,
    ),
    "there and back": (
        [
            _make("Transpose", ["sum"], "turned", perm=[0, 2, 3, 1]),
            _make("LayerNormalization", ["turned", "eights"], "normalized", axis=-1),
            _make("Transpose", ["normalized"], "maps", perm=[0, 3, 1, 2]),
        ],
        False,
    ),
}


def _with_layout(nodes: list[Any], first: str = "images", **params: Any) -> Any:
    model = make_residual(first, **params)
    model.graph.node.extend(nodes)
    more = {"more": np.ones(1, np.float32), "eights": np.full(8, 8, np.float32)}
    more["same"] = np.array([0, 0, 0, 0])
    model.graph.initializer.extend(tensor(name, values) for name, values in more.items())
    return model


@pytest.mark.parametrize("what", LAYOUTS)
def test_channels_are_where_the_graph_has_them(what: str, tmp_path: Path) -> None:
    nodes, is_last = LAYOUTS[what]
    model = _with_layout(nodes)
    path = save(model, tmp_path / "network.onnx")
    maps = run(model, "maps", _inputs().transpose(0, 3, 1, 2))
    maps = maps if is_last else maps.transpose(0, 2, 3, 1)
    (layer,) = (
        each for each in describe_network(path, input_size=24).layers if each.name == "maps"
    )
    assert layer.output_shape == (11, 11, 8)
    flat, pooled = (make_extractor(path, "maps", pooling=how).fit(IMAGES) for how in (None, "avg"))
    assert relative_error(flat.transform(IMAGES), maps.reshape(len(maps), -1)) < 1e-5
    assert relative_error(pooled.transform(IMAGES), maps.mean(axis=(1, 2))) < 1e-5
    export_onnx(pooled, tmp_path / "exported.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "exported.onnx")
    (exported,) = session.run(["features"], {"images": IMAGES.astype(np.float32)})
    assert relative_error(exported, maps.mean(axis=(1, 2))) < 1e-5


def test_maps_inside_are_those_of_convolutions(tmp_path: Path) -> None:
    turn = helper.make_node("Transpose", ["images"], ["turned"], perm=[0, 3, 1, 2])
    model = make_residual("turned", before=[turn], shape=("n", "h", "w", 3), outputs=["sum"])
    path = save(model, tmp_path / "network.onnx")
    extractor = make_extractor(path).fit(IMAGES)
    expected = run(model, "sum", _inputs()).mean(axis=(2, 3))
    assert relative_error(extractor.transform(IMAGES), expected) < 1e-5
    assert get_runner(extractor).cut.layers[0].output_shape == (11, 11, 8)


def test_maps_of_unknown_layout_are_an_error(tmp_path: Path) -> None:
    heads = [_make("Reshape", ["sum", "heads"], "unknown"), _make("Relu", ["unknown"], "after")]
    model = _with_layout(heads)
    model.graph.initializer.append(tensor("heads", np.array([0, 2, 4, -1])))
    path = save(model, tmp_path / "network.onnx")
    for name in ("unknown", "after"):
        with pytest.raises(ValueError, match=r"known where the channels stand.*2 x 4 x 121"):
            make_extractor(path, name).fit(IMAGES)
    assert make_extractor(path, "sum").fit(IMAGES).n_features_out_ == 11 * 11 * 8


def test_several_outputs(tmp_path: Path) -> None:
    model = make_residual(outputs=["pooled", "logits"])
    path = save(model, tmp_path / "network.onnx")
    inputs = _inputs().transpose(0, 3, 1, 2)
    # The first output is no classifier: it is the embedding itself.
    features = make_extractor(path).fit_transform(IMAGES)
    assert relative_error(features, run(model, "pooled", inputs)[:, :, 0, 0]) < 1e-5
    assert relative_error(
        make_extractor(path, "logits").fit_transform(IMAGES), run(model, "logits", inputs)
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
        tensor("w", rng.standard_normal((6, 3, 8, 8)).astype(np.float32)),
        tensor("shape", np.array([0, 0, -1], np.int64)),
    ]
    model = make_model(nodes, weights, ["tokens"])
    path = save(model, tmp_path / "network.onnx")
    tokens = run(model, "tokens", _inputs().transpose(0, 3, 1, 2))
    assert tokens.shape[1:] == (10, 6)  # 9 patches and one token before them
    assert relative_error(make_extractor(path).fit_transform(IMAGES), tokens[:, 0]) < 1e-5
    mean = make_extractor(path, "tokens", pooling="avg").fit_transform(IMAGES)
    assert relative_error(mean, tokens.mean(axis=1)) < 1e-5
    flat = make_extractor(path, "tokens").fit_transform(IMAGES)
    assert relative_error(flat, tokens.reshape(len(tokens), -1)) < 1e-5
    patches = make_extractor(path, "sequence").fit(IMAGES)
    assert get_runner(patches).cut.widths == (54,)


def test_external_data(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    onnx.save(
        make_residual(), path, save_as_external_data=True, location="weights.bin", size_threshold=0
    )
    inside = make_extractor(save(make_residual(), tmp_path / "inside.onnx")).fit(IMAGES)
    outside = make_extractor(path).fit(IMAGES)
    np.testing.assert_array_equal(outside.transform(IMAGES), inside.transform(IMAGES))
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ValueError, match="with its external data beside it"):
        make_extractor(path, input_size=32).fit(IMAGES)


def test_external_data_outside_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    path = tmp_path / "inner" / "network.onnx"
    onnx.save(make_residual(), path, save_as_external_data=True, location="w.bin", size_threshold=0)
    content = path.read_bytes().replace(b"w.bin", b"../w.")
    path.write_bytes(content)
    with pytest.raises(ValueError, match="which cannot be read"):
        make_extractor(path).fit(IMAGES)


def test_a_quantized_file(tmp_path: Path) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization")
    inputs = _inputs().transpose(0, 3, 1, 2)

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self.left = [{"images": each[None]} for each in inputs]

        def get_next(self) -> dict[str, np.ndarray] | None:
            return self.left.pop() if self.left else None

    save(make_residual(), tmp_path / "exact.onnx")
    path = tmp_path / "network.onnx"
    quantization.quantize_static(
        tmp_path / "exact.onnx", path, Reader(), quant_format=quantization.QuantFormat.QDQ
    )
    features = make_extractor(path).fit_transform(IMAGES)
    expected = run(make_residual(), "flat", inputs)
    assert 0 < relative_error(features, expected) < 0.1


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
                    tensor(f"{name}_w", kernel.transpose(3, 2, 0, 1).copy()),
                    tensor(f"{name}_b", bias),
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
    path = save(make_model(nodes, initializers, [last]), tmp_path / "vgg16.onnx")
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
    assert relative_error(features[:, :200_704], expected[:, :200_704]) < 1e-5
    assert relative_error(features[:, 200_704:], expected[:, 200_704:]) < 1e-5


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
        tensor("identity", np.eye(3, dtype=np.float32)),
        tensor("w", np.ones((3, 5), np.float32)),
        tensor("b", np.ones(5, np.float32)),
    ]
    path = save(make_model(nodes, weights, ["logits"]), tmp_path / "deep.onnx")
    features = make_extractor(path).fit_transform(IMAGES)
    assert features.shape == (5, 3)  # what the classifier at the end takes


def test_metadata_that_says_what_pixels_are(tmp_path: Path) -> None:
    said = {"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "Normalized_0_1"}
    path = save(make_residual(metadata=said), tmp_path / "network.onnx")
    own = make_extractor(path, preprocessing="auto").fit(IMAGES)
    given = make_extractor(path, preprocessing={"order": "BGR", "scale": 1 / 255}).fit(IMAGES)
    assert own.preprocessing_ == given.preprocessing_
    np.testing.assert_array_equal(own.transform(IMAGES), given.transform(IMAGES))
    assert "scaling: BGR" in str(describe_network(path, input_size=24))
    silent = save(make_residual(), tmp_path / "silent.onnx")
    with pytest.raises(ValueError, match=r"must say what pixels the network was trained on"):
        make_extractor(silent, preprocessing="auto").fit(IMAGES)


def test_a_description(tmp_path: Path) -> None:
    path = save(make_residual(), tmp_path / "network.onnx")
    network = describe_network(path, cut="sum", input_size=24)
    assert [layer.name for layer in network.layers] == ["input", "conv", "relu", "inner", "sum"]
    assert network.layers[1].output_shape == (11, 11, 8)
    assert network.layers[1].n_parameters == 8 * 3 * 9 + 8
    assert network.layers[1].multiply_adds == 11 * 11 * 8 * 3 * 9
    with pytest.raises(ValueError, match=r"Got 'su' instead. Did you mean 'sum'"):
        describe_network(path, cut="su", input_size=24)


def test_pickles_are_small_and_hits_exact(tmp_path: Path, computed: list[int]) -> None:
    path = save(make_residual(), tmp_path / "network.onnx")
    fresh = make_extractor(path).fit_transform(IMAGES)
    stored = make_extractor(path, cache=FeatureStore(tmp_path / "store")).fit(IMAGES)
    stored.transform(IMAGES)
    again = pickle.loads(pickle.dumps(stored))
    computed.clear()
    np.testing.assert_array_equal(again.transform(IMAGES), fresh)
    assert computed == []
    assert len(pickle.dumps(stored)) < 50_000


def test_no_keras_is_imported(tmp_path: Path) -> None:
    import subprocess

    path = save(make_residual(), tmp_path / "network.onnx")
    code = (
        "import sys, numpy as np; from sktransfer import ImageFeatureExtractor\n"
        f"e = ImageFeatureExtractor({str(path)!r}, preprocessing={SCALING!r}, input_size=24)\n"
        "e.fit_transform(np.zeros((2, 24, 24, 3), np.uint8))\n"
        "print([name for name in ('keras', 'tensorflow') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


# -- the type of the input


def _pixels(interpolation: str = "bilinear") -> np.ndarray:
    """Resize images without scaling, channels first."""
    resizing = Resizing(24, "stretch", interpolation, False)
    return resize(to_255(IMAGES, (0, 255)), resizing).transpose(0, 3, 1, 2)


def _cast(element: int, **params: Any) -> Any:
    """Make a network whose input is of another type, which it casts."""
    cast = helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT)
    return make_residual("floats", before=[cast], element=element, **params)


# OpenVINO may leave out the way to half precision and back.
@pytest.mark.parametrize(
    ("element", "bound"), [(TensorProto.FLOAT16, 1e-4), (TensorProto.DOUBLE, 1e-5)]
)
def test_inputs_of_other_floats(element: int, bound: float, tmp_path: Path) -> None:
    path = save(_cast(element), tmp_path / "network.onnx")
    expected = run(make_residual(), "flat", _inputs().transpose(0, 3, 1, 2))
    assert relative_error(make_extractor(path).fit_transform(IMAGES), expected) < bound


def test_a_network_in_half_precision(tmp_path: Path) -> None:
    half = make_residual(dtype=np.float16, element=TensorProto.FLOAT16, result=TensorProto.FLOAT16)
    features = make_extractor(save(half, tmp_path / "half.onnx")).fit_transform(IMAGES)
    expected = run(make_residual(), "flat", _inputs().transpose(0, 3, 1, 2))
    assert features.dtype == np.float32
    assert 0 < relative_error(features, expected) < 1e-2


@pytest.mark.parametrize("element", ["UINT8", "INT16", "UINT16", "INT32", "UINT32", "INT64"])
@pytest.mark.parametrize("interpolation", ["bilinear", "lanczos3"])
def test_pixels_are_rounded_for_whole_numbers(
    element: str, interpolation: str, tmp_path: Path
) -> None:
    path = save(_cast(getattr(TensorProto, element)), tmp_path / "network.onnx")
    extractor = make_extractor(path, preprocessing={"order": "BGR"}, interpolation=interpolation)
    pixels = _pixels(interpolation)
    assert (pixels.min() < 0) == (interpolation == "lanczos3")  # it reaches over both ends
    whole = np.clip(np.rint(pixels), 0, 255)[:, ::-1]
    expected = run(make_residual(), "flat", np.ascontiguousarray(whole))
    assert relative_error(extractor.fit_transform(IMAGES), expected) < 1e-5


def test_scaled_pixels_are_not_rounded_to_whole_numbers(tmp_path: Path) -> None:
    said = {"Image.BitmapPixelFormat": "Rgb8", "Image.NominalPixelRange": "Normalized_0_1"}
    path = save(_cast(TensorProto.UINT8, metadata=said), tmp_path / "network.onnx")
    for preprocessing in (SCALING, {"scale": 1 / 255}, {"mean": 127.5}, {"std": 2}, "auto"):
        with pytest.raises(ValueError, match=r"'preprocessing'.* must leave pixels as they are"):
            make_extractor(path, preprocessing=preprocessing).fit(IMAGES)
    for element in (TensorProto.INT8, TensorProto.BOOL):
        save(_cast(element), path)
        with pytest.raises(
            ValueError, match=r"must take images of floats, or of whole .* (INT8|B)"
        ):
            make_extractor(path).fit(IMAGES)


def test_files_of_other_inputs_share_no_features(tmp_path: Path, computed: list[int]) -> None:
    store = FeatureStore(tmp_path / "store")
    found = []
    for element in (TensorProto.UINT8, TensorProto.FLOAT16, TensorProto.FLOAT):
        path = save(_cast(element), tmp_path / f"{element}.onnx")
        extractor = make_extractor(path, preprocessing={"order": "RGB"}, cache=store)
        found.append(extractor.fit_transform(IMAGES))
    assert sum(computed) == 3 * len(IMAGES)
    assert not np.array_equal(found[0], found[2])


# -- all tensors


def test_every_tensor_of_a_node_is_a_layer(tmp_path: Path) -> None:
    halves = helper.make_node("Split", ["conv"], ["left", "right"], axis=1)
    model = _with_more([halves, helper.make_node("TopK", ["flat", "k"], ["largest", "where"])])
    path = save(model, tmp_path / "network.onnx")
    inputs = _inputs().transpose(0, 3, 1, 2)
    maps = make_extractor(path, ["right", "largest"], pooling=["avg", None])
    right, largest = (run(model, name, inputs) for name in ("right", "largest"))
    expected = np.concatenate([right.mean(axis=(2, 3)), largest], axis=1)
    assert relative_error(maps.fit_transform(IMAGES), expected) < 1e-5
    # What is not of floats is none, and what is beside the wanted one is not part of it.
    with pytest.raises(ValueError, match=r"Got 'where' instead"):
        make_extractor(path, "where").fit(IMAGES)
    network = describe_network(path, cut="right", input_size=24)
    assert [layer.name for layer in network.layers] == ["input", "conv", "right"]


def _with_more(nodes: list[Any]) -> Any:
    """Add nodes to the small network, whose outputs nothing reads."""
    model = make_residual()
    model.graph.node.extend(nodes)
    model.graph.initializer.append(tensor("k", np.array([3], np.int64)))
    return model


# -- one image at a time


def _quantized(model: Any, path: Path) -> Path:
    quantization = pytest.importorskip("onnxruntime.quantization")
    save(model, path.with_suffix(".exact.onnx"))
    quantization.quantize_dynamic(path.with_suffix(".exact.onnx"), path)
    return path


def _rounded_per_call(shape: Any = FREE) -> Any:
    """Make a network that rounds maps to 256 levels between their least and largest value."""
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["maps"], strides=[2, 2]),
        helper.make_node("DynamicQuantizeLinear", ["maps"], ["levels", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["levels", "scale", "zero"], ["rounded"]),
        helper.make_node("GlobalAveragePool", ["rounded"], ["pooled"]),
    ]
    kernel = np.random.default_rng(0).standard_normal((8, 3, 3, 3)).astype(np.float32)
    return make_model(nodes, [tensor("w", kernel)], ["pooled"], shape=shape)


@pytest.mark.parametrize("kind", ["by hand", "by ONNX Runtime"])
def test_levels_are_those_of_one_image(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    if kind == "by hand":
        save(_rounded_per_call(), path)
    else:
        _quantized(make_residual(), path)
    model = onnx.load(path)
    assert "DynamicQuantizeLinear" in {node.op_type for node in model.graph.node}
    images = np.stack([IMAGES[0] // 8, IMAGES[1], IMAGES[2] // 3])
    extractor = make_extractor(path).fit(images)
    together = extractor.transform(images)
    alone = np.concatenate([extractor.transform(images[i : i + 1]) for i in range(3)])
    np.testing.assert_array_equal(together, alone)
    resizing = Resizing(24, "stretch", "bilinear", False)
    scaled = resize(to_255(images, (0, 255)), resizing) / 255 - np.array(SCALING["mean"])
    inputs = (scaled / np.array(SCALING["std"])).astype(np.float32).transpose(0, 3, 1, 2)
    expected = run(model, get_runner(extractor).cut.layers[0].name, inputs).reshape(together.shape)
    assert relative_error(together, expected) < 1e-3


def test_levels_of_several_images_are_refused(tmp_path: Path) -> None:
    path = save(_rounded_per_call((2, 3, 24, 24)), tmp_path / "network.onnx")
    with pytest.raises(ValueError, match=r"in any company.* takes 2 images at a time.*Dynamic"):
        make_extractor(path).fit(IMAGES)
    save(_rounded_per_call((1, 3, 24, 24)), path)
    assert make_extractor(path).fit_transform(IMAGES).shape == (5, 8)


def _normalization(**params: Any) -> Any:
    outputs = ["after", "mean", "var"] if params.get("training_mode") else ["after"]
    inputs = ["conv", "b1", "b1", "b1", "variance"]
    return helper.make_node("BatchNormalization", inputs, outputs, **params)


def _inside(node: Any) -> Any:
    """Put a node where only one of two branches of a graph reaches it."""
    graphs = {
        f"{name}_branch": helper.make_graph(
            [each], name, [], [helper.make_tensor_value_info(each.output[0], 1, None)]
        )
        for name, each in {
            "then": node,
            "else": helper.make_node("Identity", ["conv"], ["same"]),
        }.items()
    }
    return helper.make_node("If", ["yes"], ["after"], **graphs)


TRAINING = {
    "BatchNormalization in training mode": _normalization(training_mode=1),
    "Dropout in training mode": helper.make_node("Dropout", ["conv", "", "yes"], ["after"]),
    "RandomNormalLike": helper.make_node("RandomNormalLike", ["conv"], ["after"]),
    "RandomUniform": helper.make_node("RandomUniform", [], ["after"], shape=[1, 8, 1, 1]),
    "Multinomial": helper.make_node("Multinomial", ["flat"], ["after"]),
    "Bernoulli": _inside(helper.make_node("Bernoulli", ["conv"], ["drawn"])),
}


def _with_node(node: Any) -> Any:
    model = _with_more([node])
    more = {"yes": True, "no": False, "variance": np.full(8, 0.3, np.float32)}
    model.graph.initializer.extend(tensor(name, values) for name, values in more.items())
    return model


@pytest.mark.parametrize("kind", list(TRAINING))
def test_files_that_train_or_draw_are_refused(kind: str, tmp_path: Path) -> None:
    path = save(_with_node(TRAINING[kind]), tmp_path / "network.onnx")
    with pytest.raises(ValueError, match=rf"same features .* with {kind}: export it in evaluation"):
        make_extractor(path).fit(IMAGES)


@pytest.mark.parametrize(
    "node",
    [
        _normalization(),
        helper.make_node("Dropout", ["conv", "", "no"], ["after"]),
        helper.make_node("Dropout", ["conv"], ["after"]),
    ],
    ids=["BatchNormalization", "Dropout", "Dropout without a mode"],
)
def test_layers_in_inference_mode_are_not(node: Any, tmp_path: Path) -> None:
    model = _with_node(node)
    extractor = make_extractor(save(model, tmp_path / "network.onnx"), "after")
    expected = run(model, "after", _inputs().transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    features = extractor.fit_transform(IMAGES).reshape(expected.shape)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


# -- what is wrong


def test_files_that_are_no_image_networks(tmp_path: Path) -> None:
    identity = [helper.make_node("Relu", ["images"], ["y"])]
    squash = [helper.make_node("ReduceMean", ["images"], ["y"], keepdims=0)]
    for name, model, rule in [
        ("text", make_model(identity, [], ["y"], shape=("n", 16)), r"has the shape \(any, 16\)"),
        ("grey", make_model(identity, [], ["y"], shape=("n", 1, 8, 8)), "converts RGB to grey"),
        ("scalar", make_model(squash, [], ["y"]), "must give numbers of each image by itself"),
    ]:
        path = save(model, tmp_path / f"{name}.onnx")
        with pytest.raises(ValueError, match=rule):
            make_extractor(path).fit(IMAGES)
    graph = make_residual()
    graph.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, (1,)))
    with pytest.raises(ValueError, match="with 2 inputs"):
        make_extractor(save(graph, tmp_path / "two.onnx")).fit(IMAGES)


def test_an_operator_that_openvino_lacks(tmp_path: Path) -> None:
    more = [_make("MatMul", ["inner", "inner"], "square"), _make("Det", ["square"], "det")]
    model = make_residual(outputs=["det"])
    model.graph.node.extend(more)
    _say_shape(model, "det", 8)
    path = save(model, tmp_path / "network.onnx")
    with pytest.raises(ValueError, match=r"that OpenVINO can run.*Det.*export it up to the layer"):
        make_extractor(path).fit(IMAGES)


def test_features_that_depend_on_other_images_are_an_error(tmp_path: Path) -> None:
    model = _with_layout([_make("Softmax", ["flat"], "shared", axis=0)])
    path = save(model, tmp_path / "network.onnx")
    extractor = make_extractor(path, "shared").fit(IMAGES)
    with pytest.raises(ValueError, match=r"must not depend on the other images.*'shared' gives"):
        extractor.transform(IMAGES)
    assert np.isfinite(make_extractor(path).fit_transform(IMAGES)).all()


def test_a_graph_that_does_not_fit_the_size(tmp_path: Path) -> None:
    nodes = [_make("Flatten", ["images"], "flat"), _make("MatMul", ["flat", "w"], "y")]
    model = make_model(nodes, [tensor("w", np.ones((3 * 8 * 8, 2), np.float32))], ["y"])
    path = save(model, tmp_path / "network.onnx")
    assert make_extractor(path, input_size=8).fit_transform(IMAGES).shape == (5, 3 * 8 * 8)
    with pytest.raises(
        ValueError, match=r"for images of 9 pixels.*input_size that it was exported"
    ):
        make_extractor(path, input_size=9).fit(IMAGES)


def test_broken_files(tmp_path: Path) -> None:
    whole = save(make_residual(), tmp_path / "whole.onnx").read_bytes()
    for name, content in [("cut", whole[:200]), ("empty", b""), ("text", b"no model" * 99)]:
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="must be an ONNX file that is whole"):
            make_extractor(path).fit(IMAGES)
    with pytest.raises(FileNotFoundError, match="must be the path of a file"):
        make_extractor(tmp_path / "none.onnx").fit(IMAGES)


def test_what_an_onnx_file_cannot_do(tmp_path: Path) -> None:
    path = save(make_residual(), tmp_path / "network.onnx")
    with pytest.raises(ValueError, match=r"'weights'.*must be 'pretrained' for an ONNX file"):
        make_extractor(path, weights=None).fit(IMAGES)
    with pytest.raises(ValueError, match=r"'engine'.*must be 'openvino' for an ONNX model"):
        make_extractor(path, engine="keras").fit(IMAGES)
    with pytest.raises(TypeError, match="Keras does not read ONNX files"):
        make_extractor(path).fit(IMAGES).to_keras()
    with pytest.raises(ValueError, match=r"Got 'su' instead. Did you mean 'sum'"):
        make_extractor(path, "su").fit(IMAGES)


def test_a_comparison_goes_on_without_a_control(tmp_path: Path) -> None:
    path = save(make_residual(), tmp_path / "network.onnx")
    images = np.concatenate([IMAGES // 2, 127 + IMAGES // 2] * 3)
    y = np.repeat([0, 1, 0, 1, 0, 1], 5)
    result = compare_transfer(
        images, y, extractors={"file": make_extractor(path)}, cv=2, few_labels=()
    )
    rows = {row.name: row for row in result.rows}
    assert rows["file"].scores
    assert "an ONNX file" in rows["file, random weights"].unavailable
    assert str(result)
    sweep = sweep_layers(
        images, y, extractor=make_extractor(path), poolings=["avg"], input_sizes=[32], cv=2
    )
    assert {row.variant.layer for row in sweep.rows} >= {"sum"}


@pytest.mark.filterwarnings("ignore::sktransfer.ImageWarning")
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names:UserWarning")
def test_check_estimator(tmp_path: Path) -> None:
    estimator = make_extractor(save(make_residual(), tmp_path / "network.onnx"))
    results = checks.check_estimator(estimator, on_fail=None, on_skip=None)
    not_passed = {each["check_name"] for each in results if each["status"] != "passed"}
    assert not_passed <= {"check_array_api_input"}
