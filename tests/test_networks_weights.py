"""Trained weights of Keras' networks: by Keras' own function, and from folders of the user's."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from differences import relative_error
from long_mode import every_network

from sktransfer import ImageClassifier, ImageFeatureExtractor
from sktransfer.networks.applications import build_application, find_application, list_applications
from sktransfer.weights import any_network, keras_files

keras = pytest.importorskip("keras")

from keras.src.applications import efficientnet, mobilenet_v3  # noqa: E402 - where it is installed
from keras.src.utils import file_utils  # noqa: E402

# Keras saves and copies models by a function that NumPy deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 40, 52, 3), dtype=np.uint8)
# As Keras names its files: one with a hash, and one without.
NAMES = {
    "MobileNetV3Small": "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
    "MobileNetV2": "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
}


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget networks and files of other tests, and keep every test off Keras' server."""
    monkeypatch.delenv("SKTRANSFER_WEIGHTS_DIR", raising=False)
    monkeypatch.setattr(any_network, "_loaded", OrderedDict())

    def fail(name: str, *args: Any, **kwargs: Any) -> str:
        raise Exception(f"URL fetch failure on {name}")

    monkeypatch.setattr(file_utils, "get_file", fail)
    keras_files.published_file.cache_clear()
    yield
    keras_files.published_file.cache_clear()


def _build(name: str, *, is_whole: bool = False, seed: int = 0) -> Any:
    """Build a network with weights that no other has."""
    more = {} if is_whole else {"input_shape": (32, 32, 3), "pooling": "avg"}
    model = find_application(name, "").build(weights=None, include_top=is_whole, **more)
    rng = np.random.default_rng(seed)
    model.set_weights([w + 0.01 * rng.random(w.shape, np.float32) for w in model.get_weights()])
    return model


def _predict(name: str, model: Any, images: np.ndarray = IMAGES) -> np.ndarray:
    size = model.inputs[0].shape[1:3]
    resized = np.array(keras.ops.image.resize(images.astype(np.float32), size))
    inputs = find_application(name, "").module.preprocess_input(resized)
    return model.predict(inputs, verbose=0)


def _extractor(name: str, layer: Any = None, **params: Any) -> ImageFeatureExtractor:
    params = {"input_size": 32, "cache": None} | params
    return ImageFeatureExtractor(name, layer, **params)


@pytest.mark.parametrize(("layer", "size"), [(None, 32), ("predictions", "auto")])
def test_trained_weights_come_by_keras_own_function(
    layer: str | None, size: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _build("MobileNetV2", is_whole=layer is not None)
    path = tmp_path / "random.weights.h5"
    model.save_weights(path)
    asked: list[str] = []

    def get_file(name: str, *args: Any, **kwargs: Any) -> str:
        asked.append(name)
        return str(path)

    monkeypatch.setattr(file_utils, "get_file", get_file)
    extractor = _extractor("MobileNetV2", layer, input_size=size)
    assert relative_error(extractor.fit_transform(IMAGES), _predict("MobileNetV2", model)) < 1e-5
    assert asked == [NAMES["MobileNetV2"].replace("_no_top", "_no_top" if layer is None else "")]


def _publish(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write weights under Keras' name for them, and let Keras publish their hash."""
    model = _build(name)
    folder.mkdir(exist_ok=True)
    path = folder / NAMES[name]
    model.save(path)
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(mobilenet_v3.WEIGHTS_HASHES, "small_224_1.0_float", ("", md5))
    return model


@pytest.mark.parametrize("how", ["parameter", "variable"])
@pytest.mark.parametrize("name", list(NAMES))
def test_a_folder_is_searched_for_keras_file(
    name: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _publish(name, tmp_path / "own", monkeypatch)
    before = file_utils.get_file
    if how == "variable":
        monkeypatch.setenv("SKTRANSFER_WEIGHTS_DIR", str(tmp_path / "own"))
        extractor = _extractor(name)
    else:
        extractor = _extractor(name, weights=tmp_path / "own")
    assert relative_error(extractor.fit_transform(IMAGES), _predict(name, model)) < 1e-5
    assert file_utils.get_file is before
    # By folder or by path, they are the same weights.
    by_path = _extractor(name, weights=tmp_path / "own" / NAMES[name]).fit(IMAGES)
    assert by_path.weights_sha256_ == extractor.weights_sha256_


@pytest.mark.parametrize("how", ["parameter", "variable"])
def test_a_file_of_another_hash_is_refused(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _publish("MobileNetV3Small", tmp_path, monkeypatch)
    _build("MobileNetV3Small", seed=1).save(tmp_path / NAMES["MobileNetV3Small"])
    monkeypatch.setenv("SKTRANSFER_WEIGHTS_DIR", str(tmp_path))
    weights = tmp_path if how == "parameter" else "pretrained"
    message = (
        r"MobileNetV3Small are searched for, but it is corrupt or not the file of Keras: its MD5"
    )
    with pytest.raises(OSError, match=message):
        _extractor("MobileNetV3Small", weights=weights).fit(IMAGES)


def test_a_folder_without_the_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "other.h5").write_bytes(b"")
    for name, file in NAMES.items():
        with pytest.raises(FileNotFoundError, match=rf"holds '{file}'.* from https://.*/{file}"):
            _extractor(name, weights=tmp_path).fit(IMAGES)
    whole = NAMES["MobileNetV2"].replace("_no_top", "")
    with pytest.raises(FileNotFoundError, match=f"must be a folder that holds '{whole}'"):
        _extractor("MobileNetV2", "predictions", weights=tmp_path, input_size="auto").fit(IMAGES)


def test_without_the_file_in_the_variable_s_folder_keras_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        monkeypatch.setenv("SKTRANSFER_WEIGHTS_DIR", str(folder))
        with pytest.raises(OSError, match=r"unavailable from Keras' own function.*URL fetch fail"):
            _extractor("MobileNetV2").fit(IMAGES)


def test_what_else_is_no_file(tmp_path: Path) -> None:
    for weights, fault in [
        (tmp_path / "none.h5", r"path of a file, a folder, None or 'pretrained'\. Got .*No such"),
        (
            "~nosuchuser/x",
            r"must be a path, None or 'pretrained'\. Got '~nosuchuser/x': .* no home",
        ),
    ]:
        with pytest.raises(OSError, match=fault):
            _extractor("MobileNetV2", weights=weights).fit(IMAGES)
    model = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Conv2D(2, 3)])
    extractor = _extractor(model, weights=tmp_path, preprocessing={"scale": 1.0})
    with pytest.raises(FileNotFoundError, match="must be the path of a file, None or 'pretrained'"):
        extractor.fit(IMAGES)


def test_other_threads_get_their_files_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_utils, "get_file", lambda name, url: f"{name} of {url}")
    found: list[str] = []

    def ask(*args: Any, **kwargs: Any) -> None:
        other = threading.Thread(target=lambda: found.append(file_utils.get_file("a", "b")))
        other.start()
        other.join()
        file_utils.get_file(*args, **kwargs)

    application = find_application("MobileNetV2", "")
    asking = type(application)("Asking", lambda **params: ask("c.h5", "d"), application.module)
    published = keras_files.published_file(asking, 32, is_whole=False, who="test")
    assert (found, published.name, published.url) == (["a of b"], "c.h5", "d")


