"""Features that were computed elsewhere: planted mistakes, and healthy ones of Keras' own."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from diagnosis_cases import patches
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sktransfer import FeatureStore, VGGFeatureExtractor, diagnose
from sktransfer.evaluation.diagnosis import CHECKS, Diagnosis
from sktransfer.evaluation.diagnosis.matching import Given, Match, explain_order, relate

NAMES = {name for check in CHECKS if check.needs_features for name in check.names}


@pytest.fixture
def trained(vgg19_blocks: Path) -> VGGFeatureExtractor:
    return VGGFeatureExtractor(
        "block3_pool", architecture="vgg19", weights=vgg19_blocks, pooling="avg", input_size=32
    )


def _random(layer: str = "block1_pool", **params: Any) -> VGGFeatureExtractor:
    params = {"pooling": "avg", "input_size": 32, "random_state": 0} | params
    return VGGFeatureExtractor(layer, weights=None, **params)


def _digits(n: int = 150) -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return X[:n], y[:n]


def _examine(extractor: Any, X: Any, y: Any = None, **params: Any) -> Diagnosis:
    """Diagnose by a sample that leaves little to the other checks."""
    return diagnose(extractor, X, y, **({"max_images": 64, "cv": 2} | params))


def _found(diagnosis: Diagnosis) -> dict[str, Any]:
    for each in diagnosis.findings:
        ast.parse(each.remedy)
        json.dumps(each.evidence)
    return {each.name: each for each in diagnosis.findings if each.name in NAMES}


def _network(extractor: VGGFeatureExtractor, X: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return what makes features of the network's input, by Keras itself."""
    model = clone(extractor).fit(X).to_keras()

    def compute(inputs: np.ndarray) -> np.ndarray:
        return np.asarray(model.predict(inputs, verbose=0)).reshape(len(inputs), -1)

    return compute


def _resized(X: np.ndarray, side: int = 32) -> np.ndarray:
    import keras

    return np.asarray(keras.layers.Resizing(side, side)(np.float32(X)))


def _caffe(X: np.ndarray) -> np.ndarray:
    import keras

    return keras.applications.vgg16.preprocess_input(np.array(X, dtype=np.float32))


# -- healthy


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("pooling", ["avg", None])
def test_features_of_keras_itself_raise_nothing(
    dtype: Any, pooling: str | None, trained: VGGFeatureExtractor
) -> None:
    X, y = patches(side=48)
    extractor = trained.set_params(pooling=pooling)
    features = _network(extractor, X)(_caffe(_resized(X))).astype(dtype)
    assert not _found(_examine(extractor, X, y, features=features))


@pytest.mark.parametrize("layer", ["block1_conv1", "block2_pool", "flatten"])
def test_own_features_raise_nothing(layer: str) -> None:
    X, y = _digits()
    extractor = _random(layer, pooling=None if layer == "flatten" else "max")
    features = clone(extractor).fit_transform(X)
    assert not _found(_examine(extractor, X, y, features=features))
    assert not _found(_examine(extractor, X, features=features.tolist()))


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_features_of_another_precision_raise_no_alarm(
    precision: str, trained: VGGFeatureExtractor
) -> None:
    pytest.importorskip("openvino")
    X, y = patches(side=48)
    try:
        features = clone(trained).set_params(precision=precision).fit_transform(X)
    except ValueError:
        pytest.skip(f"no {precision} on this processor")
    found = _found(_examine(trained, X, y, features=features))
    assert all(each.severity == "info" for each in found.values())


def test_copies_of_images_may_stand_for_each_other() -> None:
    X, y = _digits(60)
    X, y = np.concatenate([X, X]), np.concatenate([y, y])
    features = clone(_random()).fit_transform(X)
    assert not _found(_examine(_random(), X, y, features=np.roll(features, 60, axis=0)))


# -- orders


