"""Networks other than VGG's own extractor: of Keras by name, as a model, and as a file."""

from __future__ import annotations

import copy
import itertools
import json
import pickle
import random
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from differences import relative_error
from joblib import Parallel, delayed
from long_mode import every_network
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks as checks

from sktransfer import (
    ArchitectureDisplay,
    FeatureMapDisplay,
    FeatureStore,
    ImageClassifier,
    ImageFeatureExtractor,
    LayerSearchCV,
    LayerSweepDisplay,
    NetworkSweepDisplay,
    VGGFeatureExtractor,
    compare_transfer,
    export_onnx,
    extract,
    sweep_layers,
    sweep_networks,
)
from sktransfer.cli import main
from sktransfer.engines import ready
from sktransfer.engines.choice import is_installed
from sktransfer.engines.processor import has_instructions
from sktransfer.evaluation.probing.naming import name_extractor
from sktransfer.features.fitted import get_runner
from sktransfer.networks.applications import find_application, list_applications
from sktransfer.networks.pixels import USUAL

keras = pytest.importorskip("keras")

# Keras saves and copies models by a function that NumPy deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ENGINES = [
    "keras",
    pytest.param(
        "openvino",
        marks=pytest.mark.skipif(not is_installed("openvino"), reason="OpenVINO is not installed"),
    ),
]
# One network of each kind of block, at the smallest size that its family takes.
FAMILIES = {
    "MobileNetV2": 32,
    "ResNet50": 32,
    "EfficientNetV2B0": 32,
    "ConvNeXtTiny": 32,
    "DenseNet121": 32,
    "InceptionV3": 75,
}
# Of each a layer behind its first blocks: converting all of a network takes seconds.
EARLY = {
    "MobileNetV2": "block_3_depthwise_relu",
    "ResNet50": "conv2_block2_out",
    "EfficientNetV2B0": "block2b_add",
    "ConvNeXtTiny": "convnext_tiny_stage_0_block_1_pointwise_conv_1",
    "DenseNet121": "conv2_block2_concat",
    "InceptionV3": "mixed0",
}
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 40, 52, 3), dtype=np.uint8)


def _named(name: str, layer: Any = None, **params: Any) -> ImageFeatureExtractor:
    params = {"weights": None, "input_size": 32, "random_state": 0, "cache": None} | params
    return ImageFeatureExtractor(name, layer, **params)


def _small(size: int | None = 32, **params: Any) -> Any:
    """Make a residual network with a classifier, whose weights differ from layer to layer."""
    layers = keras.layers
    images = keras.Input((size, size, 3), **params)
    x = layers.Conv2D(4, 3, strides=2, use_bias=False, name="first")(images)
    x = layers.BatchNormalization(name="norm")(x)
    y = layers.ReLU(name="relu")(x)
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(y)
    x = layers.Add(name="sum")([x, y])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(0.5, name="drop")(x)
    model = keras.Model(images, layers.Dense(5, activation="softmax", name="classes")(x))
    rng = np.random.default_rng(1)
    model.set_weights([0.5 + rng.random(w.shape, dtype=np.float32) for w in model.get_weights()])
    return model


SCALING = {"scale": 1 / 255}


def _of_model(model: Any, layer: Any = None, **params: Any) -> ImageFeatureExtractor:
    params = {"preprocessing": SCALING, "cache": None} | params
    return ImageFeatureExtractor(model, layer, **params)


def _resized(images: np.ndarray, size: int) -> np.ndarray:
    return np.array(keras.ops.image.resize(images.astype(np.float32), (size, size)))


def _predict(
    name: str, extractor: ImageFeatureExtractor, images: np.ndarray, precision: str = "float32"
) -> np.ndarray:
    """Compute an embedding as Keras' documentation does, with the extractor's weights."""
    size = extractor.input_size_
    former = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        model = list_applications()[name].build(
            weights=None, include_top=False, pooling="avg", input_shape=(size, size, 3)
        )
    finally:
        keras.config.set_dtype_policy(former)
    model.set_weights(get_runner(extractor).weights.load().model.get_weights())
    inputs = find_application(name, "").module.preprocess_input(_resized(images, size))
    return model.predict(inputs, verbose=0)


# -- what Keras has


def test_the_networks_are_those_of_keras() -> None:
    listed = set(list_applications())
    official = {
        name
        for name in dir(keras.applications)
        if callable(getattr(keras.applications, name)) and name[0].isupper()
    }
    assert listed == official
    assert len(listed) > 30


def test_sizes_are_those_of_keras_weights() -> None:
    sizes = {name: each.input_size for name, each in list_applications().items()}
    assert sizes["ResNet50"] == 224
    assert sizes["EfficientNetB3"] == 300
    assert sizes["InceptionV3"] == 299
    assert sizes["NASNetLarge"] == 331
    # Of any size by itself; Keras says in words at which it was trained.
    assert sizes["MobileNetV3Small"] == sizes["MobileNetV3Large"] == 224
    assert min(sizes.values()) == 224


@pytest.mark.parametrize("name", list(list_applications()))
def test_scaling_is_what_preprocess_input_does(name: str) -> None:
    from sktransfer.features.preprocessing import centre

    application = list_applications()[name]
    official = application.module.preprocess_input(IMAGES.astype(np.float32))
    np.testing.assert_allclose(
        centre(IMAGES.astype(np.float32), application.scaling), official, rtol=1e-5, atol=1e-5
    )
    assert application.scaling in USUAL.values()


# -- features


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", list(FAMILIES))
def test_features_are_those_of_predict(name: str, engine: str) -> None:
    extractor = _named(name, engine=engine, input_size=FAMILIES[name])
    features = extractor.fit_transform(IMAGES)
    assert features.dtype == np.float32
    assert relative_error(features, _predict(name, extractor, IMAGES)) < 1e-5
    # Its own bits, whatever the company and the order.
    np.testing.assert_array_equal(extractor.transform(IMAGES[[3, 1]]), features[[3, 1]])
    names = extractor.get_feature_names_out()
    assert len(names) == features.shape[1] == extractor.n_features_out_
    assert names[0] == "embedding_0000"


