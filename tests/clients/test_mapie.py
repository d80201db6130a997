"""mapie: sets of classes that hold the right one with a given probability."""

from __future__ import annotations

import numpy as np
import pytest
from clients.cases import COLOUR, LABELS, extractor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

mapie = pytest.importorskip("mapie.classification", reason="mapie is not installed")
LIBRARY = "mapie"
TRIED = "`SplitConformalClassifier` around a pipeline on flat rows, and on features"
X, y = np.tile(COLOUR, (6, 1, 1, 1)), np.tile(LABELS, 6)


def _conformal(model: object, X: np.ndarray) -> np.ndarray:
    conformal = mapie.SplitConformalClassifier(model, prefit=True)
    conformal.conformalize(X, y)
    return conformal.predict_set(X)[1]


def test_flat_rows() -> None:
    rows = X.reshape(len(X), -1)
    model = make_pipeline(extractor(image_shape=(12, 12, 3)), LogisticRegression()).fit(rows, y)
    assert _conformal(model, rows).shape == (30, 2, 1)


def test_features() -> None:
    found = extractor().fit_transform(X)
    assert _conformal(LogisticRegression(max_iter=1000).fit(found, y), found).shape == (30, 2, 1)


def test_images_need_flat_rows() -> None:
    model = make_pipeline(extractor(), LogisticRegression()).fit(X, y)
    with pytest.raises(ValueError, match="Invalid mismatch between"):
        _conformal(model, X)
