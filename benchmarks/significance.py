"""Size, coverage and power of the tests of a comparison, by simulation.

Two kinds of features of the same images, with noise that they share in part, and a linear
classifier on both, in the same ten folds. Where both are equally good, the share of differences
that a test finds is its size, which must not exceed 5 %; where the second one is weaker, it is the
power. Coverage is the share of 95 % intervals that hold the mean difference of all runs.

    python benchmarks/significance.py              # the tests of one difference
    python benchmarks/significance.py --repeated   # bootstrap, and folds that are drawn five times
    python benchmarks/significance.py --numbers    # the same for R2 of numbers
    python benchmarks/significance.py --few        # the same with few labels per class
    python benchmarks/significance.py --choice     # the best of many equal kinds of features
    python benchmarks/significance.py --seeds      # findings by the seed of random weights

Each takes some minutes; `--runs` sets how many data sets are drawn.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from sktransfer.evaluation.probing.outcomes import (
    ImageWeights,
    by_images,
    variance_within,
    weigh_images,
)
from sktransfer.evaluation.probing.selection import compare_with_best, score_choice
from sktransfer.evaluation.probing.significance import (
    PairedDifference,
    PairedTest,
    by_draws,
    by_folds,
    judge_alone,
)
from sktransfer.results.tables import format_table

N_FOLDS, N_FEATURES = 10, 16
# Distances of the classes: accuracies of 0.65 to 0.85.
_SIGNAL = {2: 0.35, 10: 0.8}
_SHARED = 0.5
#: How often folds are drawn where they are repeated, and images where they are resampled.
N_REPEATS, N_RESAMPLED = 5, 1000

Folds = list[tuple[np.ndarray, np.ndarray]]


@dataclass
class Run:
    """How well each kind of features predicted every image of one data set."""

    folds: Folds
    images: ImageWeights
    correct: list[np.ndarray]
    repeated: Run | None = None

    def scores(self, correct: np.ndarray) -> np.ndarray:
        """Return the accuracy on every fold, or R2 less one."""
        n_folds = int(self.images.fold.max()) + 1
        return np.bincount(self.images.fold, n_folds * self.images.weights * correct)

    @property
    def pair(self) -> tuple[np.ndarray, np.ndarray]:
        """The scores of the first two kinds."""
        return self.scores(self.correct[0]), self.scores(self.correct[1])


def classify(X: np.ndarray, y: np.ndarray, n_classes: int, tested: np.ndarray) -> np.ndarray:
    """Classify by ridge regression on indicators of the classes."""
    return regress(X, np.eye(n_classes)[y], tested).argmax(axis=1)


def regress(X: np.ndarray, targets: np.ndarray, tested: np.ndarray) -> np.ndarray:
    """Predict by ridge regression."""
    mean, level = X.mean(axis=0), targets.mean(axis=0)
    centred = X - mean
    normal = centred.T @ centred + np.eye(X.shape[1])
    return (tested - mean) @ np.linalg.solve(normal, centred.T @ targets) + level


def draw_kinds(
    rng: np.random.Generator,
    n: int,
    k: int,
    signals: Sequence[float],
    *,
    n_labels: int | None = None,
    n_folds: int = N_FOLDS,
    n_repeats: int = 1,
) -> Run:
    """Draw a data set with kinds of features of so much signal each, and classify all.

    `n_labels` of each class are learned from, or all. With several repeats, the run holds another
    one with the folds of all of them.
    """
    y = np.arange(n) % k
    centres = _SIGNAL[k] * rng.normal(size=(k, N_FEATURES))[y]
    shared = np.sqrt(_SHARED) * rng.normal(size=centres.shape)
    kinds = [
        scale * centres + shared + np.sqrt(1 - _SHARED) * rng.normal(size=centres.shape)
        for scale in signals
    ]
    folds: Folds = []
    for _ in range(n_repeats):
        fold = np.empty(n, dtype=int)
        order = rng.permutation(n)
        fold[order[np.argsort(y[order], kind="stable")]] = np.arange(n) % n_folds
        folds += [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(n_folds)]
    if n_labels is not None:
        folds = [(_draw_few(rng, y, train, n_labels), test) for train, test in folds]
    parts = [[classify(X[a], y[a], k, X[b]) == y[b] for a, b in folds] for X in kinds]
    repeated = _gather(y, folds, parts) if n_repeats > 1 else None
    return replace(
        _gather(y, folds[:n_folds], [each[:n_folds] for each in parts]), repeated=repeated
    )


def _gather(y: np.ndarray, folds: Folds, parts: list[list[np.ndarray]]) -> Run:
    images = weigh_images("accuracy", y, folds)
    assert images is not None
    return Run(folds, images, [np.concatenate(each) for each in parts])


def draw_numbers(rng: np.random.Generator, n: int, signals: Sequence[float]) -> Run:
    """Draw a data set with a number for each image, and kinds of features of so much signal."""
    centres = rng.normal(size=(n, N_FEATURES))
    y = centres[:, :4].sum(axis=1) + rng.normal(size=n)
    shared = np.sqrt(_SHARED) * rng.normal(size=centres.shape)
    kinds = [
        scale * centres + shared + np.sqrt(1 - _SHARED) * rng.normal(size=centres.shape)
        for scale in signals
    ]
    fold = rng.permutation(n) % N_FOLDS
    folds = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(N_FOLDS)]
    rated = [
        np.concatenate([-((regress(X[a], y[a], X[b]) - y[b]) ** 2) for a, b in folds])
        for X in kinds
    ]
    images = weigh_images("r2", y, folds, kind="numbers")
    assert images is not None
    return Run(folds, images, rated)


def _draw_few(rng: np.random.Generator, y: np.ndarray, train: np.ndarray, n: int) -> np.ndarray:
    parts = [rng.permutation(train[y[train] == label])[:n] for label in np.unique(y)]
    return np.concatenate(parts)


#: From a run to a test that is to be judged, or to what is found.
Test = Callable[[Run], PairedTest | PairedDifference]


def student(run: Run) -> PairedTest:
    """The usual paired t-test, which takes folds for independent."""
    differences = np.subtract(*run.pair)
    return PairedTest(differences.mean(), differences.var(ddof=1) / N_FOLDS, N_FOLDS - 1)


def corrected(run: Run) -> PairedTest:
    """The corrected resampled t-test."""
    return by_folds(*run.pair, run.folds)


def images(run: Run) -> PairedTest:
    """The test image by image, as the comparison uses it."""
    return by_images([run.correct[0]], [run.correct[1]], run.images)


def mcnemar(run: Run) -> PairedTest:
    """McNemar's test without correction, which takes the classifiers as given."""
    parts = run.images.weights * (run.correct[0].astype(float) - run.correct[1])
    return PairedTest(parts.sum(), (parts**2).sum(), np.inf, curvature=1 / len(parts))


