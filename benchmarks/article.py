"""The article's whole job, end to end: digits 8 against 6, VGG16 to flatten, 10 folds."""

from __future__ import annotations

import tempfile
import time

from measuring import Options, Row, list_precisions, run_python

_JOB = """
import json, sys
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sktransfer import VGGFeatureExtractor
from sktransfer.datasets.loaders import read_labelled_images
path, weights, precision, n_images, size = sys.argv[1:]
data = read_labelled_images(path, digits=(8, 6))
step = max(1, len(data.data) // int(n_images))
X, y = data.data[::step], data.target[::step]
extractor = VGGFeatureExtractor(
    "flatten",
    input_size=int(size),
    weights=weights,
    precision=precision,
    calibration=X[:64] if precision == "int8" else None,
)
model = make_pipeline(extractor, LogisticRegression())
folds = StratifiedKFold(10, shuffle=True, random_state=0)
scores = cross_val_score(model, X, y, cv=folds)
engine = extractor.fit(X[:2]).engine_
print(json.dumps([scores.mean(), scores.std(), engine, len(X)]))
"""

_PLAIN = """
import json, sys, time
import frameworks
import numpy as np
from sktransfer.networks import plan_cut
cut = plan_cut("flatten", input_size=int(sys.argv[1]))
predict = frameworks.keras_predict(cut)
n_images = int(sys.argv[2])
inputs = np.random.default_rng(0).random((n_images, *cut.trunk[0].output_shape), dtype=np.float32)
predict(inputs[:32], 32)
start = time.perf_counter()
predict(inputs, 32)
print(json.dumps((time.perf_counter() - start) / len(inputs)))
"""


def measure_article(options: Options) -> list[Row]:
    """Measure fresh processes from their start to the printed score, each with its own store.

    The plain way, Keras' `predict` inside each fold, is timed on 256 images and scaled up, as its
    time is proportional to theirs.
    """
    size, n_images = options.few(224, 32), 0
    rows: list[Row] = []
    for precision in list_precisions():
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            mean, deviation, engine, n_images = run_python(
                _JOB,
                options.data,
                options.weights,
                precision,
                options.few(10**9, 200),
                size,
                SKTRANSFER_CACHE_DIR=folder,
            )
            seconds = time.perf_counter() - start
        rows.append(_row(engine, precision, n_images, seconds, mean, deviation))
    plain = run_python(_PLAIN, size, options.few(256, 32)) * n_images * 10
    rows.append(_row("Keras predict in each fold", "float32", n_images, plain, None, None))
    return [row | {"x_article": plain / (60 * row["minutes"])} for row in rows]


def _row(
    engine: str,
    precision: str,
    n_images: int,
    seconds: float,
    mean: float | None,
    deviation: float | None,
) -> Row:
    return {
        "engine": engine,
        "precision": precision,
        "images": n_images,
        "minutes": seconds / 60,
        "accuracy": mean,
        "deviation": deviation,
    }
