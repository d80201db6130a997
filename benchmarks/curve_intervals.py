"""How often the intervals of a transfer curve hold the mean score of endless images.

Two overlapping classes and the nearest centre as the classifier: quick, and any number of images
can be drawn to find the true mean. Beside ours: the usual interval, which takes repeats for
independent, and the correction of Nadeau and Bengio with all training images at every number of
labels.

    python benchmarks/curve_intervals.py
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from sktransfer.evaluation.curves.draws import split
from sktransfer.evaluation.curves.estimates import Design, estimate
from sktransfer.evaluation.probing import check_labels

N_IMAGES, N_TEST, N_REPEATS = 800, 200, 10
SIZES = (4, 32, 600)
N_POOLS, N_TRUTH = 1000, 1500


def draw(rng: np.random.Generator, n_images: int) -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(n_images) % 2
    return rng.normal(y[:, None] * [1.2, 0.6], 1.0), y


def score(X: np.ndarray, y: np.ndarray, train: np.ndarray, tested: np.ndarray) -> float:
    centres = [X[train][y[train] == label].mean(axis=0) for label in (0, 1)]
    distances = [((X[tested] - centre) ** 2).sum(axis=1) for centre in centres]
    return float(np.mean((distances[1] < distances[0]) == y[tested]))


def main() -> None:
    rng = np.random.default_rng(0)
    truth = []
    for n in SIZES:
        new = np.arange(n, n + 2000)
        truth.append(
            np.mean([score(*draw(rng, n + 2000), np.arange(n), new) for _ in range(N_TRUTH)])
        )
    design = Design(np.array(SIZES), N_IMAGES, N_TEST, is_test_fixed=False)
    student = stats.t.ppf(0.975, N_REPEATS - 1)
    ratio = N_TEST / (N_IMAGES - N_TEST)
    held = np.zeros((len(SIZES), 3))
    widths = np.zeros((len(SIZES), 3))
    for seed in range(N_POOLS):
        X, y = draw(rng, N_IMAGES)
        labels = check_labels(y, N_IMAGES, who="benchmark")
        splits = split(
            labels, N_TEST / N_IMAGES, N_REPEATS, np.random.RandomState(seed), who="benchmark"
        )
        for i, n in enumerate(SIZES):
            scores = np.array([score(X, y, order[:n], tested) for order, tested in splits])
            ours = estimate([(1.0, scores, n)], design)
            spread = student * scores.std(ddof=1)
            halves = np.array(
                [
                    (ours.high - ours.low) / 2,
                    spread / np.sqrt(N_REPEATS),
                    spread * np.sqrt(1 / N_REPEATS + ratio),
                ]
            )
            held[i] += np.abs(scores.mean() - truth[i]) <= halves
            widths[i] += halves
    print(f"{N_IMAGES} images, {N_TEST} of them for testing, {N_REPEATS} repeats, {N_POOLS} pools")
    print("labels  true mean  ours           independent    Nadeau, Bengio")
    for i, n in enumerate(SIZES):
        cells = [
            f"{share:.1%} ±{width:.3f}"
            for share, width in zip(held[i] / N_POOLS, widths[i] / N_POOLS, strict=True)
        ]
        print(f"{n:6d}  {truth[i]:9.3f}  " + "  ".join(cell.ljust(13) for cell in cells))


if __name__ == "__main__":
    main()
