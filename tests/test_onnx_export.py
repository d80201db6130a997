"""ONNX files against the models that they were made of, run by ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import VGGClassifier, VGGFeatureExtractor, VGGRegressor, export_onnx

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")

TINY: dict[str, Any] = {"weights": None, "input_size": 36, "random_state": 0, "cache": None}


def _run(path: Path, images: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(path)
    values = session.run(None, {"images": images.astype(np.float32)})
    return dict(zip([output.name for output in session.get_outputs()], values, strict=True))


def _images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _assert_close(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found, wanted, atol=1e-4 * max(1.0, np.abs(wanted).max()))


@pytest.mark.parametrize(
    ("layer", "pooling"),
    [("flatten", None), ("block3_pool", "avg"), (["block1_pool", "block2_conv1"], "max")],
)
@pytest.mark.parametrize("architecture", ["vgg16", "vgg19"])
def test_features_agree(layer: Any, pooling: str | None, architecture: str, tmp_path: Path) -> None:
    X = _images(3, 20, 30, 3)
    extractor = VGGFeatureExtractor(layer, pooling=pooling, architecture=architecture, **TINY)
    export_onnx(extractor.fit(X), tmp_path / "model.onnx")
    _assert_close(_run(tmp_path / "model.onnx", X)["features"], extractor.transform(X))


@pytest.mark.parametrize(
    ("shape", "params"),
    [
        ((20, 30, 3), {"aspect": "crop", "interpolation": "bicubic"}),
        ((30, 20, 4), {"aspect": "pad", "interpolation": "lanczos5"}),
        ((20, 30, 1), {"aspect": "pad", "interpolation": "nearest"}),
        ((60, 50, 1), {"antialias": True}),
        ((36, 36, 3), {"value_range": (255, 0)}),
    ],
)
def test_preprocessing_agrees(
    shape: tuple[int, ...], params: dict[str, Any], tmp_path: Path
) -> None:
    X = _images(4, *shape)
    extractor = VGGFeatureExtractor("block1_conv1", **TINY, **params).fit(X)
    export_onnx(extractor, tmp_path / "model.onnx")
    _assert_close(_run(tmp_path / "model.onnx", X)["features"], extractor.transform(X))


_WHITE = {"bool": 1, "uint8": 255, "uint16": 65535, "float32": 1}


@pytest.mark.filterwarnings("ignore::sktransfer.ImageWarning")
@pytest.mark.parametrize("value_range", ["auto", (0, 200), (0, 1), (1000, -1000), (-3, 0)])
@pytest.mark.parametrize("n_channels", [1, 3, 4])
@pytest.mark.parametrize("channels_first", [False, True])
@pytest.mark.parametrize("dtype", list(_WHITE))
def test_every_kind_of_pixel_agrees(
    dtype: str, channels_first: bool, n_channels: int, value_range: Any, tmp_path: Path
) -> None:
    share = np.random.default_rng(0).uniform(0, 1, (3, 20, 24, n_channels))
    share[..., 3:] = np.round(share[..., 3:] * 4) / 4  # transparent, opaque, and between
    white, darkest, brightest = _WHITE[dtype], 0, _WHITE[dtype]
    if dtype == "float32" and value_range != "auto":
        darkest, brightest = value_range
        white = max(value_range) or 3
    X = darkest + (brightest - darkest) * share
    X[..., 3:] = white * share[..., 3:]
    X = (X >= 0.5 if dtype == "bool" else X).astype(dtype)
    given = np.moveaxis(X, -1, 1) if channels_first else X
    params = TINY | {"value_range": value_range}
    extractor = VGGFeatureExtractor("block1_conv1", pooling="avg", **params).fit(given)
    export_onnx(extractor, tmp_path / "model.onnx")
    found = _run(tmp_path / "model.onnx", X)["features"]
    _assert_close(found, extractor.transform(given))


def test_alpha_of_a_classifier_and_of_files(tmp_path: Path) -> None:
    X = _images(12, 16, 16, 4)
    params = TINY | {"value_range": (0, 100)}
    classifier = VGGClassifier("block1_pool", pooling="avg", head_epochs=1, epochs=1, **params)
    with pytest.warns(UserWarning, match="some of which lie outside it"):
        classifier.fit(X, np.arange(12) % 2).predict(X)
        wanted = classifier.predict_proba(X)
    export_onnx(classifier, tmp_path / "model.onnx")
    _assert_close(_run(tmp_path / "model.onnx", X)["probabilities"], wanted)

    Image.fromarray(X[0]).save(tmp_path / "image.png")
    extractor = VGGFeatureExtractor("block1_pool", **params).fit([tmp_path / "image.png"])
    with pytest.warns(UserWarning, match="some of which lie outside it"):
        wanted = extractor.transform([tmp_path / "image.png"])
    export_onnx(extractor, tmp_path / "model.onnx", image_shape=(16, 16, 4))
    _assert_close(_run(tmp_path / "model.onnx", X[:1])["features"], wanted)


@pytest.mark.parametrize("labels", [[3, 5, 9], ["ant", "bee", "cat"]])
def test_a_classifier_gives_labels_and_probabilities(labels: list[Any], tmp_path: Path) -> None:
    X, y = _images(20, 16, 16), np.array(labels)[np.arange(20) % 3]
    model = VGGClassifier(
        "block1_pool",
        pooling="avg",
        unfreeze="all",
        hidden_layer_sizes=(8,),
        epochs=1,
        head_epochs=5,
        **TINY,
    ).fit(X, y)
    export_onnx(model, tmp_path / "model.onnx")
    found = _run(tmp_path / "model.onnx", X[..., None])
    _assert_close(found["probabilities"], model.predict_proba(X))
    np.testing.assert_array_equal(found["label"], model.predict(X))


@pytest.mark.parametrize("n_outputs", [None, 2])
def test_a_regressor_gives_values(n_outputs: int | None, tmp_path: Path) -> None:
    X = _images(20, 16, 16)
    y = np.random.default_rng(1).normal(5, 3, (20,) if n_outputs is None else (20, n_outputs))
    model = VGGRegressor("block1_pool", pooling="avg", epochs=3, **TINY).fit(X, y)
    export_onnx(model, tmp_path / "model.onnx")
    _assert_close(_run(tmp_path / "model.onnx", X[..., None])["values"], model.predict(X))


def test_an_extractor_with_a_classifier_of_scikit_learn(tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
    X, y = _images(20, 16, 16), np.array(["ant", "bee"])[np.arange(20) % 2]
    extractor = VGGFeatureExtractor("block1_pool", pooling="avg", **TINY)
    model = make_pipeline(extractor, StandardScaler(), LogisticRegression()).fit(X, y)
    export_onnx(model, tmp_path / "model.onnx")
    found = _run(tmp_path / "model.onnx", X[..., None])
    _assert_close(found["probabilities"], model.predict_proba(X))
    np.testing.assert_array_equal(found["label"], model.predict(X))
    reduced = make_pipeline(extractor, PCA(2)).fit(X)
    export_onnx(reduced, tmp_path / "model.onnx")
    (values,) = _run(tmp_path / "model.onnx", X[..., None]).values()
    _assert_close(values, reduced.transform(X))


def test_trained_weights(vgg16_blocks: Path, tmp_path: Path) -> None:
    X = _images(3, 28, 28)
    extractor = VGGFeatureExtractor("block2_pool", weights=vgg16_blocks, input_size=32).fit(X)
    export_onnx(extractor, tmp_path / "model.onnx")
    _assert_close(_run(tmp_path / "model.onnx", X[..., None])["features"], extractor.transform(X))


def test_files_need_a_shape(tmp_path: Path) -> None:
    image = _images(12, 10, 3)
    Image.fromarray(image).save(tmp_path / "image.png")
    extractor = VGGFeatureExtractor("block1_pool", **TINY).fit([tmp_path / "image.png"])
    with pytest.raises(ValueError, match=r"the shape of the input images, .* image_shape=None"):
        export_onnx(extractor, tmp_path / "model.onnx")
    export_onnx(extractor, tmp_path / "model.onnx", image_shape=(12, 10, 3))
    found = _run(tmp_path / "model.onnx", image[None])["features"]
    _assert_close(found, extractor.transform([tmp_path / "image.png"]))


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    X, path = _images(4, 16, 16), tmp_path / "model.onnx"
    extractor = VGGFeatureExtractor("block1_pool", **TINY).fit(X)
    with pytest.raises(ValueError, match=r"must be None or \(16, 16, 1\), on which"):
        export_onnx(extractor, path, image_shape=(8, 8))
    with pytest.raises(TypeError, match="Got StandardScaler as its first step"):
        export_onnx(make_pipeline(StandardScaler()).fit(X.reshape(4, -1)), path)
    for nowhere in (tmp_path / "no" / "model.onnx", tmp_path):
        with pytest.raises(FileNotFoundError, match=r"'path' .* a file in a folder that exists"):
            export_onnx(extractor, nowhere)
    extractor.precision_ = "bfloat16"
    with pytest.raises(ValueError, match="writes networks in float32"):
        export_onnx(extractor, path)
    assert not path.exists()
