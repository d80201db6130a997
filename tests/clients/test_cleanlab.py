"""cleanlab: labels that are likely wrong."""

from __future__ import annotations

import numpy as np
import pytest
from clients.cases import COLOUR, LABELS, extractor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

pytest.importorskip("cleanlab", reason="cleanlab is not installed")
LIBRARY = "cleanlab"
TRIED = "`CleanLearning` around a pipeline, on images as they are"


@pytest.mark.filterwarnings("ignore")  # of cleanlab itself
def test_images_as_they_are() -> None:
    from cleanlab.classification import CleanLearning

    X, y = np.tile(COLOUR, (6, 1, 1, 1)), np.tile(LABELS, 6)
    y[3] = 1 - y[3]
    pipeline = make_pipeline(extractor(), LogisticRegression(C=1e3, max_iter=1000))
    issues = CleanLearning(pipeline, cv_n_folds=3, seed=0).find_label_issues(X, y)
    assert issues["is_label_issue"].to_numpy()[3]
    assert issues["is_label_issue"].sum() <= 6