@every_network
@pytest.mark.parametrize("name", sorted(set(list_applications()) - set(FAMILIES)))
def test_every_network_gives_and_exports_what_predict_does(name: str, tmp_path: Path) -> None:
    smallest = next(
        size for size in (32, 71, 75, 96, 224, 331) if _takes(list_applications()[name], size)
    )
    extractor = _named(name, input_size=smallest)
    features = extractor.fit_transform(IMAGES[:2])
    found = {"transform": features}
    if is_installed("onnxruntime"):
        import onnxruntime

        export_onnx(extractor, tmp_path / "network.onnx")
        session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
        (found["export"],) = session.run(None, {"images": IMAGES[:2].astype(np.float32)})
    predicted = _predict(name, extractor, IMAGES[:2])
    errors = {way: relative_error(each, predicted) for way, each in found.items()}
    if max(errors.values()) >= 1e-5:
        # Some deep networks of random weights amplify rounding that much. Then neither is farther
        # from what float64 gives than `predict` is, but for chance.
        exact = _predict(name, extractor, IMAGES[:2], "float64")
        own = relative_error(predicted, exact)
        errors = {way: relative_error(each, exact) for way, each in found.items()}
        assert max(errors.values()) < 2 * own, (errors, own)


def _takes(application: Any, size: int) -> bool:
    try:
        application.build(weights=None, include_top=False, input_shape=(size, size, 3))
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("engine", ENGINES)
def test_several_layers_come_from_one_pass(engine: str, computed: list[int]) -> None:
    layers = ["block_3_expand_relu", "block_1_project_BN", "block_6_add", "block_6_add"]
    with pytest.raises(ValueError, match=r"must be a layer of MobileNetV2"):
        _named("MobileNetV2", layers).fit(IMAGES)
    layers[2:] = ["block_5_add", "block_5_add"]
    extractor = _named("MobileNetV2", layers, pooling=["avg", None, "max", "avg"], engine=engine)
    features = extractor.fit_transform(IMAGES)
    assert sum(computed) == len(IMAGES)
    ends = np.cumsum([0, *get_runner(extractor).cut.widths])
    for (start, stop), layer, pooling in zip(
        itertools.pairwise(ends), layers, ["avg", None, "max", "avg"], strict=True
    ):
        alone = _named("MobileNetV2", layer, pooling=pooling, engine=engine).fit_transform(IMAGES)
        np.testing.assert_allclose(features[:, start:stop], alone, rtol=1e-4, atol=1e-5)
    assert len(set(extractor.get_feature_names_out())) == features.shape[1]


def test_only_the_part_up_to_the_layer_is_computed() -> None:
    extractor = _named("MobileNetV2", "block_2_add").fit(IMAGES)
    names = {layer.name for layer in extractor.to_keras().layers}
    assert "block_2_add" in names
    assert "block_3_expand" not in names
    whole = _named("MobileNetV2").fit(IMAGES)
    assert extractor.weights_sha256_ != whole.weights_sha256_


@pytest.mark.parametrize("engine", ENGINES)
def test_batch_normalization_is_in_inference_mode(engine: str) -> None:
    model = _small()
    inputs = _resized(IMAGES, 32) / 255
    extractor = _of_model(model, engine=engine)
    expected = keras.Model(model.inputs, model.get_layer("pool").output).predict(inputs, verbose=0)
    assert relative_error(extractor.fit_transform(IMAGES), expected) < 1e-5


def test_bfloat16_is_close() -> None:
    if not (is_installed("openvino") and has_instructions("bfloat16")):
        pytest.skip("this machine does not compute in bfloat16")
    exact = _named("ResNet50").fit_transform(IMAGES)
    rough = _named("ResNet50", precision="bfloat16").fit_transform(IMAGES)
    assert 0 < relative_error(rough, exact) < 2e-2


def test_names_of_layers_do_not_depend_on_what_was_built_before() -> None:
    first = _named("InceptionV3", "mixed0", pooling="avg", input_size=75).fit(IMAGES)
    list_applications()["InceptionV3"].build(
        weights=None, include_top=False, input_shape=(75, 75, 3)
    )
    again = _named("InceptionV3", "mixed0", pooling="avg", input_size=75, random_state=1)
    again.fit(IMAGES)
    assert "conv2d" in {layer.name for layer in get_runner(first).cut.trunk}
    assert get_runner(first).cut.trunk == get_runner(again).cut.trunk


def test_embedding_is_what_comes_before_the_classifier() -> None:
    model = _small()
    own = _of_model(model, engine="keras").fit(IMAGES)
    assert get_runner(own).cut.layers[0].name == "pool"
    headless = keras.Model(model.inputs, model.get_layer("sum").output)
    pooled = _of_model(headless, engine="keras").fit(IMAGES)
    np.testing.assert_allclose(pooled.transform(IMAGES), own.transform(IMAGES), rtol=1e-5)
    largest = _of_model(headless, engine="keras", pooling="max").fit_transform(IMAGES)
    assert (largest > pooled.transform(IMAGES)).all()


def test_layers_may_come_from_another_model() -> None:
    """Keras' layers know what their first model gave them, which is another input here."""
    trained = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, name="maps"), keras.layers.ReLU()]
    )
    images = keras.Input((32, 32, 3))
    grey = keras.layers.Conv2D(1, 1)(keras.layers.AveragePooling2D(4)(images))
    for model in (
        keras.Model(images, trained.layers[1](trained.layers[0](grey))),
        keras.Sequential([images, *keras.Model(images, grey).layers[1:], *trained.layers]),
    ):
        extractor = ImageFeatureExtractor(model, "maps", preprocessing={"scale": 1.0}, cache=None)
        features = extractor.fit_transform(IMAGES[:2, :32, :32])
        maps = np.maximum(features.reshape(2, 6, 6, 4), 0)
        expected = model.predict(IMAGES[:2, :32, :32].astype("float32"), verbose=0)
        np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-3)


