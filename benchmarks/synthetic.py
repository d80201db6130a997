"""How well weights work with few labels: linear probes by layer, against their rivals.

    python benchmarks/synthetic.py                               # the weights of the package
    python benchmarks/synthetic.py --weights a.h5 b.h5 --json F  # candidates, side by side
    python benchmarks/synthetic.py --weights a.h5 b.h5 --choose  # the digits alone
    python benchmarks/synthetic.py --weights c.h5 --rivals F     # rivals from an earlier run
    python benchmarks/synthetic.py --only letters --json F       # one set more, added to F
    python benchmarks/synthetic.py --show F --markdown           # tables of an earlier run

VGG16 at 32 pixels, blocks 1 to 5. Shapes keep where they are: the output of each block is pooled to
4 x 4 maxima. Of textures each map gives its mean and its maximum. Then StandardScaler and
LogisticRegression(C=0.1), on 1, 3, 10 and 50 labels of each class, drawn several times (50 half as
often), the smaller draws parts of the larger ones; every network sees the same draws. Accuracies
are means over draws, with their standard errors.

Rivals are raw pixels (by the same probe, and from 0 to 1 unscaled by LogisticRegression(C=1)), the
same VGG16 with random weights, and with ImageNet's. All have the same advantage:
their best layer, or way to see pixels, by the mean on the test images.

A set of images counts as won if at 3 and at 10 labels per class the mean difference to raw pixels
and that to random weights, draw by draw, are all more than three standard errors above 0; as lost
if any of the four lies more than three below. Weights are fit to ship if they win more than half of
the sets and lose none.

MNIST comes from --mnist: an .npz with `images` and `digit`, which these lines write.

    mnist = sklearn.datasets.fetch_openml("mnist_784", as_frame=False)
    np.savez("mnist.npz", images=mnist.data.reshape(-1, 28, 28).astype("uint8"),
             digit=mnist.target.astype("uint8"))

By default it is $SKTRANSFER_TEST_DATA/data/mnist_6_8.npz, with two of the digits: then the set of
all ten is left out. ImageNet's weights come from $SKTRANSFER_TEST_DATA/weights/vgg16_notop.h5,
textures and faces from scikit-image.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from measuring import Row, describe_host, format_rows, name_processor, write_results
from probing_tasks import MOST, SIZE, Task, embedded_digits, make_tasks
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sktransfer import VGGFeatureExtractor
from sktransfer.results.tables import format_markdown

LABELS = (1, 3, 10, MOST)
FEW = (3, 10)
RAW, RANDOM, IMAGENET = "raw pixels", "random weights", "ImageNet VGG16"
PHOTOGRAPHS = ("photographs, colour", "photographs, grey")

#: Accuracy of every draw, by layer.
Scores = dict[str, np.ndarray]


# -- features


def pool(maps: np.ndarray, is_texture: bool) -> np.ndarray:
    """Bring maps (n_images, side, side, n_channels) to 4 x 4 maxima, or to mean and maximum."""
    n, side, _, channels = maps.shape
    if is_texture:
        return np.hstack([maps.mean(axis=(1, 2)), maps.max(axis=(1, 2))])
    cell = max(1, side // 4)
    cells = maps.reshape(n, side // cell, cell, side // cell, cell, channels)
    return cells.max(axis=(2, 4)).reshape(n, -1)


def extractor_for(weights: Path | str | None, images: np.ndarray) -> Any:
    """Return a fitted extractor of every block that the weights reach."""
    for depth in range(5, 0, -1):
        extractor = VGGFeatureExtractor(
            [f"block{block}_pool" for block in range(1, depth + 1)],
            weights=weights,
            input_size=SIZE,
            cache=None,
            random_state=0,
        )
        try:
            return extractor.fit(images)
        except ValueError as error:
            if "It reaches up to" not in str(error) or depth == 1:
                raise
    raise AssertionError


def features_of(task: Task, weights: Path | str | None) -> dict[str, np.ndarray]:
    """Compute the features of all layers in one pass, a few images at a time."""
    extractor = extractor_for(weights, task.images[:64])
    parts: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(task.images), 256):
        rows = extractor.transform(task.images[start : start + 256])
        at = 0
        for block, name in enumerate(extractor.layer):
            side, channels = SIZE >> (block + 1), min(64 << block, 512)
            width = side * side * channels
            maps = rows[:, at : at + width].reshape(-1, side, side, channels)
            parts.setdefault(name, []).append(pool(maps, task.is_texture))
            at += width
    return {name: np.concatenate(each) for name, each in parts.items()}


# -- probes


def probe(
    features: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray, scaled: bool
) -> float:
    """Return the accuracy of logistic regression on the test images."""
    X, X_test = features[train], features[test]
    if scaled:
        scaler = StandardScaler().fit(X)
        X, X_test = scaler.transform(X), scaler.transform(X_test)
    if len(X) < X.shape[1]:
        # The same classifier in as many directions as there are images: what it learns lies in
        # their span, and its penalty does not see a rotation.
        squares, turned = np.linalg.eigh((X @ X.T).astype(float))
        kept = squares > 1e-6 * squares[-1]
        lengths, turned = np.sqrt(squares[kept]), turned[:, kept]
        X_test = ((X_test @ X.T) @ (turned / lengths)).astype(np.float32)
        X = (turned * lengths).astype(np.float32)
    model = LogisticRegression(C=0.1 if scaled else 1.0, max_iter=300)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where it stops early, it is as good as converged
        return float(model.fit(X, y[train]).score(X_test, y[test]))


def score_all(
    task: Task, features: Mapping[str, np.ndarray], n_draws: int, n_test: int
) -> dict[int, Scores]:
    """Score every layer on every draw, by labels per class."""
    draws = list(task.draws(n_draws, n_test))

    def score(values: np.ndarray, k: int, scaled: bool) -> np.ndarray:
        # Many labels cost most and differ least from draw to draw: half of the draws will do.
        some = draws if k < MOST else draws[: max(2, n_draws // 2)]
        return np.array(
            [probe(values, task.y, train[:, :k].ravel(), test, scaled) for train, test in some]
        )

    # Many small problems: threads would wait for each other longer than they compute.
    with threadpool_limits(1):
        return {
            k: {
                layer: score(values, k, layer != "from 0 to 1")
                for layer, values in features.items()
            }
            for k in LABELS
        }


def best(scores: Scores) -> tuple[str, np.ndarray]:
    """Return the layer with the highest mean, and its accuracies."""
    return max(scores.items(), key=lambda item: item[1].mean())


def standard_error(values: np.ndarray) -> float:
    """Return the standard error of a mean over draws."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