# -- graphs that Keras builds for its own weights only


def _write_efficientnet(path: Path) -> None:
    """Write a file as Keras' own of EfficientNetB0: with the mean and the variance of pixels."""
    model = _build("EfficientNetB0")
    (norm,) = (each for each in model.layers if isinstance(each, keras.layers.Normalization))
    norm.set_weights([np.float32([0.5, 0.4, 0.3]), np.float32([0.05, 0.06, 0.07]), np.array(0)])
    model.save(path)


def _predict_early(model: Any, layer: str) -> np.ndarray:
    part = keras.Model(model.inputs, model.get_layer(layer).output)
    resized = np.array(keras.ops.image.resize(IMAGES.astype(np.float32), (32, 32)))
    return part.predict(resized, verbose=0).mean(axis=(1, 2))


def test_efficientnet_is_scaled_for_keras_weights_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, layer = tmp_path / "efficientnetb0_notop.h5", "block2a_project_bn"
    _write_efficientnet(path)
    params = {"include_top": False, "input_shape": (32, 32, 3)}
    with monkeypatch.context() as patched:
        patched.setattr(file_utils, "get_file", lambda *args, **kwargs: str(path))
        keras_own = keras.applications.EfficientNetB0(weights="imagenet", **params)
        expected = _predict_early(keras_own, layer)
        features = {"download": _extractor("EfficientNetB0", layer, pooling="avg").fit(IMAGES)}
        features["download"].transform(IMAGES)  # loads them
        found = {"download": features["download"].transform(IMAGES)}
    by_path = {"pooling": "avg", "weights": path}
    # Keras' own graph for weights of one's own; the file is not the one that Keras publishes.
    own = keras.applications.EfficientNetB0(weights=path, **params)
    alone = _extractor("EfficientNetB0", layer, **by_path).fit_transform(IMAGES)
    assert relative_error(alone, _predict_early(own, layer)) < 1e-5
    assert relative_error(alone, expected) > 0.1

    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(efficientnet.WEIGHTS_HASHES, "b0", ("", md5))
    monkeypatch.setattr(any_network, "_loaded", OrderedDict())
    keras_files.published_file.cache_clear()
    found["path"] = _extractor("EfficientNetB0", layer, **by_path).fit_transform(IMAGES)
    folder = {"pooling": "avg", "weights": tmp_path}
    found["folder"] = _extractor("EfficientNetB0", layer, **folder).fit_transform(IMAGES)
    tuned = ImageClassifier(
        "EfficientNetB0",
        layer,
        unfreeze="block2a",
        epochs=1,
        trunk_learning_rate=1e-12,
        input_size=32,
        cache=None,
        random_state=0,
        **by_path,
    ).fit(IMAGES, [0, 1, 0])
    found["fine-tuned"] = tuned.transform(IMAGES)
    for how, values in found.items():
        assert relative_error(values, expected) < 1e-5, how


def _unnamed(part: Any) -> Any:
    """Return a configuration without names, which Keras counts."""
    if isinstance(part, dict):
        return {key: _unnamed(value) for key, value in part.items() if key != "name"}
    return [_unnamed(each) for each in part] if isinstance(part, list | tuple) else part


SOME = ("EfficientNetB0", "MobileNetV3Small", "ResNet50")


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in SOME else every_network) for n in list_applications()],
)
def test_graphs_are_those_of_keras_weights(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    application = find_application(name, "")
    options: dict[str, Any] = {"is_whole": False, "who": ""}
    size = application.input_size
    ours = build_application(application, size, weights=None, is_trained=True, **options)
    monkeypatch.setattr(file_utils, "get_file", lambda *args, **kwargs: "")
    monkeypatch.setattr(keras.Model, "load_weights", lambda *args, **kwargs: None)
    theirs = build_application(application, size, weights="imagenet", **options)

    def list_layers(model: Any) -> list[tuple[str, Any]]:
        return [(type(each).__name__, _unnamed(each.get_config())) for each in model.operations]

    assert list_layers(ours) == list_layers(theirs)
