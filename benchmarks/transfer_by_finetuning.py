"""How well fine-tuning works with few labels: two experiments on real digits.

``python benchmarks/transfer_by_finetuning.py digits`` pretrains VGG16's first three blocks on
eight digit classes of the digits that come with scikit-learn, and learns 6 against 8 from a few
labels: from scratch, by a linear probe, with a frozen trunk, and fine-tuned.

``python benchmarks/transfer_by_finetuning.py mnist FOLDER`` does the latter with MNIST's 6
and 8 and ImageNet's weights of VGG16, from a folder that holds ``data/mnist_6_8.npz`` and
``weights/vgg16_notop.h5``.

All are scored on the same test images after every epoch; the tables show means over draws of the
labelled images.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import ImageWarning, VGGClassifier, VGGFeatureExtractor
from sktransfer.training.finetuning.history import summarise_curve

N_LABELS = (5, 10, 20)
N_TEST = 100
EPOCHS = 20


def pretrain(trunk: dict[str, Any]) -> dict[str, Any]:
    """Train on the other eight digits, and return the trunk's weights."""
    X, y = load_digits(return_X_y=True)
    others = ~np.isin(y, (6, 8))
    start = time.perf_counter()
    model = VGGClassifier(
        **trunk | {"weights": None, "unfreeze": "all"},
        epochs=6,
        head_epochs=0,
        trunk_learning_rate=3e-4,
        early_stopping=True,
        n_iter_no_change=6,
        random_state=0,
    ).fit(X[others], y[others])
    last = model.history_[-1]
    print(
        f"pretrained on {others.sum()} images of eight digits for {model.n_iter_} epochs: accuracy "
        f"{max(row['validation_score'] for row in model.history_):.3f} on a tenth held out, loss "
        f"{last['loss']:.3f}, {time.perf_counter() - start:.0f} s",
        flush=True,
    )
    return dict(model.to_extractor().weights)


def probe(trunk: dict[str, Any]) -> Callable[..., list[float]]:
    """Return a linear probe on frozen features."""

    def score(X: np.ndarray, y: np.ndarray, X_test: np.ndarray, y_test: np.ndarray) -> list[float]:
        extractor = VGGFeatureExtractor(**trunk)
        model = make_pipeline(extractor, StandardScaler(), LogisticRegression(max_iter=1000))
        return [model.fit(X, y).score(X_test, y_test)]

    return score


def raw(X: np.ndarray, y: np.ndarray, X_test: np.ndarray, y_test: np.ndarray) -> list[float]:
    """Score a linear classifier of pixels from 0 to 1."""
    high = X.max()
    model = LogisticRegression(max_iter=1000).fit(X.reshape(len(X), -1) / high, y)
    return [model.score(X_test.reshape(len(X_test), -1) / high, y_test)]


def tuned(trunk: dict[str, Any], **params: Any) -> Callable[..., list[float]]:
    """Return what trains a VGGClassifier and gives its test score after every epoch."""

    def score(X: np.ndarray, y: np.ndarray, X_test: np.ndarray, y_test: np.ndarray) -> list[float]:
        params_ = {"epochs": EPOCHS, "head_epochs": 0, "random_state": 0} | params
        model = VGGClassifier(**trunk | params_).fit(X, y, X_val=X_test, y_val=y_test)
        return [row["validation_score"] for row in model.history_]

    return score


def compare(
    X: np.ndarray, y: np.ndarray, ways: dict[str, Callable[..., list[float]]], n_draws: int
) -> None:
    """Print a row for each number of labels and way."""
    print("labels per class  way                  start   slope  asymptote  sd over draws  seconds")
    for n in N_LABELS:
        curves: dict[str, list[list[float]]] = {name: [] for name in ways}
        seconds = dict.fromkeys(ways, 0.0)
        for draw in range(n_draws):
            rng = np.random.default_rng([draw, n])
            order = rng.permutation(len(y))
            test, rest = order[:N_TEST], order[N_TEST:]
            chosen = np.concatenate([rest[y[rest] == label][:n] for label in np.unique(y)])
            for name, score in ways.items():
                start = time.perf_counter()
                curves[name].append(score(X[chosen], y[chosen], X[test], y[test]))
                seconds[name] += time.perf_counter() - start
        for name, scores in curves.items():
            summary = summarise_curve(np.mean(scores, axis=0).tolist())
            spread = np.std([summarise_curve(each).asymptote for each in scores])
            slope = f"{summary.slope:7.3f}" if len(scores[0]) > 1 else "      -"
            print(
                f"{n:16}  {name:18}  {summary.start:6.3f} {slope}  {summary.asymptote:9.3f}  "
                f"{spread:13.3f}  {seconds[name] / n_draws:7.1f}",
                flush=True,
            )


def main() -> None:
    """Run one of the experiments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment", choices=["digits", "mnist"])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--draws", type=int, default=5)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ImageWarning)
    trunk: dict[str, Any] = {"layer": "block3_pool", "input_size": 32, "cache": None}
    if arguments.experiment == "digits":
        trunk["weights"] = pretrain(trunk)
        X, y = load_digits(return_X_y=True)
        X, y = X[np.isin(y, (6, 8))], y[np.isin(y, (6, 8))]
        rates = {"tuned": 3e-5, "scratch": 3e-4}
    else:
        trunk["weights"] = arguments.folder / "weights" / "vgg16_notop.h5"
        with np.load(arguments.folder / "data" / "mnist_6_8.npz") as archive:
            X, y = archive["images"], archive["digit"]
        rates = {"tuned": 1e-5, "scratch": 3e-4}
    scratch = trunk | {"weights": None}
    compare(
        X,
        y,
        {
            "raw pixels": raw,
            "from scratch": tuned(scratch, unfreeze="all", trunk_learning_rate=rates["scratch"]),
            "linear probe": probe(trunk),
            "frozen trunk": tuned(trunk),
            "block 3 tuned": tuned(trunk, unfreeze="block3", trunk_learning_rate=rates["tuned"]),
            "all tuned": tuned(trunk, unfreeze="all", trunk_learning_rate=rates["tuned"]),
        },
        arguments.draws,
    )


if __name__ == "__main__":
    main()
