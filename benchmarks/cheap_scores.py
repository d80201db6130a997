"""How well cheap scores of features rank layers, beside the linear probe, on ten sets and more.

Five layers of VGG16 with the package's own weights, each averaged and as maxima, at 32 pixels: ten
rows for each set of 200 images. Shown is Spearman's rank correlation of each cheap score with the
accuracy of the linear probe over the ten rows, and what the row that the score would choose loses
against the best one.

    python benchmarks/cheap_scores.py
    python benchmarks/cheap_scores.py --data mnist_6_8.npz   # one more set
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import stats
from sklearn.datasets import load_digits

from sktransfer import VGGFeatureExtractor, sweep_layers
from sktransfer.results.tables import format_table

_N_IMAGES = 200
_PAIRS = ((0, 6), (1, 7), (1, 8), (2, 3), (3, 8), (4, 9), (5, 9))


def list_sets(path: Path | None) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield pairs of digits, three digits, ten, noisy ones, and blurred ones."""
    rng = np.random.default_rng(0)
    X, y = load_digits(return_X_y=True)
    order = rng.permutation(len(y))
    X, y = X[order].reshape(-1, 8, 8), y[order]
    for pair in _PAIRS:
        kept = np.flatnonzero(np.isin(y, pair))[:_N_IMAGES]
        noisy = np.clip(X[kept] + rng.normal(0, 5, X[kept].shape), 0, 16)
        yield f"digits {pair[0]}, {pair[1]}, noisy", noisy, y[kept]
    kept = np.flatnonzero(np.isin(y, (3, 5, 8)))[:_N_IMAGES]
    yield "digits 3, 5, 8", X[kept], y[kept]
    yield "ten digits", X[:_N_IMAGES], y[:_N_IMAGES]
    parity = np.clip(X[:_N_IMAGES] + rng.normal(0, 3, (_N_IMAGES, 8, 8)), 0, 16)
    yield "odd and even digits, noisy", parity, y[:_N_IMAGES] % 2
    if path is not None:
        with np.load(path) as archive:
            yield path.stem, archive["images"][:_N_IMAGES], archive["digit"][:_N_IMAGES]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="an .npz with images and their digits")
    args = parser.parse_args()
    body, ranks, losses = [], [], []
    for name, X, y in list_sets(args.data):
        sweep = sweep_layers(
            X,
            y,
            extractor=VGGFeatureExtractor(weights="synthetic", value_range=(X.min(), X.max())),
            poolings=["avg", "max"],
            input_sizes=[32],
            scoring="accuracy",
        )
        means = np.array([np.mean(row.scores["accuracy"]) for row in sweep.rows])
        cheap = np.array([list(row.cheap.values()) for row in sweep.rows])
        ranks.append([stats.spearmanr(each, means).statistic for each in cheap.T])
        losses.append(means.max() - means[cheap.argmax(axis=0)])
        cells = [f"{rank:.2f}" for rank in ranks[-1]]
        body.append([name, f"{means.min():.3f} to {means.max():.3f}", *cells])
    body.append(["mean", "", *(f"{rank:.2f}" for rank in np.nanmean(ranks, axis=0))])
    body.append(["loss of the choice", "", *(f"{loss:.3f}" for loss in np.mean(losses, axis=0))])
    print(format_table(["set", "accuracy", *sweep.rows[0].cheap], body))


if __name__ == "__main__":
    main()
