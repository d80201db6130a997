"""Whether one probe beats another on the sample: by hand, and where classes are of unequal size."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer.evaluation.diagnosis.labelling import learn_without, wrong_labels
from sktransfer.evaluation.diagnosis.learning import lost_signal
from sktransfer.evaluation.diagnosis.neighbours import find_neighbours
from sktransfer.evaluation.diagnosis.probes import Probe, is_better, score_probe
from sktransfer.evaluation.probing import check_labels


class _Known(ClassifierMixin, BaseEstimator):
    """Predicts what the only feature says."""

    def fit(self, X: Any, y: Any) -> _Known:
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        return X[:, 0].astype(int)


def _probe(y: np.ndarray, wrong: np.ndarray) -> Probe:
    """Score a classifier that errs on some images, of two classes."""
    said = np.where(np.isin(np.arange(len(y)), wrong), 1 - y, y)
    folds = list(StratifiedKFold(5).split(said, y))
    return score_probe(said[:, None], check_labels(y, len(y), who=""), folds, _Known())


UNEQUAL = np.repeat([0, 1], [180, 20])
EQUAL = np.repeat([0, 1], [100, 100])


def test_a_gain_in_the_smaller_class_counts_by_its_share_of_it() -> None:
    """Twelve more of 20 found, for 12 fewer of 180: as many right, and far more balanced."""
    one = _probe(UNEQUAL, np.arange(12))
    other = _probe(UNEQUAL, np.arange(180, 192))
    assert one.mean == other.mean == pytest.approx(0.94)
    assert one.metric == "balanced accuracy"
    assert one.score == pytest.approx((168 / 180 + 1) / 2)
    assert other.score == pytest.approx((1 + 8 / 20) / 2)
    better, p_value = is_better(one, other, margin=0.05)
    assert better
    assert p_value < 0.01
    assert not is_better(other, one, margin=0.05)[0]


def test_more_of_the_larger_class_is_no_gain_where_the_smaller_one_is_lost() -> None:
    """Accuracy rises by 0.06, and is not what counts."""
    one, other = _probe(UNEQUAL, np.arange(180, 190)), _probe(UNEQUAL, np.arange(22))
    assert one.mean - other.mean == pytest.approx(0.06)
    assert not is_better(one, other, margin=0.05)[0]


@pytest.mark.parametrize(("gained", "lost"), [(10, 2), (3, 3), (20, 0), (0, 0)])
def test_equal_classes_have_mcnemars_exact_test(gained: int, lost: int) -> None:
    one, other = _probe(EQUAL, np.arange(lost)), _probe(EQUAL, 50 + np.arange(gained))
    assert (one.metric, one.score) == ("accuracy", one.mean)
    n, k = gained + lost, min(gained, lost)
    expected = 2 * binom.cdf(k, n, 0.5) - binom.pmf(k, n, 0.5) if n else 1.0
    better, p_value = is_better(one, other, margin=0.05)
    assert p_value == pytest.approx(min(1.0, expected))
    assert better == (gained == 20)
    assert is_better(one, other, margin=0.05, n_comparisons=3)[1] == min(1, 3 * p_value)


def test_signs_drawn_at_random_give_what_counting_gives() -> None:
    """Within one class all weights are equal, and the test is McNemar's."""
    one, other = _probe(UNEQUAL, np.arange(3)), _probe(UNEQUAL, 50 + np.arange(14))
    _, p_value = is_better(one, other, margin=0.0)
    assert p_value == pytest.approx(2 * binom.cdf(3, 17, 0.5) - binom.pmf(3, 17, 0.5), abs=0.003)


def test_doubtful_labels_are_found_with_a_scaler_in_every_fold() -> None:
    rng = np.random.default_rng(0)
    codes = np.arange(60) % 2
    features = rng.normal(size=(60, 4)) + codes[:, None]
    features[0, 0] = 1e3  # the folds that have not learned from it do not know how far it is out
    folds = list(StratifiedKFold(5).split(features, codes))
    evidence: Any = SimpleNamespace(features=features, folds=folds, codes=codes)
    shares, rest = learn_without(evidence, np.zeros(60, dtype=bool))
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    expected = cross_val_predict(pipeline, features, codes, cv=folds, method="predict_proba")
    np.testing.assert_allclose(shares, expected, atol=1e-4)
    assert rest == pytest.approx((expected.argmax(axis=1) == codes).mean())


def _two_clouds(apart: float, n_wrong: int) -> Any:
    """Evidence of two classes so many deviations apart, with some labels exchanged."""
    rng = np.random.default_rng(3)
    codes = np.arange(160) % 2
    features = rng.normal(size=(160, 8))
    features[:, 0] += apart * codes
    codes[:n_wrong] = 1 - codes[:n_wrong]
    return SimpleNamespace(
        labels=SimpleNamespace(classes=np.array(["a", "b"])),
        is_explained=True,
        features=features,
        folds=list(StratifiedKFold(5, shuffle=True, random_state=0).split(features, codes)),
        codes=codes,
        feature_neighbours=find_neighbours(features),
        places=lambda found, n=20: found[:n].tolist(),
    )


@pytest.mark.parametrize("apart", [2.0, 3.0, 4.0])
def test_images_between_two_classes_have_no_wrong_labels(apart: float) -> None:
    assert not list(wrong_labels(_two_clouds(apart, 0)))


def test_labels_that_are_clearly_contradicted_are_listed() -> None:
    (finding,) = wrong_labels(_two_clouds(6.0, 16))
    assert sorted(finding.images) == list(range(16))


@pytest.mark.parametrize(("n_right", "is_reported"), [(130, True), (106, False)])
def test_a_signal_is_lost_only_if_pixels_are_better(n_right: int, is_reported: bool) -> None:
    features, pixels = _probe(EQUAL, np.arange(100)), _probe(EQUAL, np.arange(200 - n_right))
    assert features.is_proved_chance
    evidence: Any = SimpleNamespace(
        feature_probe=features,
        pixel_probe=pixels,
        pixel_agreement=SimpleNamespace(observed=0.6, expected=0.5, p_value=0.002),
        feature_agreement=SimpleNamespace(observed=0.5, expected=0.5, p_value=0.5),
        anatomy=SimpleNamespace(earlier="layer='block3_pool'"),
    )
    found = [(each.name, each.severity) for each in lost_signal(evidence)]
    assert found == [("lost-signal", "error")] * is_reported