def test_tokens_are_pooled_or_the_class_token_taken() -> None:
    images = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(6, 8, strides=8)(images)
    patches = keras.layers.Reshape((16, 6), name="patches")(x)
    first = keras.layers.Reshape((1, 6))(keras.layers.Flatten()(patches)[:, :6])
    tokens = keras.layers.Concatenate(axis=1, name="tokens")([first, patches])
    model = keras.Model(images, tokens)
    inputs = _resized(IMAGES, 32) / 255
    expected = model.predict(inputs, verbose=0)
    for params, wanted in [
        ({}, expected[:, 0]),
        ({"layer": "tokens", "pooling": "avg"}, expected.mean(axis=1)),
        ({"layer": "tokens"}, expected.reshape(len(expected), -1)),
        ({"layer": "patches", "pooling": "max"}, expected[:, 1:].max(axis=1)),
    ]:
        extractor = _of_model(model, **params)
        assert relative_error(extractor.fit_transform(IMAGES), wanted) < 1e-5
    names = _of_model(model, "tokens").fit(IMAGES).get_feature_names_out()
    assert list(names[:7:6]) == ["tokens_t00_f0", "tokens_t01_f0"]


@pytest.mark.parametrize("engine", ENGINES)
def test_models_that_end_with_an_operation(engine: str) -> None:
    images = keras.Input((32, 32, 3))
    maps = keras.layers.Conv2D(4, 3, strides=4, name="maps")(images)
    model = keras.Model(images, keras.ops.mean(maps, axis=(1, 2)) + 1)
    extractor = _of_model(model, engine=engine)
    expected = model.predict(_resized(IMAGES, 32) / 255, verbose=0)
    assert relative_error(extractor.fit_transform(IMAGES), expected) < 1e-5
    assert [layer.kind for layer in get_runner(extractor).cut.trunk[1:]] == [
        "Conv2D",
        "Mean",
        "Add",
    ]
    again = _of_model(keras.Model(images, keras.ops.mean(maps, axis=(1, 2)) + 1)).fit(IMAGES)
    assert get_runner(again).cut.architecture == get_runner(extractor).cut.architecture


@pytest.mark.parametrize("engine", ENGINES)
def test_rectangular_sizes(engine: str) -> None:
    extractor = _named("MobileNetV2", input_size=(32, 64), engine=engine).fit(IMAGES)
    assert extractor.input_size_ == (32, 64)
    model = extractor.to_keras()
    images = np.asarray(keras.ops.image.resize(IMAGES.astype(np.float32), (32, 64)))
    expected = model.predict(images / 127.5 - 1, verbose=0)
    assert relative_error(extractor.transform(IMAGES), expected) < 1e-5


# -- weights


def test_random_weights_are_a_seed_s() -> None:
    first = _named("MobileNetV2").fit(IMAGES)
    assert first.random_seed_ == _named("MobileNetV2").fit(IMAGES).random_seed_
    other = _named("MobileNetV2", random_state=1).fit(IMAGES)
    assert first.weights_sha256_ != other.weights_sha256_
    assert np.isfinite(first.transform(IMAGES)).all()
    assert first.transform(IMAGES).std(axis=0).max() > 1e-3


@pytest.mark.parametrize("size", [32, None])
def test_pixels_are_scaled_by_what_a_model_has_adapted_to(size: int | None) -> None:
    norm = keras.layers.Normalization()
    norm.adapt(_resized(IMAGES, 32))
    images = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(norm(images))
    model = keras.Model(images, keras.layers.GlobalAveragePooling2D(name="pool")(x))
    expected = model.predict(_resized(IMAGES, 32), verbose=0)
    params = {"preprocessing": {"scale": 1}, "input_size": 32}
    assert relative_error(_of_model(model, **params).fit_transform(IMAGES), expected) < 1e-5
    for unfreeze in (None, "conv", "all"):
        tuned = ImageClassifier(
            model, unfreeze=unfreeze, epochs=1, trunk_learning_rate=1e-12, cache=None, **params
        ).fit(IMAGES, [0, 1] * 3)
        assert relative_error(tuned.transform(IMAGES), expected) < 1e-5


def _sequence() -> Any:
    layers = keras.layers
    end = [layers.GlobalAveragePooling2D(), layers.Dropout(0.5), layers.Dense(2), layers.Softmax()]
    return keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(8, 3), *end])


def test_the_embedding_of_a_sequence_is_that_of_its_copies(tmp_path: Path) -> None:
    model = _sequence()
    model.save(tmp_path / "own.keras")
    extractor = _of_model(model)
    features = extractor.fit_transform(IMAGES)
    assert features.shape == (len(IMAGES), 8)
    copies = [clone(extractor), pickle.loads(pickle.dumps(extractor))]
    copies += [_of_model(tmp_path / "own.keras"), _of_model(copy.deepcopy(model))]
    copies += [_of_model(keras.models.clone_model(model), weights=None, random_state=0)]
    for each in copies[:-1]:
        np.testing.assert_array_equal(each.fit_transform(IMAGES), features)
    assert copies[-1].fit_transform(IMAGES).shape == features.shape


def test_layers_called_like_their_settings_are_told_apart(tmp_path: Path) -> None:
    def make(activation: str) -> Any:
        keras.utils.set_random_seed(0)
        images = keras.Input((32, 32, 3))
        x = keras.layers.Conv2D(4, 3, name="conv")(images)
        x = keras.layers.Activation(activation, name=activation)(x)
        return keras.Model(images, keras.layers.GlobalAveragePooling2D(name="pool")(x))

    for name in ("relu", "tanh"):
        model = make(name)
        expected = model.predict(_resized(IMAGES, 32) / 255, verbose=0)
        features = _of_model(model, cache=FeatureStore(tmp_path)).fit_transform(IMAGES)
        assert relative_error(features, expected) < 1e-5


