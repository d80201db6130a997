"""Cheap scores of features against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.datasets import make_classification
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer.evaluation.probing.cheap import score_cheaply


def _make(n_features: int = 8, **params: float) -> tuple[np.ndarray, np.ndarray]:
    given = {"n_informative": 4, "n_classes": 3, "random_state": 0} | params
    return make_classification(90, n_features, **given)


def _score(X: np.ndarray, y: np.ndarray) -> dict[str, float]:
    return score_cheaply(X, y, list(StratifiedKFold(3).split(X, y)))


@pytest.mark.parametrize("n_features", [8, 200])
def test_classifiers_are_scored_on_features_that_each_fold_scales(n_features: int) -> None:
    X, y = _make(n_features)
    X[0, 0] = 1e3  # far out: in the folds that learn from it, this feature counts for nothing
    found = _score(X, y)
    assert list(found) == ["knn", "centroid", "logme", "h_score", "leep"]
    folds = StratifiedKFold(3)
    for name, classifier in (("knn", KNeighborsClassifier(5)), ("centroid", NearestCentroid())):
        pipeline = make_pipeline(StandardScaler(), classifier)
        assert found[name] == pytest.approx(cross_val_score(pipeline, X, y, cv=folds).mean())


def test_logme_is_the_largest_evidence() -> None:
    X, y = _make(6)
    scaled = StandardScaler().fit_transform(X)
    evidences = []
    for label in range(3):
        target = (y == label).astype(float)

        def loss(logs: np.ndarray, target: np.ndarray = target) -> float:
            alpha, beta = np.exp(logs)
            covariance = scaled @ scaled.T / alpha + np.eye(len(scaled)) / beta
            _, log_volume = np.linalg.slogdet(2 * np.pi * covariance)
            distance = target @ np.linalg.solve(covariance, target)
            return float(log_volume + distance) / 2 / len(target)

        evidences.append(-minimize(loss, [0.0, 0.0], method="Nelder-Mead").fun)
    assert _score(X, y)["logme"] == pytest.approx(np.mean(evidences), abs=1e-3)


def test_h_score_is_at_most_the_number_of_classes_less_one() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    known = np.eye(3)[y] + 1e-3 * rng.normal(size=(90, 3))
    assert 1.5 < _score(known, y)["h_score"] < 2
    assert _score(rng.normal(size=(90, 3)), y)["h_score"] < 0.3


def test_every_score_prefers_features_that_know_the_classes() -> None:
    X, y = _make(class_sep=3.0)
    noise = np.random.default_rng(0).normal(size=X.shape)
    good, bad = _score(X, y), _score(noise, y)
    assert all(good[name] > bad[name] for name in good)
    assert bad["leep"] <= 0


def test_constant_features_and_few_images_have_scores() -> None:
    X = np.ones((12, 4))
    X[:, 0] = np.arange(12) % 2
    found = score_cheaply(X, np.arange(12) % 2, [(np.arange(3), np.arange(3, 12))])
    assert found["centroid"] == 1
    assert all(np.isfinite(value) for value in found.values())
