"""The article's whole job: digits 8 against 6, VGG16 up to flatten, logistic regression, 10 folds.

    python tests/benchmarks/article.py mnist_6_8.npz [--precisions int8 bfloat16 float32]

End to end for each precision: a fresh process starts, imports, reads the images, computes features
inside a 10-fold cross-validation and prints the scores, with a feature store of its own. Then the
plain way, Keras' `predict` inside each fold, is timed on a few images and scaled up: its time is
proportional to their number.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time

_JOB = """
import sys
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sktransfer import VGGFeatureExtractor
from sktransfer.datasets import read_labelled_images
path, precision, weights, input_size = sys.argv[1:]
data = read_labelled_images(path, digits=(8, 6))
extractor = VGGFeatureExtractor(
    "flatten",
    input_size=int(input_size),
    weights=weights or None,
    random_state=0,
    precision=precision,
    calibration=data.data[:64] if precision == "int8" else None,
)
model = make_pipeline(extractor, LogisticRegression())
folds = StratifiedKFold(10, shuffle=True, random_state=0)
scores = cross_val_score(model, data.data, data.target, cv=folds, n_jobs=N_JOBS)
engine = extractor.fit(data.data[:2]).engine_
print(f"{scores.mean():.4f} +- {scores.std():.4f}", engine, len(data.data))
"""

_PLAIN = """
import sys, time
import numpy as np
from sktransfer.networks import build, plan_cut
from sktransfer.weights import draw_weights
cut = plan_cut("flatten", input_size=int(sys.argv[1]))
model = build(cut)
for name, arrays in draw_weights(cut, 0).items():
    model.get_layer(name).set_weights(list(arrays))
inputs = np.random.default_rng(0).random((64, *cut.trunk[0].output_shape), dtype=np.float32)
model.predict(inputs[:32], verbose=0)
start = time.perf_counter()
model.predict(inputs, verbose=0)
print((time.perf_counter() - start) / len(inputs))
"""


def main() -> None:
    """Print seconds and accuracy for each precision, and how long the plain way takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="an .npz with images and their digits")
    parser.add_argument("--precisions", nargs="+", default=["int8", "bfloat16", "float32"])
    parser.add_argument("--weights", default="", help="a weights file; random weights if left out")
    parser.add_argument("--input-size", type=int, default=224)
    parser.add_argument("--n-jobs", type=int, default=1)
    args = parser.parse_args()

    n_images = 0
    for precision in args.precisions:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            run = subprocess.run(
                [
                    sys.executable,
                    "-W",
                    "ignore",
                    "-c",
                    _JOB.replace("N_JOBS", str(args.n_jobs)),
                    args.data,
                    precision,
                    args.weights,
                    str(args.input_size),
                ],
                env=os.environ | {"SKTRANSFER_CACHE_DIR": folder, "TF_CPP_MIN_LOG_LEVEL": "2"},
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            seconds = time.perf_counter() - start
        *scores, engine, n_images = run.stdout.split()
        print(
            f"{precision} ({engine}): {seconds / 60:.1f} min, {seconds:.0f} s, accuracy "
            f"{' '.join(scores)}",
            flush=True,
        )
    run = subprocess.run(
        [sys.executable, "-c", _PLAIN, str(args.input_size)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    plain = float(run.stdout) * int(n_images) * 10
    print(f"Keras predict in each of 10 folds: {plain / 3600:.1f} h, scaled up from 64 images")


if __name__ == "__main__":
    main()