@pytest.mark.parametrize("engine", ENGINES)
def test_a_model_may_change_after_fit(engine: str) -> None:
    model = _small()
    extractor = _of_model(model, engine=engine).fit(IMAGES)
    before = extractor.transform(IMAGES)
    weights = model.get_weights()
    model.set_weights([2 * each for each in weights])
    np.testing.assert_array_equal(extractor.transform(IMAGES), before)
    assert relative_error(_of_model(model, engine=engine).fit_transform(IMAGES), before) > 1e-2


def _with(layer: Any) -> Any:
    images = keras.Input((32, 32, 3))
    x = layer(keras.layers.Conv2D(4, 3, name="conv")(images))
    return keras.Model(images, keras.layers.GlobalAveragePooling2D(name="pool")(x))


def test_a_model_that_keras_cannot_copy_is_used_as_it_is() -> None:
    model = _with(keras.layers.Lambda(lambda values: 2 * values))
    expected = model.predict(_resized(IMAGES, 32) / 255, verbose=0)
    assert relative_error(_of_model(model).fit_transform(IMAGES), expected) < 1e-5
    before = [np.array(each) for each in model.get_weights()]
    for fit in (
        _of_model(model, weights=None, random_state=0).fit,
        ImageClassifier(model, preprocessing=SCALING, unfreeze="all", cache=None).fit,
    ):
        with pytest.raises(ValueError, match=r"that Keras can copy.*weights are to change"):
            fit(IMAGES, [0, 1] * 3)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("engine", ENGINES)
