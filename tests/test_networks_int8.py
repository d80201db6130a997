"""Networks other than VGG in int8, against the same networks in float32."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from differences import relative_error
from joblib import Parallel, delayed

from sktransfer import FeatureStore, ImageFeatureExtractor, VGGFeatureExtractor
from sktransfer.engines.choice import is_installed
from sktransfer.engines.processor import has_instructions
from sktransfer.features.fitted import get_reader, get_runner, take_on

keras = pytest.importorskip("keras")
if not (is_installed("openvino") and has_instructions("int8")):
    pytest.skip("this machine does not compute in int8", allow_module_level=True)

# Keras saves and copies models by a function that NumPy deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 24, 28, 3), dtype=np.uint8)
OTHERS = np.random.default_rng(1).integers(0, 256, (20, 24, 28, 3), dtype=np.uint8)
layers = keras.layers


def _model() -> Any:
    """Make a network with each kind of layer that is quantized, and weights around zero."""
    images = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, strides=2, activation="silu", name="first")(images)
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    y = layers.Conv2D(8, 1, groups=2, name="grouped")(y)
    x = layers.Add(name="sum")([x, y])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(12, activation="relu", name="dense")(x)
    model = keras.Model(images, layers.Dense(3, name="classes")(x))
    rng = np.random.default_rng(2)
    model.set_weights([rng.normal(0, 0.3, w.shape).astype("f") for w in model.get_weights()])
    return model


def _extractor(model: Any, layer: Any = None, **params: Any) -> ImageFeatureExtractor:
    params = {"preprocessing": {"scale": 1 / 255}, "cache": None, "precision": "int8"} | params
    return ImageFeatureExtractor(model, layer, **params)


@pytest.fixture(scope="module")
def model() -> Any:
    return _model()


@pytest.mark.parametrize("layer", ["sum", ["depthwise", "pool"], None, "classes"])
def test_int8_is_close(model: Any, layer: Any) -> None:
    exact = _extractor(model, layer, precision="float32").fit_transform(OTHERS)
    rough = _extractor(model, layer, random_state=0).fit(IMAGES)
    assert rough.engine_ == "openvino"
    assert rough.precision_ == "int8"
    features = rough.transform(OTHERS)
    assert 1e-6 < relative_error(features, exact) < 3e-2
    # Its own bits, whatever the company and the order.
    np.testing.assert_array_equal(rough.transform(OTHERS[[3, 1]]), features[[3, 1]])
    pickled = pickle.dumps(pickle.loads(pickle.dumps(rough)))
    np.testing.assert_array_equal(pickle.loads(pickled).transform(OTHERS), features)


def test_the_first_layer_is_exact(model: Any) -> None:
    exact = _extractor(model, "first", precision="float32").fit_transform(OTHERS)
    features = _extractor(model, "first").fit(IMAGES).transform(OTHERS)
    assert relative_error(features, exact) < 1e-6


def test_ranges_are_those_of_the_inputs(model: Any) -> None:
    extractor = _extractor(model, "classes", calibration=IMAGES).fit(OTHERS)
    wanted = ["first", "depthwise", "grouped", "pool", "dense"]
    exact = _extractor(model, wanted, precision="float32").fit_transform(IMAGES)
    ends = np.cumsum(get_runner(_extractor(model, wanted).fit(IMAGES)).cut.widths)[:-1]
    first, depthwise, grouped, pool, dense = np.split(exact, ends, axis=1)
    del grouped  # the sum is what is pooled
    ranges = get_runner(extractor).config.ranges
    assert [len(low) for _, low, _ in ranges] == [8, 1, 1, 1]
    for (_, low, high), values in zip(ranges, (first, depthwise, pool, dense), strict=True):
        by_channel = values.reshape(-1, 8) if len(low) == 8 else values.reshape(-1, 1)
        np.testing.assert_allclose(low, by_channel.min(axis=0), atol=1e-5)
        np.testing.assert_allclose(high, by_channel.max(axis=0), atol=1e-5)


def test_a_layer_that_no_image_activates() -> None:
    dead = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(4, 3, activation="relu", name="dead"),
            layers.Conv2D(2, 3, name="last"),
        ]
    )
    dead.get_layer("dead").set_weights([np.zeros((3, 3, 3, 4), "f"), np.full(4, -1, "f")])
    features = _extractor(dead).fit_transform(IMAGES)
    np.testing.assert_allclose(features, 0, atol=1e-6)


def test_with_calibration_each_image_is_computed_once(
    model: Any, tmp_path: Path, computed: list[int]
) -> None:
    params = {"calibration": IMAGES[:9], "cache": FeatureStore(tmp_path)}
    first = _extractor(model, **params).fit(IMAGES).transform(IMAGES)
    computed.clear()
    np.testing.assert_array_equal(
        _extractor(model, **params).fit(OTHERS).transform(IMAGES[::2]), first[::2]
    )
    assert computed == []
    # Other images for calibration are other features.
    others = params | {"calibration": OTHERS[:9]}
    features = _extractor(model, **others).fit(IMAGES).transform(IMAGES)
    assert sum(computed) == len(IMAGES)
    assert 0 < relative_error(features, first) < 3e-2


def test_without_calibration_the_seed_draws_a_sample(model: Any) -> None:
    images = np.concatenate([IMAGES] * 6)
    images = (images * np.linspace(0.2, 1, len(images))[:, None, None, None]).astype(np.uint8)
    first, again, other = (
        get_runner(_extractor(model, random_state=seed).fit(images)).config.ranges
        for seed in (0, 0, 1)
    )
    assert first == again != other
    with pytest.raises(ValueError, match=r"'calibration'.*at most 128 images"):
        _extractor(model, calibration=images).fit(images)


@pytest.mark.parametrize("layer", ["block3_pool", "block5_pool"])
def test_vgg16_by_name_is_that_of_its_own_extractor(layer: str) -> None:
    params: dict[str, Any] = {"weights": None, "input_size": 64, "random_state": 0, "cache": None}
    # White, so that the range of the pixels, which is fixed for VGG, is the same too.
    white = np.full_like(IMAGES[:1], 255)
    params |= {"precision": "int8", "calibration": np.concatenate([IMAGES[:8], white])}
    own = VGGFeatureExtractor(layer, **params).fit(IMAGES).transform(OTHERS)
    named = ImageFeatureExtractor("VGG16", layer, **params).fit(IMAGES).transform(OTHERS)
    assert relative_error(named, own) < 1e-4


def test_another_process_gives_the_same_bits(model: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "model.keras")
    extractor = _extractor(tmp_path / "model.keras", calibration=IMAGES).fit(IMAGES)
    assert len(pickle.dumps(extractor.set_params(calibration=None))) < 10_000
    (there,) = Parallel(n_jobs=2, backend="loky")(
        delayed(_transform)(extractor, images) for images in [OTHERS]
    )
    np.testing.assert_array_equal(there, extractor.transform(OTHERS))


def _transform(extractor: ImageFeatureExtractor, images: np.ndarray) -> np.ndarray:
    return extractor.transform(images)


def test_another_conversion_is_noticed(model: Any) -> None:
    extractor = _extractor(model, calibration=IMAGES).fit(IMAGES)
    runner = get_runner(extractor)
    ranges = tuple((1 + first, *rest) for first, *rest in runner.config.ranges)
    other = replace(runner, config=replace(runner.config, ranges=ranges))
    take_on(extractor, get_reader(extractor), other, None)
    with pytest.raises(ValueError, match=r"differently than at calibration.*call fit again"):
        extractor.transform(OTHERS)


def test_an_onnx_file(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["maps"], strides=[2, 2]),
        helper.make_node("Relu", ["maps"], ["positive"]),
        helper.make_node("Conv", ["positive", "v"], ["inner"], group=8),
        helper.make_node("GlobalAveragePool", ["inner"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "u"], ["out"], transB=1),
    ]
    shapes = {"w": (8, 3, 3, 3), "v": (8, 1, 3, 3), "u": (5, 8)}
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ("n", 3, 24, 24))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ("n", 5))],
        [
            numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
            for name, shape in shapes.items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "network.onnx")
    rough = _extractor(tmp_path / "network.onnx", "out").fit(IMAGES)
    exact = _extractor(tmp_path / "network.onnx", "out", precision="float32").fit(IMAGES)
    assert 1e-6 < relative_error(rough.transform(OTHERS), exact.transform(OTHERS)) < 3e-2
    assert [len(low) for _, low, _ in get_runner(rough).config.ranges] == [8, 1]
