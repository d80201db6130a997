"""A 10-fold cross-validation the article's way, and with features cached and not cached."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import frameworks
import numpy as np
from measuring import Options, Row, median, take_turns
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import FeatureStore, VGGFeatureExtractor, load_digit_pair
from sktransfer.engines.choice import choose_engine
from sktransfer.features.preprocessing import Resizing, preprocess, to_255
from sktransfer.networks import plan_cut


class Way(NamedTuple):
    """How one cross-validation runs."""

    features: str
    precision: str
    n_jobs: int


class PredictInEachFold(TransformerMixin, BaseEstimator):
    """The article's way: Keras' `predict`, at its default batch size, on whatever a fold holds."""

    def __init__(self, run: frameworks.Run, size: int) -> None:
        self.run = run
        self.size = size

    def fit(self, X: np.ndarray, y: Any = None) -> PredictInEachFold:
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        images = to_255(X.reshape(-1, 8, 8, 1), (0.0, 16.0))
        return self.run(preprocess(images, Resizing(self.size, "stretch", "bilinear", False)), 32)


def measure_folds(size: int, options: Options) -> list[Row]:
    """Measure VGG16 to flatten, scaled, and logistic regression, on scikit-learn's digits.

    Every run has a fresh store, except "cached before", which has that of an earlier run. In int8
    the calibration, on eight images, is part of the run. Rows computed are counted by the store.
    """
    X, y = load_digit_pair((8, 6), return_X_y=True)
    if size > 112 or options.is_quick:
        rows = np.concatenate([np.flatnonzero(y == label)[:10] for label in (0, 1)])
        X, y = X[rows], y[rows]
    n_folds = options.few(10, 2)
    scores: dict[Way, np.ndarray] = {}
    n_computed: dict[Way, float] = {}

    def validate(way: Way, extractor: BaseEstimator) -> None:
        model = make_pipeline(extractor, StandardScaler(), LogisticRegression())
        scores[way] = cross_val_score(model, X, y, cv=n_folds, n_jobs=way.n_jobs)

    def extract(way: Way, store: FeatureStore | None) -> VGGFeatureExtractor:
        return VGGFeatureExtractor(
            input_size=size,
            weights=None,
            random_state=0,
            precision=way.precision,
            calibration=X[:8],
            cache=store,
        )

    def validate_in(way: Way, store: FeatureStore) -> None:
        n_before = store.info().n_written
        validate(way, extract(way, store))
        n_calibrated = (
            8 * (len(_CONVOLUTIONS) - 1) if way.precision == "int8" and n_before == 0 else 0
        )
        n_computed[way] = (store.info().n_written - n_before - n_calibrated) / len(X)

    def validate_afresh(way: Way) -> None:
        with tempfile.TemporaryDirectory() as folder:
            validate_in(way, FeatureStore(folder))

    article = Way("Keras predict in each fold", "float32", 1)
    predict = frameworks.keras_predict(plan_cut("flatten", input_size=size))
    runs: dict[Way, Callable[[], object]] = {
        article: partial(validate, article, PredictInEachFold(predict, size))
    }
    for n_jobs in (1, 2):
        way = Way("not cached", "float32", n_jobs)
        runs[way] = partial(validate, way, extract(way, None))
        way = Way("cached", "float32", n_jobs)
        runs[way] = partial(validate_afresh, way)
    for precision in filter(_is_possible, ("bfloat16", "int8")):
        way = Way("cached", precision, 1)
        runs[way] = partial(validate_afresh, way)
    with tempfile.TemporaryDirectory() as folder:
        way = Way("cached before", "float32", 1)
        runs[way] = partial(validate_in, way, FeatureStore(folder))
        seconds = take_turns(runs, min(options.rounds, 3))

    alike = [scores[way] for way in runs if way.precision == "float32" and way != article]
    assert all(np.array_equal(score, alike[0]) for score in alike)
    plain, not_cached = seconds[article], seconds[Way("not cached", "float32", 1)]
    return [
        {
            **way._asdict(),
            "images": len(X),
            "seconds": median(times),
            "x_article": median(plain / times),
            "x_not_cached": median(not_cached / times),
            "rows_computed_per_image": n_computed.get(way),
            "accuracy": float(scores[way].mean()),
        }
        for way, times in seconds.items()
    ]


_CONVOLUTIONS = plan_cut("flatten").weighted_layers


def _is_possible(precision: str) -> bool:
    try:
        choose_engine("auto", precision, 32, who="the benchmark")
    except (ImportError, ValueError):
        return False
    return True
