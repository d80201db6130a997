"""Images per second of every engine and precision beside other frameworks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import frameworks
import numpy as np
from measuring import Options, Row, clock, median, take_turns

from sktransfer import VGGFeatureExtractor
from sktransfer.engines import ready
from sktransfer.engines.choice import PRECISIONS_OF, is_installed
from sktransfer.engines.processor import has_instructions
from sktransfer.features.fitted import get_runner
from sktransfer.features.preprocessing import Resizing, preprocess, to_255
from sktransfer.networks import Cut, plan_cut

COMBINATIONS = [
    (engine, precision)
    for engine, precisions in PRECISIONS_OF.items()
    for precision in precisions
    if precision != "float16"  # slow on processors
]
_BATCHES = (1, 8, 32, 128, 512)


def possible(combinations: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Keep the engines and precisions that are installed and that this processor computes in."""
    return [(e, p) for e, p in combinations if is_installed(e) and has_instructions(p)]


def measure_engines(size: int, options: Options) -> list[Row]:
    """Measure VGG16 up to flatten, random weights; the reference is Keras' `predict`.

    Every other framework runs at the batch size at which it is fastest here. "transform" is the
    whole extractor with `cache=None` on images of 28 x 28 pixels, resizing and all, and "one" is
    one such image, against a bare call of the same compiled network.
    """
    combinations = possible(COMBINATIONS)
    ready.MAX_ENGINES = len(combinations)  # none is built anew while others are timed
    cut = plan_cut("flatten", input_size=size)
    n_images = options.few(16 if size > 112 else 512, 2)
    images = np.random.default_rng(0).integers(0, 256, (n_images, 28, 28), dtype=np.uint8)
    resizing = Resizing(size, "stretch", "bilinear", False)
    inputs = preprocess(to_255(images[..., None], (0.0, 255.0)), resizing)

    runs: dict[tuple[str, str, str], Callable[[], object]] = {}
    for name, precision, run in _others(cut):
        runs[name, precision, "engine"] = _fastest(run, inputs)
    for name, precision in combinations:
        extractor = VGGFeatureExtractor(
            input_size=size,
            weights=None,
            random_state=0,
            cache=None,
            engine=name,
            precision=precision,
            calibration=images[:16],
        ).fit(images)
        engine = get_runner(extractor).get_engine()
        out = np.empty((n_images, cut.n_features), np.float32)
        runs[name, precision, "engine"] = partial(engine, inputs, [out])
        runs[name, precision, "transform"] = partial(extractor.transform, images)
        runs[name, precision, "bare"] = partial(engine, inputs[:1], [out[:1]])
        runs[name, precision, "one"] = partial(extractor.transform, images[:1])

    seconds = take_turns(runs, options.rounds)
    reference = seconds["Keras predict", "float32", "engine"]
    rows = []
    for name, precision, what in runs:
        if what != "engine":
            continue
        own = seconds[name, precision, "engine"]
        row: Row = {
            "engine": name,
            "precision": precision,
            "images_per_s": n_images / median(own),
            "x_keras_predict": median(reference / own),
            "transform_over_engine": None,
            "one_image_ms": None,
            "one_over_bare_call": None,
        }
        if (name, precision) in combinations:
            one = seconds[name, precision, "one"]
            whole = seconds[name, precision, "transform"]
            row["transform_over_engine"] = median(whole / own)
            row["one_image_ms"] = median(one) * 1000
            row["one_over_bare_call"] = median(one / seconds[name, precision, "bare"])
        rows.append(row)
    return rows


def _others(cut: Cut) -> list[tuple[str, str, frameworks.Run]]:
    others = [("Keras predict", "float32", frameworks.keras_predict(cut))]
    if is_installed("torch"):
        others += [
            ("PyTorch", precision, frameworks.torch_run(cut, precision))
            for precision in ("float32", "bfloat16")
            if has_instructions(precision)
        ]
    if is_installed("onnxruntime") and is_installed("onnx"):
        others.append(("ONNX Runtime", "float32", frameworks.onnx_run(cut)))
    return others


def _fastest(run: frameworks.Run, inputs: np.ndarray) -> Callable[[], object]:
    ways = [partial(run, inputs, n) for n in _BATCHES if n <= len(inputs)]
    for way in ways:
        way()
    return min(ways, key=clock)


def measure_layers(options: Options) -> list[Row]:
    """Measure where operations and time go at 224 px: shares of the whole, up to each layer."""
    names = ["block1_conv1", *(f"block{block}_pool" for block in range(1, 6))]
    combinations = possible([("ncnn", "float32"), ("openvino", "bfloat16"), ("openvino", "int8")])
    ready.MAX_ENGINES = len(names) * len(combinations)
    n_images = options.few(8, 1)
    images = np.random.default_rng(0).integers(0, 256, (n_images, 28, 28), dtype=np.uint8)
    runs = {}
    for engine, precision in combinations:
        for name in names:
            extractor = VGGFeatureExtractor(
                name,
                pooling="avg",  # a large map would take its time to come out
                weights=None,
                random_state=0,
                cache=None,
                engine=engine,
                precision=precision,
                calibration=images,
            ).fit(images)
            runs[engine, precision, name] = partial(extractor.transform, images)
    seconds = take_turns(runs, options.rounds)
    total = sum(layer.multiply_adds for layer in plan_cut(names[-1]).trunk)
    rows = []
    for name in names:
        n_operations = sum(layer.multiply_adds for layer in plan_cut(name).trunk)
        shares = {
            f"time_{engine}_{precision}": median(
                seconds[engine, precision, name] / seconds[engine, precision, names[-1]]
            )
            for engine, precision in combinations
        }
        rows.append({"up_to": name, "multiply_adds": n_operations / total, **shares})
    return rows
