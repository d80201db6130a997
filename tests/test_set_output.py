"""Data frames out of ``transform``, as ``set_output`` asks for them, and arrays everywhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import (
    EmbeddingDisplay,
    FeatureMapDisplay,
    LayerSearchCV,
    VGGClassifier,
    VGGFeatureExtractor,
    VGGRegressor,
    compare_transfer,
    diagnose,
    export_onnx,
    extract,
    load_digit_pair,
    sweep_layers,
    transfer_curve,
)

matplotlib.use("Agg")

WAYS = ["pandas", "polars", "global pandas", "global polars"]


@contextmanager
def _asked_for(way: str, *estimators: Any) -> Iterator[None]:
    """Ask for data frames, of some estimators or of all there are."""
    container = way.split()[-1]
    pytest.importorskip(container)
    if way == container:
        for estimator in estimators:
            estimator.set_output(transform=container)
        yield
    else:
        with sklearn.config_context(transform_output=container):
            yield


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    return X[:40], y[:40]


def _extractor(layer: str = "block1_pool", **params: Any) -> VGGFeatureExtractor:
    params = {"pooling": "avg", "input_size": 32, "random_state": 0, "cache": None} | params
    return VGGFeatureExtractor(layer, weights=None, **params)


def _classifier() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression())


def _like(extractor: VGGFeatureExtractor, other: Any) -> Any:
    """Ask for the same output."""
    return other.set_output(**getattr(extractor, "_sklearn_output_config", {}))


def _sweep(e: Any, X: Any, y: Any, folder: Path) -> Any:
    sweep = sweep_layers(
        X, y, extractor=e, layers=["block1_pool"], poolings=["avg", "max"], input_sizes=[32], cv=2
    )
    return [*(list(row.scores.values()) for row in sweep.rows), sweep.cka]


def _compare(e: Any, X: Any, y: Any, folder: Path) -> Any:
    found = compare_transfer(X, y, extractors={"mine": e}, cv=2, few_labels=[4], random_state=0)
    return [list(row.scores.values()) for row in found.rows]


def _curve(e: Any, X: Any, y: Any, folder: Path) -> Any:
    curve = transfer_curve(
        X,
        y,
        extractors={"mine": e},
        estimators={"whole": make_pipeline(e, _classifier())},
        sizes=[4, 8],
        n_repeats=2,
        random_state=0,
    )
    return [row.scores for row in curve.rows]


def _search(e: Any, X: Any, y: Any, folder: Path) -> Any:
    search = LayerSearchCV(
        make_pipeline(e.set_params(cache=folder / "store"), _classifier()),
        layers=["block1_pool"],
        poolings=["avg", "max"],
        input_sizes=[32],
        cv=2,
        error_score="raise",
    ).fit(X, y)
    return [search.cv_results_["mean_test_score"], search.predict_proba(X)]


def _diagnose(e: Any, X: Any, y: Any, folder: Path) -> Any:
    return [str(finding) for finding in diagnose(e, X, y, cv=3).findings]


def _diagnose_a_fitted_pipeline(e: Any, X: Any, y: Any, folder: Path) -> Any:
    pipeline = make_pipeline(e, _like(e, StandardScaler()), LogisticRegression()).fit(X, y)
    return [str(finding) for finding in diagnose(pipeline, X, y, cv=3).findings]


def _maps(e: Any, X: Any, y: Any, folder: Path) -> Any:
    display = FeatureMapDisplay.from_estimator(e.fit(X), X[0].reshape(8, 8))
    matplotlib.pyplot.close(display.figure_)
    return [each.maps for each in display.maps]


def _embedding(e: Any, X: Any, y: Any, folder: Path) -> Any:
    display = EmbeddingDisplay.from_estimator(e, X, y)
    matplotlib.pyplot.close(display.figure_)
    return [display.embedding]


def _extract(e: Any, X: Any, y: Any, folder: Path) -> Any:
    return [np.load(extract(X, folder / "features.npy", extractor=e).path)]


def _onnx(e: Any, X: Any, y: Any, folder: Path) -> Any:
    for package in ("onnx", "skl2onnx", "onnxruntime"):
        pytest.importorskip(package)
    import onnxruntime

    model = make_pipeline(e, StandardScaler(), LogisticRegression()).fit(X, y)
    export_onnx(model, folder / "model.onnx")
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    images = X.reshape(-1, 8, 8, 1).astype(np.float32)
    return session.run(["probabilities"], {"images": images})


def _fine_tune(e: Any, X: Any, y: Any, folder: Path) -> Any:
    params = e.get_params() | {"epochs": 2, "head_epochs": 1, "unfreeze": "block1_conv2"}
    found = []
    for kind in (VGGClassifier, VGGRegressor):
        model = _like(e, kind(**params))
        model.fit(X[:20], y[:20], X_val=X[20:30], y_val=y[20:30])
        found += [model.predict(X), model.transform(X), model.to_extractor().transform(X)]
    return found


USES = [
    _sweep,
    _compare,
    _curve,
    _search,
    _diagnose,
    _diagnose_a_fitted_pipeline,
    _maps,
    _embedding,
    _extract,
    _onnx,
    _fine_tune,
]


@pytest.mark.parametrize("way", ["pandas", "global polars"])
@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__[1:])
def test_what_uses_an_extractor_finds_the_same(
    use: Callable, way: str, digits: Any, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("arrays", "frames")]
    for folder in folders:
        folder.mkdir()
    expected = use(_extractor(), *digits, folders[0])
    extractor = _extractor()
    with _asked_for(way, extractor):
        found = use(extractor, *digits, folders[1])
        container = way.split()[-1]
        assert type(extractor.fit_transform(digits[0])).__module__.split(".")[0] == container
    for one, other in zip(found, expected, strict=True):
        if isinstance(other, str):
            assert one == other
        else:
            # scikit-learn's steps sum the columns of polars' frames in another order.
            np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-3, atol=1e-5)


def test_frames_with_an_index_of_their_own(digits: Any) -> None:
    X, y = digits
    frame = pd.DataFrame(X, index=np.arange(len(X))[::-1] + 7).rename(columns=str)
    extractor = _extractor().set_output(transform="pandas")
    assert extractor.fit_transform(frame).index.tolist() == frame.index.tolist()
    sweep = sweep_layers(
        frame, y, extractor=extractor, layers=["block1_pool"], poolings=["avg"], input_sizes=[32]
    )
    assert sweep.rows


def test_a_diagnosed_pipeline_may_select_columns_by_name(digits: Any) -> None:
    names = [f"block1_pool_avg_f{i:02}" for i in range(64)]
    pipeline = make_pipeline(
        _extractor(),
        make_column_transformer((StandardScaler(), names[:32])),
        LogisticRegression(max_iter=1000),
    )
    pipeline.set_output(transform="pandas")
    for each in (pipeline, pipeline.fit(*digits)):
        assert diagnose(each, *digits, cv=3).checks


@pytest.mark.parametrize("way", WAYS)
def test_a_dask_collection_is_not_computed_into_a_frame(way: str, digits: Any) -> None:
    da = pytest.importorskip("dask.array")

    def never(block: np.ndarray) -> np.ndarray:
        raise AssertionError("computed")

    X = digits[0].astype(np.uint8)
    lazy = da.from_array(X, chunks=(20, -1)).map_blocks(never, dtype=np.uint8)
    extractor = _extractor(value_range=(0, 16)).fit(X)
    message = r"returns a Dask array for a Dask collection.* Got transform_output='(pandas|polars)'"
    with _asked_for(way, extractor):
        with pytest.raises(TypeError, match=message):
            extractor.transform(lazy)
        # The extractor's own setting stands above the global one.
        assert isinstance(extractor.set_output(transform="default").transform(lazy), da.Array)


def test_dask_blocks_are_arrays_whatever_the_workers_are_set_to(digits: Any) -> None:
    da = pytest.importorskip("dask.array")
    X = digits[0].astype(np.uint8)
    extractor = _extractor(value_range=(0, 16)).fit(X)
    features = extractor.transform(da.from_array(X, chunks=(20, -1)))
    with sklearn.config_context(transform_output="pandas"):
        found = features.compute(scheduler="synchronous")
    np.testing.assert_array_equal(found, extractor.transform(X))
