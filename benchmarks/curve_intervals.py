"""What the intervals of a transfer curve hold, where the truth is known, and how often leads err.

Two overlapping classes and the nearest centre as the classifier: quick, and any number of images
can be drawn to find the true mean. Without an option, how often intervals hold it. Beside ours: the
usual interval, which takes repeats for independent, and the correction of Nadeau and Bengio with
all training images at every number of labels.

    python benchmarks/curve_intervals.py                 # how often intervals hold the true mean
    python benchmarks/curve_intervals.py --leads         # leads called real though there are none
    python benchmarks/curve_intervals.py --correlation   # of two repeats, and what is taken for it
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from scipy import stats

from sktransfer.evaluation.curves.draws import choose_sizes, split
from sktransfer.evaluation.curves.estimates import Design, correlate, estimate
from sktransfer.evaluation.curves.judging import judge
from sktransfer.evaluation.curves.rows import CurveDraw, CurveRow
from sktransfer.evaluation.probing import Folds, Labels, check_labels
from sktransfer.results.tables import format_table

N_IMAGES, N_TEST, N_REPEATS = 800, 200, 10
SIZES = (4, 32, 600)
N_TRUTH = 1500
#: Rows of the null runs; the last one is drawn with this many seeds, as a control is.
N_ROWS, N_SEEDS = 4, 3


def draw(rng: np.random.Generator, n_images: int) -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(n_images) % 2
    return rng.normal(y[:, None] * [1.2, 0.6], 1.0), y


def score(X: np.ndarray, y: np.ndarray, train: np.ndarray, tested: np.ndarray) -> float:
    centres = [X[train][y[train] == label].mean(axis=0) for label in (0, 1)]
    distances = [((X[tested] - centre) ** 2).sum(axis=1) for centre in centres]
    return float(np.mean((distances[1] < distances[0]) == y[tested]))


def split_pool(labels: Labels, n_images: int, seed: int) -> Folds:
    rng = np.random.RandomState(seed)
    return split(labels, N_TEST / N_IMAGES, N_REPEATS, rng, who="benchmark")


def measure_coverage(n_pools: int) -> None:
    """Print how often intervals hold the true mean, and how wide they are."""
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
    for seed in range(n_pools):
        X, y = draw(rng, N_IMAGES)
        splits = split_pool(check_labels(y, N_IMAGES, who="benchmark"), N_IMAGES, seed)
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
    print(f"{N_IMAGES} images, {N_TEST} of them for testing, {N_REPEATS} repeats, {n_pools} pools")
    print("labels  true mean  ours           independent    Nadeau, Bengio")
    for i, n in enumerate(SIZES):
        cells = [
            f"{share:.1%} ±{width:.3f}"
            for share, width in zip(held[i] / n_pools, widths[i] / n_pools, strict=True)
        ]
        print(f"{n:6d}  {truth[i]:9.3f}  " + "  ".join(cell.ljust(13) for cell in cells))


def draw_kinds(
    rng: np.random.Generator, n_images: int, n_kinds: int, small: float = 0.5
) -> tuple[list[np.ndarray], np.ndarray]:
    """Draw equally good features of the same images, whose noise is shared in part."""
    y = (np.arange(n_images) % round(1 / small) == 0).astype(int)
    centres = y[:, None] * np.array([1.2, 0.6])
    shared = rng.normal(size=centres.shape)
    kinds = [
        centres + np.sqrt(0.5) * (shared + rng.normal(size=centres.shape)) for _ in range(n_kinds)
    ]
    return kinds, y


def measure_leads(n_pools: int) -> None:
    """Print in how many runs some lead is called real, where all rows are equally good.

    Of a kind of features the classifier is scored as `transfer_curve` does it; the last row is the
    mean of several kinds, as the control is.
    """
    body = []
    for name, n_images, small in (
        ("200 images", 200, 0.5),
        ("800 images", 800, 0.5),
        ("800 images, 3 to 1", 800, 0.25),
    ):
        rng = np.random.default_rng(0)
        found: list[dict[str, bool]] = []
        n_compared = []
        for seed in range(n_pools):
            kinds, y = draw_kinds(rng, n_images, N_ROWS - 1 + N_SEEDS, small)
            labels = check_labels(y, n_images, who="benchmark")
            splits = split_pool(labels, n_images, seed)
            n_train = len(splits[0][0])
            sizes = choose_sizes("auto", labels, n_train, who="benchmark")
            design = Design(sizes, n_images, n_images - n_train, is_test_fixed=False)
            draws = [score_curve(X, y, sizes, splits, small < 0.5) for X in kinds]
            rows = [_row(f"row {i}", [each]) for i, each in enumerate(draws[: N_ROWS - 1])]
            judged = judge([*rows, _row("control", draws[N_ROWS - 1 :])], design, seed)
            n_compared.append(judged.n_comparisons)
            found.append(
                {
                    each.name: any(not lead.is_noise for lead in each.leads)
                    for each in judged.criteria
                }
            )
        names = ("start", "slope", "all labels", "asymptote", "balanced accuracy")
        shares = [np.mean([each.get(criterion, False) for each in found]) for criterion in names]
        some = np.mean([any(each.values()) for each in found])
        counted = f"{min(n_compared)} to {max(n_compared)}"
        body.append([name, counted, *(f"{share:.1%}" for share in (*shares, some))])
    print(f"{N_ROWS} equal rows, {N_REPEATS} repeats, {n_pools} pools of each kind")
    header = ["pool", "comparisons", "start", "slope", "all labels", "asymptote", "balanced", "any"]
    print(format_table(header, body))


def score_curve(
    X: np.ndarray, y: np.ndarray, sizes: Sequence[int], splits: Folds, is_balanced: bool
) -> CurveDraw:
    """Score the nearest centre for every number of labels and repeat."""
    scores = [[score(X, y, order[:n], tested) for order, tested in splits] for n in sizes]
    if not is_balanced:
        return CurveDraw(scores)
    halves = [[tested[y[tested] == label] for label in (0, 1)] for _, tested in splits]
    balanced = [
        float(np.mean([score(X, y, order[: sizes[-1]], half) for half in parts]))
        for (order, _), parts in zip(splits, halves, strict=True)
    ]
    return CurveDraw(scores, balanced)


def _row(name: str, draws: list[CurveDraw]) -> CurveRow:
    row = CurveRow(name, "raw")
    row.scores = np.mean([each.scores for each in draws], axis=0).tolist()
    row.balanced = np.mean([each.balanced for each in draws], axis=0).tolist()
    row.drawn = draws if len(draws) > 1 else []
    return row


def measure_correlation(n_pools: int) -> None:
    """Print how scores of two repeats on one pool correlate over pools, and the shares of images.

    The true correlation comes from the variances between pools and within them; that of differences
    is about two equally good kinds of features.
    """
    rng = np.random.default_rng(0)
    shape = (len(SIZES), n_pools, N_REPEATS)
    ways = {"score": np.zeros(shape), "difference": np.zeros(shape)}
    taken = {name: np.zeros(shape[:2]) for name in ways}
    design = Design(np.array(SIZES), N_IMAGES, N_TEST, is_test_fixed=False)
    for seed in range(n_pools):
        (one, other), y = draw_kinds(rng, N_IMAGES, 2)
        splits = split_pool(check_labels(y, N_IMAGES, who="benchmark"), N_IMAGES, seed)
        for i, n in enumerate(SIZES):
            a, b = (
                np.array([score(X, y, order[:n], tested) for order, tested in splits])
                for X in (one, other)
            )
            ways["score"][i, seed], ways["difference"][i, seed] = a, a - b
            taken["score"][i, seed] = correlate([(1.0, a, n)], design)[1]
            taken["difference"][i, seed] = correlate([(1.0, a, n), (-1.0, b, n)], design)[1]
    body = []
    for name, scores in ways.items():
        for i, n in enumerate(SIZES):
            within = scores[i].var(axis=1, ddof=1).mean()
            between = scores[i].mean(axis=1).var(ddof=1) - within / N_REPEATS
            true = between / (between + within)
            cells = [true, taken[name][i].mean(), n / N_IMAGES, N_TEST / N_IMAGES]
            body.append([name, f"{n}", *(f"{each:.2f}" for each in cells)])
    print(f"{N_IMAGES} images, {N_TEST} of them for testing, {N_REPEATS} repeats, {n_pools} pools")
    header = ["of a", "labels", "true correlation", "taken", "training shared", "test shared"]
    print(format_table(header, body))


def main() -> None:
    """Simulate, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pools", type=int, default=1000)
    parser.add_argument("--leads", action="store_true")
    parser.add_argument("--correlation", action="store_true")
    args = parser.parse_args()
    if args.leads:
        measure_leads(args.pools)
    elif args.correlation:
        measure_correlation(args.pools)
    else:
        measure_coverage(args.pools)


if __name__ == "__main__":
    main()