def test_features_that_depend_on_other_images_are_an_error(engine: str) -> None:
    images = keras.Input((32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D(name="pool")(keras.layers.Conv2D(4, 3)(images))
    model = keras.Model(images, x - keras.ops.mean(x, axis=0))
    with pytest.raises(ValueError, match="must not depend on the other images of a batch"):
        _of_model(model, engine=engine).fit_transform(IMAGES)
    assert np.isfinite(_of_model(model, "pool", engine=engine).fit_transform(IMAGES)).all()


@pytest.mark.skipif(not is_installed("openvino"), reason="OpenVINO is not installed")
def test_what_openvino_cannot_convert() -> None:
    images = keras.Input((32, 32, 3))
    x = keras.layers.Resizing(16, 16, interpolation="bicubic")(images)
    model = keras.Model(images, keras.layers.GlobalAveragePooling2D()(x))
    with pytest.raises(ValueError, match=r"OpenVINO cannot run .*Set engine='keras'"):
        _of_model(model, engine="openvino").fit_transform(IMAGES)
    assert np.isfinite(_of_model(model, engine="keras").fit_transform(IMAGES)).all()


class _Undescribed(keras.layers.Layer):
    """A layer that does not say what it was made with."""

    def __init__(self, how: Any) -> None:
        super().__init__()
        self.how = how

    def call(self, values: Any) -> Any:
        return self.how(values)


def test_a_layer_that_is_not_described_is_an_error() -> None:
    model = _with(_Undescribed(lambda values: 2 * values))
    with pytest.raises(ValueError, match=r"must be a Keras model that Keras can copy.*get_config"):
        _of_model(model).fit(IMAGES)


def test_random_numbers_of_python_stay_as_they_were() -> None:
    model = _small()
    state = random.getstate()
    _of_model(model).fit(IMAGES)
    _named("ResNet50", EARLY["ResNet50"], pooling="avg").fit(IMAGES)
    assert random.getstate() == state


def test_random_weights_of_a_model_leave_it_alone() -> None:
    model = _small()
    before = [np.array(each) for each in model.get_weights()]
    control = _of_model(model, weights=None, random_state=0).fit(IMAGES)
    trained = _of_model(model).fit(IMAGES)
    assert control.weights_sha256_ != trained.weights_sha256_
    assert relative_error(control.transform(IMAGES), trained.transform(IMAGES)) > 1e-2
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_vgg16_by_name_is_vgg16_with_random_weights() -> None:
    params = {"weights": None, "input_size": 32, "random_state": 0, "cache": None}
    for layer in ("block3_pool", "block1_conv2"):
        own = VGGFeatureExtractor(layer, **params).fit_transform(IMAGES)
        named = ImageFeatureExtractor("vgg16", layer, **params).fit_transform(IMAGES)
        assert relative_error(named, own) < 1e-5


def test_vgg16_with_trained_weights_three_ways(shared_data: Path, tmp_path: Path) -> None:
    weights = shared_data / "weights" / "vgg16_notop.h5"
    model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(224, 224, 3))
    model.load_weights(weights)
    flat = keras.Model(model.inputs, keras.layers.Flatten(name="flatten")(model.output))
    flat.save(tmp_path / "vgg16.keras")
    images = IMAGES[:2]
    ways = {
        "by name": ImageFeatureExtractor(
            "VGG16", ["block3_pool", "flatten"], weights=weights, cache=None
        ),
        "as a file": ImageFeatureExtractor(
            tmp_path / "vgg16.keras",
            ["block3_pool", "flatten"],
            preprocessing={"order": "BGR", "mean": [103.939, 116.779, 123.68]},
            cache=None,
        ),
    }
    own = VGGFeatureExtractor(["block3_pool", "flatten"], weights=weights, cache=None)
    expected = own.fit_transform(images)
    width = get_runner(own).cut.widths[0]
    for extractor in ways.values():
        features = extractor.fit_transform(images)
        assert extractor.input_size_ == 224
        assert relative_error(features[:, :width], expected[:, :width]) < 1e-5
        assert relative_error(features[:, width:], expected[:, width:]) < 1e-5


def test_weights_that_are_not_here_are_an_error(no_weights: None, monkeypatch: Any) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise Exception("URL fetch failure on https://...: None -- no route")

    from keras.src.utils import file_utils

    monkeypatch.setattr(file_utils, "get_file", fail)
    extractor = ImageFeatureExtractor("MobileNetV2", input_size=32)
    with pytest.raises(OSError, match=r"weights of MobileNetV2 are unavailable.*None for random"):
        extractor.fit(IMAGES)
    with pytest.raises(NotFittedError):
        extractor.transform(IMAGES)


# -- the store, pickles, processes


def test_a_hit_is_what_a_recomputation_gives(tmp_path: Path, computed: list[int]) -> None:
    fresh = _named("MobileNetV2").fit_transform(IMAGES)
    stored = _named("MobileNetV2", cache=FeatureStore(tmp_path)).fit(IMAGES)
    np.testing.assert_array_equal(stored.transform(IMAGES[:4]), fresh[:4])
    computed.clear()
    np.testing.assert_array_equal(stored.transform(IMAGES), fresh)
    assert sum(computed) == 2
    # Another network, weights, scaling or size share nothing.
    others = [
        {"random_state": 1},
        {"preprocessing": {"order": "BGR"}},
        {"input_size": 64},
        {"layer": "block_2_add"},
    ]
    for params in others:
        computed.clear()
        extractor = _named("MobileNetV2", **{"cache": FeatureStore(tmp_path)} | params)
        extractor.fit_transform(IMAGES)
        assert sum(computed) == len(IMAGES), params


@pytest.mark.parametrize("name", list(FAMILIES))
def test_every_family_is_stored_and_travels(name: str, tmp_path: Path, computed: list[int]) -> None:
    images = IMAGES[:2]
    extractor = _named(name, EARLY[name], pooling="avg", input_size=FAMILIES[name]).fit(images)
    features = extractor.transform(images)
    stored = clone(extractor).set_params(cache=FeatureStore(tmp_path)).fit(images)
    np.testing.assert_array_equal(stored.transform(images), features)
    computed.clear()
    np.testing.assert_array_equal(stored.transform(images[::-1]), features[::-1])
    assert computed == []
    pickled = pickle.dumps(extractor)
    assert len(pickled) < 100_000
    # In another process, which builds the network anew.
    task = delayed(_load_and_transform)(pickled, images[1:])
    (there,) = Parallel(n_jobs=2, backend="loky")([task])
    np.testing.assert_array_equal(there, features[1:])


def _load_and_transform(pickled: bytes, images: np.ndarray) -> np.ndarray:
    return pickle.loads(pickled).transform(images)


def test_pickles_of_paths_are_small(tmp_path: Path) -> None:
    path = tmp_path / "small.keras"
    _small().save(path)
    extractor = _of_model(path)
    features = extractor.fit(IMAGES).transform(IMAGES)
    pickled = pickle.dumps(extractor)
    assert len(pickled) < 100_000
    np.testing.assert_array_equal(pickle.loads(pickled).transform(IMAGES), features)


def test_a_model_is_pickled_with_its_weights() -> None:
    model = _small()
    extractor = _of_model(model).fit(IMAGES)
    again = pickle.loads(pickle.dumps(extractor))
    np.testing.assert_array_equal(again.transform(IMAGES), extractor.transform(IMAGES))
    assert clone(extractor).fit(IMAGES).weights_sha256_ == extractor.weights_sha256_


def test_a_file_that_changes_after_fit_is_noticed(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "small.keras"
    model = _small()
    model.save(path)
    extractor = _of_model(path).fit(IMAGES)
    model.set_weights([0.9 * each for each in model.get_weights()])
    model.save(path)
    monkeypatch.setattr(ready, "_engines", OrderedDict())  # as in another process
    with pytest.raises(ValueError, match=r"was fitted with a Keras model of graph"):
        pickle.loads(pickle.dumps(extractor)).transform(IMAGES)


def test_workers_give_the_same_bits(tmp_path: Path) -> None:
    path = tmp_path / "small.keras"
    _small().save(path)
    extractor = _of_model(path).fit(IMAGES)
    there = Parallel(n_jobs=2, backend="loky")(
        delayed(_transform)(extractor, IMAGES[[i, i + 1]]) for i in (0, 3)
    )
    here = extractor.transform(IMAGES)
    np.testing.assert_array_equal(there[0], here[:2])
    np.testing.assert_array_equal(there[1], here[3:5])


def _transform(extractor: ImageFeatureExtractor, images: np.ndarray) -> np.ndarray:
    return extractor.transform(images)


def test_in_a_search() -> None:
    pipeline = make_pipeline(_named("MobileNetV2", cache="temporary"), LogisticRegression())
    search = GridSearchCV(
        pipeline,
        {"imagefeatureextractor__layer": [None, "block_2_add"], "logisticregression__C": [1, 2]},
        cv=2,
    )
    search.fit(np.concatenate([IMAGES, 255 - IMAGES]), [0, 1] * 6)
    assert len(search.cv_results_["params"]) == 4
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# -- what is wrong


def test_a_misspelt_name_says_what_was_meant() -> None:
    with pytest.raises(ValueError, match=r"Got 'resnet5' instead. Did you mean 'ResNet50'"):
        _named("resnet5").fit(IMAGES)


def test_a_misspelt_layer_says_what_was_meant() -> None:
    with pytest.raises(ValueError, match=r"Got 'block_2_ad' instead. Did you mean 'block_2_add'"):
        _named("MobileNetV2", "block_2_ad").fit(IMAGES)
    with pytest.raises(ValueError, match=r"Got 'poo' instead. Did you mean 'pool'"):
        _of_model(_small(), "poo").fit(IMAGES)


def test_a_size_that_the_network_does_not_take() -> None:
    with pytest.raises(ValueError, match=r"'input_size'.* must be one that InceptionV3 takes"):
        _named("InceptionV3", input_size=32).fit(IMAGES)
    with pytest.raises(ValueError, match=r"takes images of 32 x 32: leave it at 'auto'"):
        _of_model(_small(), input_size=64).fit(IMAGES)
    with pytest.raises(ValueError, match=r"'input_size'.*Got 'auto'"):
        _of_model(_small(None)).fit(IMAGES)
    assert _of_model(_small(None), input_size=40).fit(IMAGES).input_size_ == 40
    for size in ((32,), (32, 0), ("a", 3), [32, 32, 3]):
        with pytest.raises(ValueError, match=r"'input_size' parameter of ImageFeatureExtractor"):
            _named("MobileNetV2", input_size=size).fit(IMAGES)


def test_a_model_without_preprocessing_is_an_error_that_shows_the_usual_ones() -> None:
    with pytest.raises(ValueError, match=r"must say what pixels.*caffe.*tf.*torch.*none"):
        ImageFeatureExtractor(_small()).fit(IMAGES)


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"scale": 0}, "scale 0 is not a positive number"),
        ({"mean": [1, 2]}, "mean .1, 2. is not one number, or three"),
        ({"std": [1, 0, 1]}, "std .1, 0, 1. is not one positive number"),
        ({"order": "GBR"}, "order 'GBR' is neither"),
        ({"means": 0}, "means is not one of order, scale, mean, std"),
        ({"mean": float("nan")}, "mean nan is not one number"),
        ({"std": 10**400}, "std 10+ is not one positive number"),
    ],
)
def test_wrong_preprocessing(given: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        _of_model(_small(), preprocessing=given).fit(IMAGES)


def test_models_that_cannot_be_cut() -> None:
    layers = keras.layers

    class Subclassed(keras.Model):
        def call(self, x: Any) -> Any:
            return x

    images = keras.Input((32, 32, 3))
    two = keras.Model([images, keras.Input((3,))], layers.Flatten()(images))
    grey = keras.Sequential([keras.Input((32, 32, 1)), layers.Flatten()])
    vector = keras.Sequential([keras.Input((32,)), layers.Dense(2)])
    for model, rule in [
        (Subclassed(), "has no graph to cut"),
        (two, "with 2 inputs"),
        (grey, "one channel. Put a layer that converts RGB to grey before it"),
        (vector, r"must take images of the shape \(height, width, 3\)"),
        (keras.Sequential([layers.Flatten()]), "which is not built"),
    ]:
        with pytest.raises(ValueError, match=rule):
            _of_model(model).fit(IMAGES)


def test_a_model_that_ends_with_a_layer_used_twice_needs_a_name() -> None:
    images = keras.Input((32, 32, 3))
    shared = keras.layers.Conv2D(3, 3, padding="same")
    first = keras.layers.ReLU(name="first")(images)
    model = keras.Model(images, shared(shared(first)))
    with pytest.raises(
        ValueError, match=r"must end with a layer that is called once.*name a layer"
    ):
        _of_model(model).fit(IMAGES)
    assert _of_model(model, "first", pooling="avg").fit_transform(IMAGES).shape == (6, 3)


def test_grey_models_work_as_the_error_says() -> None:
    layers = keras.layers
    grey = keras.Sequential([keras.Input((32, 32, 1)), layers.Conv2D(4, 3), layers.ReLU()])
    x = keras.Input((32, 32, 3))
    model = keras.Model(x, grey(keras.ops.mean(x, -1, keepdims=True)))
    assert _of_model(model).fit_transform(IMAGES).shape == (6, 4)


def _hdf5(folder: Path, link: h5py.ExternalLink | None = None) -> bytes:
    """Return a file of no weights, in which one may be in another file."""
    path = folder / "some.weights.h5"
    with h5py.File(path, "w") as file:
        if link is not None:
            file["layers"] = link
    return path.read_bytes()


def test_files_that_are_no_models(tmp_path: Path) -> None:
    unknown = tmp_path / "unknown.keras"
    with zipfile.ZipFile(unknown, "w") as archive:
        archive.writestr("config.json", '{"module": "mine", "class_name": "Mine", "config": {}}')
        archive.writestr("model.weights.h5", _hdf5(tmp_path))
    with pytest.raises(ValueError, match=r"Keras cannot read it"):
        _of_model(unknown).fit(IMAGES)
    with pytest.raises(FileNotFoundError, match=r"must be the path of a file"):
        _of_model(tmp_path / "none.keras").fit(IMAGES)
    old = tmp_path / "old.h5"
    old.write_bytes(b"x")
    for params in ({}, {"preprocessing": "auto"}):
        with pytest.raises(ValueError, match=r"an older format that may hold code"):
            _of_model(old, **params).fit(IMAGES)


def test_a_model_without_layers_to_cut_at() -> None:
    images = keras.Input((32, 32, 3))
    x = keras.layers.Reshape((2, 16, 16, 6))(images)
    model = keras.Model(images, keras.layers.Flatten(name="end")(keras.ops.sum(x, axis=(1, 2))))
    with pytest.raises(ValueError, match=r"must be a layer of.*Got 'h' instead"):
        _of_model(model, "h").fit(IMAGES)
    only = keras.Model(images, x)
    with pytest.raises(ValueError, match="has none that gives two to four dimensions"):
        _of_model(only, "h").fit(IMAGES)


def test_files_that_are_damaged(tmp_path: Path) -> None:
    whole = tmp_path / "whole.keras"
    _small().save(whole)
    content = whole.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 0xFF
    damaged = {
        "cut": content[:-100],
        "half": content[: len(content) // 2],
        "empty": b"",
        "no archive": b"PK\x03\x04 no archive",
        "flipped": bytes(flipped),
    }
    for name in ("config.json", "model.weights.h5"):
        with zipfile.ZipFile(whole) as source, zipfile.ZipFile(tmp_path / "less", "w") as archive:
            for part in source.infolist():
                if part.filename != name:
                    archive.writestr(part, source.read(part))
        damaged[f"without {name}"] = (tmp_path / "less").read_bytes()
    # What would fill the memory, and what is elsewhere.
    linked = _hdf5(tmp_path, h5py.ExternalLink(str(tmp_path / "elsewhere.h5"), "/"))
    bomb = b"\0" * (257 << 20)
    for name, weights in {"linked": linked, "bomb": bomb}.items():
        with zipfile.ZipFile(tmp_path / "other", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("config.json", "{}")
            archive.writestr("model.weights.h5", weights)
        damaged[name] = (tmp_path / "other").read_bytes()
    for name, broken in damaged.items():
        path = tmp_path / f"{name}.keras"
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"must be a .keras file that is whole.*download"):
            _of_model(path).fit(IMAGES)
    assert _of_model(whole).fit(IMAGES).n_features_out_ == 4


def test_weights_are_read_in_a_separate_process_first(tmp_path: Path) -> None:
    path = tmp_path / "linked.h5"
    path.write_bytes(_hdf5(tmp_path, h5py.ExternalLink(str(tmp_path / "elsewhere.h5"), "/")))
    with pytest.raises(OSError, match=r"cannot read the weights file '.*linked\.h5': .*link"):
        _named("MobileNetV2", weights=path).fit(IMAGES)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "lambda.keras"
    model = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Lambda(lambda x: x * 2), keras.layers.Flatten()]
    )
    model.save(path)
    with pytest.raises(ValueError, match=r"it holds code, which is not run"):
        _of_model(path).fit(IMAGES)