def _roll_from(features: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.concatenate([features[:40], features[41:], features[-1:]])


ORDERS: dict[str, tuple[str, Callable[[np.ndarray, np.ndarray], np.ndarray]]] = {
    "moved by 1": ("moved by 1", lambda F, y: np.roll(F, 1, axis=0)),
    "moved by -3": ("moved by -3", lambda F, y: np.roll(F, -3, axis=0)),
    "reversed": ("reversed", lambda F, y: F[::-1]),
    "sorted": ("sorted by label", lambda F, y: F[np.argsort(y, kind="stable")]),
    "sorted as text": (
        "sorted by label",
        lambda F, y: F[np.argsort(y.astype(str), kind="stable")],
    ),
    "one left out": ("moved by -1 from about row 4", _roll_from),
    "shuffled": ("shuffled", lambda F, y: np.random.default_rng(0).permutation(F)),
    "shuffled in classes": (
        "sorted by label, and shuffled within each",
        lambda F, y: F[np.lexsort((np.random.default_rng(0).random(len(y)), y))],
    ),
}


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("images", ["digits", "patches"])
def test_another_order_is_found_and_restored(
    name: str, images: str, trained: VGGFeatureExtractor, tmp_path: Path
) -> None:
    X, y = _digits() if images == "digits" else patches(side=48)
    if name == "sorted as text":
        y = y * 5  # 10 comes before 5
    kind, plant = ORDERS[name]
    right = clone(trained).fit_transform(X)
    features = np.ascontiguousarray(plant(right, y))
    path = tmp_path / "features.npy"
    np.save(path, features.astype(np.float16))
    diagnosis = _examine(trained, X, y, features=path)
    found = _found(diagnosis)
    assert list(found) == ["features-in-another-order"], str(diagnosis)
    finding = found["features-in-another-order"]
    assert finding.evidence["order"].startswith(kind), str(diagnosis)
    assert finding.severity == "error"
    assert finding.evidence["correlation in this order"] > 0.999
    for image, row in zip(finding.evidence["images"], finding.evidence["are in rows"], strict=True):
        np.testing.assert_array_equal(features[row], right[image])
    names = {"features": features, "X": X, "y": y, "extractor": clone(trained)}
    exec(finding.remedy, {"np": np}, names)
    np.testing.assert_allclose(names["features"], right, rtol=1e-5, atol=1e-4)


def test_features_sorted_by_path_are_found(tmp_path: Path) -> None:
    X, _ = patches()
    paths = [str(tmp_path / f"{i}.png") for i in range(len(X))]
    for path, image in zip(paths, X, strict=True):
        Image.fromarray(image).save(path)
    features = clone(_random()).fit_transform(sorted(paths))
    diagnosis = _examine(_random(), paths, features=features)
    finding = _found(diagnosis)["features-in-another-order"]
    assert finding.evidence["order"] == "sorted by path"
    names = {"features": features, "X": paths}
    exec(finding.remedy, {"np": np}, names)
    assert not _found(_examine(_random(), paths, features=names["features"]))


def test_an_order_that_keeps_labels_is_a_warning() -> None:
    X, y = _digits()
    X, y = X[np.argsort(y, kind="stable")], np.sort(y)
    features = clone(_random()).fit_transform(X)
    rng = np.random.default_rng(0)
    features = features[np.lexsort((rng.random(len(y)), y))]
    finding = _found(_examine(_random(), X, y, features=features))["features-in-another-order"]
    assert (finding.severity, finding.evidence["order"]) == ("warning", "shuffled")
    assert finding.evidence["rows beside their own label"] == 1


# -- other ways


def _plant(way: str, extractor: VGGFeatureExtractor, X: np.ndarray) -> np.ndarray:
    v = _resized(X)
    torch = (v / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    inputs = {
        "left out": v,
        "left out, BGR": v[..., ::-1],
        "not turned": v - np.float32([123.68, 116.779, 103.939]),
        "0 to 1": _caffe(v / 255),
        "0 to 1, left out": v / 255,
        "-1 to 1": v / 127.5 - 1,
        "torch": np.float32(torch),
        "twice": _caffe(_caffe(v)),
        "inverted": _caffe(255 - v),
        "BGR": _caffe(v[..., ::-1]),
    }
    return _network(extractor, X)(np.ascontiguousarray(inputs[way]))


RANGES = {
    "left out": "preprocess_input was left out",
    "left out, BGR": "left out, and the images are BGR",
    "not turned": "means were subtracted, and the channels not turned",
    "0 to 1": "values from 0 to 1 went into preprocess_input",
    "0 to 1, left out": "0 to 1 went into the network, without preprocess_input",
    "-1 to 1": "values from -1 to 1",
    "torch": "standardised as for torchvision",
    "twice": "preprocess_input was called twice",
    "inverted": "black and white are exchanged",
}


@pytest.mark.parametrize("way", [*RANGES, "BGR"])
def test_another_range_or_channel_order_is_found(way: str, trained: VGGFeatureExtractor) -> None:
    X, y = patches(side=48)
    diagnosis = _examine(trained, X, y, features=_plant(way, trained, X))
    found = _found(diagnosis)
    name = "features-of-another-channel-order" if way == "BGR" else "features-of-another-range"
    assert list(found) == [name], str(diagnosis)
    assert RANGES.get(way, "red and blue are exchanged") in found[name].message
    assert found[name].severity == ("warning" if way == "BGR" else "error")
    assert found[name].evidence["correlation with what it gives"] > 0.999


def test_raw_values_of_a_range_of_their_own_are_found(trained: VGGFeatureExtractor) -> None:
    X, y = _digits()
    images = np.repeat(X.reshape(-1, 8, 8, 1), 3, axis=3)
    features = _network(trained, X)(_caffe(_resized(images)))
    diagnosis = _examine(trained, X, y, features=features)
    (finding,) = _found(diagnosis).values()
    assert finding.name == "features-of-another-range"
    assert "values from 0 to 16 went into preprocess_input as they are" in finding.message


CUTS = {
    "layer": ({"layer": "block3_conv2"}, "those of block3_conv2 with pooling='avg'"),
    "pooling": ({"pooling": "max"}, "those of block3_pool with pooling='max'"),
    "size": ({"input_size": 64}, "resized to 64 pixels"),
    "native size": ({"input_size": 40}, "resized to 40 pixels"),
    "resizing": ({"interpolation": "nearest"}, "resized with interpolation='nearest'"),
}


@pytest.mark.parametrize("way", CUTS)
def test_another_cut_is_found_and_said(way: str, trained: VGGFeatureExtractor) -> None:
    X, y = patches(side=40)
    params, said = CUTS[way]
    features = clone(trained).set_params(**params).fit_transform(X)
    diagnosis = _examine(trained, X, y, features=features)
    (finding,) = _found(diagnosis).values()
    assert finding.name == f"features-of-another-{way.split()[-1]}", str(diagnosis)
    assert said in finding.message
    # The remedy's first line makes an extractor of these features.
    names = {"extractor": clone(trained)}
    exec(finding.remedy.splitlines()[0], {}, names)
    assert not _found(_examine(names["extractor"], X, y, features=features))


def test_channels_first_are_found_and_turned() -> None:
    X, y = patches()
    extractor = _random("block2_pool", pooling=None)
    right = clone(extractor).fit_transform(X)
    maps = right.reshape(-1, 8, 8, 128)
    features = maps.transpose(0, 3, 1, 2).reshape(len(X), -1)
    (finding,) = _found(_examine(extractor, X, y, features=features)).values()
    assert (finding.name, finding.severity) == ("features-of-another-flattening", "warning")
    names = {"features": features}
    exec(finding.remedy, {}, names)
    np.testing.assert_array_equal(names["features"], right)


def test_two_mistakes_of_which_one_is_the_order_are_both_found(
    trained: VGGFeatureExtractor,
) -> None:
    X, y = patches(side=48)
    features = np.roll(_plant("0 to 1", trained, X), 2, axis=0)
    diagnosis = _examine(trained, X, y, features=features)
    found = _found(diagnosis)
    assert set(found) == {"features-of-another-range", "features-in-another-order"}, str(diagnosis)
    assert found["features-in-another-order"].evidence["order"] == "moved by 2"


# -- what nothing explains


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_few_images_are_enough_for_orders(n: int) -> None:
    X, _ = patches(side=48)
    features = clone(_random()).fit_transform(X[:n])
    assert not _found(_examine(_random(), X[:n], features=features))
    found = _found(_examine(_random(), X[:n], features=features[::-1]))
    assert "features-in-another-order" in found


def test_other_weights_in_the_same_order() -> None:
    X, y = patches()
    features = clone(_random(random_state=1)).fit_transform(X)
    (finding,) = _found(_examine(_random(), X, y, features=features)).values()
    assert (finding.name, finding.severity) == ("features-of-other-weights", "warning")
    assert finding.evidence["standard deviations above other orders"] > 4


def test_other_images_and_features_without_difference() -> None:
    X, y = patches()
    other = np.random.default_rng(0).integers(0, 256, X.shape, dtype=np.uint8)
    features = clone(_random()).fit_transform(other)
    (finding,) = _found(_examine(_random(), X, y, features=features)).values()
    assert (finding.name, finding.severity) == ("features-of-other-images", "error")
    features = np.zeros((len(X), 64), np.float16)
    (finding,) = _found(_examine(_random(), X, y, features=features)).values()
    assert (finding.name, finding.severity) == ("identical-features", "error")


def test_rows_that_were_never_filled_in() -> None:
    X, y = patches()
    features = clone(_random()).fit_transform(X)
    features[90:] = 0
    (finding,) = _found(_examine(_random(), X, y, features=features)).values()
    assert (finding.name, finding.severity) == ("features-of-other-images", "error")
    assert finding.evidence["rows of zeros"] == 1
    assert min(finding.evidence["the first are"]) >= 90


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("where", [np.s_[90:], np.s_[:, 1], np.s_[:], np.s_[119, 3]])
def test_features_that_are_not_finite(value: float, where: Any, tmp_path: Path) -> None:
    X, y = patches()
    features = clone(_random()).fit_transform(X).astype(np.float64)
    features[where] = value
    np.save(tmp_path / "features.npy", features)
    for given in (features, tmp_path / "features.npy"):
        report = _examine(_random(), X, y, features=given)
        (finding,) = _found(report).values()
        assert (finding.name, finding.severity) == ("features-not-finite", "error")
        rows, columns = map(np.unique, np.nonzero(~(np.abs(features) < 1e300)))
        assert finding.evidence["such rows"] == len(rows)
        assert finding.evidence["such columns"] == len(columns)
        assert finding.images == rows[:20].tolist()
        assert report.skipped["features-scaled"] == "the given features are not all finite"


def test_rows_and_columns_that_are_not_finite_are_found_in_every_piece(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sktransfer.evaluation.diagnosis.matching._BLOCK_VALUES", 12)
    array = np.zeros((10, 4))
    array[[3, 9], [0, 2]] = np.nan, np.inf
    rows, columns = Given(array, np.arange(2), 0).find_not_finite()
    assert (rows.tolist(), columns.tolist()) == ([3, 9], [0, 2])


def test_scaled_features_are_told_from_others(trained: VGGFeatureExtractor) -> None:
    X, y = patches()
    features = StandardScaler().fit_transform(clone(trained).fit_transform(X))
    (finding,) = _found(_examine(trained, X, y, features=features)).values()
    assert (finding.name, finding.severity) == ("features-scaled", "info")


def test_features_that_differ_by_a_little(trained: VGGFeatureExtractor) -> None:
    X, y = patches()
    features = clone(trained).fit_transform(X)
    noise = np.random.default_rng(0).normal(0, 1, features.shape)
    features += 0.3 * features.std(axis=0) * noise
    (finding,) = _found(_examine(trained, X, y, features=features)).values()
    assert (finding.name, finding.severity) == ("features-differ", "info")


# -- what it costs, and bad input


def test_healthy_features_cost_no_image_and_are_read_once_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = _digits()
    path = tmp_path / "features.npy"
    np.save(path, clone(_random()).fit_transform(X))
    store = FeatureStore(tmp_path / "store")
    plain = _examine(_random(cache=store), X, y, max_images=80)
    n_written = store.info().n_written
    taken: list[int] = []
    take = Given.take

    def count(self: Given, rows: Any) -> np.ndarray:
        found = take(self, rows)
        taken.append(len(found))
        return found

    monkeypatch.setattr(Given, "take", count)
    monkeypatch.setattr("sktransfer.evaluation.diagnosis.matching._BLOCK_VALUES", 100 * 64)
    again = _examine(_random(cache=store), X, y, max_images=80, features=str(path))
    assert (store.info().n_written, taken) == (n_written, [100, 50, 64])
    assert [each.name for each in again.findings] == [each.name for each in plain.findings]
    assert set(again.checks) - set(plain.checks) == NAMES


def test_other_ways_take_eight_images(computed: list[int]) -> None:
    X, y = _digits()
    features = clone(_random(random_state=1)).fit_transform(X)
    _examine(_random(), X, y)
    before = sum(computed)
    _examine(_random(), X, y)
    assert sum(computed) == before  # all of it is cached
    _examine(_random(), X, y, features=features)
    assert sum(computed) - before <= 45 * 8


def test_steps_before_the_extractor_come_before_the_features() -> None:
    X, y = patches()
    model = make_pipeline(FunctionTransformer(np.negative), _random(value_range=(-255, 0)))
    features = clone(_random()).fit_transform(255 - X)
    assert "features-of-other-images" not in _found(_examine(_random(), X, y, features=features))
    features = clone(model).fit_transform(X.astype(float))
    assert not _found(_examine(model, X.astype(float), y, features=features))


def test_features_that_do_not_fit_are_one_error(tmp_path: Path) -> None:
    X, y = patches()
    with pytest.raises(
        ValueError,
        match=r"must have 120 rows, .* and 64 columns, .* block1_pool at 32 pixels\. Got shape "
        r"\(119, 128\): pass exactly the images .*; and 128 columns are those of "
        r"layer='block2_conv1', "
        r"pooling='avg' or 'max', .* or layer='block2_pool', pooling='avg' or 'max'\.",
    ):
        _examine(_random(), X, y, features=np.zeros((119, 128)))
    with pytest.raises(ValueError, match=r"layer='flatten' at input_size=224\."):
        _examine(_random(), X, y, features=np.zeros((120, 25088)))
    with pytest.raises(ValueError, match="no layer of VGG gives 100 columns"):
        _examine(_random(), X, y, features=np.zeros((120, 100)))
    with pytest.raises(ValueError, match=r"Got shape \(120, 1, 1, 64\) .*features\.reshape\("):
        _examine(_random(), X, y, features=np.zeros((120, 1, 1, 64)))
    for table in (np.full((120, 64), "1"), np.full((120, 64), None)):
        with pytest.raises(ValueError, match=r": pass numbers, as by features\.astype\(float\)\.$"):
            _examine(_random(), X, y, features=table)
    with pytest.raises(
        FileNotFoundError, match=r"'features' .*none\.npy', and there is no such file\.$"
    ):
        _examine(_random(), X, y, features=tmp_path / "none.npy")
    (tmp_path / "text.npy").write_text("1,2\n")
    with pytest.raises(ValueError, match=r"\.npy file of numbers\. Got 'text\.npy'"):
        _examine(_random(), X, y, features=tmp_path / "text.npy")
    np.savez(tmp_path / "several.npz", a=X)
    with pytest.raises(ValueError, match=r"'several\.npz', an archive of several"):
        _examine(_random(), X, y, features=tmp_path / "several.npz")


# -- orders and relations by themselves


def test_orders_of_few_rows() -> None:
    rows = np.arange(0, 100, 3)
    everywhere = np.ones(len(rows), dtype=bool)
    for shift in (1, 40, -7):
        match = Match(rows, (rows + shift) % 100, everywhere)
        assert explain_order(match, 100, None, None).kind == f"moved by {shift}"
    assert explain_order(Match(rows, 99 - rows, everywhere), 100, None, None).kind == "reversed"


def test_relations_within_classes_do_not_count_the_classes() -> None:
    rng = np.random.default_rng(0)
    codes = np.arange(60) % 2
    first = rng.normal(0, 1, (60, 20)) + 10 * codes[:, None]
    second = rng.normal(0, 1, (60, 20)) + 10 * codes[:, None]
    assert relate(first, second, None, 0)[1] > 4
    assert relate(first, second, codes, 0)[1] < 4
    assert relate(first, first * 2, codes, 0)[1] > 4
