"""The same numbers as Keras' own networks, and the same bits whatever the batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sktransfer import VGGFeatureExtractor, weights
from sktransfer.engines.keras import images_per_call
from sktransfer.engines.processor import processor_flags
from sktransfer.networks import list_layers, plan_cut

ARCHITECTURES = ["vgg16", "vgg19"]


def _extractor(layer: str | list[str], **params: Any) -> VGGFeatureExtractor:
    """Make one that keeps nothing: a stored row compared with itself would prove nothing."""
    return VGGFeatureExtractor(layer, cache=None, **params)


def _images(size: int, n: int | None = None) -> np.ndarray:
    n = images_per_call(size) if n is None else n
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def _keras_layers(
    architecture: str, arrays: dict[str, Any], images: np.ndarray, names: list[str], *, top: bool
) -> list[np.ndarray]:
    """Compute layers as Keras' documentation shows, with Keras' own preprocessing."""
    import keras

    module = getattr(keras.applications, architecture)
    model = getattr(module, architecture.upper())(
        weights=None, include_top=top, input_shape=images.shape[1:]
    )
    for name, values in arrays.items():
        model.get_layer(name).set_weights(list(values))
    cut = keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    inputs = module.preprocess_input(images.astype(np.float32))
    outputs = cut.predict(inputs, batch_size=images_per_call(images.shape[1]), verbose=0)
    return [np.reshape(output, (len(images), -1)) for output in outputs]


def _check_columns(
    features: np.ndarray, names: list[str], reference: list[np.ndarray], bound: float
) -> None:
    start = 0
    for name, expected in zip(names, reference, strict=True):
        values = features[:, start : start + expected.shape[1]]
        error = np.linalg.norm(values - expected) / np.linalg.norm(expected)
        assert error < bound, f"{name}: {error}"
        start += expected.shape[1]
    assert start == features.shape[1]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_layer_equals_keras_at_32_pixels(architecture: str) -> None:
    images = _images(32)
    names = [layer.name for layer in list_layers(architecture, 32)[1:-1]]
    extractor = _extractor(
        [*names, "flatten"], architecture=architecture, weights=None, input_size=32, random_state=0
    )
    features = extractor.fit_transform(images)
    cut = plan_cut("flatten", architecture, None, 32)
    arrays = weights.draw_weights(cut, extractor.random_seed_)
    reference = _keras_layers(architecture, arrays, images, names, top=False)
    # Keras has the layer flatten at 224 pixels only: it is block5_pool, row after row.
    bound = 1e-6 if "avx512f" in processor_flags() else 3e-6
    _check_columns(features, [*names, "flatten"], [*reference, reference[-1]], bound)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_dense_layers_equal_keras_at_224_pixels(architecture: str) -> None:
    images = _images(224, 2)
    names = ["block5_pool", "flatten", "fc1", "fc2", "predictions"]
    extractor = _extractor(names[1:], architecture=architecture, weights=None, random_state=0)
    features = extractor.fit_transform(images)
    arrays = weights.draw_weights(plan_cut("predictions", architecture), extractor.random_seed_)
    reference = _keras_layers(architecture, arrays, images, names, top=True)
    _check_columns(features, names[1:], reference[1:], 1e-5)
    np.testing.assert_allclose(features[:, -1000:].sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "fixture", "names"),
    [
        ("vgg16", "vgg16_blocks", ["block1_conv2", "block2_conv1", "block2_pool"]),
        ("vgg19", "vgg19_blocks", ["block1_conv2", "block2_pool", "block3_conv4", "block3_pool"]),
    ],
)
def test_trained_weights_equal_keras(
    architecture: str, fixture: str, names: list[str], request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(fixture)
    images = _images(32)
    arrays = weights.read_weights(path, plan_cut(names, architecture, None, 32))
    reference = _keras_layers(architecture, arrays, images, names, top=False)
    extractor = _extractor(names, architecture=architecture, weights=path, input_size=32)
    _check_columns(extractor.fit_transform(images), names, reference, 1e-6)


@pytest.mark.parametrize("pooling", ["avg", "max"])
def test_pooling_is_the_mean_or_maximum_of_each_feature_map(pooling: str) -> None:
    images = _images(32)
    params = {"weights": None, "input_size": 32, "random_state": 0}
    names = ["block1_pool", "block4_conv2"]
    pooled = _extractor(names, pooling=pooling, **params).fit_transform(images)
    reference = []
    for name in names:
        maps = _extractor(name, **params).fit_transform(images)
        n_channels = {"block1_pool": 64, "block4_conv2": 512}[name]
        maps = maps.reshape(len(images), -1, n_channels)
        reference.append(maps.mean(axis=1) if pooling == "avg" else maps.max(axis=1))
    _check_columns(pooled, names, reference, 1e-6)


def test_the_keras_model_is_the_cut_with_its_weights() -> None:
    from keras.applications.vgg16 import preprocess_input

    images = _images(32, 5)
    layers = ["block1_conv2", "block2_pool"]
    extractor = _extractor(
        layers, pooling=["avg", None], weights=None, input_size=32, random_state=0
    ).fit(images)
    model = extractor.to_keras()
    assert [layer.name for layer in model.layers[:3]] == ["input", "block1_conv1", "block1_conv2"]
    outputs = model.predict(preprocess_input(images.astype(np.float32)), verbose=0)
    reference = [np.asarray(output) for output in outputs]
    _check_columns(extractor.transform(images), layers, reference, 1e-6)


def test_several_layers_in_one_pass_equal_each_alone() -> None:
    images = _images(32, 3)
    params = {"weights": None, "input_size": 32, "random_state": 0}
    names = ["block3_pool", "block1_pool", "flatten"]
    together = _extractor(names, **params).fit_transform(images)
    alone = [_extractor(name, **params).fit_transform(images) for name in names]
    np.testing.assert_array_equal(together, np.concatenate(alone, axis=1))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("size", [32, 50, 96, 120])
def test_rows_are_bitwise_the_same_alone_in_any_batch_and_order(
    architecture: str, size: int
) -> None:
    images = _images(size, images_per_call(size) + 3)
    extractor = _extractor(
        ["block3_conv2", "flatten"],
        architecture=architecture,
        weights=None,
        input_size=size,
        random_state=0,
    ).fit(images)
    features = extractor.transform(images)
    order = np.random.default_rng(1).permutation(len(images))
    np.testing.assert_array_equal(extractor.transform(images[order]), features[order])
    for position in (0, len(images) // 2, len(images) - 1):
        row = extractor.transform(images[position : position + 1])
        np.testing.assert_array_equal(row[0], features[position])
    for batch_size in (1, 7):
        other = extractor.set_params(batch_size=batch_size).transform(images)
        np.testing.assert_array_equal(other, features)


def test_dense_rows_are_bitwise_the_same_in_any_order() -> None:
    images = _images(224, 3)
    extractor = _extractor("fc1", weights=None, random_state=0).fit(images)
    features = extractor.transform(images)
    np.testing.assert_array_equal(extractor.transform(images[::-1])[::-1], features)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen here")
def test_rows_are_bitwise_the_same_on_one_core(tmp_path: Path) -> None:
    # Workers of joblib have fewer threads than their parent, and share its store.
    images = _images(64, 9)
    np.save(tmp_path / "images.npy", images)
    params = "['block1_conv2', 'flatten'], weights=None, input_size=64, random_state=0, cache=None"
    code = (
        "import os, sys\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "import numpy as np\n"
        "from sktransfer import VGGFeatureExtractor\n"
        f"extractor = VGGFeatureExtractor({params})\n"
        "np.save(sys.argv[2], extractor.fit_transform(np.load(sys.argv[1])))\n"
    )
    paths = [str(tmp_path / name) for name in ("images.npy", "features.npy")]
    result = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    extractor = _extractor(["block1_conv2", "flatten"], weights=None, input_size=64, random_state=0)
    np.testing.assert_array_equal(np.load(paths[1]), extractor.fit_transform(images))
