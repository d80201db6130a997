"""One image at a time: what each engine takes for it, beside one image of many."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from measuring import Options, Row

from sktransfer import VGGFeatureExtractor
from sktransfer.engines.ncnn import NcnnEngine
from sktransfer.engines.openvino import OpenVINOEngine
from sktransfer.networks import plan_cut
from sktransfer.weights import load_weights

_SIZES = (32, 64)
_LAYERS = ("block1_pool", "block2_pool", "block3_pool", "block4_pool", "flatten")
_N_IMAGES = 16


def measure_single(options: Options) -> list[Row]:
    """Measure one image in ncnn and OpenVINO, float32, in milliseconds of processor time.

    "ncnn" and "openvino" are one call of the engine for one image, "of_16" what one of 16 takes.
    "batch" is OpenVINO's call for one image in its batch of 16 or 8, as before it had a shape for
    one. "transform" is the whole `transform` of one image with `engine="openvino"` and no store.
    Each is the least of several calls: other programs on the machine only add to it.
    """
    layers = _LAYERS[:1] if options.is_quick else _LAYERS
    return [_measure(size, layer, options) for size in _SIZES for layer in layers]


def _measure(size: int, layer: str, options: Options) -> Row:
    cut = plan_cut(layer, "vgg16", None, size, who="single")
    weights = load_weights(None, cut, 0, who="single")
    images = np.random.default_rng(0).uniform(-110, 145, (_N_IMAGES, size, size, 3))
    images = images.astype(np.float32)
    out = np.empty((_N_IMAGES, cut.n_features), np.float32)
    row: Row = {"size": size, "layer": layer}
    ncnn = NcnnEngine(cut, weights)
    openvino = OpenVINOEngine(cut, weights, "float32", None)
    for name, engine in (("ncnn", ncnn), ("openvino", openvino)):
        row[name] = _least(lambda engine=engine: engine(images[:1], [out[:1]]), options)
        many = _least(lambda engine=engine: engine(images, [out]), options)
        row[f"{name}_of_16"] = many / _N_IMAGES
    openvino._single = False
    row["batch"] = _least(lambda: openvino(images[:1], [out[:1]]), options)
    pixels = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    extractor = VGGFeatureExtractor(
        layer, weights=None, random_state=0, input_size=size, engine="openvino", cache=None
    ).fit(pixels)
    row["transform"] = _least(lambda: extractor.transform(pixels), options)
    return {
        key: round(value, 2) if isinstance(value, float) else value for key, value in row.items()
    }


def _least(run: Callable[[], object], options: Options) -> float:
    """Return the least processor time of a call, in milliseconds."""
    run()
    times = []
    for _ in range(options.few(4 * options.rounds, 1)):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return 1e3 * min(times)