def test_what_is_for_vgg_alone_says_so() -> None:
    with pytest.raises(ValueError, match=r"'engine'.*must be 'keras' or 'openvino'.*Got 'ncnn'"):
        _named("MobileNetV2", engine="ncnn").fit(IMAGES)
    with pytest.raises(ValueError, match=r"'precision'.*which only VGGFeatureExtractor supports"):
        _named("MobileNetV2", precision="float16").fit(IMAGES)


# -- scikit-learn's own checks


@pytest.mark.filterwarnings("ignore::sktransfer.ImageWarning")
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names:UserWarning")
@pytest.mark.parametrize("kind", ["MobileNetV2", "DenseNet121", "ConvNeXtTiny", "model"])
def test_check_estimator(kind: str) -> None:
    if kind == "model":
        estimator = _of_model(_small(), pooling="avg", layer="sum")
    else:
        estimator = _named(kind, EARLY[kind], pooling="avg")
    results = checks.check_estimator(estimator, on_fail=None, on_skip=None)
    not_passed = {
        result["check_name"]: result["status"] for result in results if result["status"] != "passed"
    }
    not_passed.pop("check_array_api_input", None)  # it is skipped, as for VGGFeatureExtractor
    assert not not_passed
    assert len(results) > 40


@pytest.mark.filterwarnings("ignore::sktransfer.ImageWarning")
def test_parameters_are_validated() -> None:
    checks.check_param_validation("ImageFeatureExtractor", _named("MobileNetV2", "Conv1"))


