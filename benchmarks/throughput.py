"""Files to features: whether decoding keeps up with the engine."""

from __future__ import annotations

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from measuring import Options, Row, median, take_turns
from PIL import Image
from sklearn.datasets import load_sample_images
from speed import possible

from sktransfer import VGGFeatureExtractor, extract
from sktransfer.engines import ready
from sktransfer.features.fitted import get_runner, read_fitted
from sktransfer.networks import plan_cut

#: Kinds of files: a digit of MNIST's size, and a photograph of the usual size in ImageNet.
KINDS = ("PNG 28 x 28", "JPEG 500 x 375")
_LAYER = "block5_pool"


def write_files(kind: str, folder: Path, n_images: int) -> list[str]:
    """Write image files of a kind, all different, and return their paths."""
    rng = np.random.default_rng(0)
    photographs = [Image.fromarray(each) for each in load_sample_images().images]
    paths = []
    for i in range(n_images):
        path = folder / f"{i:06d}.{kind[:3].lower().replace('jpe', 'jpg')}"
        if kind.startswith("PNG"):
            Image.fromarray(rng.integers(0, 256, (28, 28), dtype=np.uint8)).save(path)
        else:
            left, top = rng.integers(0, 40, 2)
            crop = photographs[i % 2].crop((left, top, left + 500, top + 375))
            crop.save(path, quality=90)
        paths.append(str(path))
    return paths


def measure_throughput(options: Options) -> list[Row]:
    """Measure `extract` from files to block5_pool, averaged, against its parts.

    "Engine" is the network alone on ready-made inputs, "decode" reading, decoding and resizing
    alone, each with all cores. Where both want the same cores, no more than 1 / (1 / engine +
    1 / decode) images can come out per second, which is "possible".
    """
    combinations = [("auto", "float32"), *possible([("openvino", "int8")])]
    ready.MAX_ENGINES = 2 * len(combinations)
    rows = []
    for size in (32, 224):
        n_images = options.few(2048 if size == 32 else 48, 8)
        for kind in KINDS:
            with tempfile.TemporaryDirectory() as folder:
                paths = write_files(kind, Path(folder), n_images)
                for engine, precision in combinations:
                    rows.append(_measure(paths, kind, size, engine, precision, options))
    return rows


def _measure(
    paths: list[str], kind: str, size: int, engine: str, precision: str, options: Options
) -> Row:
    extractor = VGGFeatureExtractor(
        _LAYER,
        pooling="avg",
        weights=None,
        random_state=0,
        input_size=size,
        engine=engine,
        precision=precision,
        cache=None,
    ).fit(paths[:16])
    cut = plan_cut(_LAYER, pooling="avg", input_size=size)
    images, _ = read_fitted(extractor, paths)
    runner = get_runner(extractor)
    load = partial(runner.load, [(images, range(len(paths)))], None)
    ((_, inputs),) = load()
    network = runner.get_engine()
    out = np.empty((len(paths), cut.n_features), np.float32)

    def decode() -> None:
        for _ in load():
            pass

    def run() -> None:
        folder = tempfile.mkdtemp()
        extract(paths, Path(folder, "features.npy"), extractor=extractor)
        shutil.rmtree(folder)

    runs = {"engine": partial(network, inputs, [out]), "decode": decode, "extract": run}
    seconds = take_turns(runs, options.rounds)
    possible_s = seconds["engine"] + seconds["decode"]
    return {
        "files": kind,
        "size": size,
        "engine": extractor.engine_,
        "precision": precision,
        "bytes_per_file": round(sum(map(os.path.getsize, paths)) / len(paths)),
        "engine_images_per_s": len(paths) / median(seconds["engine"]),
        "decode_images_per_s": len(paths) / median(seconds["decode"]),
        "extract_images_per_s": len(paths) / median(seconds["extract"]),
        "extract_over_engine": median(seconds["engine"] / seconds["extract"]),
        "extract_over_possible": median(possible_s / seconds["extract"]),
    }
