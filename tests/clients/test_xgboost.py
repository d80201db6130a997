"""xgboost: trees on features."""

from __future__ import annotations

import numpy as np
import pytest
from clients.cases import COLOUR, LABELS, extractor
from sklearn.pipeline import make_pipeline

xgboost = pytest.importorskip("xgboost", reason="xgboost is not installed")
LIBRARY = "xgboost-cpu"
TRIED = "`XGBClassifier` as the last step of a pipeline"


def test_a_pipeline_that_ends_in_trees() -> None:
    X, y = np.tile(COLOUR, (6, 1, 1, 1)), np.tile(LABELS, 6)
    trees = xgboost.XGBClassifier(n_estimators=10, min_child_weight=0.1)
    assert make_pipeline(extractor(), trees).fit(X, y).score(X, y) > 0.9
