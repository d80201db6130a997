"""Sequences of tokens: which token or mean of them a network without a named layer gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import (
    FeatureStore,
    ImageFeatureExtractor,
    LayerSweepDisplay,
    VGGFeatureExtractor,
    export_onnx,
    load_digit_pair,
    sweep_layers,
    sweep_networks,
)
from sktransfer.engines.choice import is_installed

keras = pytest.importorskip("keras")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 48, 3), dtype=np.uint8)
SCALED = {"scale": 1 / 255}
ENGINES = [
    "keras",
    pytest.param(
        "openvino",
        marks=pytest.mark.skipif(not is_installed("openvino"), reason="OpenVINO is not installed"),
    ),
]


def _model(n_before: int, size: tuple[int, int] = (32, 48), patch: int = 8) -> Any:
    """Make a model that ends with the patches of an image, and so many other tokens before them."""
    layers = keras.layers
    images = keras.Input((*size, 3))
    x = layers.Conv2D(6, patch, strides=patch, kernel_initializer="he_normal", name="maps")(images)
    tokens = layers.Reshape((size[0] // patch * (size[1] // patch), 6), name="patches")(x)
    if n_before:
        most = layers.Reshape((1, 6))(layers.GlobalMaxPooling2D()(x))
        before = [layers.Rescaling(i + 1)(most) for i in range(n_before)]
        tokens = layers.Concatenate(axis=1, name="tokens")([*before, tokens])
    return keras.Model(images, tokens)


def _extractor(model: Any, layer: Any = None, **params: Any) -> ImageFeatureExtractor:
    params = {"preprocessing": SCALED, "cache": None, "engine": "keras"} | params
    return ImageFeatureExtractor(model, layer, **params)


def _tokens(model: Any) -> np.ndarray:
    return model.predict(IMAGES.astype(np.float32) / 255, verbose=0)


def _assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("size", [(32, 48), (48, 32), (32, 32), (16, 64)])
def test_patches_alone_and_with_a_class_token(size: tuple[int, int], engine: str) -> None:
    images = np.ascontiguousarray(np.resize(IMAGES, (5, *size, 3)))
    for n_before in (0, 1):
        model = _model(n_before, size)
        tokens = model.predict(images.astype(np.float32) / 255, verbose=0)
        expected = tokens[:, 0] if n_before else tokens.mean(axis=1)
        _assert_same(_extractor(model, engine=engine).fit_transform(images), expected)


@pytest.mark.parametrize("n_before", [2, 5])
def test_with_registers_the_pooling_must_be_given(n_before: int) -> None:
    model = _model(n_before)
    message = (
        r"^The 'pooling' parameter of ImageFeatureExtractor must be one of 'avg', 'max', 'cls' .*"
        rf"'tokens' gives {24 + n_before} tokens for an image of 32 x 48 pixels.* layer='tokens'"
    )
    with pytest.raises(ValueError, match=message):
        _extractor(model).fit(IMAGES)
    tokens = _tokens(model)
    for pooling, expected in {
        "cls": tokens[:, 0],
        "avg": tokens.mean(axis=1),
        "max": tokens.max(axis=1),
    }.items():
        extractor = _extractor(model, pooling=pooling).fit(IMAGES)
        _assert_same(extractor.transform(IMAGES), expected)
        assert extractor.get_feature_names_out()[0] == "embedding_0000"


@pytest.mark.parametrize("engine", ENGINES)
def test_the_class_token_of_a_named_layer(engine: str, tmp_path: Path) -> None:
    model = _model(5)
    layers, poolings = ["tokens", "patches", "tokens"], ["cls", "max", "avg"]
    extractor = _extractor(model, layers, pooling=poolings, engine=engine).fit(IMAGES)
    tokens = _tokens(model)
    expected = [tokens[:, 0], tokens[:, 5:].max(axis=1), tokens.mean(axis=1)]
    features = extractor.transform(IMAGES)
    _assert_same(features, np.concatenate(expected, axis=1))
    assert list(extractor.get_feature_names_out()[[0, 12]]) == ["tokens_cls_f0", "tokens_avg_f0"]


def test_a_file_for_other_programs_takes_the_class_token(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    extractor = _extractor(_model(5), "tokens", pooling="cls").fit(IMAGES)
    export_onnx(extractor, tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    (features,) = session.run(["features"], {"images": IMAGES.astype(np.float32)})
    _assert_same(features, extractor.transform(IMAGES))


def test_an_onnx_file_with_registers(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("openvino")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Conv", ["images", "kernel"], ["maps"], strides=[8, 8]),
        helper.make_node("Reshape", ["maps", "shape"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["patches"], perm=[0, 2, 1]),
        helper.make_node("ReduceMax", ["patches"], ["most"], axes=[1]),
        helper.make_node("Concat", ["most", "most", "patches"], ["tokens"], axis=1),
    ]
    kernel = np.random.default_rng(0).standard_normal((6, 3, 8, 8)).astype(np.float32)
    constants = [
        onnx.numpy_helper.from_array(kernel, "kernel"),
        onnx.numpy_helper.from_array(np.array([0, 0, -1], np.int64), "shape"),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("images", floats, ("n", 3, 32, 48))],
        [helper.make_tensor_value_info("tokens", floats, ("n", 26, 6))],
        constants,
    )
    path = tmp_path / "network.onnx"
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    with pytest.raises(
        ValueError, match=r"'pooling' .* must be one of .* 'tokens' gives 26 tokens"
    ):
        _extractor(path, engine="auto").fit(IMAGES)
    both = _extractor(path, ["tokens"] * 2, pooling=["cls", None], engine="auto")
    features = both.fit_transform(IMAGES)
    np.testing.assert_array_equal(features[:, :6], features[:, 6:12])
    embedding = _extractor(path, pooling="cls", engine="auto").fit_transform(IMAGES)
    np.testing.assert_array_equal(embedding, features[:, :6])


def test_the_store_knows_the_class_token_from_the_mean(tmp_path: Path, computed: list[int]) -> None:
    model = _model(1)
    store = FeatureStore(tmp_path)
    found = [
        _extractor(model, "tokens", pooling=pooling, cache=store).fit_transform(IMAGES)
        for pooling in ("cls", "avg", "cls")
    ]
    assert computed == [5, 5]
    np.testing.assert_array_equal(found[0], found[2])
    assert not np.array_equal(found[0], found[1])


@pytest.mark.parametrize(
    ("layer", "pooling", "message"),
    [
        ("maps", "cls", r"takes the class token, by 'cls', .* Got 'cls' with 'maps', .* 4 x 6 x 6"),
        (
            "patches",
            "cls",
            r"Got 'cls' with 'patches', which gives 24 x 6 values .* no class token",
        ),
        ("tokens", "token", r"must be 'avg', 'cls', 'max' or None\. .* Did you mean 'cls'\?"),
        (["tokens", "maps"], ["cls"], r"must be 'avg', 'max', 'cls', None or a list with one of"),
    ],
)
def test_what_is_wrong_is_said(layer: Any, pooling: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"^The 'pooling' parameter of ImageFeat.*" + message):
        _extractor(_model(1), layer, pooling=pooling).fit(IMAGES)


def test_a_vector_has_no_class_token() -> None:
    model = keras.Sequential([keras.Input((32, 48, 3)), keras.layers.GlobalAveragePooling2D()])
    with pytest.raises(ValueError, match=r"Got 'cls' for the embedding of .* a vector already"):
        _extractor(model, pooling="cls").fit(IMAGES)


def test_vgg_has_no_tokens() -> None:
    vgg = VGGFeatureExtractor("block1_pool", weights=None, input_size=32, cache=None)
    for pooling in ("cls", ["cls"]):
        with pytest.raises(ValueError, match=r"'pooling' parameter of VGGFeatureExtractor must be"):
            vgg.set_params(pooling=pooling).fit(IMAGES)


def test_a_sweep_of_class_tokens(no_windows: None) -> None:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    sweep = sweep_layers(
        X[:40],
        y[:40],
        extractor=_extractor(_model(1, (32, 32))),
        layers=["maps", "tokens"],
        poolings=["cls", "avg"],
        input_sizes=[32],
        cv=2,
    )
    found = {(row.variant.layer, row.variant.pooling) for row in sweep.rows}
    assert found == {("maps", "avg"), ("tokens", "avg"), ("tokens", "cls")}
    assert any("which have no class token" in str(each) for each in sweep.skipped)
    (legend,) = LayerSweepDisplay(sweep).plot().figure_.legends
    assert {"avg", "cls"} <= {text.get_text() for text in legend.get_texts()}


def test_a_sweep_of_networks_pools_embeddings_as_extractors_do() -> None:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    X, y = X[:40], y[:40]
    networks = {
        name: _extractor(_model(n_before, (32, 32)))
        for name, n_before in [("patches", 0), ("class token", 1), ("registers", 3)]
    }
    sweep = sweep_networks(X, y, networks=networks, cv=2)
    found = {row.network: row.variant.pooling for row in sweep.rows}
    assert found == {"patches": "avg", "class token": "cls"}
    (reason,) = sweep.skipped
    assert "must be one of 'avg', 'max', 'cls'" in str(reason)
    (row,) = (row for row in sweep.rows if row.network == "class token")
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    features = networks["class token"].fit_transform(X)
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    expected = cross_val_score(model, features, y, cv=folds)
    assert row.scores["accuracy"] == pytest.approx(expected)
    layers = {name: ["tokens"] for name in ("class token", "registers")} | {"patches": ["patches"]}
    named = sweep_networks(X, y, networks=networks, layers=layers, cv=2)
    assert {row.variant.pooling for row in named.rows} == {"avg"}
