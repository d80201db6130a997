"""Images per second of every engine and precision, side by side in one interleaved run.

    python tests/benchmarks/engines.py [--rounds 5] [--sizes 224 32] [--json FILE] [--plot FILE]

VGG16 up to flatten with random weights, on ready-made inputs. The reference is Keras' `predict` at
the batch size at which it was fastest: what one gets without this library. "transform" is the whole
extractor with `cache=None` on images of 28 x 28 pixels, which includes resizing and all else. "one
image" compares the extractor with a bare call of the same compiled network. Ratios are medians of
the ratios within each round.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from sktransfer import VGGFeatureExtractor, engines
from sktransfer.engines import Arithmetic, get_engine
from sktransfer.engines.choice import is_installed
from sktransfer.networks import Cut, build, plan_cut
from sktransfer.preprocessing import Resizing, preprocess, to_255
from sktransfer.weights import draw_weights

COMBINATIONS = [
    ("keras", "float32"),
    ("keras", "bfloat16"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("openvino", "int8"),
    ("ncnn", "float32"),
]
# Images per round.
N_IMAGES = {32: 512, 64: 128, 80: 64, 96: 64, 112: 48, 224: 16}


def measure(size: int, n_rounds: int) -> dict[str, Any]:
    """Time everything in turn, several times over."""
    engines.MAX_ENGINES = len(COMBINATIONS)  # none is built anew while others are timed
    cut = plan_cut("flatten", input_size=size)
    n_images = N_IMAGES[size]
    images = np.random.default_rng(0).integers(0, 256, (n_images, 28, 28), dtype=np.uint8)
    resizing = Resizing(size, "stretch", "bilinear", False)
    inputs = preprocess(to_255(images[..., None], (0.0, 255.0)), resizing)
    runs: dict[str, Callable[[], object]] = {"Keras predict": _predict(cut, inputs)}
    if is_installed("torch"):
        runs["PyTorch, channels last"] = _torch(cut, inputs)
    one: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {}
    wholes = {}
    for name, precision in COMBINATIONS:
        extractor = VGGFeatureExtractor(
            input_size=size,
            weights=None,
            random_state=0,
            cache=None,
            engine=name,
            precision=precision,
            calibration=images[:16],
        ).fit(images)
        arithmetic = Arithmetic(name, precision, extractor._ranges)
        engine = get_engine(
            cut, extractor.weights_sha256_, arithmetic, extractor._load_fitted_weights
        )
        label = f"{name} {precision}"
        runs[label] = _bind(engine, inputs, np.empty((n_images, cut.n_features), np.float32))
        wholes[label] = f"transform, {label}"
        runs[wholes[label]] = lambda e=extractor: e.transform(images)
        bare = _bind(engine, inputs[:1], np.empty((1, cut.n_features), np.float32))
        one[label] = (lambda e=extractor: e.transform(images[:1]), bare)
    for run in runs.values():
        run()
    seconds = {label: [] for label in runs}
    singles = {label: [] for label in one}
    for _ in range(n_rounds):
        for label, run in runs.items():
            seconds[label].append(_time(run))
        for label, (whole, bare) in one.items():
            singles[label].append([_time(whole), _time(bare)])
    reference = np.array(seconds["Keras predict"])
    rows = []
    for label in runs:
        if label.startswith("transform"):
            continue
        own = np.array(seconds[label])
        row = {
            "engine": label,
            "images_per_second": n_images / float(np.median(own)),
            "times_keras_predict": float(np.median(reference / own)),
        }
        if label in wholes:
            whole = np.array(seconds[wholes[label]])
            single = np.array(singles[label])
            row["transform_over_engine"] = float(np.median(whole / own))
            row["one_image_ms"] = float(np.median(single[:, 0]) * 1000)
            row["one_image_over_bare_call"] = float(np.median(single[:, 0] / single[:, 1]))
        rows.append(row)
    return {"input_size": size, "n_images": n_images, "n_rounds": n_rounds, "rows": rows}


def _bind(engine: Any, inputs: np.ndarray, out: np.ndarray) -> Callable[[], object]:
    return lambda: engine(inputs, [out])


def _time(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _predict(cut: Cut, inputs: np.ndarray) -> Callable[[], object]:
    """Return Keras' `predict` at the batch size at which it is fastest here."""
    model = build(cut)
    for name, arrays in draw_weights(cut, 0).items():
        model.get_layer(name).set_weights(list(arrays))
    runs = [
        lambda n=n: model.predict(inputs, batch_size=n, verbose=0)
        for n in (1, 8, 32, 128, 512)
        if n <= len(inputs)
    ]
    for run in runs:
        run()
    return min(runs, key=_time)


