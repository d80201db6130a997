"""Fine-tuning against the plain Keras way, which runs the whole network in every epoch.

``python benchmarks/finetuning.py`` trains the same network on the same images with the same
optimizer, batches and epochs: once by ``model.fit`` with the lower layers frozen, and once by
VGGClassifier, building and compiling included. Nothing is found in a store. Processor seconds
say more than those of the clock where other work runs beside it.

``python benchmarks/finetuning.py --memory`` measures the peak memory of processes that train
block 4 on ever more images.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from measuring import run_python

from sktransfer import VGGClassifier
from sktransfer.features.preprocessing import Resizing, preprocess
from sktransfer.networks import build, plan_cut
from sktransfer.weights import draw_weights


def plain(X: np.ndarray, y: np.ndarray, unfreeze: str | None, arguments: Any) -> None:
    """Train a head, and block 5 where it is unfrozen, through the whole network."""
    resizing = Resizing(arguments.size, "stretch", "bilinear", False)
    inputs = preprocess(X[..., None].astype(np.float32), resizing)
    cut = plan_cut("flatten", input_size=arguments.size)
    network = build(cut)
    for name, arrays in draw_weights(cut, 0).items():
        layer = network.get_layer(name)
        layer.set_weights(list(arrays))
        layer.trainable = unfreeze is not None and name.startswith("block5")
    outputs = keras.layers.Dense(2, activation="softmax")(network.outputs[0])
    model = keras.Model(network.input, outputs)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(inputs, y, batch_size=32, epochs=arguments.epochs, verbose=0)


def ours(X: np.ndarray, y: np.ndarray, unfreeze: str | None, arguments: Any) -> None:
    """Train the same by VGGClassifier, with no phase for the head alone."""
    VGGClassifier(
        "flatten",
        unfreeze=unfreeze,
        weights=None,
        input_size=arguments.size,
        epochs=arguments.epochs,
        head_epochs=0,
        trunk_learning_rate=1e-5,
        cache=None,
        random_state=0,
    ).fit(X, y)


_FIT = r"""
import json, re, sys
from pathlib import Path
import numpy as np
from sktransfer import VGGClassifier
n_images = int(sys.argv[1])
rng = np.random.default_rng(0)
X = rng.integers(0, 256, (n_images, 32, 32), dtype=np.uint8)
y = rng.integers(0, 2, n_images)
classifier = VGGClassifier(
    "block4_pool",
    pooling="avg",
    unfreeze="block4",
    weights=None,
    input_size=32,
    epochs=1,
    head_epochs=0,
    trunk_learning_rate=1e-5,
    cache=None,
    random_state=0,
)
classifier.fit(X, y)
# Not getrusage, whose peak a process inherits from the one that started it.
status = Path("/proc/self/status").read_text()
print(round(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024))
"""


def measure_memory() -> None:
    """Print peak memory by number of images, beside the rows that wait between epochs."""
    print("images  rows of block3_pool, MiB  peak, MiB")
    for n_images in (1000, 4000, 16000):
        peak = run_python(_FIT, n_images)
        print(f"{n_images:6}  {n_images * 4 * 4 * 256 * 4 / 2**20:24.0f}  {peak:9}", flush=True)


def measure(train: Callable[..., None], *arguments: Any) -> tuple[float, float]:
    """Return seconds of the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    train(*arguments)
    return time.perf_counter() - clock, time.process_time() - processor


def main() -> None:
    """Print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--memory", action="store_true")
    arguments = parser.parse_args()
    if arguments.memory:
        measure_memory()
        return
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (arguments.images, 64, 64), dtype=np.uint8)
    y = rng.integers(0, 2, arguments.images)
    for train in (plain, ours):  # what a process pays once is not measured
        train(X[:32], y[:32], "block5_conv1", argparse.Namespace(size=32, epochs=1))
    print(f"{arguments.images} images at {arguments.size} px, {arguments.epochs} epochs, VGG16")
    print("trained             seconds of    plain Keras  sktransfer  ratio")
    for unfreeze in ("block5_conv1", None):
        seconds: dict[Any, list[tuple[float, float]]] = {plain: [], ours: []}
        for _ in range(arguments.rounds):
            for train, times in seconds.items():
                times.append(measure(train, X, y, unfreeze, arguments))
        for kind, name in enumerate(("the clock", "the processor")):
            whole, once = (
                statistics.median(pair[kind] for pair in times) for times in seconds.values()
            )
            trained = f"head and {unfreeze[:6]}" if unfreeze else "head"
            print(
                f"{trained:18}  {name:13} {whole:11.1f}  {once:10.1f}  {once / whole:5.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