# -- what is said of it


def short(layer: str) -> str:
    """Spell a layer in a table."""
    return layer.removesuffix("_pool").replace("block", "b")


def best_rows(scores: Row) -> list[Row]:
    """List the best layer of every network, by set and labels."""
    rows = []
    for task, by_network in scores.items():
        for k in LABELS:
            row: Row = {"set": task, "labels": k}
            for network in networks_of(scores):
                row[network] = "-"
                if network in by_network:
                    layer, values = best(by_network[network][k])
                    how = "" if network == RAW else f" {short(layer)}"
                    row[network] = f"{values.mean():.3f} ± {standard_error(values):.3f}{how}"
            rows.append(row)
    return rows


def layer_rows(scores: Row) -> list[Row]:
    """List the accuracy of every layer at few labels."""
    rows = []
    for task, by_network in scores.items():
        for network, by_labels in by_network.items():
            if network == RAW:
                continue
            for k in FEW:
                row: Row = {"set": task, "labels": k, "network": network}
                for block in range(1, 6):
                    values = by_labels[k].get(f"block{block}_pool")
                    row[f"block {block}"] = "-" if values is None else f"{values.mean():.3f}"
                rows.append(row)
    return rows


def judged_rows(scores: Row, candidates: Iterable[str]) -> list[Row]:
    """Compare each candidate with raw pixels and random weights where labels are few."""
    rows = []
    for candidate in candidates:
        for task, by_network in scores.items():
            row: Row = {"weights": candidate, "set": task}
            ratios = []
            for k in FEW:
                _, own = best(by_network[candidate][k])
                for rival in (RAW, RANDOM):
                    difference = own - best(by_network[rival][k])[1]
                    mean, error = difference.mean(), standard_error(difference)
                    row[f"{k} labels, to {rival.split()[0]}"] = f"{mean:+.3f} ± {error:.3f}"
                    ratios.append(mean / error if error else np.sign(mean) * np.inf)
            row["outcome"] = (
                "won" if min(ratios) > 3 else "lost" if min(ratios) < -3 else "undecided"
            )
            rows.append(row)
    return rows


def verdict_rows(judged: list[Row]) -> list[Row]:
    """Say whether the rule for shipping holds."""
    rows = []
    for candidate in dict.fromkeys(row["weights"] for row in judged):
        outcomes = [row["outcome"] for row in judged if row["weights"] == candidate]
        won, lost = outcomes.count("won"), outcomes.count("lost")
        ships = won > len(outcomes) / 2 and not lost
        rows.append(
            {
                "weights": candidate,
                "sets": len(outcomes),
                "won": won,
                "undecided": len(outcomes) - won - lost,
                "lost": lost,
                "ships": "yes" if ships else "no",
            }
        )
    return rows


