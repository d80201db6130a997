"""What takes an ONNX file as the network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktransfer import (
    EmbeddingDisplay,
    FeatureMapDisplay,
    ImageFeatureExtractor,
    LayerSearchCV,
    NetworkSweepDisplay,
    TransferReport,
    compare_transfer,
    extract,
    sweep_networks,
    transfer_curve,
)

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

from onnx_cases import make_extractor, make_residual, save

N = 24
Y = np.arange(N) % 2
# Bright and dark images, half of each.
X = np.random.default_rng(0).integers(0, 120, (N, 16, 16, 3), dtype=np.uint8)
X[Y == 0] += 120


@pytest.fixture
def extractor(tmp_path: Path) -> ImageFeatureExtractor:
    path = save(make_residual(), tmp_path / "network.onnx")
    return make_extractor(path, input_size=32, cache="temporary")


def _sweep(extractor: ImageFeatureExtractor, folder: Path) -> None:
    networks = {"file": extractor, "early": clone(extractor)}
    sweep = sweep_networks(X, Y, networks=networks, layers={"early": ["conv"]}, cv=2)
    assert [(row.network, row.variant.layer) for row in sweep.rows] == [
        ("file", "flat"),
        ("early", "conv"),
    ]
    assert sweep.rows[0].megabytes > sweep.rows[1].megabytes > 0
    assert str(sweep).startswith("Best is ")
    NetworkSweepDisplay(sweep).plot()


def _curve(extractor: ImageFeatureExtractor, folder: Path) -> None:
    curve = transfer_curve(X, Y, extractors={"file": extractor}, sizes=[4, 8, 16], n_repeats=2)
    rows = {row.name: row for row in curve.rows}
    assert rows["file"].unavailable is None
    assert "an ONNX file" in str(rows["file, random weights"].unavailable)


def _extract(extractor: ImageFeatureExtractor, folder: Path) -> None:
    extract(X, folder / "features.npy", extractor=extractor)
    features = clone(extractor).fit_transform(X)
    np.testing.assert_array_equal(np.load(folder / "features.npy"), features)


def _dask(extractor: ImageFeatureExtractor, folder: Path) -> None:
    dask_array = pytest.importorskip("dask.array")
    fitted = extractor.fit(X)
    lazy = fitted.transform(dask_array.from_array(X, chunks=(7, -1, -1, -1)))
    np.testing.assert_array_equal(lazy.compute(scheduler="threads"), fitted.transform(X))


def _search(extractor: ImageFeatureExtractor, folder: Path) -> None:
    pipeline = make_pipeline(extractor, LogisticRegression())
    search = LayerSearchCV(
        pipeline, layers=["conv", "sum"], poolings=["avg"], input_sizes=[32, 40], cv=2
    ).fit(X, Y)
    assert len(search.cv_results_["params"]) == 4
    assert search.best_score_ == 1
    np.testing.assert_array_equal(search.predict(X), Y)


def _feature_maps(extractor: ImageFeatureExtractor, folder: Path) -> None:
    fitted = extractor.fit(X)
    display = FeatureMapDisplay.from_estimator(fitted, X[0], layers=["sum", "conv"], n_maps=2)
    assert [row.layer.name for row in display.maps] == ["conv", "sum"]
    maps = clone(fitted).set_params(layer="sum").fit_transform(X[:1]).reshape(15, 15, 8)
    np.testing.assert_allclose(
        display.maps[1].maps, maps[..., display.maps[1].channels].transpose(2, 0, 1), rtol=1e-5
    )


def _embedding(extractor: ImageFeatureExtractor, folder: Path) -> None:
    display = EmbeddingDisplay.from_estimator(extractor, X, Y)
    assert display.embedding.shape == (N, 2)
    assert display.ax_.get_title(loc="left") == f"{N} images, 8 features"


def _report(extractor: ImageFeatureExtractor, folder: Path) -> None:
    extractors = {"my file": extractor}
    result = compare_transfer(X, Y, extractors=extractors, cv=2, few_labels=())
    sweep = sweep_networks(X, Y, networks=extractors, cv=2)
    path = folder / "report.html"
    TransferReport(result, networks=sweep, estimator=extractor, X=X, y=Y).to_html(path)
    page = path.read_text(encoding="utf-8")
    assert page.count("my file") > 3
    assert "an ONNX file" in page  # which has no control


@pytest.mark.usefixtures("no_windows")
@pytest.mark.filterwarnings("ignore::sktransfer.CurveWarning")
@pytest.mark.parametrize(
    "use",
    [_sweep, _curve, _extract, _dask, _search, _feature_maps, _embedding, _report],
    ids=lambda use: use.__name__.strip("_"),
)
def test_onnx_files_are_taken_by(
    use: Callable[[Any, Path], None], extractor: ImageFeatureExtractor, tmp_path: Path
) -> None:
    use(extractor, tmp_path)
