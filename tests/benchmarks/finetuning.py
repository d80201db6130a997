"""Fine-tuning against the plain Keras way, which runs the whole network in every epoch.

``python tests/benchmarks/finetuning.py`` trains the same network on the same images with the same
optimizer, batches and epochs: once by ``model.fit`` with the lower layers frozen, and once by
VGGClassifier, building and compiling included. Nothing is found in a store.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

from sktransfer import VGGClassifier
from sktransfer.networks import build, plan_cut
from sktransfer.preprocessing import Resizing, preprocess
from sktransfer.weights import draw_weights


def plain(X: np.ndarray, y: np.ndarray, unfreeze: str | None, arguments: Any) -> float:
    """Train a head, and block 5 where it is unfrozen, through the whole network."""
    start = time.perf_counter()
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
    return time.perf_counter() - start


def ours(X: np.ndarray, y: np.ndarray, unfreeze: str | None, arguments: Any) -> float:
    """Train the same by VGGClassifier, with no phase for the head alone."""
    start = time.perf_counter()
    VGGClassifier(
        "flatten",
        unfreeze=unfreeze,
        weights=None,
        input_size=arguments.size,
        epochs=arguments.epochs,
        head_epochs=0,
        cache=None,
        random_state=0,
    ).fit(X, y)
    return time.perf_counter() - start


def main() -> None:
    """Print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (arguments.images, 64, 64), dtype=np.uint8)
    y = rng.integers(0, 2, arguments.images)
    for train in (plain, ours):  # what a process pays once is not measured
        train(X[:32], y[:32], "block5_conv1", argparse.Namespace(size=32, epochs=1))
    print(f"{arguments.images} images at {arguments.size} px, {arguments.epochs} epochs, VGG16")
    print("trained             plain Keras, s  sktransfer, s  ratio")
    for unfreeze in ("block5_conv1", None):
        seconds: dict[Any, list[float]] = {plain: [], ours: []}
        for _ in range(arguments.rounds):
            for train, times in seconds.items():
                times.append(train(X, y, unfreeze, arguments))
        whole, once = (statistics.median(times) for times in seconds.values())
        name = f"head and {unfreeze[:6]}" if unfreeze else "head"
        print(f"{name:18}  {whole:14.1f}  {once:13.1f}  {once / whole:5.2f}", flush=True)


if __name__ == "__main__":
    main()