def photo_rows(scores: Row, candidates: Iterable[str]) -> list[Row]:
    """Say how far from random weights to ImageNet's the candidates come on photographs."""
    sets = [name for name in PHOTOGRAPHS if IMAGENET in scores.get(name, {})]
    rows = []
    for candidate in candidates:
        for name in (*sets, "both") if len(sets) > 1 else sets:
            chosen = sets if name == "both" else [name]
            row: Row = {"weights": candidate, "set": name}
            gains = {
                k: [
                    sum(
                        best(scores[each][other][k])[1].mean()
                        - best(scores[each][RANDOM][k])[1].mean()
                        for each in chosen
                    )
                    for other in (candidate, IMAGENET)
                ]
                for k in LABELS
            }
            for k, (own, whole) in gains.items():
                row[f"{k} labels"] = _share(own, whole)
            # Of sums, as a share of next to nothing would rule a mean of shares.
            own, whole = np.sum(list(gains.values()), axis=0)
            row["all"] = _share(own, whole)
            row["halfway"] = "yes" if own >= 0.5 * whole else "no"
            rows.append(row)
    return rows


def _share(own: float, whole: float) -> str:
    return f"{own / whole:.2f}" if whole > 0 else "-"


def networks_of(scores: Row) -> list[str]:
    """List every network that some set was scored on, in order."""
    return list(dict.fromkeys(name for by_network in scores.values() for name in by_network))


def make_parts(scores: Row, candidates: list[str]) -> dict[str, Row]:
    """Return every table by the name under which the docs show it."""
    judged = judged_rows(scores, candidates)
    tables = {
        "best": ("Accuracy of the best layer, by labels per class", best_rows(scores)),
        "layers": ("Accuracy by layer", layer_rows(scores)),
        "judged": ("Differences of the best layers", judged),
        "photographs": (
            "Photographs: 0 is random weights, 1 is ImageNet's",
            photo_rows(scores, candidates),
        ),
        "verdict": (
            "Whether few labels beat raw pixels and random weights on most sets and lose on none",
            verdict_rows(judged),
        ),
    }
    return {name: {"title": title, "rows": rows} for name, (title, rows) in tables.items() if rows}


# -- running


def name_candidates(paths: Iterable[Path | str]) -> dict[str, Path | str]:
    """Name weights by their files, and by their folders where those are called alike."""
    paths = list(paths)
    stems = [Path(path).stem for path in paths]
    return {
        stem if stems.count(stem) == 1 else f"{Path(path).parent.name}/{stem}": path
        for stem, path in zip(stems, paths, strict=True)
    }


def from_json(scores: Row) -> dict[str, dict[str, dict[int, Scores]]]:
    """Return scores as they were before they were written."""
    return {
        task: {
            network: {
                int(k): {layer: np.array(values) for layer, values in by_layer.items()}
                for k, by_layer in by_labels.items()
            }
            for network, by_labels in by_network.items()
        }
        for task, by_network in scores.items()
    }


def read_rivals(path: Path, args: Any) -> dict[str, dict[str, dict[int, Scores]]]:
    """Read the scores of all rivals that an earlier run of the same draws kept."""
    earlier = json.loads(path.read_text(encoding="utf-8"))
    if (earlier["draws"], earlier["test_images"]) != (args.draws, args.test):
        raise SystemExit(f"{path} is of other draws: give the same --draws and --test.")
    return {
        task: {
            network: by_labels
            for network, by_labels in by_network.items()
            if network in (RAW, RANDOM, IMAGENET)
        }
        for task, by_network in from_json(earlier["scores"]).items()
    }


def add_to(path: Path, results: Row, order: Iterable[str]) -> Row:
    """Put the sets of this run into an earlier file of the same draws, weights and versions."""
    earlier: Row = json.loads(path.read_text(encoding="utf-8"))
    for key in ("host", "draws", "test_images", "weights_sha256"):
        if earlier[key] != results[key]:
            raise SystemExit(f"{path} has other values of {key!r}: name another file.")
    how = {key: results[key] for key in ("processor", "measured", "took_s")}
    both = earlier["scores"] | results["scores"]
    scores = {task: both[task] for task in [*order, *both] if task in both}
    return earlier | {
        "left_out": [each for each in earlier["left_out"] if each in results["left_out"]],
        "added": earlier.get("added", {}) | dict.fromkeys(results["scores"], how),
        "scores": scores,
        "parts": make_parts(from_json(scores), list(results["weights_sha256"])),
    }


def hash_file(path: Path | str) -> str:
    """Return the hash of all weights of a file."""
    images = np.zeros((1, SIZE, SIZE), np.uint8)
    return str(extractor_for(path, images).weights_sha256_)


