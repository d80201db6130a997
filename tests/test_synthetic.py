"""The weights that come with the package: what the file holds, and every place that takes it."""

from __future__ import annotations

import importlib.util
import json
import tomllib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from sktransfer import (
    FeatureStore,
    LayerSearchCV,
    VGGClassifier,
    VGGFeatureExtractor,
    VGGRegressor,
    cli,
    compare_transfer,
    diagnose,
    load_digit_pair,
)
from sktransfer.networks import list_layers, plan_cut
from sktransfer.weights import (
    hash_weights,
    locate_weights,
    read_weights,
    read_weights_and_record,
    synthetic,
)
from sktransfer.weights.official import no_downloads

pytestmark = pytest.mark.usefixtures("no_weights")

ROOT = Path(__file__).resolve().parent.parent
FLATTEN = plan_cut("flatten", input_size=32)
ENGINES = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"no {name}"),
    )
    for name in ("keras", "openvino", "ncnn")
]


@pytest.fixture(scope="module")
def path() -> Path:
    return locate_weights("synthetic", FLATTEN)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    return X[:40], y[:40]


def _extractor(layer: Any = "block1_pool", **params: Any) -> VGGFeatureExtractor:
    return VGGFeatureExtractor(layer, **{"weights": "synthetic", "pooling": "max"} | params)


# -- the file


def test_the_file_is_whole_and_says_what_it_is(path: Path) -> None:
    assert path.stat().st_size <= 20e6
    weights, input_size, _ = read_weights_and_record(path, FLATTEN)
    assert list(weights) == [layer.name for layer in list_layers("vgg16") if layer.kind == "conv"]
    with h5py.File(path, "r") as file:
        recorded = dict(file.attrs)
        assert set(file) == set(weights)
    assert recorded["sha256"] == hash_weights(weights)
    assert recorded["license"] == "BSD-3-Clause"
    assert isinstance(json.loads(recorded["recipe"]), dict)
    assert 0 < recorded["accuracy"] <= 1
    assert input_size == recorded["input_size"] >= 32


def test_the_file_belongs_to_the_package(path: Path) -> None:
    assert path.parent == ROOT / "sktransfer" / "weights"
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert path.name in settings["tool"]["setuptools"]["package-data"]["sktransfer.weights"]


