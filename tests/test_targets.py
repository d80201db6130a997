"""Numbers, sets of labels and weights: what is taken for what, and scores against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas
import pytest
import sklearn
from hypothesis import given, settings, strategies as st
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    get_scorer,
    mean_absolute_error,
    mean_squared_error,
    precision_score,
    r2_score,
    recall_score,
    roc_auc_score,
)
from sklearn.model_selection import GridSearchCV, KFold, LeaveOneOut
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer.evaluation.probing import (
    check_classifier,
    check_target,
    make_classifier,
    make_folds,
    make_scorer_of,
    score_folds,
)
from sktransfer.evaluation.probing.folding import spread_sets
from sktransfer.evaluation.probing.metrics import count_confusion, score_predictions
from sktransfer.evaluation.probing.one_vs_rest import OneVsRestLogisticRegression
from sktransfer.evaluation.probing.outcomes import (
    by_images,
    rate_folds,
    weigh_images,
    weigh_recalls,
)
from sktransfer.evaluation.probing.significance import judge_alone
from sktransfer.evaluation.probing.weighting import (
    check_sample_weight,
    check_takes_weights,
    fit_weighted,
)

WHO = "probe"
SETS = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 1, 1]] * 10)


def _target(y: Any, **params: Any) -> Any:
    return check_target(y, len(y), who=WHO, **params)


# -- what is predicted


@pytest.mark.parametrize(
    ("y", "predictor", "kind"),
    [
        ([0, 1, 2, 0, 1, 2], None, "classes"),
        ([0.0, 1.0, 0.0, 1.0], None, "classes"),
        (["a", "b", "a"], None, "classes"),
        ([0.5, 1.5, 2.5], None, "numbers"),
        ([[0.5], [1.5], [2.5]], None, "numbers"),
        ([3, 1, 4, 1, 5], RidgeCV(), "numbers"),
        ([3, 1, 3, 1], make_pipeline(StandardScaler(), Ridge()), "numbers"),
        ([3, 1, 3, 1], GridSearchCV(LogisticRegression(), {}), "classes"),
        ([[0, 1, 1], [1, 0, 0], [0, 0, 0]], None, "labels"),
    ],
)
@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
def test_what_is_taken_for_what(y: Any, predictor: Any, kind: str) -> None:
    target = _target(y, predictor=predictor)
    assert target.kind == kind
    assert len(target.y) == len(y)
    if kind == "numbers":
        assert target.y.dtype == np.float64
        assert target.y.ndim == 1


def test_columns_of_a_frame_name_the_labels() -> None:
    frame = pandas.DataFrame(SETS, columns=["cat", "dog", "owl"])
    target = _target(frame)
    assert target.classes.tolist() == ["cat", "dog", "owl"]
    np.testing.assert_array_equal(target.y, SETS)


@pytest.mark.parametrize(
    ("y", "params", "message"),
    [
        ([0.5, np.nan, 2.5], {}, r"finite number for each image as y\. Got 1 that are NaN"),
        ([0.5, np.inf, 2.5], {}, r"finite number"),
        ([0, np.nan, 1], {}, r"needs a class for each image as y"),
        ([[1], [1, 2], [2]], {}, r"needs a class for each image as y: .* inhomogeneous"),
        (
            [3, 3, 3],
            {"predictor": Ridge()},
            r"numbers that differ\. Got only 3 in y \(n_samples=3\)",
        ),
        (["a", "b", "c"], {"predictor": Ridge()}, r"needs a number for each image as y"),
        ([[0.5, 1.5], [2.5, 3.5]], {}, r"one number for each image as y\. Got 2 columns"),
        ([0.5, 1.5], {"positive": 1}, r"'positive' parameter of probe is for two classes"),
        (SETS, {"positive": 1}, r"'positive' .* several labels for each image"),
        (np.eye(3), {}, r"exactly one in each row, as of classes: pass y\.argmax\(axis=1\)"),
        ([[1, 0, 0], [1, 1, 0]], {}, r"some images have and others have not\. Got 0, 2 on all"),
        (range(5), {}, r"whole numbers as classes.* Got 5 different ones in y for 5 images"),
    ],
)
def test_what_cannot_be_predicted(y: Any, params: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _target(y, **params)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0.5, 1.5], r"one number per image\. Got 3 images and 2 of them"),
        (SETS[:2], r"one row of labels per image\. Got 3 images and 2 of them"),
    ],
)
def test_one_target_for_each_image(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_target(y, 3, who=WHO)


@pytest.mark.parametrize(
    ("kind", "classifier", "message"),
    [
        ("numbers", LogisticRegression(), r"must be None or a regressor, as y holds numbers"),
        ("labels", Ridge(), r"must be None or a classifier"),
    ],
)
def test_classifiers_that_predict_something_else(kind: str, classifier: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        check_classifier(classifier, kind=kind, who=WHO)


# -- folds


def test_numbers_are_shuffled_into_folds_of_scikit_learn() -> None:
    target = _target(np.linspace(0, 1, 20))
    folds = make_folds(target, 4, random_state=3, who=WHO)
    by_hand = KFold(4, shuffle=True, random_state=3).split(target.y)
    for own, expected in zip(folds, by_hand, strict=True):
        for part, other in zip(own, expected, strict=True):
            np.testing.assert_array_equal(part, other)


@pytest.mark.parametrize("y", [np.linspace(0, 1, 60), SETS])
def test_groups_stay_together(y: np.ndarray) -> None:
    groups = np.arange(60) // 5
    folds = make_folds(_target(y), 4, random_state=0, groups=groups, who=WHO)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(60))
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])


@given(st.integers(0, 10_000), st.integers(2, 5), st.integers(2, 6), st.floats(0.05, 0.6))
@settings(max_examples=40, deadline=None)
def test_labels_are_spread_as_the_images_are(
    seed: int, n_parts: int, n_labels: int, share: float
) -> None:
    rng = np.random.RandomState(seed)
    y = (rng.random_sample((80, n_labels)) < share).astype(int)
    part_of = spread_sets(y, np.full(n_parts, 1 / n_parts), rng)
    assert set(part_of) <= set(range(n_parts))
    sizes = np.bincount(part_of, minlength=n_parts)
    assert sizes.sum() == 80
    # The rarest label is dealt out first: no part has two more of it than another.
    rarest = np.where(y.sum(axis=0) > 0, y.sum(axis=0), 99).argmin()
    counts = [int(y[part_of == part, rarest].sum()) for part in range(n_parts)]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize(
    ("y", "cv", "message"),
    [
        (np.linspace(0, 1, 7), 4, r"two images for each of them\. Got cv=4 and 7 images"),
        (
            [0.5, 1.0, 1.0, 1.0],
            [([1, 2], [0, 3]), ([0, 1], [2, 3])],
            r"Fold 1 of 2 trains on 2 images of equal numbers",
        ),
        (
            SETS[:6],
            [([0, 4], [1, 2]), ([1, 2, 3], [0])],
            r"of which all or none have the label 0\. Leave rare labels out",
        ),
    ],
)
def test_folds_that_cannot_be_used(y: Any, cv: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_folds(_target(y), cv, random_state=0, who=WHO)


# -- metrics


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=25, deadline=None)
def test_metrics_are_those_of_scikit_learn(seed: int, is_weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    w = rng.random(40) if is_weighted else None
    y, predicted = rng.normal(size=40), rng.normal(size=40)
    own = score_predictions(_target(y), y, predicted, w)
    assert own["r2"] == pytest.approx(r2_score(y, predicted, sample_weight=w))
    error = mean_absolute_error(y, predicted, sample_weight=w)
    assert own["neg_mean_absolute_error"] == pytest.approx(-error)
    squared = mean_squared_error(y, predicted, sample_weight=w)
    assert own["neg_mean_squared_error"] == pytest.approx(-squared)
    assert own["neg_root_mean_squared_error"] == pytest.approx(-np.sqrt(squared))

    sets, taken = rng.integers(0, 2, (40, 3)), rng.integers(0, 2, (40, 3))
    own = score_predictions(_target(sets), sets, taken, w)
    assert own["accuracy"] == pytest.approx(accuracy_score(sets, taken, sample_weight=w))
    macro: Any = {"average": "macro", "sample_weight": w}
    assert own["f1"] == pytest.approx(f1_score(sets, taken, **macro))
    by_label = [accuracy_score(sets[:, i], taken[:, i], sample_weight=w) for i in range(3)]
    assert own["label_accuracy"] == pytest.approx(np.mean(by_label))

    labels, found = rng.integers(0, 3, 40), rng.integers(0, 3, 40)
    own = score_predictions(_target(labels), labels, found, w)
    assert own["accuracy"] == pytest.approx(accuracy_score(labels, found, sample_weight=w))
    macro["zero_division"] = 0
    assert own["precision"] == pytest.approx(precision_score(labels, found, **macro))
    assert own["recall"] == pytest.approx(recall_score(labels, found, **macro))
    counts = count_confusion(_target(labels), labels, found, w)[:, :-1]
    np.testing.assert_allclose(counts, confusion_matrix(labels, found, sample_weight=w))


@pytest.mark.parametrize(
    ("y", "scoring", "message"),
    [
        (np.linspace(0, 1, 20), "accuracy", r"(?s)a metric for regressors\. .* on numbers"),
        (np.linspace(0, 1, 20), "r3", r"(?s)no metric 'r3'"),
        (SETS, "r2", r"(?s)a metric for classifiers\. .* sets of labels: 'r2' is for regression"),
    ],
)
def test_metrics_of_something_else(y: Any, scoring: Any, message: str) -> None:
    target = _target(y)
    with pytest.raises(ValueError, match=message):
        make_scorer_of(target, scoring, make_classifier(target.kind), who=WHO)


def test_metrics_that_take_no_weights() -> None:
    target = _target(np.linspace(0, 1, 20))
    make_scorer_of(target, "neg_max_error", Ridge(), who=WHO)
    with pytest.raises(ValueError, match=r"cannot be scored on numbers with sample_weight: .*"):
        make_scorer_of(target, "neg_max_error", Ridge(), is_weighted=True, who=WHO)


# -- probes


def _data(n: int = 60, n_features: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, n_features)).astype(np.float32)
    return X, X[:, 0] - 2 * X[:, 1] + rng.normal(size=n)


@pytest.mark.parametrize("n_features", [5, 400])
def test_one_logistic_regression_for_each_label(n_features: int) -> None:
    X, _ = _data(60, n_features)
    own = OneVsRestLogisticRegression().fit(X, SETS)
    other = MultiOutputClassifier(LogisticRegression(max_iter=1000)).fit(X, SETS)
    np.testing.assert_array_equal(own.predict(X), other.predict(X))
    expected = np.stack([each.decision_function(X) for each in other.estimators_], axis=1)
    np.testing.assert_allclose(own.decision_function(X), expected, rtol=2e-2, atol=0.1)


def test_a_label_that_all_images_have_is_predicted_for_all() -> None:
    X, _ = _data(30)
    y = np.column_stack([np.ones(30), np.zeros(30), np.arange(30) % 2]).astype(int)
    found = OneVsRestLogisticRegression().fit(X, y).predict(X)
    assert found[:, 0].all()
    assert not found[:, 1].any()


def test_the_penalty_is_chosen_inside_each_fold() -> None:
    X, y = _data(60, 200)
    target = _target(y)
    folds = make_folds(target, 3, random_state=0, who=WHO)
    probe = check_classifier(None, kind="numbers", who=WHO)
    scorer = make_scorer_of(target, None, probe, who=WHO)
    found = score_folds(X, y, folds, probe, scorer).scores
    by_hand = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 7, 21)))
    for metric, values in found.items():
        expected = [
            get_scorer(metric)(by_hand.fit(X[train], y[train]), X[test], y[test])
            for train, test in folds
        ]
        assert values == pytest.approx(expected)


# -- weights


@pytest.mark.parametrize("kind", ["classes", "numbers", "labels"])
@pytest.mark.parametrize("routes", [False, True])
def test_a_weight_of_two_is_an_image_twice(kind: str, routes: bool) -> None:
    X, numbers = _data(60)
    y = {"classes": (numbers > 0).astype(int), "numbers": numbers, "labels": SETS}[kind]
    weights = np.random.default_rng(1).integers(0, 4, 60).astype(float)
    times = np.repeat(np.arange(60), weights.astype(int))
    with sklearn.config_context(enable_metadata_routing=routes):
        probe = make_classifier(kind)
        if kind == "numbers":  # those left out to choose the penalty are images, not copies
            probe = make_pipeline(*probe[:-1], Ridge(1.0))
            if routes:
                probe[-1].set_fit_request(sample_weight=True)
        own = fit_weighted(probe, X, y, weights).predict(X)
    twice = make_classifier(kind)
    twice = make_pipeline(StandardScaler(), Ridge(1.0)) if kind == "numbers" else twice
    expected = twice.fit(X[times], y[times]).predict(X)
    np.testing.assert_allclose(own, expected, rtol=1e-3, atol=1e-3)


def test_weights_reach_fit_and_scores() -> None:
    X, numbers = _data(60)
    y = (numbers > 0).astype(int)
    weights = np.random.default_rng(1).random(60)
    target = _target(y)
    folds = make_folds(target, 3, random_state=0, who=WHO)
    for classifier in (
        LogisticRegression(),
        make_pipeline(StandardScaler(), LogisticRegression()),
        GridSearchCV(make_pipeline(StandardScaler(), LogisticRegression()), {}, cv=2),
    ):
        metrics = ["accuracy", "roc_auc", "neg_log_loss"]
        scorer = make_scorer_of(target, metrics, classifier, is_weighted=True, who=WHO)
        found = score_folds(X, y, folds, classifier, scorer, sample_weight=weights).scores
        plain = score_folds(X, y, folds, classifier, scorer).scores
        assert list(found) == metrics
        assert found != plain
        for fold, (train, test) in enumerate(folds):
            fitted = fit_weighted(classifier, X[train], y[train], weights[train])
            right = accuracy_score(y[test], fitted.predict(X[test]), sample_weight=weights[test])
            assert found["accuracy"][fold] == pytest.approx(right)
            ranked = fitted.predict_proba(X[test])[:, 1]
            area = roc_auc_score(y[test], ranked, sample_weight=weights[test])
            assert found["roc_auc"][fold] == pytest.approx(area)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("heavy", r"'sample_weight' parameter of probe must be a number for each image"),
        ([1.0, 2.0], r"Got 4 images and weights of shape \(2,\)"),
        ([1.0, -1.0, 1.0, 1.0], r"finite numbers from 0 up\. Got -1 to 1"),
        ([1.0, np.nan, 1.0, 1.0], r"finite numbers from 0 up"),
        ([0.0, 0.0, 1.0, 1.0], r"Got a part whose weights are all 0"),
    ],
)
def test_weights_that_cannot_be_used(weights: Any, message: str) -> None:
    folds = [(np.array([0, 1]), np.array([2, 3])), (np.array([2, 3]), np.array([0, 1]))]
    with pytest.raises(ValueError, match=message):
        check_sample_weight(weights, folds, 4, who=WHO)


def test_classifiers_that_take_no_weights() -> None:
    check_takes_weights(make_classifier(), "classifier", who=WHO)
    for each in (KNeighborsClassifier(), make_pipeline(StandardScaler(), KNeighborsClassifier())):
        with pytest.raises(ValueError, match=r"needs a fit that takes sample_weight where"):
            check_takes_weights(each, "classifier", who=WHO)


def test_weights_that_no_step_requests() -> None:
    target = _target([0, 1] * 10)
    probe = make_pipeline(StandardScaler(), LogisticRegression())
    with (
        sklearn.config_context(enable_metadata_routing=True),
        pytest.raises(UnsetMetadataPassedError, match="sample_weight"),
    ):
        make_scorer_of(target, None, probe, is_weighted=True, who=WHO)


# -- tests image by image


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=25, deadline=None)
def test_what_images_count_adds_up_to_the_score(seed: int, is_weighted: bool) -> None:
    rng = np.random.default_rng(seed)
    w = rng.random(60) + 0.1 if is_weighted else None
    cases: list[tuple[Any, list[str]]] = [
        (rng.normal(size=60), ["r2", "neg_mean_squared_error", "neg_mean_absolute_error"]),
        (SETS, ["label_accuracy", "accuracy"]),
        (np.arange(60) % 3, ["accuracy"]),
    ]
    for y, metrics in cases:
        target = _target(y)
        folds = make_folds(target, 3, random_state=seed, who=WHO)
        one, other = ([rng.permutation(y)[test] for _, test in folds] for _ in range(2))
        for metric in metrics:
            images = weigh_images(metric, y, folds, kind=target.kind, sample_weight=w)
            assert images is not None
            sums, means = [], []
            for predicted in (one, other):
                sums.append(images.weights @ rate_folds(target, metric, folds, predicted))
                scores = [
                    score_predictions(target, y[test], each, None if w is None else w[test])[metric]
                    for (_, test), each in zip(folds, predicted, strict=True)
                ]
                means.append(np.mean(scores))
            assert sums[0] - sums[1] == pytest.approx(means[0] - means[1])


def test_recalls_add_up_to_balanced_accuracy() -> None:
    rng = np.random.default_rng(0)
    y, w = np.repeat([0, 1, 2], [40, 15, 5]), rng.random(60)
    target = _target(y)
    folds = make_folds(target, 5, random_state=0, who=WHO)
    predicted = [rng.permutation(y)[test] for _, test in folds]
    images = weigh_recalls(y, folds, sample_weight=w)
    tested = np.concatenate([test for _, test in folds])
    together = recall_score(
        y[tested], np.concatenate(predicted), average="macro", sample_weight=w[tested]
    )
    rated = rate_folds(target, "accuracy", folds, predicted)
    assert images.weights @ rated == pytest.approx(together)


def test_a_fold_of_equal_numbers_has_no_test_by_images() -> None:
    y = np.array([1.0, 1.0, 2.0, 3.5])
    folds = [(np.array([2, 3]), np.array([0, 1])), (np.array([0, 2]), np.array([1, 3]))]
    assert weigh_images("r2", y, folds, kind="numbers") is None
    alone = make_folds(_target(y), LeaveOneOut(), random_state=0, who=WHO)
    assert weigh_images("r2", y, alone, kind="numbers") is None
    assert weigh_images("neg_mean_squared_error", y, alone, kind="numbers") is not None


def test_errors_of_numbers_are_tested_at_five_per_cent() -> None:
    """Both rows are equally good; other training images would have given other errors."""
    rng = np.random.default_rng(0)
    n = 100
    target = _target(rng.normal(size=n))
    folds = make_folds(target, 10, random_state=0, who=WHO)
    images = weigh_images("r2", target.y, folds, kind="numbers")
    assert images is not None
    found = []
    for _ in range(1000):
        shared = rng.normal(size=n)
        rated = [-((shared + rng.normal(size=n)) ** 2) for _ in range(2)]
        found.append(judge_alone(by_images([rated[0]], [rated[1]], images)).finding)
    size = np.mean(np.array(found) != "within noise")
    assert 0.02 < size < 0.06
    # A row whose errors are half as large is found.
    better = judge_alone(by_images([rated[0] / 4], [rated[1]], images))
    assert better.finding == "higher"
    assert better.low > 0
