"""scikit-learn's meta-estimators: those that take images, and how to write it for the others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
from clients.cases import COLOUR, LABELS, extractor, features
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score, validation_curve
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.pipeline import Pipeline, make_pipeline

from sktransfer import VGGClassifier

LIBRARY = "scikit-learn"
TRIED = (
    "ensembles, calibration, one against the rest, several outputs, chains, validation curves, "
    "metadata routing, dispatch of array APIs"
)
X, y = np.tile(COLOUR, (4, 1, 1, 1)), np.tile(LABELS, 4)
ROWS = X.reshape(len(X), -1)
BOTH = np.column_stack([y, 1 - y])


def _model(**params: Any) -> Pipeline:
    return make_pipeline(extractor(**params), LogisticRegression(C=1e3, max_iter=1000))


ON_IMAGES = {
    "voting": lambda: VotingClassifier([("one", _model()), ("two", _model())]),
    "stacking": lambda: StackingClassifier([("one", _model())], cv=2),
    "calibration": lambda: CalibratedClassifierCV(_model(), cv=2),
    "one against the rest": lambda: OneVsRestClassifier(_model()),
}


@pytest.mark.parametrize("name", ON_IMAGES)
def test_images_as_they_are(name: str) -> None:
    assert ON_IMAGES[name]().fit(X, y).score(X, y) > 0.9


def test_several_outputs() -> None:
    assert MultiOutputClassifier(_model()).fit(X, BOTH).score(X, BOTH) > 0.9


def test_bagging_takes_flat_rows() -> None:
    with pytest.raises(ValueError, match="Found array with dim 4"):
        BaggingClassifier(_model(), n_estimators=2).fit(X, y)
    model = _model(image_shape=(12, 12, 3))
    bagging = BaggingClassifier(model, n_estimators=2, random_state=0).fit(ROWS, y)
    assert bagging.score(ROWS, y) > 0.9


def test_chains_and_boosting_stand_after_the_features() -> None:
    with pytest.raises(ValueError, match="must multiply to the number of columns"):
        ClassifierChain(_model(image_shape=(12, 12, 3))).fit(ROWS, BOTH)
    chain = ClassifierChain(LogisticRegression(C=1e3, max_iter=1000))
    assert make_pipeline(extractor(), chain).fit(X, BOTH).score(X, BOTH) > 0.9
    boosting = AdaBoostClassifier(n_estimators=3, random_state=0)
    assert make_pipeline(extractor(), boosting).fit(X, y).score(X, y) > 0.9


def test_validation_curves_over_layers() -> None:
    layers = ["block1_conv1", "block1_pool"]
    _, scores = validation_curve(
        _model(), X, y, param_name="vggfeatureextractor__layer", param_range=layers, cv=2
    )
    assert scores.shape == (2, 2)


def test_sample_weight_and_groups_reach_where_they_are_asked_for() -> None:
    weights = np.where(np.arange(len(y)) < 10, 1.0, 0.0)
    params: dict[str, Any] = {"weights": None, "pooling": "avg", "input_size": 32}
    params |= {"epochs": 1, "head_epochs": 1, "random_state": 0}
    tuned = VGGClassifier("block1_pool", **params)
    expected = tuned.fit(X[:10], y[:10]).predict_proba(X)
    with sklearn.config_context(enable_metadata_routing=True):
        asked = make_pipeline(
            VGGClassifier("block1_pool", **params).set_fit_request(sample_weight=True)
        )
        found = asked.fit(X, y, sample_weight=weights).predict_proba(X)
        np.testing.assert_array_equal(found, expected)
        last = LogisticRegression(max_iter=1000).set_fit_request(sample_weight=True)
        weighted = make_pipeline(extractor(), last).fit(X, y, sample_weight=weights)
        alone = LogisticRegression(max_iter=1000).fit(features(X), y, sample_weight=weights)
        np.testing.assert_array_equal(weighted[-1].coef_, alone.coef_)
        groups = {"groups": np.arange(len(y)) // 5}
        scores = cross_val_score(_model(), X, y, cv=GroupKFold(2), params=groups)
    assert len(scores) == 2


def test_dispatch_of_array_apis_changes_nothing_for_numpy(tmp_path: Path) -> None:
    code = """
import sys
import numpy as np, sklearn
from clients.cases import COLOUR, LABELS, extractor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

with sklearn.config_context(array_api_dispatch=True):
    pipeline = make_pipeline(extractor(), LogisticRegression()).fit(COLOUR, LABELS)
    pipeline.predict(COLOUR)
    np.save(sys.argv[1], pipeline[0].transform(COLOUR))
"""
    path = os.pathsep.join([str(Path(__file__).parents[n]) for n in (1, 2)])
    environment = os.environ | {"SCIPY_ARRAY_API": "1", "PYTHONPATH": path}
    arguments = [sys.executable, "-c", code, str(tmp_path / "features.npy")]
    subprocess.run(arguments, env=environment, check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "features.npy"), features(COLOUR))
