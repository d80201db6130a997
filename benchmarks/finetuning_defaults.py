"""Fine-tuning by its defaults, against what one would do without it.

    python benchmarks/finetuning_defaults.py vgg16_notop.h5 --mnist mnist.npz --json FILE
    python benchmarks/tables.py FILE docs/finetuning.md

Trains on a few images of each class with ImageNet's VGG16, cut at `flatten`, and scores others. A
run of one way on one draw of images is kept in the file at once; what is there is not run again, so
that the whole may be stopped and goes on. --minutes stops it by itself. All of MNIST is read as
`synthetic.py` says; a file of 6 and 8 alone does without the ten digits.

Ways:

- logistic: StandardScaler and LogisticRegression of scikit-learn, on the same features
- head: VGGClassifier as it is
- head, 1st: as it was at first, its head trained by Adam for 20 epochs
- block5: VGGClassifier(unfreeze="block5")
- block5, 1st: as it was at first, after 10 epochs of the head alone, and at a rate of 1e-5
- block5 at 1e-05, 1e-04, 3e-04: the same as block5, at one of the rates that its trial compares
- block3_pool: VGGClassifier("block3_pool"), all frozen
- Keras: the steps of Keras' guide "Transfer learning & fine-tuning", without augmentation,
  which would turn digits into others: pooled features, dropout, the head for 20 epochs, and then
  the whole network for 10 at a rate of 1e-5
- Keras, longer: the same, and on with the whole network until it is as accurate as block5 on the
  images that are scored, for 120 epochs at most
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from measuring import Row, describe_host, name_processor, read_results, write_results
from probing_tasks import (
    Task,
    charts,
    embedded_digits,
    has_ten_digits,
    letters,
    mnist_digits,
    mnist_pair,
    photographs,
    textures,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import ImageWarning, VGGClassifier, VGGFeatureExtractor, make_formula_images

N_TEST, N_LARGE_TEST = 150, 30
FIXED = {f"block5 at {rate:.0e}": rate for rate in (1e-5, 1e-4, 3e-4)}
FORMER: Row = {"head_epochs": 10, "trunk_learning_rate": 1e-5}


def formulas(size: int) -> Task:
    """Return pictures of ten formulas of the package, one of each family."""
    images, y = make_formula_images(400, n_classes=10, size=size, random_state=0, return_X_y=True)
    return Task("formula pictures", images, y)


def make_cases(mnist: Path) -> list[tuple[Callable[[], Task], int, int]]:
    """List the sets with the size of images and how many of each class are learned."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    ten = partial(mnist_digits, mnist)
    return [
        (embedded_digits, 32, 10),
        (partial(mnist_pair, mnist), 32, 5),
        *([(ten, 32, 10), (ten, 32, 50)] if has_ten_digits(mnist) else []),
        (letters, 32, 10),
        (partial(photographs, is_grey=False, size=64), 64, 5),
        (partial(charts, size=64), 64, 5),
        (partial(formulas, 64), 64, 5),
        (partial(textures, folder, size=96), 96, 10),
        (partial(photographs, is_grey=False, size=64), 64, 20),
        (partial(mnist_pair, mnist), 32, 100),
        (partial(textures, folder, size=224), 224, 5),
    ]


# -- ways: each is trained on images, and returns what predicts


def probe(weights: Path, size: int) -> Any:
    """Return scikit-learn's way."""
    extractor = VGGFeatureExtractor("flatten", weights=weights, input_size=size, cache=None)
    return make_pipeline(extractor, StandardScaler(), LogisticRegression(max_iter=1000))


def tuned(weights: Path, size: int, layer: str = "flatten", **params: Any) -> Any:
    """Return the package's way."""
    params = {"random_state": 0, "cache": None} | params
    return VGGClassifier(layer, weights=weights, input_size=size, **params)


