"""Networks of keras.applications: this library beside Keras' `predict` and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from measuring import Options, Row, clock, median, take_turns

from sktransfer import ImageFeatureExtractor, export_onnx
from sktransfer.engines.choice import is_installed
from sktransfer.engines.processor import has_instructions
from sktransfer.features.fitted import get_runner
from sktransfer.features.preprocessing import centre
from sktransfer.networks.applications import find_application

_WAYS = (
    ("keras", "float32"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("openvino", "int8"),
)
_BATCHES = (1, 8, 32)


def measure_network(name: str, options: Options) -> list[Row]:
    """Measure embeddings at 224 pixels, random weights; the reference is Keras' `predict`.

    All get the same preprocessed images. `predict` and ONNX Runtime, which runs what `export_onnx`
    writes, take them in the batches at which they are fastest here. int8 is calibrated on other
    images of the same kind, random pixels.
    """
    size = options.few(224, 64)
    shape = (options.few(16, 2), size, size, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    others = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    inputs = centre(pixels, find_application(name, "the benchmark").scaling)
    runs: dict[tuple[str, str], Callable[[], Any]] = {}
    found: dict[tuple[str, str], np.ndarray] = {}
    for engine, precision in _WAYS:
        if not (is_installed(engine) and has_instructions(precision)):
            continue
        extractor = ImageFeatureExtractor(
            name,
            weights=None,
            input_size=size,
            engine=engine,
            precision=precision,
            calibration=others if precision == "int8" else None,
            cache=None,
            random_state=0,
        ).fit(others)
        out = np.empty((len(inputs), extractor.n_features_out_), np.float32)
        found[engine, precision] = out
        runs[engine, precision] = partial(get_runner(extractor).run, inputs, out)
    model = extractor.to_keras()
    runs["Keras predict", "float32"] = _fastest(partial(_predict, model), inputs)
    with TemporaryDirectory() as folder:
        if is_installed("onnxruntime"):
            session = _export(model, others, Path(folder) / "network.onnx")
            runs["ONNX Runtime", "float32"] = _fastest(partial(_run, session), inputs)
        seconds = take_turns(runs, options.rounds)
    reference = _predict(model, inputs, 8)
    return [
        {
            "network": name,
            "engine": engine,
            "precision": precision,
            "images_per_s": len(inputs) / median(seconds[engine, precision]),
            "x_keras_predict": median(
                seconds["Keras predict", "float32"] / seconds[engine, precision]
            ),
            "relative_error": float(np.linalg.norm(found[way] - reference))
            / float(np.linalg.norm(reference))
            if (way := (engine, precision)) in found
            else None,
        }
        for engine, precision in runs
    ]


def _fastest(run: Callable[[np.ndarray, int], Any], inputs: np.ndarray) -> Callable[[], Any]:
    """Return the run at the batch size at which it takes least time, each tried after one run."""
    times = {}
    for batch in _BATCHES:
        run(inputs[:batch], batch)
        times[batch] = clock(partial(run, inputs, batch))
    return partial(run, inputs, min(times, key=lambda batch: times[batch]))


def _predict(model: Any, inputs: np.ndarray, batch: int) -> np.ndarray:
    return model.predict(inputs, batch_size=batch, verbose=0)


def _export(model: Any, images: np.ndarray, path: Path) -> Any:
    """Export a model that takes pixels as they are."""
    import onnxruntime

    extractor = ImageFeatureExtractor(model, preprocessing={"scale": 1.0}, cache=None)
    export_onnx(extractor.fit(images), path)
    return onnxruntime.InferenceSession(path)


def _run(session: Any, inputs: np.ndarray, batch: int) -> None:
    name = session.get_inputs()[0].name
    for start in range(0, len(inputs), batch):
        session.run(None, {name: inputs[start : start + batch]})
