"""scikit-learn's own checks of the fine-tuned estimators, with no expected failures."""

from __future__ import annotations

from typing import Any

import pytest
from long_mode import every_network
from sklearn.utils import estimator_checks as checks

from sktransfer import ImageClassifier, ImageRegressor, VGGClassifier, VGGRegressor

# As for the extractor: the checks feed tables of any numbers, whose reading is rightly doubted.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sktransfer.ImageWarning"),
    pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names:UserWarning"),
]

Tuned = VGGClassifier | VGGRegressor | ImageClassifier | ImageRegressor


def _make(kind: type[Tuned], layer: str = "block1_pool", **params: Any) -> Tuned:
    params = {"input_size": 32, "random_state": 0, "epochs": 12, "head_epochs": 8} | params
    return kind(layer, weights=None, **params)


# With a fixed rate, as each trial of rates takes three times as long again.
_UNFROZEN: dict[str, Any] = {
    "unfreeze": "block1_conv2",
    "trunk_learning_rate": 1e-5,
    "epochs": 2,
    "batch_size": 64,
}

_UNFROZEN_ANY: dict[str, Any] = _UNFROZEN | {"unfreeze": "second"}

INSTANCES: dict[str, Tuned] = {
    "classifier-probe": _make(VGGClassifier, head_epochs="auto"),
    "classifier-frozen": _make(VGGClassifier),
    "classifier-hidden": _make(
        VGGClassifier, "block2_pool", pooling="max", hidden_layer_sizes=(16,), architecture="vgg19"
    ),
    "classifier-unfrozen": _make(VGGClassifier, **_UNFROZEN),
    "regressor-probe": _make(VGGRegressor, head_epochs="auto"),
    "regressor-probe-avg": _make(VGGRegressor, pooling="avg", head_epochs="auto"),
    "regressor-frozen": _make(VGGRegressor),
    "regressor-avg": _make(VGGRegressor, pooling="avg"),
    "regressor-max": _make(VGGRegressor, pooling="max"),
    "regressor-deep-avg": _make(VGGRegressor, "block3_pool", pooling="avg", epochs=20),
    "regressor-unfrozen": _make(VGGRegressor, **_UNFROZEN),
}


def _make_any(kind: Any, layer: str | None = "second", **params: Any) -> Tuned:
    """Make an estimator on a small network of random weights with batch normalization."""
    keras = pytest.importorskip("keras")
    images = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(images)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Conv2D(8, 3, strides=2, activation="relu", name="second")(x)
    params = {"weights": None, "random_state": 0, "cache": None} | params
    preprocessing = {"mean": 127.5, "std": 127.5}
    return kind(keras.Model(images, x), layer, preprocessing=preprocessing, **params)


ANY = {
    "any-classifier-probe": lambda: _make_any(ImageClassifier),
    "any-classifier-unfrozen": lambda: _make_any(ImageClassifier, **_UNFROZEN_ANY),
    "any-classifier-embedding": lambda: _make_any(ImageClassifier, None),
    "any-regressor-probe": lambda: _make_any(ImageRegressor),
    "any-regressor-unfrozen": lambda: _make_any(ImageRegressor, **_UNFROZEN_ANY),
    "any-regressor-embedding": lambda: _make_any(ImageRegressor, None),
}


# Keras copies models by a function that NumPy deprecates.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize(
    "name",
    [
        # The regressor trains as the classifier does, which takes minutes.
        pytest.param(each, marks=every_network) if each == "any-regressor-unfrozen" else each
        for each in [*INSTANCES, *ANY]
    ],
)
def test_check_estimator(name: str) -> None:
    estimator = ANY[name]() if name in ANY else INSTANCES[name]
    results = checks.check_estimator(estimator, on_fail=None, on_skip=None)
    not_passed = {
        result["check_name"]: (result["status"], str(result["exception"]))
        for result in results
        if result["status"] != "passed"
    }
    # The one check that scikit-learn skips is about its experimental array API.
    not_passed.pop("check_array_api_input", None)
    assert not not_passed
    assert len(results) > 50


@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize("layer", ["block3_conv3", "block5_pool"])
def test_default_parameters_learn_the_targets_of_the_checks(layer: str, pooling: str) -> None:
    model = VGGRegressor(layer, pooling=pooling, input_size=32, weights=None, random_state=0)
    assert not model.__sklearn_tags__().regressor_tags.poor_score
    checks.check_regressors_train("VGGRegressor", model)


def test_only_early_pooled_cuts_are_said_to_score_poorly() -> None:
    poor = {
        (layer, pooling)
        for layer in ("block1_conv1", "block2_pool", "block3_conv2", "block3_conv3", "flatten")
        for pooling in (None, "avg", "max")
        if _make(VGGRegressor, layer, pooling=pooling).__sklearn_tags__().regressor_tags.poor_score
    }
    early = ("block1_conv1", "block2_pool", "block3_conv2")
    assert poor == {(layer, pooling) for layer in early for pooling in ("avg", "max")}