class PlainKeras:
    """Keras' own guide: a head on a frozen network, then both at a low learning rate."""

    def __init__(self, weights: Path, size: int) -> None:
        self.weights, self.size = weights, size

    def _read(self, X: np.ndarray) -> Any:
        import keras

        X = X if X.ndim == 4 else np.repeat(X[..., None], 3, axis=-1)
        X = keras.ops.image.resize(X.astype(np.float32), (self.size, self.size))
        return keras.applications.vgg16.preprocess_input(np.array(X))

    def fit(self, X: np.ndarray, y: np.ndarray) -> PlainKeras:
        """Train the head for 20 epochs, and everything for 10."""
        import keras

        keras.utils.set_random_seed(0)
        shape = (self.size, self.size, 3)
        base = keras.applications.VGG16(include_top=False, weights=self.weights, input_shape=shape)
        base.trainable = False
        inputs = keras.Input(shape)
        tensor = keras.layers.GlobalAveragePooling2D()(base(inputs, training=False))
        tensor = keras.layers.Dropout(0.2)(tensor)
        n_classes = int(y.max()) + 1
        self.model = keras.Model(inputs, keras.layers.Dense(n_classes)(tensor))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        images = self._read(X)
        for rate, epochs in ((1e-3, 20), (1e-5, 10)):
            self.model.compile(keras.optimizers.Adam(rate), loss)
            self.model.fit(images, y, batch_size=32, epochs=epochs, verbose=0)
            base.trainable = True
        return self

    def go_on(self, X: np.ndarray, y: np.ndarray) -> None:
        """Train everything for one epoch more."""
        self.model.fit(self._read(X), y, batch_size=32, verbose=0)

    def score(self, X: np.ndarray, y: np.ndarray) -> float:
        """Return the accuracy."""
        outputs = self.model.predict(self._read(X), verbose=0)
        return float(np.mean(outputs.argmax(axis=1) == y))


WAYS: dict[str, Callable[[Path, int], Any]] = {
    "logistic": probe,
    "head, 1st": partial(tuned, **FORMER),
    "head": tuned,
    "block5, 1st": partial(tuned, unfreeze="block5", **FORMER),
    "block5": partial(tuned, unfreeze="block5"),
    **{
        way: partial(tuned, unfreeze="block5", trunk_learning_rate=rate)
        for way, rate in FIXED.items()
    },
    "block3_pool": partial(tuned, layer="block3_pool"),
    "Keras": PlainKeras,
}
LONGER = "Keras, longer"
#: Epochs of Keras' guide, and the most with those that come after it.
GUIDE, AT_MOST = 30, 120
#: Size of images on which that is run, and size of images of which there are few.
SMALLEST, LARGEST = 32, 224


# -- running


def run(way: str, weights: Path, size: int, task: Task, k: int, draw: int, goal: float) -> Row:
    """Train one way on one draw of images, and score it on others; `goal` ends what goes on."""
    n_test = N_TEST if size < LARGEST else N_LARGE_TEST
    train, test = list(task.draws(draw + 1, n_test, most=k))[draw]
    _, y = np.unique(task.y, return_inverse=True)
    rows = train.ravel()
    model = PlainKeras(weights, size) if way == LONGER else WAYS[way](weights, size)
    start = time.process_time()
    model.fit(task.images[rows], y[rows])
    row = {
        "seconds": time.process_time() - start,
        "accuracy": model.score(task.images[test], y[test]),
        "images": len(rows),
        "tested": len(test),
    }
    if way == LONGER:
        row |= {"goal": goal, "epochs": GUIDE}
        while row["accuracy"] < goal and row["epochs"] < AT_MOST:
            start = time.process_time()
            model.go_on(task.images[rows], y[rows])
            row["seconds"] += time.process_time() - start
            row["accuracy"] = model.score(task.images[test], y[test])
            row["epochs"] += 1
    if way == "block5":
        tried = [each for each in model.history_ if each["phase"] == "trial"]
        row["trial"] = sum(each["seconds"] for each in tried) / sum(
            each["seconds"] for each in model.history_
        )
        row["rate"] = model.history_[-1]["trunk_learning_rate"]
    return row


def list_runs(mnist: Path, draws: int) -> Iterator[tuple[str, Callable[[], Task], int, int, int]]:
    """List what is to be run, the first draw of all sets before the second of any.

    What takes minutes comes last and once, or not at all: plain Keras, and the largest images.
    """
    cases = make_cases(mnist)
    for draw in range(draws):
        for make, size, k in cases:
            for way in WAYS:
                if way != "Keras" and (size < LARGEST or draw == 0):
                    yield way, make, size, k, draw
    for way, largest in (("Keras", LARGEST - 1), (LONGER, SMALLEST)):
        for make, size, k in cases:
            if size <= largest:
                yield way, make, size, k, 0


