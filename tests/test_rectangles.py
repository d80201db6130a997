"""VGG on images that are no squares: every engine, name, drawing and file."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image

from sktransfer import (
    ArchitectureDisplay,
    FeatureMapDisplay,
    LayerSweepDisplay,
    VGGFeatureExtractor,
    describe_network,
    export_onnx,
    extract,
    sweep_layers,
    sweep_networks,
)
from sktransfer.engines.choice import is_installed
from sktransfer.engines.processor import has_instructions
from sktransfer.features.fitted import get_runner
from sktransfer.features.preprocessing import Resizing, preprocess
from sktransfer.networks import list_layers, plan_cut

SIZE = (48, 96)
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 50, 70, 3), dtype=np.uint8)


def _extractor(layer: Any = "block3_pool", **params: Any) -> VGGFeatureExtractor:
    params = {"weights": None, "input_size": SIZE, "random_state": 0, "cache": None} | params
    return VGGFeatureExtractor(layer, **params)


def test_layers_follow_height_and_width() -> None:
    shapes = {layer.name: layer.output_shape for layer in list_layers("vgg16", (160, 320))}
    assert shapes["block1_conv1"] == (160, 320, 64)
    assert shapes["block5_pool"] == (5, 10, 512)
    assert shapes["flatten"] == (25600,)
    assert "fc1" not in shapes
    assert list_layers("vgg16", (224, 224)) == list_layers("vgg16", 224)
    described = describe_network("vgg16", cut="block1_pool", input_size=SIZE)
    assert described.layers[-1].output_shape == (24, 48, 64)
    square = describe_network("vgg16", cut="block1_pool", input_size=48)
    assert described.multiply_adds == 2 * square.multiply_adds
    assert "24 x 48 x 64" in str(described)


@given(st.integers(32, 200), st.integers(32, 200))
def test_a_cut_gives_as_many_features_as_names(height: int, width: int) -> None:
    cut = plan_cut(["block5_pool", "flatten"], input_size=(height, width))
    assert cut.n_features == 2 * (height // 32) * (width // 32) * 512
    assert len(set(cut.feature_names())) == cut.n_features


@pytest.mark.parametrize("engine", ["keras", "openvino", "ncnn"])
@pytest.mark.parametrize("pooling", [None, "avg"])
def test_every_engine_gives_what_keras_predicts(engine: str, pooling: str | None) -> None:
    keras = pytest.importorskip("keras")
    if not is_installed(engine):
        pytest.skip(f"{engine} is not installed")
    extractor = _extractor(["block2_pool", "block3_pool"], pooling=pooling, engine=engine)
    found = extractor.fit_transform(IMAGES)
    assert extractor.input_size_ == SIZE
    inputs = preprocess(IMAGES, Resizing(SIZE, "stretch", "bilinear", False), (0, 255))
    assert inputs.shape == (3, *SIZE, 3)
    model = extractor.to_keras()
    assert model.input_shape == (None, *SIZE, 3)
    expected = np.concatenate(
        [keras.ops.convert_to_numpy(each) for each in model(inputs, training=False)], axis=1
    )
    assert found.shape == expected.shape
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)
    names = extractor.get_feature_names_out()
    assert len(names) == found.shape[1]
    if pooling is None:
        assert names[-1] == "block3_pool_r5_c11_f255"


def test_flatten_is_the_last_map_in_a_row() -> None:
    flat = _extractor("flatten").fit_transform(IMAGES[:1])
    last = _extractor("block5_pool").fit_transform(IMAGES[:1])
    np.testing.assert_array_equal(flat, last)
    assert flat.shape == (1, 1 * 3 * 512)


def test_rows_depend_on_their_image_only_and_survive_pickling() -> None:
    extractor = _extractor("block2_pool").fit(IMAGES)
    expected = extractor.transform(IMAGES)
    np.testing.assert_array_equal(extractor.transform(IMAGES[1:2]), expected[1:2])
    copied = pickle.loads(pickle.dumps(extractor))
    np.testing.assert_array_equal(copied.transform(IMAGES), expected)
    (recipe,) = get_runner(extractor).recipes()
    assert json.loads(recipe)["input_size"] == [48, 96]
    square = _extractor("block2_pool", input_size=[48, 48]).fit(IMAGES)
    same = _extractor("block2_pool", input_size=48).fit(IMAGES)
    assert square.input_size_ == 48
    assert get_runner(square).recipes() == get_runner(same).recipes()


def test_stored_features_are_those_of_their_size(tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = _extractor("block1_pool", cache=store).fit_transform(IMAGES)
    turned = _extractor("block1_pool", cache=store, input_size=SIZE[::-1]).fit_transform(IMAGES)
    assert first.shape == turned.shape
    assert not np.allclose(first, turned)
    np.testing.assert_array_equal(
        _extractor("block1_pool", cache=store).fit_transform(IMAGES), first
    )


@pytest.mark.parametrize("size", [(32,), (32, 31), (32, 64, 3), (64.0, 64), ("64", 64), (0, 0), []])
def test_what_is_no_size_is_said(size: Any) -> None:
    with pytest.raises(ValueError, match="'input_size' parameter of VGGFeatureExtractor must be"):
        _extractor(input_size=size).fit(IMAGES)
    with pytest.raises(ValueError, match="'input_size' parameter of describe_network must be"):
        describe_network("vgg16", input_size=size)


def test_dense_layers_need_their_square() -> None:
    with pytest.raises(ValueError, match=r"224 pixels only\. Got an input size of 224 x 448"):
        _extractor("fc1", input_size=(224, 448)).fit(IMAGES)
    assert plan_cut("fc1", input_size=(224, 224)).n_features == 4096


@pytest.mark.usefixtures("no_windows")
def test_displays_take_rectangles() -> None:
    pytest.importorskip("matplotlib")
    extractor = _extractor("block2_pool").fit(IMAGES)
    display = ArchitectureDisplay.from_estimator(extractor)
    assert any(
        "48 \N{MULTIPLICATION SIGN} 96 pixels" in each.get_text() for each in display.ax_.texts
    )
    ArchitectureDisplay.from_architecture(input_size=SIZE)
    maps = FeatureMapDisplay.from_estimator(extractor, IMAGES[0])
    assert maps.picture.shape[:2] == SIZE
    assert maps.maps[-1].layer.output_shape == (12, 24, 128)


@pytest.mark.parametrize("aspect", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("shape", [(50, 70), (31, 90), (48, 96), (49, 96), (96, 192)])
def test_an_onnx_file_computes_the_same(
    aspect: str, shape: tuple[int, int], tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    images = np.random.default_rng(1).integers(0, 256, (2, *shape, 3), dtype=np.uint8)
    extractor = _extractor("block1_conv1", pooling="avg", aspect=aspect, antialias=True)
    expected = extractor.fit_transform(images)
    path = tmp_path / "vgg.onnx"
    export_onnx(extractor, path)
    session = onnxruntime.InferenceSession(path)
    (found,) = session.run(None, {"images": images.astype(np.float32)})
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_files_are_extracted(tmp_path: Path) -> None:
    for i, image in enumerate(IMAGES):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    extractor = _extractor("block2_pool", pooling="avg")
    extract(tmp_path, tmp_path / "features.npy", extractor=extractor)
    found = np.load(tmp_path / "features.npy")
    np.testing.assert_array_equal(found, extractor.fit_transform(IMAGES))


@pytest.mark.skipif(not has_instructions("int8"), reason="this processor has no 8-bit arithmetic")
def test_int8_is_calibrated() -> None:
    pytest.importorskip("openvino")
    extractor = _extractor("block2_pool", pooling="avg")
    exact = extractor.fit_transform(IMAGES)
    coarse = _extractor("block2_pool", pooling="avg", precision="int8").fit_transform(IMAGES)
    assert 0 < np.linalg.norm(coarse - exact) < 0.2 * np.linalg.norm(exact)


def test_fine_tuned_rectangles_are_saved(tmp_path: Path) -> None:
    pytest.importorskip("keras")
    from sktransfer import VGGClassifier

    model = VGGClassifier(
        "block1_pool", weights=None, pooling="avg", input_size=SIZE, epochs=1, random_state=0
    )
    model.fit(np.concatenate([IMAGES] * 4), np.arange(12) % 2)
    path = tmp_path / "tuned.weights.h5"
    model.save_weights(path)
    extractor = _extractor("block1_pool", weights=path, pooling="avg", input_size="auto")
    features = extractor.fit_transform(IMAGES)
    assert extractor.input_size_ == SIZE
    np.testing.assert_array_equal(features, model.to_extractor().transform(IMAGES))


def test_sweeps_across_networks_take_rectangles() -> None:
    X, y = np.concatenate([IMAGES] * 4), np.arange(12) % 2
    networks = {
        "wide": _extractor("block1_pool"),
        "square": _extractor("block1_pool", input_size=32),
    }
    layers = {name: ["block1_pool"] for name in networks}
    sweep = sweep_networks(X, y, networks=networks, layers=layers, cv=2)
    sizes = {row.network: row.variant.input_size for row in sweep.rows}
    height, width = networks["wide"].input_size
    assert sizes == {"wide": (height, width), "square": 32}
    assert f"{height} x {width}" in str(sweep)


def test_layers_are_swept_over_rectangles() -> None:
    X, y = np.concatenate([IMAGES] * 4), np.arange(12) % 2
    sizes = [(32, 64), 32, [40, 40]]
    options = {"layers": ["block1_pool"], "poolings": ["avg", None], "cv": 2}
    sweep = sweep_layers(X, y, extractor=_extractor(), input_sizes=sizes, **options)
    variants = [row.variant for row in sweep.rows]
    assert [variant.input_size for variant in variants[::2]] == [32, 40, (32, 64)]
    assert [variant.width for variant in variants[-2:]] == [64, 64 * 16 * 32]
    wide = _extractor("block1_pool", pooling="avg", input_size=(32, 64))
    anew = sweep_layers(
        X, y, extractor=wide, input_sizes=[(32, 64)], layers=["block1_pool"], poolings=["avg"], cv=2
    )
    assert anew.rows[0].scores == sweep.rows[4].scores
    assert "block1_pool avg, 32 x 64 px" in str(variants[4])
    assert json.loads(sweep.to_json())["rows"][4]["input_size"] == [32, 64]
    assert len(LayerSweepDisplay(sweep).plot().figure_.axes) == 1
    for wrong in ([(32, 8)], [(32, 32, 32)], ["32"]):
        with pytest.raises(ValueError, match=r"'input_sizes' parameter of sweep_layers must list"):
            sweep_layers(X, y, extractor=wide, input_sizes=wrong, **options)
