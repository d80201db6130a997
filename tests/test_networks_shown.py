"""What draws and scores features takes those of any network."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import (
    CurveWarning,
    EmbeddingDisplay,
    ImageFeatureExtractor,
    TransferCurveDisplay,
    TransferReport,
    load_digit_pair,
    transfer_curve,
)

keras = pytest.importorskip("keras")

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def _model() -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(8, 3, activation="relu", kernel_initializer="he_normal", name="maps"),
            layers.GlobalAveragePooling2D(),
        ]
    )


@pytest.fixture(scope="module")
def extractor() -> ImageFeatureExtractor:
    return ImageFeatureExtractor(_model(), preprocessing={"scale": 1 / 127.5, "mean": 1})


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    return X[:60], y[:60]


@pytest.mark.usefixtures("no_windows")
def test_images_are_placed_by_their_features(
    extractor: ImageFeatureExtractor, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    X, y = digits
    display = EmbeddingDisplay.from_estimator(extractor, X, y)
    assert display.embedding.shape == (len(X), 2)
    same = EmbeddingDisplay.from_estimator(
        make_pipeline(ImageFeatureExtractor(**extractor.get_params()), StandardScaler()), X, y
    )
    assert same.embedding.shape == (len(X), 2)


@pytest.mark.usefixtures("no_windows")
def test_scores_are_drawn_against_labels(
    extractor: ImageFeatureExtractor, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CurveWarning)
        curve = transfer_curve(
            *digits, extractors={"mine": extractor}, sizes=[8, 16, 32], n_repeats=3
        )
    assert [row.name for row in curve.rows][-2:] == ["mine", "mine, random weights"]
    assert np.isfinite([each.value for row in curve.rows for each in row.means]).all()
    TransferCurveDisplay(curve).plot()


@pytest.mark.usefixtures("no_windows")
def test_a_report_shows_images_and_mistakes(
    extractor: ImageFeatureExtractor, digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    pytest.importorskip("jinja2")
    from sktransfer import diagnose

    X, y = digits
    model = make_pipeline(extractor, StandardScaler(), LogisticRegression(max_iter=1000))
    path = tmp_path / "report.html"
    diagnosis = diagnose(extractor, X, y, cv=2)
    TransferReport(diagnosis=diagnosis, estimator=model, X=X, y=y).to_html(path)
    page = path.read_text(encoding="utf-8")
    assert "Images and mistakes" in page
    assert "Not checked: kernels-flipped, because only VGG&#39;s kernels are known" in page