def _torch(cut: Cut, inputs: np.ndarray) -> Callable[[], object]:
    import torch

    layers: list[Any] = []
    weights = draw_weights(cut, 0)
    for layer in cut.trunk[1:-1]:
        if layer.kind == "pool":
            layers.append(torch.nn.MaxPool2d(2))
            continue
        kernel, bias = weights[layer.name]
        conv = torch.nn.Conv2d(kernel.shape[2], kernel.shape[3], 3, padding=1)
        conv.weight.data = torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)))
        conv.bias.data = torch.from_numpy(bias)
        layers += [conv, torch.nn.ReLU(inplace=True)]
    model = torch.nn.Sequential(*layers).to(memory_format=torch.channels_last).eval()
    batch = torch.from_numpy(inputs).permute(0, 3, 1, 2)

    def run() -> object:
        with torch.inference_mode():
            return [model(part) for part in batch.split(8)]

    return run


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """Draw the speeds as multiples of Keras' `predict`, a panel for each size."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * len(results), 2.8), layout="constrained")
    panels = figure.subplots(1, len(results), sharey=True, squeeze=False)[0]
    for ax, result in zip(panels, results, strict=True):
        rows = result["rows"][::-1]
        labels = [row["engine"] for row in rows]
        values = [row["times_keras_predict"] for row in rows]
        bars = ax.barh(labels, values, color="#2a6f97")
        texts = [f"{row['images_per_second']:.0f} images/s" for row in rows]
        ax.bar_label(bars, texts, padding=3, fontsize=8)
        ax.axvline(1, color="0.4", linewidth=0.8)
        ax.set_xlim(0, max(values) * 1.35)
        ax.set_title(f"VGG16 to flatten, {result['input_size']} px", fontsize=10)
        ax.set_xlabel("speed, Keras' predict = 1")
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def describe_host() -> dict[str, Any]:
    """Name the processor and what computes on it."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = next(line for line in text.splitlines() if line.startswith("model name"))
    packages = ("tensorflow", "keras", "openvino", "ncnn", "torch", "numpy")
    return {
        "processor": model.partition(":")[2].strip(),
        "cores": text.count("processor\t"),
        "python": platform.python_version(),
        **{name: version(name) for name in packages if is_installed(name)},
    }


def main() -> None:
    """Measure, and print a table for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 32])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="a picture, by matplotlib")
    args = parser.parse_args()
    results = {"host": describe_host(), "sizes": []}
    print(", ".join(f"{key} {value}" for key, value in results["host"].items()))
    for size in args.sizes:
        result = measure(size, args.rounds)
        results["sizes"].append(result)
        print(f"\n{size} px, {result['n_images']} images, medians of {args.rounds} rounds")
        print(f"{'':24}{'img/s':>8}{'x Keras':>9}{'transform':>11}{'one, ms':>9}{'one / bare':>12}")
        for row in result["rows"]:
            extra = ""
            if "one_image_ms" in row:
                extra = (
                    f"{row['transform_over_engine']:11.2f}{row['one_image_ms']:9.1f}"
                    f"{row['one_image_over_bare_call']:12.2f}"
                )
            print(
                f"{row['engine']:24}{row['images_per_second']:8.1f}"
                f"{row['times_keras_predict']:9.2f}{extra}",
                flush=True,
            )
    if args.json:
        args.json.write_text(json.dumps(results, indent=2), encoding="utf-8")
    if args.plot:
        plot(results["sizes"], args.plot)


if __name__ == "__main__":
    main()
