"""What linear probes share: labels, folds, scores and costs, and every mistake found beforehand."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris, make_classification
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.metrics import accuracy_score, fbeta_score, make_scorer, roc_auc_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    LeaveOneGroupOut,
    ShuffleSplit,
    StratifiedKFold,
    cross_validate,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from threadpoolctl import threadpool_info, threadpool_limits

from sktransfer import VGGFeatureExtractor, load_digit_pair
from sktransfer.evaluation.probing import (
    METRICS,
    check_classifier,
    check_labels,
    make_classifier,
    make_control,
    make_folds,
    make_scorer_of,
    score_folds,
    split_estimator,
    time_features,
)
from sktransfer.evaluation.probing.wide import WideLogisticRegression, is_wide, rotate

WHO = "probe"


def _labels(y: Any, **params: Any) -> Any:
    return check_labels(y, len(y), who=WHO, **params)


def _extractor(**params: Any) -> VGGFeatureExtractor:
    params = {"pooling": "max", "input_size": 32, "weights": None, "random_state": 0} | params
    return VGGFeatureExtractor("block1_pool", **params)


# -- labels


def test_labels_are_counted_and_the_second_class_is_positive() -> None:
    labels = _labels(["b", "a", "b"])
    assert labels.classes.tolist() == ["a", "b"]
    assert labels.counts.tolist() == [1, 2]
    assert labels.positive == "b"
    assert _labels(["b", "a", "b"], positive="a").positive == "a"
    assert _labels([0, 1, 2], positive=1).positive is None


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0.5, 1.5, 2.5], r"needs a class for each image as y: .* Unknown label type: continuous"),
        ([0, 1, np.nan], r"needs a class for each image as y: .* NaN"),
        (np.array(["a", None, "b"], dtype=object), r"needs a class for each image as y: .*"),
        ([[0, 1], [1, 0], [1, 1]], r"needs a class for each image as y: .* 1d array"),
        ([0, 1], r"probe needs one label per image\. Got 3 images and 2 labels"),
        ([1, 1, 1], r"probe needs at least two classes\. Got 1 class in y: \[1\]"),
    ],
)
def test_labels_that_are_no_classes(y: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_labels(y, 3, who=WHO)


# -- folds


def test_a_number_of_folds_is_stratified_and_seeded() -> None:
    labels = _labels(np.arange(40) % 2)
    folds = make_folds(labels, 4, random_state=3, who=WHO)
    expected = StratifiedKFold(4, shuffle=True, random_state=3).split(labels.y, labels.y)
    for (train, test), (train_by_hand, test_by_hand) in zip(folds, expected, strict=True):
        np.testing.assert_array_equal(train, train_by_hand)
        np.testing.assert_array_equal(test, test_by_hand)


@pytest.mark.parametrize("cv", [4, GroupKFold(4)])
def test_groups_are_kept_together(cv: Any) -> None:
    labels = _labels(np.arange(40) % 2)
    groups = np.arange(40) // 5
    for train, test in make_folds(labels, cv, random_state=0, groups=groups, who=WHO):
        assert not set(groups[train]) & set(groups[test])


def test_pairs_of_indices_and_masks_are_folds() -> None:
    labels = _labels([0, 1, 0, 1])
    mask = np.array([True, True, False, False])
    pairs = ((part, ~part) for part in (mask, ~mask))
    folds = make_folds(labels, pairs, random_state=0, who=WHO)
    assert [[part.tolist() for part in fold] for fold in folds] == [
        [[0, 1], [2, 3]],
        [[2, 3], [0, 1]],
    ]


@pytest.mark.parametrize("cv", [2.5, "5", True, None, [1, 2, 3], [(0, 1, 2)]])
def test_what_is_no_cross_validation(cv: Any) -> None:
    with pytest.raises(TypeError, match=r"'cv' parameter of probe must be a whole number of folds"):
        make_folds(_labels([0, 1, 0, 1]), cv, random_state=0, who=WHO)


@pytest.mark.parametrize(
    ("cv", "groups", "message"),
    [
        (3, None, r"in each class as many images as folds\. Got cv=3 and 2 images of class 0"),
        (1, None, r"at least 2 folds"),
        (3, None, r"class 0: give more of them, or set cv=2\.$"),
        (2, [0, 0, 0, 0], r"as many groups as folds\. Got cv=2 and 1 groups"),
        (2, [None] * 4, r"'groups' .* none missing\. Got \[None, None, None, None\]: name"),
        (2, [0, 1, np.nan, 0], r"'groups' parameter of probe must hold numbers .* nan"),
        (2, np.array([0, "a", 1, 1], dtype=object), r"'groups' parameter of probe must hold"),
        (2, [0, 1], r"one group per image\. Got 4 images and 2 groups"),
        (ShuffleSplit(1), None, r"at least 2 folds to distinguish a difference from noise\. Got 1"),
        ([], None, r"Got 0"),
        (LeaveOneGroupOut(), [0, 1, 0, 1], r"Fold 1 of 2 trains on 2 images of fewer than two"),
        ([([0, 1], []), ([2, 3], [0, 1])], None, r"Fold 1 of 2 has no test images"),
        ([([0, 1], [2]), ([2, 3], [3])], None, r"Fold 2 of 2 tests on images that it trains on"),
        ([([0, 1], [2]), ([2, 3], [4])], None, r"positions from 0 to 3\. Got .*4"),
        ([([0, 1], [-1]), ([2, 3], [0])], None, r"positions from 0 to 3\. Got .*-1"),
        ([([0.0, 1.0], [2]), ([2, 3], [0])], None, r"positions from 0 to 3"),
    ],
)
def test_folds_that_cannot_be_used(cv: Any, groups: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_folds(_labels([0, 1, 0, 1]), cv, random_state=0, groups=groups, who=WHO)


@pytest.mark.parametrize("random_state", ["a", -1, 2**32])
def test_what_is_no_seed(random_state: Any) -> None:
    with pytest.raises(ValueError, match=r"'random_state' .* 0 to 4,294,967,295\. Got .* instead"):
        make_folds(_labels([0, 1, 0, 1]), 2, random_state=random_state, who=WHO)


@pytest.mark.parametrize("cv", [2, 5])
def test_a_class_of_one_image_has_no_folds(cv: int) -> None:
    message = rf"Got cv={cv} and 1 image of class b: give more of them, or leave out the class\.$"
    with pytest.raises(ValueError, match=message):
        make_folds(_labels(["a", "b", "a", "a"]), cv, random_state=0, who=WHO)


# -- classifiers and pipelines


def test_the_linear_probe_is_the_default_classifier() -> None:
    assert repr(check_classifier(None, who=WHO)) == repr(make_classifier())
    search = GridSearchCV(make_pipeline(StandardScaler(), SVC()), {"svc__C": [1, 10]})
    assert check_classifier(search, who=WHO) is search


@pytest.mark.parametrize(
    "classifier", [LinearRegression(), StandardScaler(), LogisticRegression, "svm", PCA()]
)
def test_what_is_no_classifier(classifier: Any) -> None:
    with pytest.raises(TypeError, match=r"'classifier' parameter of probe must be None or a"):
        check_classifier(classifier, who=WHO)


def test_pipelines_are_taken_apart() -> None:
    extractor, logistic = _extractor(), LogisticRegression()
    assert split_estimator(extractor, who=WHO) == (extractor, None)
    assert split_estimator(make_pipeline(extractor, logistic), who=WHO) == (extractor, logistic)
    whole = make_pipeline(extractor, "passthrough", StandardScaler(), logistic)
    first, rest = split_estimator(whole, who=WHO)
    assert first is extractor
    assert [name for name, _ in rest.steps] == ["standardscaler", "logisticregression"]
    for wrong in (logistic, make_pipeline(StandardScaler(), extractor), "vgg"):
        with pytest.raises(TypeError, match=r"probe needs a VGGFeatureExtractor or Image.*, or a"):
            split_estimator(wrong, who=WHO)


def test_a_control_differs_in_its_weights_only(vgg16_blocks: Any) -> None:
    X, _ = load_digit_pair(return_X_y=True)
    trained = _extractor(weights=vgg16_blocks, input_size="auto", random_state=None).fit(X[:3])
    control = make_control(trained, 7)
    assert not hasattr(control, "n_features_out_")
    differing = {
        name for name, value in control.get_params().items() if value != trained.get_params()[name]
    }
    assert differing == {"weights", "input_size", "random_state"}
    assert control.input_size == trained.input_size_


# -- scores


def _scores(classifier: Any, scoring: Any, y: Any, X: np.ndarray, **params: Any) -> dict[str, Any]:
    labels = _labels(y, **params)
    folds = make_folds(labels, 3, random_state=0, who=WHO)
    scorer = make_scorer_of(labels, scoring, classifier, who=WHO)
    return score_folds(X, labels.y, folds, classifier, scorer).scores


@pytest.fixture(scope="module")
def noisy() -> tuple[np.ndarray, np.ndarray]:
    return make_classification(120, 6, flip_y=0.2, random_state=0)


@pytest.mark.parametrize("classifier", [LogisticRegression(), KNeighborsClassifier()])
def test_scores_are_those_of_scikit_learn(
    classifier: Any, noisy: tuple[np.ndarray, np.ndarray]
) -> None:
    X, y = noisy
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    expected = cross_validate(classifier, X, y, cv=folds, scoring=METRICS)
    scores = _scores(classifier, None, y, X)
    assert tuple(scores) == METRICS
    for metric in METRICS:
        np.testing.assert_allclose(scores[metric], expected[f"test_{metric}"])


def test_names_are_about_the_positive_class_whatever_it_is_called(
    noisy: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = noisy
    named = np.where(y == 1, "eight", "six")  # the positive one is the first in sorted order
    expected = _scores(LogisticRegression(), None, y, X)
    assert _scores(LogisticRegression(), None, named, X, positive="eight") == expected
    scoring = ["f1", "roc_auc", "balanced_accuracy"]
    scores = _scores(LogisticRegression(), scoring, named, X, positive="eight")
    assert list(scores) == scoring
    assert scores["f1"] == expected["f1"]
    assert scores["roc_auc"] == expected["roc_auc"]


@pytest.mark.parametrize("classifier", [LogisticRegression(max_iter=500), LinearSVC(), SVC()])
def test_more_classes_are_macro_averages(classifier: Any) -> None:
    X, y = load_iris(return_X_y=True)
    X = X[:, :2]
    scores = _scores(classifier, None, y, X)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    names = ["accuracy", "precision_macro", "recall_macro", "f1_macro"]
    expected = cross_validate(classifier, X, y, cv=folds, scoring=names)
    for metric, name in zip(METRICS, names, strict=False):
        np.testing.assert_allclose(scores[metric], expected[f"test_{name}"])
    (train, test), *_ = folds.split(X, y)
    fitted = classifier.fit(X[train], y[train])
    if hasattr(fitted, "predict_proba"):
        auc = roc_auc_score(y[test], fitted.predict_proba(X[test]), multi_class="ovr")
    else:
        values = fitted.decision_function(X[test])
        auc = np.mean([roc_auc_score(y[test] == i, values[:, i]) for i in range(3)])
    assert scores["roc_auc"][0] == pytest.approx(auc)


def test_any_scorer_of_scikit_learn_is_taken(noisy: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = noisy
    by_name = _scores(LogisticRegression(), "accuracy", y, X)["accuracy"]
    assert _scores(LogisticRegression(), make_scorer(accuracy_score), y, X) == {"score": by_name}

    def hits(estimator: Any, X: Any, y: Any) -> float:
        return accuracy_score(y, estimator.predict(X))

    assert _scores(LogisticRegression(), hits, y, X) == {"hits": by_name}
    both = {"mine": make_scorer(fbeta_score, beta=2), "a": "accuracy"}
    assert list(_scores(LogisticRegression(), both, y, X)) == ["mine", "a"]


def test_auc_is_undefined_where_a_class_is_missing() -> None:
    X, y = load_iris(return_X_y=True)
    labels = _labels(y)
    scorer = make_scorer_of(labels, "roc_auc", LogisticRegression(max_iter=500), who=WHO)
    fitted = LogisticRegression(max_iter=500).fit(X, y)
    assert np.isnan(scorer(fitted, X[:100], y[:100])["roc_auc"])
    fitted = LogisticRegression(max_iter=500).fit(X[:100], y[:100])
    assert np.isnan(scorer(fitted, X, y)["roc_auc"])
    labels = _labels(y[:100])
    fitted = LogisticRegression().fit(X[:100], y[:100])
    scorer = make_scorer_of(labels, "roc_auc", fitted, who=WHO)
    assert np.isnan(scorer(fitted, X[:50], y[:50])["roc_auc"])


class _NoScores(RandomForestClassifier):
    predict_proba = property()


@pytest.mark.parametrize(
    ("scoring", "classifier", "message"),
    [
        ("r2", LogisticRegression(), r"Got 'r2', .* is for regression, not for"),
        (
            ["accuracy", "neg_mean_squared_error"],
            LogisticRegression(),
            r"is for regression, not for",
        ),
        ("f1macro", LogisticRegression(), r"no metric 'f1macro'; did you mean 'f1_macro'\?"),
        (7, LogisticRegression(), r"'scoring' parameter of probe must be None"),
        ([], LogisticRegression(), r"there is no metric"),
        (accuracy_score, LogisticRegression(), r"metric function"),
        ("neg_log_loss", RidgeClassifier(), r"predict_proba"),
        (None, _NoScores(), r"scoring=\['accuracy', 'precision', 'recall', 'f1'\] fits every"),
        ("roc_auc", _NoScores(), r"Got 'roc_auc', by which _NoScores\(\) cannot be scored"),
        # scikit-learn's own, which takes class 1 for the positive one
        ({"mine": make_scorer(fbeta_score, beta=2)}, LogisticRegression(), r"pos_label=1"),
    ],
)
def test_scores_that_cannot_be_had(scoring: Any, classifier: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_scorer_of(_labels([6, 8] * 10), scoring, classifier, who=WHO)


def test_wrong_parameters_of_the_classifier_are_found() -> None:
    with pytest.raises(ValueError, match=r"'C' parameter of LogisticRegression"):
        make_scorer_of(_labels([6, 8] * 10), None, LogisticRegression(C=-1), who=WHO)


@pytest.mark.parametrize(
    "classifier",
    [
        make_pipeline(PCA(50), LogisticRegression()),  # more components than the rows of the trial
        GridSearchCV(SVC(), {"C": [1, 10]}),
        CalibratedClassifierCV(LinearSVC()),
    ],
)
def test_classifiers_that_need_many_rows_pass(classifier: Any) -> None:
    assert callable(make_scorer_of(_labels([6, 8] * 10), None, classifier, who=WHO))


def _score_irises(classifier: Any, n_folds: int) -> Any:
    X, y = load_iris(return_X_y=True)
    labels = _labels(y)
    folds = make_folds(labels, n_folds, random_state=0, who=WHO)
    scorer = make_scorer_of(labels, "accuracy", classifier, who=WHO)
    return score_folds(X, y, folds, classifier, scorer)


def test_classifiers_that_stop_early_are_counted_and_never_changed() -> None:
    classifier = LogisticRegression(max_iter=2)
    assert _score_irises(classifier, 3).n_not_converged == 3
    assert not hasattr(classifier, "coef_")


class _Warning(LogisticRegression):
    def fit(self, X: Any, y: Any) -> Any:
        warnings.warn("other", UserWarning, stacklevel=1)
        warnings.warn("not converged", ConvergenceWarning, stacklevel=1)
        return super().fit(X, y)


def test_other_warnings_are_passed_on() -> None:
    with pytest.warns(UserWarning, match="other"):
        found = _score_irises(_Warning(max_iter=500), 2)
    assert found.n_not_converged == 2


# -- cost


def test_time_is_measured_beside_the_store(tmp_path: Any) -> None:
    X, _ = load_digit_pair(return_X_y=True)
    extractor = _extractor(cache=tmp_path / "store").fit(X)
    setup, per_image = time_features(extractor, X, len(X))
    assert setup >= 0
    assert per_image > 0
    assert not (tmp_path / "store").exists()
    assert extractor.cache == tmp_path / "store"
    paths_like = list(X[:3].reshape(3, 8, 8))
    assert time_features(_extractor().fit(paths_like), paths_like, 3)[1] > 0


# -- threads of BLAS


class _SeesThreads(ClassifierMixin, BaseEstimator):
    """Tells by its score how many threads BLAS has while it is fitted."""

    def fit(self, X: Any, y: Any) -> _SeesThreads:
        self.classes_ = np.unique(y)
        self.n_threads_ = max(each["num_threads"] for each in _blas())
        return self

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.classes_[0])


def _blas() -> list[dict[str, Any]]:
    return [each for each in threadpool_info() if each["user_api"] == "blas"]


@pytest.mark.skipif(not _blas(), reason="threadpoolctl knows no BLAS here")
@pytest.mark.parametrize(("n_features", "n_threads"), [(10, 1), (11, 2)])
def test_blas_has_one_thread_for_small_features_and_its_own_number_after_it(
    n_features: int, n_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sktransfer.evaluation.probing.threads.MIN_THREADED_BYTES", 4 * 11 * 8)
    features = np.ones((4, n_features))
    folds = [(np.array([0, 1]), np.array([2, 3])), (np.array([2, 3]), np.array([0, 1]))]

    def scorer(fitted: Any, X: Any, y: Any) -> dict[str, float]:
        return {"threads": fitted.n_threads_}

    with threadpool_limits(2, user_api="blas"):
        found = score_folds(features, np.array([0, 1, 0, 1]), folds, _SeesThreads(), scorer)
        assert [each["num_threads"] for each in _blas()] == [2] * len(_blas())
    assert found.scores["threads"] == [n_threads, n_threads]


def test_scores_do_not_depend_on_the_threads_of_blas(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = make_classification(200, 100, n_informative=10, random_state=0)
    labels = _labels(y)
    folds = make_folds(labels, 3, random_state=0, who=WHO)
    classifier = make_classifier()
    scorer = make_scorer_of(labels, None, classifier, who=WHO)
    held = score_folds(X, y, folds, classifier, scorer)
    monkeypatch.setattr("sktransfer.evaluation.probing.threads.MIN_THREADED_BYTES", 0)
    assert score_folds(X, y, folds, classifier, scorer).scores == held.scores


def test_features_that_are_all_constant_predict_the_larger_class() -> None:
    X, y = np.full((12, 60), 3.0), np.repeat([0, 1], [8, 4])
    probe = make_classifier().fit(X, y)
    assert probe.predict(X).tolist() == [0] * 12
    assert probe[-1].coef_.shape == (1, 60)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_few_images_of_many_features_are_fitted_as_by_scikit_learn(n_classes: int) -> None:
    rng = np.random.default_rng(n_classes)
    X, y = rng.normal(size=(40, 400)), np.arange(40) % n_classes
    X -= X.mean(axis=0)
    X[7] = X[3]  # one coordinate less, besides that of the centre
    weights = rng.uniform(0, 2, 40)
    assert is_wide(X)
    assert not is_wide(X[:, :159])
    found = WideLogisticRegression(tol=1e-8, max_iter=1000).fit(X, y, weights)
    expected = LogisticRegression(tol=1e-8, max_iter=1000).fit(X, y, weights)
    np.testing.assert_allclose(found.coef_, expected.coef_, atol=1e-6)
    np.testing.assert_allclose(found.intercept_, expected.intercept_, atol=1e-6)
    assert found.n_features_in_ == 400


def test_images_are_rotated_into_coordinates_of_the_same_products() -> None:
    X = np.random.default_rng(0).normal(size=(6, 30))
    X[4] = X[1] + X[2]
    rows, rotate_back = rotate(X)  # type: ignore[misc]
    assert rows.shape == (6, 5)
    np.testing.assert_allclose(rows @ rows.T, X @ X.T, atol=1e-12)
    np.testing.assert_allclose(rotate_back(rows), X, atol=1e-12)
