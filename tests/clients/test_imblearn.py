"""imbalanced-learn: classes of differing sizes."""

from __future__ import annotations

import numpy as np
import pytest
from clients.cases import COLOUR, LABELS, extractor
from sklearn.linear_model import LogisticRegression

pytest.importorskip("imblearn", reason="imbalanced-learn is not installed")
LIBRARY = "imbalanced-learn"
TRIED = "`SMOTE` between the extractor and a classifier; `RandomUnderSampler` of flat rows"
X, y = np.tile(COLOUR, (6, 1, 1, 1)), np.tile(LABELS, 6)


def test_sampling_of_features_in_a_pipeline() -> None:
    from imblearn.over_sampling import SMOTE
    from imblearn.pipeline import make_pipeline

    steps = extractor(), SMOTE(random_state=0), LogisticRegression(C=1e3, max_iter=1000)
    assert make_pipeline(*steps).fit(X, y).score(X, y) > 0.9


def test_sampling_of_flat_rows() -> None:
    from imblearn.pipeline import make_pipeline
    from imblearn.under_sampling import RandomUnderSampler

    steps = RandomUnderSampler(random_state=0), extractor(image_shape=(12, 12, 3))
    model = make_pipeline(*steps, LogisticRegression(C=1e3, max_iter=1000))
    assert model.fit(X.reshape(len(X), -1), y).score(X.reshape(len(X), -1), y) > 0.9