def measure(
    task: Task,
    candidates: Mapping[str, Path | str],
    imagenet: Path | None,
    rivals: Mapping[str, dict[int, Scores]],
    args: Any,
) -> dict[str, dict[int, Scores]]:
    """Score raw pixels and every network on one set of images."""
    found = {name: rivals[name] for name in (RAW, RANDOM) if name in rivals}
    if RAW not in found:
        pixels = task.images.reshape(len(task.images), -1).astype(np.float32)
        ways = {"scaled": pixels, "from 0 to 1": pixels / 255}
        found[RAW] = score_all(task, ways, args.draws, args.test)
    networks: dict[str, Path | str | None] = {RANDOM: None, **candidates}
    if imagenet is not None:
        networks[IMAGENET] = imagenet
    for name, path in networks.items():
        if name in rivals:
            found[name] = rivals[name]
            continue
        start = time.perf_counter()
        features = features_of(task, path)
        middle = time.perf_counter()
        found[name] = score_all(task, features, args.draws, args.test)
        print(
            f"{task.name}, {name}: {len(task.images)} images in {middle - start:.0f} s, probes in "
            f"{time.perf_counter() - middle:.0f} s",
            file=sys.stderr,
            flush=True,
        )
    return found


def show(results: Row, markdown: bool) -> None:
    """Print every table."""
    for part in results["parts"].values():
        print(f"\n{'### ' if markdown else '== '}{part['title']}\n")
        rows = part["rows"]
        if markdown:
            header = list(rows[0])
            print(format_markdown(header, [[str(row[key]) for key in header] for row in rows]))
        else:
            print(format_rows(rows))


def main() -> None:
    """Measure, print, and keep."""
    data = os.environ.get("SKTRANSFER_TEST_DATA")
    shared = Path(data) if data else None
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", nargs="+", default=["synthetic"], metavar="FILE")
    parser.add_argument("--choose", action="store_true", help="the embedded digits alone")
    parser.add_argument("--only", nargs="+", metavar="SET", help="sets whose names contain these")
    parser.add_argument("--rivals", type=Path, metavar="FILE", help="take rivals from its --json")
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--test", type=int, default=400, help="test images of a draw, at most")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep scores and tables")
    parser.add_argument("--show", type=Path, metavar="FILE", help="print a file's tables, no more")
    parser.add_argument("--markdown", action="store_true", help="print tables as Markdown")
    parser.add_argument(
        "--mnist",
        type=Path,
        default=shared and shared / "data" / "mnist_6_8.npz",
        metavar="FILE",
        help="an .npz of MNIST's images and digits",
    )
    parser.add_argument(
        "--imagenet",
        type=Path,
        default=shared and shared / "weights" / "vgg16_notop.h5",
        metavar="FILE",
    )
    args = parser.parse_args()
    if args.show:
        show(json.loads(args.show.read_text(encoding="utf-8")), args.markdown)
        return
    candidates = name_candidates(args.weights)
    if args.choose:
        # The recipe is chosen by what this shows: nothing trained on photographs takes part.
        tasks, missing, imagenet = [embedded_digits()], [], None
    else:
        tasks, missing = make_tasks(args.mnist)
        imagenet = args.imagenet
        if imagenet is None or not imagenet.is_file():
            missing.append("ImageNet: left out, as --imagenet names no file")
            imagenet = None
    order = [task.name for task in tasks]
    if args.only:
        tasks = [task for task in tasks if any(each in task.name for each in args.only)]
    for sentence in missing:
        print(sentence, file=sys.stderr)

    rivals = read_rivals(args.rivals, args) if args.rivals else {}
    start = time.perf_counter()
    scores = {
        task.name: measure(task, candidates, imagenet, rivals.get(task.name, {}), args)
        for task in tasks
    }
    results: Row = {
        "host": describe_host(),
        "processor": name_processor(),
        "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
        "draws": args.draws,
        "test_images": args.test,
        "took_s": round(time.perf_counter() - start),
        "left_out": missing,
        "weights_sha256": {name: hash_file(path) for name, path in candidates.items()},
        "parts": make_parts(scores, list(candidates)),
        "scores": {
            task: {
                network: {
                    str(k): {layer: values.tolist() for layer, values in by_layer.items()}
                    for k, by_layer in by_labels.items()
                }
                for network, by_labels in by_network.items()
            }
            for task, by_network in scores.items()
        },
    }
    show(results, args.markdown)
    if args.json:
        if args.only and args.json.exists():
            results = add_to(args.json, results, order)
        write_results(args.json, results)


if __name__ == "__main__":
    main()