# -- what takes it


@pytest.fixture
def two_kinds() -> tuple[np.ndarray, np.ndarray]:
    """Bright and dark images, half of each."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 120, (24, 16, 16, 3), dtype=np.uint8)
    images[::2] += 120
    return images, np.arange(24) % 2


def test_a_comparison(two_kinds: tuple[np.ndarray, np.ndarray]) -> None:
    model = _small()
    result = compare_transfer(
        *two_kinds, extractors={"mine": _of_model(model)}, cv=2, few_labels=()
    )
    rows = {row.name: row for row in result.rows}
    assert rows["mine"].control == "mine, random weights"
    assert len(rows["mine"].scores["accuracy"]) == 2


def test_a_comparison_at_a_rectangular_size(
    two_kinds: tuple[np.ndarray, np.ndarray],
) -> None:
    extractor = _of_model(_small(None), input_size=(32, 48))
    name = name_extractor(extractor)
    result = compare_transfer(*two_kinds, extractors={name: extractor}, cv=2, few_labels=())
    assert name.endswith("embedding, 32 x 48 px")
    assert {row.name for row in result.rows} >= {name, f"{name}, random weights"}


def test_a_sweep_takes_the_last_layer_of_each_resolution(
    two_kinds: tuple[np.ndarray, np.ndarray],
) -> None:
    sweep = sweep_layers(
        *two_kinds, extractor=_of_model(_small(None)), poolings=["avg"], input_sizes=[32, 48], cv=2
    )
    assert {row.variant.layer for row in sweep.rows} == {"sum"}
    assert {row.variant.input_size for row in sweep.rows} == {32, 48}
    with pytest.raises(ValueError, match=r"Got 'su' instead. Did you mean 'sum'"):
        sweep_layers(*two_kinds, extractor=_of_model(_small()), layers=["su"], input_sizes=[32])
    fixed = sweep_layers(
        *two_kinds, extractor=_of_model(_small()), poolings=["avg"], input_sizes=[32, 48], cv=2
    )
    assert {row.variant.input_size for row in fixed.rows} == {32}
    assert any("takes images of 32 x 32" in str(each) for each in fixed.skipped)


def test_a_layer_search(two_kinds: tuple[np.ndarray, np.ndarray]) -> None:
    pipeline = make_pipeline(_of_model(_small(), cache="temporary"), LogisticRegression())
    search = LayerSearchCV(
        pipeline, layers=["relu", "sum"], poolings=["avg"], input_sizes=[32], cv=2
    )
    search.fit(*two_kinds)
    assert len(search.cv_results_["params"]) == 2


def test_extraction_to_a_file(tmp_path: Path) -> None:
    extractor = _of_model(_small())
    extract(IMAGES, tmp_path / "features.npy", extractor=extractor)
    np.testing.assert_array_equal(
        np.load(tmp_path / "features.npy"), clone(extractor).fit_transform(IMAGES)
    )


def test_dask_collections() -> None:
    dask_array = pytest.importorskip("dask.array")
    extractor = _of_model(_small()).fit(IMAGES)
    lazy = extractor.transform(dask_array.from_array(IMAGES, chunks=(4, -1, -1, -1)))
    np.testing.assert_array_equal(lazy.compute(scheduler="threads"), extractor.transform(IMAGES))


def test_a_sweep_across_networks(
    two_kinds: tuple[np.ndarray, np.ndarray], no_windows: None, tmp_path: Path
) -> None:
    model = _small()
    networks = {
        "mine": _of_model(model),
        "random": _of_model(model, weights=None, random_state=0),
        "vgg": VGGFeatureExtractor(weights=None, random_state=0, cache=None),
    }
    sweep = sweep_networks(
        *two_kinds, networks=networks, layers={"mine": ["relu", "pool"]}, input_sizes=[32, 48], cv=2
    )
    found = [(row.network, row.variant.layer, row.variant.input_size) for row in sweep.rows]
    assert found == [
        ("mine", "relu", 32),
        ("mine", "pool", 32),
        ("random", "pool", 32),
        ("vgg", "block5_pool", 32),
        ("vgg", "block5_pool", 48),
    ]
    assert sum("takes images of 32 x 32" in each for each in sweep.skipped) == 2
    assert sweep.n_comparisons == 10
    assert sweep.rows[3].megabytes == pytest.approx(4e-6 * 14_714_688)
    assert sum(row.to_best is None for row in sweep.rows) == 1
    assert str(sweep).startswith("Best is ")
    assert "10 comparisons counted" in str(sweep)
    assert sweep.front[-1] is sweep.best or sweep.mean(sweep.front[-1]) == sweep.mean(sweep.best)
    times = [row.milliseconds for row in sweep.front]
    assert times == sorted(times)
    records = sweep._records()
    assert {record["is_on_front"] for record in records} <= {True, False}
    assert len(sweep.to_csv().splitlines()) == 6
    assert '"metric": "accuracy"' in sweep.to_json()
    # A line of names, a rule and five rows, twice; and the confusion of two classes.
    assert sweep.to_markdown().count("\n| ") == 18
    display = NetworkSweepDisplay(sweep).plot()
    (legend,) = display.figure_.legends
    assert [text.get_text() for text in legend.get_texts()] == [*networks, "Pareto front"]


def test_a_sweep_goes_on_without_a_network(
    two_kinds: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    networks = {"mine": _of_model(_small()), "none": _of_model(tmp_path / "none.keras")}
    sweep = sweep_networks(*two_kinds, networks=networks, cv=2)
    assert [row.network for row in sweep.rows] == ["mine"]
    assert any("must be the path of a file" in each for each in sweep.skipped)
    with pytest.raises(FileNotFoundError):
        sweep_networks(*two_kinds, networks={"none": networks["none"]}, cv=2)
    for wrong in ("resnet50", [], {"a": 1}):
        with pytest.raises(TypeError, match="'networks' parameter of sweep_networks"):
            sweep_networks(*two_kinds, networks=wrong, cv=2)
    with pytest.raises(ValueError, match=r"'networks'.*Did you mean 'ResNet50'"):
        sweep_networks(*two_kinds, networks=["resnet5"], cv=2)
    with pytest.raises(ValueError, match="'layers' parameter of sweep_networks"):
        sweep_networks(*two_kinds, networks=networks, layers={"your": ["sum"]}, cv=2)


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "small.keras"
    _small(None).save(path)
    common = ["--network", str(path), "--preprocessing", "tf"]
    written = ["--cache", str(tmp_path / "store"), "--csv", str(tmp_path / "sweep.csv")]
    run = ["--input-sizes", "32", "40", "--folds", "2", "--quiet"]
    code = main(["sweep", *common, *run, *written])
    out = capsys.readouterr().out
    assert code == 0
    assert out.startswith("Best is small.keras, pool flat, ")
    assert len((tmp_path / "sweep.csv").read_text().splitlines()) == 3
    data = ["--max-images", "60", "--digits", "8", "6", "--few-labels"]
    run = ["--input-size", "32", "--folds", "2", "--quiet"]
    code = main(["compare", *common, *data, *run, "--json", str(tmp_path / "result.json")])
    assert code == 0
    names = [row["name"] for row in json.loads((tmp_path / "result.json").read_text())["rows"]]
    assert "small.keras pretrained, embedding, 32 px" in names
    assert "small.keras pretrained, embedding, 32 px, random weights" in names
    Image.fromarray(IMAGES[0]).save(tmp_path / "image.png")
    cut = ["--input-size", "32", "--layer", "sum", "--pooling", "avg", "--quiet"]
    paths = [str(tmp_path / "image.png"), "--out", str(tmp_path / "x.npy")]
    code = main(["extract", *paths, *common, *cut])
    assert code == 0
    assert np.load(tmp_path / "x.npy").shape == (1, 4)


def test_feature_maps(no_windows: None) -> None:
    extractor = _of_model(_small(None), input_size=48).fit(IMAGES)
    display = FeatureMapDisplay.from_estimator(extractor, IMAGES[0], n_maps=2)
    assert [row.layer.name for row in display.maps] == ["sum"]
    chosen = FeatureMapDisplay.from_estimator(extractor, IMAGES[0], layers=["relu", "first"])
    expected = _of_model(_small(None), "relu", input_size=48).fit_transform(IMAGES[:1])
    maps = expected.reshape(23, 23, 4)
    found = next(row for row in chosen.maps if row.layer.name == "relu")
    np.testing.assert_allclose(found.maps[0], maps[..., found.channels[0]], rtol=1e-5)
    with pytest.raises(ValueError, match="must name layers with feature maps"):
        FeatureMapDisplay.from_estimator(extractor, IMAGES[0], layers=["pool"])
    with pytest.raises(TypeError, match="must be a VGGFeatureExtractor"):
        ArchitectureDisplay.from_estimator(extractor)


def test_a_sweep_is_drawn(two_kinds: tuple[np.ndarray, np.ndarray], no_windows: None) -> None:
    extractor = _of_model(_small(None))
    layers = ["sum", "first", "relu"]
    sweep = sweep_layers(
        *two_kinds, extractor=extractor, layers=layers, poolings=["avg"], input_sizes=[32], cv=2
    )
    ax = LayerSweepDisplay(sweep).plot().ax_
    assert [label.get_text() for label in ax.get_xticklabels()][-1] == "sum"