def bootstrap(run: Run) -> PairedDifference:
    """Percentiles of the difference over images drawn with replacement, with classifiers given."""
    images = run.images
    difference = run.correct[0].astype(float) - run.correct[1]
    parts = np.bincount(images.units, images.weights * difference)
    rng = np.random.default_rng(0)
    drawn = parts[rng.integers(0, len(parts), (N_RESAMPLED, len(parts)))].sum(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    mean = float(parts.sum())
    finding = "higher" if low > 0 else "lower" if high < 0 else "within noise"
    return PairedDifference(mean, float(low), float(high), np.nan, finding)


def corrected_repeated(run: Run) -> PairedTest:
    """The corrected t-test over folds that are drawn several times."""
    assert run.repeated is not None
    return corrected(run.repeated)


def images_repeated(run: Run) -> PairedTest:
    """The test image by image, where each is predicted once for every time folds are drawn."""
    assert run.repeated is not None
    return images(run.repeated)


def draws_by_share(run: Run) -> PairedTest:
    """The t-test over draws, correlated by the training images that they share."""
    return by_draws(*run.pair, run.folds)


def draws(run: Run) -> PairedTest:
    """The same, where what test images vary is not shared, as the comparison uses it."""
    within = variance_within([run.correct[0]], [run.correct[1]], run.images)
    return by_draws(*run.pair, run.folds, within=within)


def measure(
    tests: dict[str, Test], n_runs: int, n_labels: int | None = None, n_repeats: int = 1
) -> Iterator[list[str]]:
    """Yield a row for each number of images and classes."""
    for n in (60, 200, 1000):
        for k in (2, 10):
            if n_labels is not None and n_labels * k > n * (1 - 1 / N_FOLDS):
                continue
            draw = partial(draw_kinds, n=n, k=k, n_labels=n_labels, n_repeats=n_repeats)
            yield from ([f"{n:,}", f"{k}", *cells] for cells in judge(tests, draw, n_runs))


def measure_numbers(tests: dict[str, Test], n_runs: int) -> Iterator[list[str]]:
    """Yield a row for each number of images."""
    for n in (60, 200, 1000):
        draw = partial(draw_numbers, n=n)
        yield from ([f"{n:,}", *cells] for cells in judge(tests, draw, n_runs))


def judge(tests: dict[str, Test], draw: Callable[..., Run], n_runs: int) -> Iterator[list[str]]:
    """Yield for each test its size, coverage and power, and the gain that the latter is for."""
    rng = np.random.default_rng(0)
    found = {}
    for weaker in (1.0, 0.8):
        runs = [draw(rng, signals=(1.0, weaker)) for _ in range(n_runs)]
        means = [float(np.subtract(*run.pair).mean()) for run in runs]
        truth = 0.0 if weaker == 1 else float(np.mean(means))
        for name, test in tests.items():
            found_by = [test(run) for run in runs]
            judged = [
                each if isinstance(each, PairedDifference) else judge_alone(each)
                for each in found_by
            ]
            hits = np.mean([each.finding in ("higher", "lower") for each in judged])
            held = np.mean(
                [
                    np.isnan(each.low) or each.low - 1e-12 <= truth <= each.high + 1e-12
                    for each in judged
                ]
            )
            found[name, weaker] = (hits, held)
    for name in tests:
        (size, _), (power, held) = found[name, 1.0], found[name, 0.8]
        cells = [f"{share:.1%}" for share in (size, held, power)]
        yield [name, *cells, f"{truth:+.3f}"]


def measure_choice(n_runs: int) -> Iterator[list[str]]:
    """Yield how much better the best of equally good kinds of features looks, and what others do.

    200 images of two classes, in five folds.
    """
    n, k = 200, 2
    for n_kinds in (5, 15, 45):
        rng = np.random.default_rng(0)
        means, best, nested, worse, naive = [], [], [], 0, 0
        for _ in range(n_runs):
            run = draw_kinds(rng, n, k, [1.0] * n_kinds, n_folds=5)
            scores = np.array([run.scores(each) for each in run.correct])
            at = int(scores.mean(axis=1).argmax())
            found = compare_with_best(scores, run.correct, at, run.folds, run.images)
            worse += any(each.finding == "lower" for each, _ in found)
            alone = [by_images([each], [run.correct[at]], run.images) for each in run.correct]
            naive += any(judge_alone(each).finding == "lower" for each in alone)
            means.append(scores.mean())
            best.append(scores[at].mean())
            nested.append(score_choice(scores).mean())
        bias = [np.mean(each) - np.mean(means) for each in (best, nested)]
        shares = [f"{each / n_runs:.1%}" for each in (naive, worse)]
        yield [f"{n_kinds}", *(f"{each:+.3f}" for each in bias), *shares]


def measure_seeds() -> Iterator[list[str]]:
    """Yield what the test against random weights finds for eight seeds of them.

    On 300 digits with the package's own weights, the same folds every time.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import StratifiedKFold

    from sktransfer import VGGFeatureExtractor, compare_transfer

    X, y = load_digits(return_X_y=True)
    extractor = VGGFeatureExtractor("block3_pool", weights="synthetic", input_size=32)
    for n_controls in (1, 3, 5):
        found = []
        for seed in range(8):
            result = compare_transfer(
                X[:300],
                y[:300],
                extractors={"vgg": extractor},
                scoring="accuracy",
                cv=StratifiedKFold(N_FOLDS, shuffle=True, random_state=0),
                n_controls=n_controls,
                random_state=100 * seed,
            )
            row = result.best_transfer
            assert row is not None and row.against_control is not None
            found.append(row.against_control)
        p_values = [each.p_value for each in found]
        n_higher = sum(each.finding == "higher" for each in found)
        means = [each.mean for each in found]
        yield [
            f"{n_controls}",
            f"{min(means):+.3f} to {max(means):+.3f}",
            f"{min(p_values):.3f} to {max(p_values):.3f}",
            f"{n_higher} of {len(found)}",
        ]


def main() -> None:
    """Simulate, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--repeated", action="store_true")
    parser.add_argument("--numbers", action="store_true")
    parser.add_argument("--few", action="store_true")
    parser.add_argument("--choice", action="store_true")
    parser.add_argument("--seeds", action="store_true")
    args = parser.parse_args()
    if args.seeds:
        header = ["controls", "difference", "p", "higher"]
        print(format_table(header, list(measure_seeds())))
        return
    if args.choice:
        header = ["rows", "best", "counting the choice", "worse, uncounted", "worse, counted"]
        print(format_table(header, list(measure_choice(args.runs))))
        return
    header = ["images", "classes", "test", "size", "coverage", "power", "gain"]
    if args.few:
        tests = {"share of all": draws_by_share, "share of training only": draws}
        rows = [[f"{n}", *row] for n in (3, 10) for row in measure(tests, args.runs, n)]
        print(format_table(["labels", *header], rows))
        return
    if args.repeated:
        tests = {
            "by images": images,
            "bootstrap": bootstrap,
            "corrected t, 5 times": corrected_repeated,
            "by images, 5 times": images_repeated,
        }
        print(format_table(header, list(measure(tests, args.runs, n_repeats=N_REPEATS))))
        return
    if args.numbers:
        tests = {"paired t": student, "corrected t": corrected, "by images": images}
        header.remove("classes")
        print(format_table(header, list(measure_numbers(tests, args.runs))))
        return
    tests = {
        "paired t": student,
        "corrected t": corrected,
        "McNemar": mcnemar,
        "by images": images,
    }
    print(format_table(header, list(measure(tests, args.runs))))


if __name__ == "__main__":
    main()
