"""The search is scikit-learn's grid search, from one forward pass for each input size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, get_scorer, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    RepeatedStratifiedKFold,
    StratifiedKFold,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import (
    FeatureStore,
    LayerSearchCV,
    VGGFeatureExtractor,
    load_digit_pair,
    sweep_layers,
)
from sktransfer.engines import JOINT_PRECISIONS

NAME = "vggfeatureextractor__"


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    return X[:80], y[:80]


def _extractor(**params: Any) -> VGGFeatureExtractor:
    return VGGFeatureExtractor(**{"weights": None, "random_state": 0} | params)


def _search(classifier: Any = None, **params: Any) -> LayerSearchCV:
    extractor = _extractor(**params.pop("extractor", {}))
    params = {
        "layers": ["block1_conv1", "block1_pool"],
        "poolings": ["avg", "max"],
        "input_sizes": [32],
        "cv": 2,
        "error_score": "raise",
    } | params
    return LayerSearchCV(make_pipeline(extractor, classifier or GaussianNB()), **params)


def test_the_result_is_that_of_a_grid_search(digits: Any, tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    grid = {"pipeline__logisticregression__C": [0.01, 1.0]}
    ours = _search(classifier, extractor={"cache": store}, param_grid=grid).fit(*digits)
    cuts = {
        f"{NAME}layer": ["block1_conv1", "block1_pool"],
        f"{NAME}pooling": ["avg", "max"],
        f"{NAME}input_size": [32],
    }
    pipeline = make_pipeline(_extractor(cache=store), classifier)
    theirs = GridSearchCV(pipeline, cuts | grid, cv=2).fit(*digits)
    assert len(ours.cv_results_["params"]) == 8

    def scores(search: GridSearchCV) -> dict[tuple, float]:
        return {
            tuple(sorted(params.items())): score
            for params, score in zip(
                search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
            )
        }

    assert scores(ours) == scores(theirs)
    assert ours.best_score_ == theirs.best_score_
    # On each of the two folds, the candidate that is best on the other one.
    halves = [ours.cv_results_[f"split{i}_test_score"] for i in range(2)]
    expected = [halves[0][halves[1].argmax()], halves[1][halves[0].argmax()]]
    assert ours.nested_score_ == pytest.approx(np.mean(expected))
    several = _search(scoring=["accuracy", "f1"], refit=False).fit(*digits)
    with pytest.raises(
        AttributeError, match=r"no nested_score_ with several metrics and refit=Fal"
    ):
        several.nested_score_  # noqa: B018
    assert set(theirs.cv_results_) == set(ours.cv_results_)
    fitted = ours.best_estimator_[0]
    assert fitted.layer == ours.best_params_[f"{NAME}layer"]
    np.testing.assert_array_equal(
        ours.predict(digits[0]),
        clone(pipeline).set_params(**ours.best_params_).fit(*digits).predict(digits[0]),
    )


@pytest.mark.parametrize("scoring", [None, "accuracy", "f1"])
def test_candidates_are_judged_as_the_rows_of_a_sweep(
    scoring: str | None, digits: Any, tmp_path: Path
) -> None:
    X, y = digits
    y = np.where(np.arange(80) % 6 == 0, 1 - y, y)  # so that there are mistakes
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    extractor = {"cache": FeatureStore(tmp_path)}
    params: dict[str, Any] = {"cv": folds, "scoring": scoring, "extractor": extractor}
    search = _search(**params).fit(X, y)
    sweep = sweep_layers(
        X,
        y,
        extractor=_extractor(**extractor),
        layers=search.layers,
        poolings=search.poolings,
        input_sizes=[32],
        classifier=GaussianNB(),
        cv=folds,
        scoring=scoring,
    )
    own = [tuple(params.values()) for params in search.cv_results_["params"]]
    theirs = [(32, row.variant.layer, row.variant.pooling) for row in sweep.rows]
    assert set(map(frozenset, own)) == set(map(frozenset, theirs))
    assert len(own) == len(theirs)
    expected = {frozenset(cut): row in sweep.not_worse
                for cut, row in zip(theirs, sweep.rows, strict=True)}  # fmt: skip
    assert dict(zip(map(frozenset, own), search.not_worse_, strict=True)) == expected
    assert search.not_worse_[search.best_index_]
    assert search.n_comparisons_ == sweep.n_comparisons == 6
    if scoring == "f1":
        assert search.recalls_ == {}
    else:
        assert list(search.recalls_) == sweep.classes
        assert list(search.recalls_.values()) == pytest.approx(sweep.best.recalls)
    assert not hasattr(search.scorer_, "predicted")
    assert search.score(X, y) == pytest.approx(
        get_scorer(scoring or "accuracy")(search.best_estimator_, X, y)
    )


def test_a_clearly_worse_candidate_is_named_and_one_that_fails_is_worse(digits: Any) -> None:
    X, y = digits
    grid = {"dummyclassifier__strategy": ["prior"]}
    bad = _search(DummyClassifier(), param_grid=grid, layers=["block1_pool"]).fit(X, y)
    assert bad.not_worse_.tolist() == [True, True]
    # Two draws of the same images are one unit each: repeats prove no more than images do.
    again = RepeatedStratifiedKFold(n_splits=2, n_repeats=3, random_state=0)
    grid = {"gaussiannb": [GaussianNB(), DummyClassifier(), GaussianNB(var_smoothing=-1.0)]}
    with pytest.warns((FitFailedWarning, UserWarning)):
        search = _search(
            param_grid=grid,
            layers=["block1_pool"],
            poolings=["avg"],
            cv=again.split(X, y),
            error_score=np.nan,
        ).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert scores[0] > 0.7 and scores[1] < 0.55 and np.isnan(scores[2])
    assert search.not_worse_.tolist() == [True, False, False]
    assert search.n_comparisons_ == 1


def test_workers_bring_predictions_along_too(digits: Any, tmp_path: Path) -> None:
    store = {"cache": FeatureStore(tmp_path)}
    alone = _search(extractor=store).fit(*digits)
    shared = _search(extractor=store, n_jobs=2).fit(*digits)
    assert shared.recalls_ == alone.recalls_ != {}
    np.testing.assert_array_equal(shared.not_worse_, alone.not_worse_)


def test_nothing_is_said_of_candidates_where_no_metric_decides(digits: Any) -> None:
    several = _search(scoring=["accuracy", "f1"], refit=False).fit(*digits)
    assert not hasattr(several, "not_worse_")
    named = _search(scoring=["accuracy", "f1"], refit="f1").fit(*digits)
    assert (named.not_worse_.shape, named.recalls_) == ((4,), {})


def test_one_pass_for_each_size_and_none_in_the_search(
    digits: Any, tmp_path: Path, computed: list[int]
) -> None:
    n_distinct = len(np.unique(digits[0], axis=0))
    search = _search(extractor={"cache": tmp_path}, input_sizes=[40, 32]).fit(*digits)
    assert sum(computed) == 2 * n_distinct
    search.predict(digits[0])
    search.score(*digits)
    clone(search).set_params(refit=False).fit(*digits)
    assert sum(computed) == 2 * n_distinct


def test_without_a_store_it_finds_the_same(digits: Any, computed: list[int]) -> None:
    kept = _search().fit(*digits)
    computed.clear()
    search = _search(extractor={"cache": None}).fit(*digits)
    assert sum(computed) == 80 * (4 * 2 + 1)  # every candidate in both folds, and the refit
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], kept.cv_results_["mean_test_score"]
    )
    assert search.best_params_ == kept.best_params_


@pytest.mark.parametrize(
    "extractor",
    [
        {"random_state": None},
        {"precision": "int8", "engine": "openvino"},
        *({"precision": precision, "engine": "keras"} for precision in JOINT_PRECISIONS),
    ],
)
def test_nothing_is_computed_ahead_that_candidates_would_not_find(
    extractor: dict[str, Any], digits: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sktransfer.evaluation.sweep import search as module

    def search_nothing(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    filled: list[int] = []
    monkeypatch.setattr(module, "fill_store", lambda *_: filled.append(1))
    monkeypatch.setattr(GridSearchCV, "fit", search_nothing)
    for expected, params in ([], extractor), ([1], {}):
        with pytest.raises(KeyboardInterrupt):
            _search(extractor=params).fit(*digits)
        assert filled == expected


def test_what_is_left_out_is_listed(digits: Any) -> None:
    search = _search(poolings=["avg", None], max_width=20_000).fit(*digits)
    assert [str(each) for each in search.skipped_] == [
        "block1_conv1 flat, 32 px (65,536 values): wider than max_width=20,000"
    ]
    assert [params[f"{NAME}pooling"] for params in search.cv_results_["params"]] == [
        "avg",
        "avg",
        None,
    ]


def test_targets_may_be_quantities(digits: Any) -> None:
    X, _ = digits
    search = _search(Ridge(), poolings=["avg"]).fit(X, X.mean(axis=(1, 2) if X.ndim == 3 else 1))
    assert search.best_score_ > 0.5
    assert search.predict(X).shape == (80,)


# -- metadata


def test_weights_and_groups_are_routed(digits: Any) -> None:
    X, y = digits
    weights = np.where(np.arange(80) % 4 == 0, 1.0, 0.0)
    groups = np.arange(80) // 4
    with sklearn.config_context(enable_metadata_routing=True):
        search = _search(
            GaussianNB().set_fit_request(sample_weight=True),
            cv=GroupKFold(2),
            scoring=make_scorer(accuracy_score).set_score_request(sample_weight=True),
        )
        search.fit(X, y, sample_weight=weights, groups=groups)
        by_hand = GridSearchCV(
            clone(search.estimator),
            {
                f"{NAME}layer": ["block1_conv1", "block1_pool"],
                f"{NAME}pooling": ["avg", "max"],
                f"{NAME}input_size": [32],
            },
            cv=GroupKFold(2),
            scoring=make_scorer(accuracy_score).set_score_request(sample_weight=True),
        ).fit(X, y, sample_weight=weights, groups=groups)
        plain = clone(search).fit(X, y, groups=groups)
    scores = sorted(search.cv_results_["mean_test_score"])
    assert scores == sorted(by_hand.cv_results_["mean_test_score"])
    assert scores != sorted(plain.cv_results_["mean_test_score"])
    np.testing.assert_allclose(
        search.best_estimator_[-1].class_prior_,
        [np.average(y == label, weights=weights) for label in (0, 1)],
        rtol=1e-6,
    )


def test_unrequested_metadata_are_refused(digits: Any, computed: list[int]) -> None:
    from sklearn.exceptions import UnsetMetadataPassedError

    routing = sklearn.config_context(enable_metadata_routing=True)
    with routing, pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        _search().fit(*digits, sample_weight=np.ones(80))
    assert computed == []


def test_weights_without_a_step_are_refused(digits: Any, computed: list[int]) -> None:
    with pytest.raises(ValueError, match=r"pass 'gaussiannb__sample_weight' instead"):
        _search().fit(*digits, sample_weight=np.ones(80))
    assert computed == []
    _search(layers=["block1_pool"]).fit(*digits, gaussiannb__sample_weight=np.ones(80))


# -- bad input


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"layers": ["block9"]}, ValueError, "'layers' parameter of LayerSearchCV must be a layer"),
        ({"poolings": "avg"}, TypeError, "'poolings' parameter of LayerSearchCV must be a list"),
        ({"max_width": 1}, ValueError, "LayerSearchCV has nothing to compute"),
        (
            {"param_grid": {f"{NAME}layer": ["flatten"]}},
            ValueError,
            r"must leave the cut to 'layers', 'poolings' and 'input_sizes'\. Got \['vgg",
        ),
        ({"param_grid": 3}, ValueError, "'param_grid' parameter of LayerSearchCV"),
        ({"scoring": "f1_mikro"}, ValueError, "'scoring' parameter of LayerSearchCV"),
        ({"scoring": ["accuracy", "f1"]}, ValueError, "parameter refit must be set to a scorer"),
        ({"cv": 50}, ValueError, r"as many images as folds\. Got cv=50 and \d+ images of class"),
    ],
)
def test_bad_parameters_are_found_before_the_network_runs(
    params: dict[str, Any], error: type, message: str, digits: Any, computed: list[int]
) -> None:
    with pytest.raises(error, match=message):
        _search(**params).fit(*digits)
    assert computed == []


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed"),
        (np.zeros(80), r"at least two classes\. Got 1 class in y: \[0\.0\]"),
        (np.arange(79) % 2, r"one label per image\. Got 80 images and 79 labels"),
        (np.arange(80) == 3, r"Got cv=2 and 1 image of class True: give more of them, or leave"),
        (np.where(np.arange(80) == 3, None, "a"), r"a class for each image as y: .* none missing"),
        (np.linspace(0, 1, 80), r"a class for each image as y: .* continuous"),
        (np.eye(4, dtype=int)[np.arange(80) % 4], r"a class for each image as y: .* 1d array"),
    ],
)
def test_bad_labels_are_found_before_the_network_runs(
    y: Any, message: str, digits: Any, computed: list[int]
) -> None:
    with pytest.raises(ValueError, match=message):
        _search().fit(digits[0], y)
    assert computed == []


@pytest.mark.parametrize("classifier", [GaussianNB(), Ridge()])
def test_a_search_needs_images(classifier: Any) -> None:
    with pytest.raises(ValueError, match=r"LayerSearchCV needs at least one image\. Got X of"):
        _search(classifier).fit(np.zeros((0, 8, 8)), [])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.arange(79.0), r"one number per image\. Got 80 images and 79 of them"),
        (np.where(np.arange(80) == 3, np.nan, 1.5), r"a finite number .* Got 1 that are NaN"),
        (["a", "b"] * 40, r"a number for each image as y, .* could not convert"),
    ],
)
def test_bad_numbers_are_found_before_the_network_runs(
    y: Any, message: str, digits: Any, computed: list[int]
) -> None:
    with pytest.raises(ValueError, match=f"LayerSearchCV needs {message}"):
        _search(Ridge()).fit(digits[0], y)
    assert computed == []


@pytest.mark.parametrize(
    "estimator",
    [GaussianNB(), make_pipeline(StandardScaler(), GaussianNB()), _extractor()],
)
def test_estimators_that_begin_otherwise_are_refused(estimator: Any, digits: Any) -> None:
    with pytest.raises(TypeError, match="a Pipeline whose first step is a VGGFeatureExtractor"):
        LayerSearchCV(estimator).fit(*digits)