def test_keras_reads_it(path: Path) -> None:
    keras = pytest.importorskip("keras")
    model = keras.applications.VGG16(include_top=False, weights=str(path), input_shape=(32, 32, 3))
    for name, pair in read_weights(path, FLATTEN).items():
        for ours, theirs in zip(pair, model.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("fault", ["short", "changed"])
def test_a_damaged_file(
    fault: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytearray(path.read_bytes())
    if fault == "short":
        content = content[: len(content) // 2]
    else:
        with h5py.File(path, "r") as file:
            kernel = file["block5_conv3/block5_conv3/kernel:0"].id
            offset = kernel.get_chunk_info(0).byte_offset
        for i in range(1000):
            content[offset + 1000 + i] ^= 0xFF
    damaged = tmp_path / "vgg16_synthetic.h5"
    damaged.write_bytes(content)
    monkeypatch.setattr(synthetic, "_path", lambda: damaged)
    with pytest.raises(OSError, match=r"is an HDF5 file, but truncated or damaged .* Fetch or"):
        _extractor("flatten", pooling=None, input_size=32).fit(np.zeros((1, 8, 8), np.uint8))


def test_a_package_without_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "_path", lambda: tmp_path / "none.h5")
    with pytest.raises(FileNotFoundError, match=r"none\.h5', which comes with the package\. Rei"):
        locate_weights("synthetic", FLATTEN)
    assert "none.h5 cannot be read (" in synthetic.describe_synthetic()


# -- the extractor


def test_it_is_what_its_path_gives_and_kept_once(
    path: Path, digits: Any, tmp_path: Path, computed: list[int]
) -> None:
    X, _ = digits
    store = FeatureStore(tmp_path)
    extractor = _extractor(cache=store)
    features = extractor.fit_transform(X)
    assert extractor.input_size_ == read_weights_and_record(path, FLATTEN)[1]
    assert extractor.random_seed_ is None
    del computed[:]
    same = _extractor(weights=path, cache=store)
    np.testing.assert_array_equal(same.fit_transform(X), features)
    assert computed == []
    assert same.weights_sha256_ == extractor.weights_sha256_
    assert features.std() > 0
    np.testing.assert_array_equal(clone(extractor).fit_transform(X), features)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_computes_every_layer(engine: str, digits: Any) -> None:
    X = digits[0][:2]
    layers = [layer.name for layer in FLATTEN.trunk if layer.kind in ("conv", "pool")]
    params = {"input_size": 32, "cache": None}
    reference = _extractor(layers, engine="keras", **params).fit_transform(X)
    assert reference.shape == (2, _extractor(layers, **params).fit(X).n_features_out_)
    found = _extractor(layers, engine=engine, **params).fit_transform(X)
    np.testing.assert_allclose(found, reference, rtol=1e-4, atol=1e-4 * np.abs(reference).max())
    flat = _extractor("flatten", pooling=None, engine=engine, **params).fit_transform(X)
    assert flat.shape == (2, 512)


@pytest.mark.parametrize("model", [VGGClassifier, VGGRegressor])
def test_fine_tuning_begins_with_it(model: Any, digits: Any) -> None:
    X, y = digits
    fitted = model(
        "block1_pool", weights="synthetic", pooling="avg", input_size=32, epochs=1, random_state=0
    ).fit(X, y)
    assert fitted.predict(X).shape == (40,)
    assert fitted.weights_sha256_ == _extractor(input_size=32).fit(X).weights_sha256_


@pytest.mark.parametrize("model", [VGGFeatureExtractor, VGGClassifier])
def test_another_network(model: Any, digits: Any) -> None:
    with pytest.raises(
        ValueError,
        match=rf"^The 'weights' parameter of {model.__name__} can be 'synthetic' with "
        r"architecture='vgg16' only, .*\. Got architecture='vgg19'\. Set architecture='vgg16', or "
        r"weights='imagenet'\.$",
    ):
        model("block1_pool", architecture="vgg19", weights="synthetic").fit(*digits)


@pytest.mark.parametrize("layer", ["fc1", "fc2", "predictions", ["block1_pool", "fc1"]])
@pytest.mark.parametrize("input_size", ["auto", 224])
def test_dense_layers(layer: Any, input_size: Any, digits: Any) -> None:
    deepest = layer if isinstance(layer, str) else layer[-1]
    with pytest.raises(
        ValueError,
        match=rf"^The synthetic weights of VGGFeatureExtractor end at 'flatten': .* Got a cut at "
        rf"'{deepest}'\. Cut at 'flatten' or before, or set weights='imagenet'\.$",
    ):
        _extractor(layer, pooling=None, input_size=input_size).fit(digits[0])


def test_what_is_searched_and_diagnosed(path: Path, digits: Any) -> None:
    X, y = digits
    pipeline = make_pipeline(_extractor(input_size=32), GaussianNB())
    search = LayerSearchCV(
        pipeline, layers=["block1_conv1", "block1_pool"], poolings=["max"], input_sizes=[32], cv=2
    )
    assert search.fit(X, y).best_score_ > 0.5
    for weights in ("synthetic", path):
        found = diagnose(_extractor(input_size=32, weights=weights), X, y, cv=2)
        assert {"random-weights", "domain-gap"}.isdisjoint(each.name for each in found.findings)


# -- comparisons and the command line


def test_nothing_is_downloaded_for_what_is_optional(digits: Any) -> None:
    X, y = digits
    extractors = {"own": _extractor(input_size=32), "known": _extractor(weights="imagenet")}
    result = compare_transfer(X, y, extractors=extractors, optional=["known"], cv=2)
    known = next(row for row in result.rows if row.name == "known")
    assert known.unavailable is not None
    assert known.unavailable.startswith("The ImageNet weights of VGG16 (59 MB) are not on this")
    assert "--weights imagenet" in known.unavailable
    with pytest.raises(
        OSError, match=r"could not download .* or pass weights='synthetic', trained"
    ):
        compare_transfer(X, y, extractors=extractors, cv=2)


def test_downloads_are_forbidden_for_a_while_only() -> None:
    with no_downloads(), pytest.raises(FileNotFoundError, match="not on this machine"):
        locate_weights("imagenet", FLATTEN)
    with pytest.raises(ConnectionError, match="could not download"):
        locate_weights("imagenet", FLATTEN)


def test_info_shows_the_file(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    with h5py.File(path, "r") as file:
        recorded = dict(file.attrs)
    assert f"weights='synthetic': {path}, " in out
    assert f"SHA-256: {recorded['sha256']}" in out
    assert "licence: BSD-3-Clause" in out
    assert f"accuracy: {recorded['accuracy']:.3f} on held-out" in out
    for name in json.loads(recorded["recipe"]):
        assert name in out.partition("recipe: ")[2]


NETWORK = ["--weights", "synthetic", "--quiet"]


def test_commands_take_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--max-images", "40", "--folds", "2"]
    cut = ["--layer", "block1_pool", "--pooling", "max"]
    assert cli.main(["sweep", *NETWORK, *small, "--layers", "block1_pool", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]
    arguments = [
        "--digits",
        "8",
        "6",
        "--max-images",
        "40",
        "--sizes",
        "4",
        "8",
        "16",
        "--repeats",
        "2",
    ]
    assert cli.main(["curve", *NETWORK, *cut, *arguments, "--json"]) == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)["rows"]]
    assert "vgg16 synthetic, block1_pool max-pooled, 32 px" in names
    assert cli.main(["diagnose", *NETWORK[:2], *small, *cut]) == 0
    assert "random-weights" not in capsys.readouterr().out


def test_several_weights_are_a_row_each(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--layer", "block1_pool", "--pooling", "max", "--folds", "2", "--json", "--quiet"]
    sources = ["--weights", "synthetic", str(path)]
    assert cli.main(["compare", *arguments, *sources, "--max-images", "40"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"][3:]
    rows = [row for row in rows if row["kind"] != "article"]
    assert [row["name"].split(",")[0] for row in rows] == [
        "vgg16 synthetic",
        f"vgg16 {path.name}",
        "vgg16 random weights",
    ]
    assert rows[0]["scores"] == rows[1]["scores"]
