"""The extractor as a part of scikit-learn: cloned, pickled, searched, joined, remembered."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import VGGClassifier, VGGFeatureExtractor, VGGRegressor, load_digit_pair
from sktransfer.base import InvalidParameterError
from sktransfer.features.fitted import get_runner
from sktransfer.networks import list_layers


def _random(layer: str | list[str] = "block1_pool", **params: Any) -> VGGFeatureExtractor:
    params = {"pooling": "max", "input_size": 32, "random_state": 0, "weights": None} | params
    return VGGFeatureExtractor(layer, **params)


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    return X[:80], y[:80]


def test_flatten_and_logistic_regression_in_cross_validation(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    extractor = VGGFeatureExtractor("flatten", weights=None, input_size=32, random_state=0)
    model = make_pipeline(extractor, LogisticRegression(max_iter=1000))
    assert cross_val_score(model, *digits, cv=3).mean() > 0.9


@pytest.mark.parametrize(
    "given",
    [
        [0, 16],
        np.array([0, 16]),
        np.array([0, 16], np.float32),
        np.array([0, 16], object),
        pd.Series([0.0, 16.0], index=["black", "white"]),
        pd.Series([0, 16], index=[7, 8]),
    ],
    ids=lambda given: f"{type(given).__name__} {getattr(given, 'dtype', '')}",
)
def test_a_value_range_may_be_any_sequence(
    given: Any, digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    X, y = digits[0][:20], digits[1][:20]
    Image.fromarray(X[0].reshape(8, 8).astype(np.uint8)).save(tmp_path / "image.png")
    paths = [tmp_path / "image.png"]
    found, expected = _random(value_range=given), _random(value_range=(0, 16))
    for images in (paths, X):
        np.testing.assert_array_equal(found.fit_transform(images), expected.fit_transform(images))
        assert found.value_range_ == (0.0, 16.0)
        recipes = [get_runner(each).recipes() for each in (found, expected)]
        assert recipes[0] == recipes[1]
    assert found.value_range is given
    assert clone(found).fit(X).value_range_ == (0.0, 16.0)
    assert "value_range" in repr(found)
    for kind in (VGGClassifier, VGGRegressor):
        params = {"head_epochs": 1, "epochs": 1, "pooling": "max", "input_size": 32}
        params |= {"weights": None, "random_state": 0, "checkpoint": tmp_path / "run"}
        models = [
            kind("block1_pool", value_range=each, **params).fit(X, y) for each in (given, (0, 16))
        ]
        assert models[0].value_range is given
        np.testing.assert_array_equal(models[0].predict(X), models[1].predict(X))
    pipeline = make_pipeline(_random(), LogisticRegression(max_iter=1000))
    grid = {"vggfeatureextractor__value_range": [given, "auto"]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert search.best_params_["vggfeatureextractor__value_range"] is given


def test_trained_blocks_tell_digits_apart(vgg19_blocks: Path) -> None:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    extractor = VGGFeatureExtractor(
        "block3_pool", architecture="vgg19", weights=vgg19_blocks, input_size=32
    )
    model = make_pipeline(extractor, StandardScaler(), LogisticRegression())
    assert cross_val_score(model, X, y, cv=3).mean() > 0.97


def test_predictions_of_every_image_come_from_the_other_folds(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = digits
    model = make_pipeline(_random(), StandardScaler(), LogisticRegression())
    predicted = cross_val_predict(model, X, y, cv=4)
    assert (predicted == y).mean() > 0.8


def test_loky_workers_give_what_one_process_gives(digits: tuple[np.ndarray, np.ndarray]) -> None:
    model = make_pipeline(_random(), StandardScaler(), LogisticRegression())
    alone = cross_val_score(model, *digits, cv=4)
    np.testing.assert_array_equal(cross_val_score(model, *digits, cv=4, n_jobs=2), alone)


def test_clone_copies_parameters_and_nothing_learned(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    extractor = _random(["block1_pool", "block1_conv1"], value_range=(0, 16)).fit(digits[0])
    copy = clone(extractor)
    assert copy.get_params() == extractor.get_params()
    assert [name for name in vars(copy) if name.endswith("_")] == []


def test_search_over_layer_pooling_and_size(digits: tuple[np.ndarray, np.ndarray]) -> None:
    model = make_pipeline(_random(), StandardScaler(), LogisticRegression())
    grid = {
        "vggfeatureextractor__layer": ["block1_pool", "block2_pool"],
        "vggfeatureextractor__pooling": ["avg", "max"],
        "vggfeatureextractor__input_size": [32, 40],
    }
    search = GridSearchCV(model, grid, cv=2).fit(*digits)
    assert len(search.cv_results_["params"]) == 8
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len(set(search.cv_results_["mean_test_score"])) > 1
    assert search.best_score_ > 0.8


def test_a_column_of_paths_beside_numbers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 10, 12, 3), dtype=np.uint8)
    paths = [str(tmp_path / f"{position}.png") for position in range(3)]
    for image, path in zip(images, paths, strict=True):
        Image.fromarray(image).save(path)
    table = pd.DataFrame({"path": paths, "age": [1.0, 2.0, 3.0]})
    alone = _random().fit_transform(images)
    for column in ("path", ["path"]):
        transformer = ColumnTransformer(
            [("image", _random(), column), ("number", StandardScaler(), ["age"])]
        )
        joined = transformer.fit_transform(table)
        assert joined.shape == (3, 65)
        np.testing.assert_allclose(joined[:, :64], alone, rtol=1e-6)
        np.testing.assert_array_equal(transformer.transform(table), joined)


def test_union_of_two_layers(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, _ = digits
    union = FeatureUnion([("early", _random("block1_conv1")), ("late", _random("block1_pool"))])
    together = _random(["block1_conv1", "block1_pool"]).fit_transform(X)
    np.testing.assert_array_equal(union.fit_transform(X), together)
    assert union.get_feature_names_out()[0] == "early__block1_conv1_max_f00"


def test_pipeline_with_memory_computes_once(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    X, y = digits
    plain = make_pipeline(_random(), LogisticRegression(max_iter=1000)).fit(X, y)
    for _ in range(2):
        remembering = make_pipeline(
            _random(), LogisticRegression(max_iter=1000), memory=str(tmp_path)
        ).fit(X, y)
        np.testing.assert_array_equal(remembering.predict(X), plain.predict(X))
    assert len(list(tmp_path.rglob("output.pkl"))) == 1


def test_html_shows_the_parameters() -> None:
    html = _random("block4_conv2")._repr_html_()
    assert "VGGFeatureExtractor" in html
    assert "block4_conv2" in html


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_set_output_names_the_columns(
    container: str, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    pytest.importorskip(container)
    extractor = _random().set_output(transform=container)
    table = extractor.fit_transform(digits[0][:3])
    assert list(table.columns) == list(extractor.get_feature_names_out())
    np.testing.assert_array_equal(table.to_numpy(), _random().fit_transform(digits[0])[:3])


_LOAD = """
import pickle, sys
import numpy as np
extractor = pickle.load(open(sys.argv[1], "rb"))
np.save(sys.argv[3], extractor.transform(np.load(sys.argv[2])))
"""


def _in_a_fresh_process(extractor: VGGFeatureExtractor, X: np.ndarray, folder: Path) -> np.ndarray:
    (folder / "extractor.pkl").write_bytes(pickle.dumps(extractor))
    np.save(folder / "X.npy", X)
    names = [str(folder / name) for name in ("extractor.pkl", "X.npy", "out.npy")]
    command = [sys.executable, "-c", _LOAD, *names]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return np.load(names[2])


@pytest.mark.parametrize("kind", ["random", "trained"])
def test_pickles_are_small_and_give_the_same_features_elsewhere(
    kind: str,
    digits: tuple[np.ndarray, np.ndarray],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    X = digits[0][:5]
    params: dict[str, Any] = {"pooling": None}
    if kind == "trained":
        params["weights"] = str(request.getfixturevalue("vgg16_blocks"))
    extractor = _random("block2_pool", **params).fit(X)
    features = extractor.transform(X)
    assert len(pickle.dumps(extractor)) < 100_000
    np.testing.assert_array_equal(_in_a_fresh_process(extractor, X, tmp_path), features)


def test_weights_that_are_gone_or_others_are_errors(
    vgg16_blocks: Path, tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    # A layer of its own, so that no network of another test is ready to run.
    path = tmp_path / "weights.h5"
    shutil.copy(vgg16_blocks, path)
    X = digits[0][:2]
    extractor = _random("block2_conv2", weights=path, input_size=36).fit(X)
    with h5py.File(path, "r+") as file:
        file["block1_conv1/block1_conv1_W_1:0"][0, 0, 0, 0] += 1
    with pytest.raises(ValueError, match=r"fitted with weights of SHA-256 .* call fit again"):
        extractor.transform(X)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"weights\.h5"):
        extractor.transform(X)


def test_recorded_input_size_is_taken(
    vgg16_blocks: Path, tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    path = tmp_path / "weights.h5"
    shutil.copy(vgg16_blocks, path)
    with h5py.File(path, "r+") as file:
        file.attrs["input_size"] = 40
    X = digits[0][:2]
    auto = _random("block1_pool", weights=path, input_size="auto").fit(X)
    assert auto.input_size_ == 40
    assert _random("block1_pool", weights=path, input_size=32).fit(X).input_size_ == 32
    assert _random("block1_pool", input_size="auto").fit(X).input_size_ == 224
    given = _random("block1_pool", weights=path, input_size=40).fit(X)
    np.testing.assert_array_equal(auto.transform(X), given.transform(X))


def test_random_weights_follow_random_state(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X = digits[0][:3]
    first = _random(random_state=1).fit(X)
    again = _random(random_state=1).fit(X)
    assert first.weights_sha256_ == again.weights_sha256_
    assert first.random_seed_ == again.random_seed_
    np.testing.assert_array_equal(first.transform(X), again.transform(X))
    assert _random(random_state=2).fit(X).weights_sha256_ != first.weights_sha256_
    unseeded = {_random(random_state=None).fit(X).random_seed_ for _ in range(3)}
    assert len(unseeded) == 3
    # An instance is drawn from, as everywhere in scikit-learn: the next fit differs.
    shared = np.random.RandomState(0)
    extractor = _random(random_state=shared)
    assert extractor.fit(X).random_seed_ != extractor.fit(X).random_seed_


def test_trained_weights_have_no_seed(
    vgg16_blocks: Path, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    extractor = _random(weights=str(vgg16_blocks)).fit(digits[0])
    assert extractor.random_seed_ is None
    assert len(extractor.weights_sha256_) == 64


def test_fit_forgets_what_an_earlier_fit_learned(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    extractor = _random().fit(pd.DataFrame(digits[0]).add_prefix("pixel"))
    assert (extractor.n_features_in_, extractor.image_shape_) == (64, (8, 8, 1))
    assert extractor.feature_names_in_[0] == "pixel0"
    path = tmp_path / "image.png"
    Image.new("RGB", (5, 6)).save(path)
    extractor.fit([path])
    for name in ("n_features_in_", "feature_names_in_", "image_shape_"):
        assert not hasattr(extractor, name)
    assert extractor.value_range_ is None
    assert extractor.transform([path]).shape == (1, 64)


@pytest.mark.parametrize("fault", ["missing file", "nan", "weights"])
def test_a_fit_that_fails_changes_nothing(
    fault: str, digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    extractor = _random().fit(digits[0])
    before = dict(vars(extractor))
    images: dict[str, Any] = {
        "missing file": [str(tmp_path / "missing.png")],
        "nan": np.full((2, 5, 6), np.nan),
        "weights": digits[0],
    }
    if fault == "weights":
        extractor.set_params(weights=tmp_path / "missing.h5")
    with pytest.raises((OSError, ValueError)):
        extractor.fit(images[fault])
    extractor.set_params(weights=None)
    assert vars(extractor) == before
    with pytest.raises(ValueError, match="was fitted on images of shape"):
        extractor.transform(np.zeros((1, 7, 8)))


def test_transform_changes_no_attribute(digits: tuple[np.ndarray, np.ndarray]) -> None:
    extractor = _random().fit(digits[0])
    before = pickle.dumps(extractor)
    extractor.transform(digits[0])
    assert pickle.dumps(extractor) == before


@pytest.mark.parametrize("architecture", ["vgg16", "vgg19"])
def test_names_are_unique_and_sort_in_the_order_of_the_columns(
    architecture: str, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    for layer in list_layers(architecture, 32)[1:]:
        extractor = _random(layer.name, architecture=architecture, pooling=None).fit(digits[0])
        names = extractor.get_feature_names_out()
        assert len(names) == extractor.n_features_out_ == len(set(names))
        assert sorted(names) == list(names)


def test_progress_is_shown_when_asked_for(
    digits: tuple[np.ndarray, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    extractor = _random().fit(digits[0])
    extractor.transform(digits[0])
    assert "image/s" not in capsys.readouterr().err
    extractor.set_params(verbose=1).transform(digits[0])
    assert "80/80" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"architecture": "vgg11"}, "'architecture' parameter of VGGFeatureExtractor"),
        ({"input_size": 31}, "'input_size' parameter of VGGFeatureExtractor"),
        ({"batch_size": 0}, "'batch_size' parameter of VGGFeatureExtractor"),
        ({"pooling": "mean"}, "'pooling' parameter of VGGFeatureExtractor"),
        ({"weights": 3}, "'weights' parameter of VGGFeatureExtractor"),
        ({"layer": 3}, "'layer' parameter of VGGFeatureExtractor"),
        ({"interpolation": "cubic"}, "'interpolation' parameter of VGGFeatureExtractor"),
    ],
)
def test_wrong_parameters_are_named(
    params: dict[str, Any], message: str, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    with pytest.raises(InvalidParameterError, match=message):
        _random(**params).fit(digits[0])


def test_weights_in_a_mapping_are_not_printed() -> None:
    weights = {"block1_conv1": (np.zeros((3, 3, 3, 64), np.float32), np.zeros(64, np.float32))}
    extractor = VGGFeatureExtractor("block1_conv1", weights=weights)
    shown = repr(extractor)
    assert "weights=<weights of 1 layers>" in shown
    assert len(shown) < 200
    assert extractor.weights is weights


def test_tuned_weights_are_not_printed_as_parameters() -> None:
    X, y = np.zeros((4, 8, 8), np.uint8), [0, 1, 0, 1]
    X[1::2] = 255
    tuned = VGGClassifier(
        "block1_pool", weights=None, pooling="avg", input_size=32, epochs=1, head_epochs=1,
        random_state=0,
    )  # fmt: skip
    extractor = tuned.fit(X, y).to_extractor()
    logged = {name: str(value) for name, value in extractor.get_params().items()}
    assert logged["weights"] == "<weights of 2 layers>"
    assert max(map(len, logged.values())) < 100
    np.testing.assert_array_equal(clone(extractor).fit_transform(X), extractor.transform(X))
