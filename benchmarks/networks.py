"""Networks other than VGG: this library beside Keras' `predict`, PyTorch and ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from measuring import Options, Row, clock, median, relative_error, take_turns

from sktransfer import ImageFeatureExtractor, export_onnx
from sktransfer.engines.choice import is_installed
from sktransfer.engines.processor import has_instructions
from sktransfer.features.fitted import get_runner
from sktransfer.features.preprocessing import centre

_WAYS = (
    ("keras", "float32"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("openvino", "int8"),
)
_BATCHES = (1, 8, 16)
#: What timm calls the same network.
_IN_TIMM = {
    "ResNet50": "resnet50",
    "MobileNetV2": "mobilenetv2_100",
    "EfficientNetV2B0": "tf_efficientnetv2_b0",
    "ConvNeXtTiny": "convnext_tiny",
}


def measure_network(name: str, options: Options) -> list[Row]:
    """Measure embeddings at 224 pixels, random weights, beside the frameworks' own calls.

    All get the same preprocessed images. The others, in float32, take them in the batches at which
    they are fastest here: Keras' `predict`, ONNX Runtime, which runs what `export_onnx` writes, and
    PyTorch, which runs timm's network of this name. Errors are relative to the network's own
    framework. int8 is calibrated on other images of the same kind, random pixels.
    """
    size = options.few(224, 64)
    shape = (options.few(16, 2), size, size, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
    images = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    ours: dict[tuple[str, str], Callable[[], Any]] = {}
    found: dict[tuple[str, str], np.ndarray] = {}
    for engine, precision in _WAYS:
        is_there = is_installed(engine) and has_instructions(precision)
        if not is_there or (engine == "keras" and name.startswith("timm/")):
            continue
        extractor = ImageFeatureExtractor(
            name,
            weights=None,
            input_size=size,
            engine=engine,
            precision=precision,
            calibration=images if precision == "int8" else None,
            cache=None,
            random_state=0,
        ).fit(images)
        runner = get_runner(extractor)
        inputs = centre(pixels, runner.scaling)
        out = np.empty((len(inputs), extractor.n_features_out_), np.float32)
        found[engine, precision] = out
        ours[engine, precision] = partial(runner.run, inputs, out)
    width = extractor.n_features_out_
    megabytes = 4e-6 * sum(layer.n_parameters for layer in runner.cut.trunk)
    reference, others = _others(name, extractor, images, inputs)
    seconds = take_turns(ours | others, options.rounds)
    fastest = min(others, key=lambda way: median(seconds[way]))
    return [
        {
            "network": name,
            "width": width,
            "megabytes": megabytes,
            "engine": engine,
            "precision": precision,
            "images_per_s": len(inputs) / median(seconds[engine, precision]),
            "x_fastest_other": median(seconds[fastest] / seconds[engine, precision]),
            "relative_error": relative_error(found[way], reference)
            if (way := (engine, precision)) in found
            else None,
        }
        for engine, precision in ours | others
    ]


def _others(
    name: str, extractor: ImageFeatureExtractor, images: np.ndarray, inputs: np.ndarray
) -> tuple[np.ndarray, dict[tuple[str, str], Callable[[], Any]]]:
    """Return the features by the network's own framework, and other ways to compute them."""
    runs: dict[str, Callable[[np.ndarray, int], Any]] = {}
    if name.startswith("timm/"):
        exact = {"precision": "float32", "calibration": None}
        own = extractor.set_params(engine="torch", **exact).fit(images)
        reference = np.empty((len(inputs), own.n_features_out_), np.float32)
        get_runner(own).run(inputs, reference)
    else:
        model = extractor.to_keras()
        runs["Keras predict"] = partial(_predict, model)
        reference = _predict(model, inputs, 8)
        extractor = ImageFeatureExtractor(model, preprocessing={"scale": 1.0}, cache=None)
    if is_installed("onnxruntime") and is_installed("onnx"):
        with TemporaryDirectory() as folder:
            session = _export(extractor.fit(images), Path(folder) / "network.onnx")
        runs["ONNX Runtime"] = partial(_run, session)
    if is_installed("timm"):
        runs["PyTorch"] = partial(_forward, _create(_IN_TIMM.get(name, name.removeprefix("timm/"))))
    return reference, {(way, "float32"): _fastest(run, inputs) for way, run in runs.items()}


def _create(name: str) -> Any:
    import timm

    return timm.create_model(name, num_classes=0).eval()


def _forward(module: Any, inputs: np.ndarray, batch: int) -> None:
    import torch

    images = torch.from_numpy(inputs).permute(0, 3, 1, 2)  # channels last, the faster layout
    with torch.inference_mode():
        for start in range(0, len(images), batch):
            module(images[start : start + batch])


def _fastest(run: Callable[[np.ndarray, int], Any], inputs: np.ndarray) -> Callable[[], Any]:
    """Return the run at the batch size at which it takes least time, each tried after one run."""
    times = {}
    for batch in _BATCHES:
        run(inputs[:batch], batch)
        times[batch] = clock(partial(run, inputs, batch))
    return partial(run, inputs, min(times, key=lambda batch: times[batch]))


def _predict(model: Any, inputs: np.ndarray, batch: int) -> np.ndarray:
    return model.predict(inputs, batch_size=batch, verbose=0)


def _export(extractor: ImageFeatureExtractor, path: Path) -> Any:
    import onnxruntime

    export_onnx(extractor, path)
    return onnxruntime.InferenceSession(path)


def _run(session: Any, inputs: np.ndarray, batch: int) -> None:
    (images,) = session.get_inputs()
    for start in range(0, len(inputs), batch):
        session.run(None, {images.name: inputs[start : start + batch]})
