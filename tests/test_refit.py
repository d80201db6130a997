"""A fit that fails leaves the former one whole: the same attributes, the same predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from sktransfer import LayerSearchCV, VGGClassifier, VGGFeatureExtractor, VGGRegressor
from sktransfer.features.runner import Runner
from sktransfer.training.finetuning import fitting

TINY: dict[str, Any] = {"weights": None, "pooling": "avg", "input_size": 32, "random_state": 0}


class _Fussy(GaussianNB):
    """Can be fitted on a fold, and on 20 rows."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> _Fussy:
        if len(X) > 20:
            raise RuntimeError("too many rows")
        return super().fit(X, y, sample_weight)


def _tuner(kind: type) -> Any:
    params = TINY | {"unfreeze": "block1_conv2", "epochs": 1, "head_epochs": 1, "cache": None}
    return kind("block1_pool", **params)


MAKE: dict[str, Callable[[], Any]] = {
    "extractor": lambda: VGGFeatureExtractor("block1_pool", cache=None, **TINY),
    "classifier": lambda: _tuner(VGGClassifier),
    "regressor": lambda: _tuner(VGGRegressor),
    "search": lambda: LayerSearchCV(
        make_pipeline(VGGFeatureExtractor(cache=None, **TINY), _Fussy()),
        layers=["block1_pool"],
        poolings=["avg", "max"],
        input_sizes=[32],
        cv=2,
        error_score="raise",
    ),
}


def _digits(n: int) -> tuple[pd.DataFrame, np.ndarray]:
    X = np.random.default_rng(0).integers(0, 256, (n, 48)).astype(np.float64)
    return pd.DataFrame(X, columns=[f"pixel{i}" for i in range(48)]), np.arange(n) % 2


def _use(fitted: Any, X: Any) -> np.ndarray:
    return fitted.predict(X) if hasattr(fitted, "predict") else fitted.transform(X)


def _names_of_two_kinds(X: pd.DataFrame, y: Any) -> tuple[Any, Any]:
    return X.rename(columns={"pixel0": 0}), y


def _not_a_number(X: pd.DataFrame, y: Any) -> tuple[Any, Any]:
    return X.where(X < 200), y


def _labels_that_are_missing(X: pd.DataFrame, y: Any) -> tuple[Any, Any]:
    return X, y[:-1]


def _another_shape(X: pd.DataFrame, y: Any) -> tuple[Any, Any]:
    return X.to_numpy().reshape(-1, 6, 8)[:, :, :5, None, None], y


@pytest.mark.filterwarnings("ignore::sktransfer.ImageWarning")
@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (name, damage)
        for name in MAKE
        for damage in (
            _names_of_two_kinds,
            _not_a_number,
            _another_shape,
            *([] if name == "extractor" else [_labels_that_are_missing]),
        )
    ],
)
def test_wrong_data_change_nothing(name: str, damage: Callable) -> None:
    X, y = _digits(20)
    estimator = MAKE[name]().fit(X, y)
    before, expected = dict(vars(estimator)), _use(estimator, X)
    with pytest.raises((ValueError, TypeError)):
        estimator.fit(*damage(X, y))
    _assert_the_same(estimator, before)
    np.testing.assert_array_equal(_use(estimator, X), expected)


def _assert_the_same(estimator: Any, before: dict[str, Any]) -> None:
    after = vars(estimator)
    assert list(after) == list(before)
    assert [name for name in before if after[name] is not before[name]] == []


@pytest.mark.filterwarnings("ignore::sktransfer.ImageWarning")
def test_a_search_whose_last_fit_fails_changes_nothing() -> None:
    X, y = _digits(20)
    search = MAKE["search"]().fit(X, y)
    before, expected = dict(vars(search)), search.predict(X)
    more, labels = _digits(30)
    with pytest.raises(RuntimeError, match="too many rows"):
        search.fit(more.add_prefix("my_"), labels)
    _assert_the_same(search, before)
    np.testing.assert_array_equal(search.predict(X), expected)
    unfitted = MAKE["search"]()
    params = dict(vars(unfitted))
    with pytest.raises(RuntimeError, match="too many rows"):
        unfitted.fit(more, labels)
    _assert_the_same(unfitted, params)


@pytest.mark.filterwarnings("ignore::sktransfer.ImageWarning")
@pytest.mark.parametrize("name", ["classifier", "regressor", "search"])
def test_an_interruption_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = _digits(20)
    estimator = MAKE[name]().fit(X, y)
    before, expected = dict(vars(estimator)), _use(estimator, X)

    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Runner, "run", interrupt)
        estimator.fit(X.add_prefix("my_") / 255, 1 - y)
    _assert_the_same(estimator, before)
    np.testing.assert_array_equal(_use(estimator, X), expected)


@pytest.mark.filterwarnings("ignore::sktransfer.ImageWarning")
def test_training_goes_on_after_a_failure_as_if_there_had_been_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X, y = _digits(20)
    disturbed, calm = MAKE["classifier"](), MAKE["classifier"]()
    for each in (disturbed, calm):
        each.partial_fit(X, y, classes=[0, 1])
    before = dict(vars(disturbed))

    def interrupt(model: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fitting, "get_head", interrupt)  # when the epoch is done
        disturbed.partial_fit(X, y)
    _assert_the_same(disturbed, before)
    for each in (disturbed, calm):
        each.partial_fit(X, y)
    np.testing.assert_array_equal(disturbed.predict_proba(X), calm.predict_proba(X))