def summarise(runs: dict[str, Row]) -> dict[str, Row]:
    """Return the tables of accuracy, of seconds, of learning rates, and beside plain Keras."""
    cases: dict[str, dict[str, list[Row]]] = {}
    for name, row in runs.items():
        case, way, _ = name.split(" | ")
        cases.setdefault(case, {}).setdefault(way, []).append(row)
    accuracy, seconds, rates, keras = [], [], [], []
    ways = [way for way in WAYS if way not in FIXED]
    for case, by_way in cases.items():
        found = {way: by_way[way] for way in WAYS if way in by_way}
        n = next(iter(found.values()))[0]["images"]
        head = {"images": f"{case} ({n})", "draws": max(map(len, found.values()))}
        accuracy.append(head | {way: _show(found.get(way, []), "accuracy") for way in ways})
        chosen = [f"{row['rate']:.0e}" for row in by_way.get("block5", [])]
        rates.append(
            head
            | {way: _show(found.get(way, []), "accuracy") for way in (*FIXED, "block5")}
            | {"chosen": " ".join(chosen) or "-"}
        )
        seconds.append(
            head
            | {way: _show(found.get(way, []), "seconds") for way in ways}
            | {"trial": _show(by_way.get("block5", []), "trial")}
        )
        if "Keras" in by_way:
            of_keras: Row = {"images": head["images"]}
            for way in ("head", "block3_pool", "block5", "Keras", LONGER):
                first = by_way.get(way, [{}])[0]
                of_keras[way] = (
                    f"{first['accuracy']:.3f}, {first['seconds']:.1f} s" if first else "-"
                )
                if way == LONGER:
                    of_keras["epochs"] = _reached(first) if first else "-"
            keras.append(of_keras)
    titles = {
        "tuning-accuracy": accuracy,
        "tuning-seconds": seconds,
        "tuning-rates": rates,
        "tuning-keras": keras,
    }
    return {name: {"title": name, "rows": rows} for name, rows in titles.items()}


def _reached(row: Row) -> str:
    """Say after how many epochs Keras was as accurate as it should be."""
    return f"{row['epochs']}" if row["accuracy"] >= row["goal"] else f"not in {row['epochs']}"


def _show(rows: list[Row], key: str) -> str:
    """Lay out a mean, of accuracies with the spread over draws."""
    if not rows:
        return "-"
    values = [row[key] for row in rows]
    if key == "accuracy":
        spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
        return f"{np.mean(values):.3f}{spread}"
    return f"{np.mean(values):.2f}" if key == "trial" else f"{np.mean(values):.0f}"


def main() -> None:
    """Run what is missing, and keep it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, help="VGG16 with ImageNet's weights, without top")
    parser.add_argument("--mnist", type=Path, required=True, help="an .npz of its digits")
    parser.add_argument("--json", type=Path, required=True, help="a file to go on with")
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--threads", type=int, help="of TensorFlow; as many as cores by default")
    parser.add_argument("--only", default="", help="runs whose names contain this")
    args = parser.parse_args()
    warnings.simplefilter("ignore", ImageWarning)
    if args.threads:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(args.threads)
        tf.config.threading.set_inter_op_parallelism_threads(args.threads)
    host = describe_host()
    host.pop("torch", None)  # takes no part
    results = read_results(args.json, host)
    results.setdefault("processor", name_processor())
    runs = results.setdefault("runs", {})
    end = time.monotonic() + 60 * args.minutes
    tasks: dict[tuple[Callable[[], Task], int], Task] = {}
    for way, make, size, k, draw in list_runs(args.mnist, args.draws):
        key = (make, size)
        if key not in tasks:
            tasks[key] = make()
        task = tasks[key]
        name = f"{task.name}, {size} px, {k} a class | {way} | {draw}"
        if name in runs or args.only not in name:
            continue
        if time.monotonic() > end:
            print("out of time: run again to go on")
            return
        goal = runs[name.replace(LONGER, "block5")]["accuracy"] if way == LONGER else 1.0
        runs[name] = run(way, args.weights, size, task, k, draw, goal)
        runs[name] |= {
            "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
            "processor": name_processor(),
            "threads": args.threads or host["cores"],
        }
        print(name, json.dumps(runs[name]), flush=True)
        results["parts"] = summarise(runs)
        write_results(args.json, results)


if __name__ == "__main__":
    main()
