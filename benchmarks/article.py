"""The article's whole job, end to end: digits 8 against 6, VGG16 to flatten, 10 folds."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from measuring import Options, Row, list_precisions, run_python

# How many random networks the trained one is compared with.
_N_CONTROLS = 3

_JOB = """
import json, sys, time
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sktransfer import VGGFeatureExtractor
from sktransfer.datasets.loaders import read_labelled_images
path, weights, seed, precision, n_images, size = sys.argv[1:]
times = [time.perf_counter()]
data = read_labelled_images(path, digits=(8, 6))
step = max(1, len(data.data) // int(n_images))
X, y = data.data[::step], data.target[::step]
times.append(time.perf_counter())
extractor = VGGFeatureExtractor(
    "flatten",
    input_size=int(size),
    weights=weights or None,
    random_state=int(seed),
    precision=precision,
    calibration=X[:64] if precision == "int8" else None,
)
extractor.fit_transform(X)  # into the store, where the folds find them
times.append(time.perf_counter())
folds = StratifiedKFold(10, shuffle=True, random_state=0)
scores = cross_val_score(make_pipeline(extractor, LogisticRegression()), X, y, cv=folds)
times.append(time.perf_counter())
raw = cross_val_score(LogisticRegression(), X.reshape(len(X), -1), y, cv=folds)
times.append(time.perf_counter())
steps = [after - before for before, after in zip(times, times[1:])]
print(json.dumps([scores.mean(), scores.std(), extractor.engine_, len(X), *steps]))
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

    "read", "features", "folds" and "raw folds" are the steps: the CSV or archive, the features of
    all images, ten folds on them, and ten folds on raw pixels, which "minutes" leaves out. The
    plain way, Keras' `predict` inside each fold, is timed on 256 images and scaled up, as its time
    is proportional to theirs.
    """
    rows = [_run_job(options, precision, options.weights, 0) for precision in list_precisions()]
    n_images = rows[0]["images"]
    plain = run_python(_PLAIN, options.few(224, 32), options.few(256, 32)) * n_images * 10
    steps = dict.fromkeys(("read_s", "features_s", "folds_s", "raw_folds_s"))
    keras = {"engine": "Keras predict in each fold", "precision": "float32", "images": n_images}
    rows.append({**keras, "minutes": plain / 60, "accuracy": None, "deviation": None, **steps})
    return [row | {"x_article": plain / (60 * row["minutes"])} for row in rows]


def measure_controls(options: Options) -> list[Row]:
    """Score the article's job with random weights in place of the trained ones.

    In the precision in which this processor is fastest.
    """
    precision = list_precisions()[-1]
    columns = ("precision", "images", "accuracy", "deviation")
    found = [_run_job(options, precision, None, seed) for seed in range(_N_CONTROLS)]
    return [
        {"weights": f"random, seed {seed}"} | {name: row[name] for name in columns}
        for seed, row in enumerate(found)
    ]


def _run_job(options: Options, precision: str, weights: Path | None, seed: int) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        mean, deviation, engine, n_images, *steps = run_python(
            _JOB,
            options.data,
            weights or "",
            seed,
            precision,
            options.few(10**9, 200),
            options.few(224, 32),
            SKTRANSFER_CACHE_DIR=folder,
        )
        seconds = time.perf_counter() - start
    read, features, folds, raw = steps
    return {
        "engine": engine,
        "precision": precision,
        "images": n_images,
        "minutes": (seconds - raw) / 60,
        "accuracy": mean,
        "deviation": deviation,
        "read_s": read,
        "features_s": features,
        "folds_s": folds,
        "raw_folds_s": raw,
    }
