"""Growth with the number and the size of images, restarts, and peak memory: fresh processes."""

from __future__ import annotations

import tempfile
from typing import Any

from measuring import Options, Row, run_python

from sktransfer.engines.choice import is_installed

_FIRST_TRANSFORM = r"""
import json, re, sys, time
from pathlib import Path
import numpy as np
from sktransfer import VGGFeatureExtractor
n_images, size, engine, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
images = np.random.default_rng(0).integers(0, 256, (n_images, 28, 28), dtype=np.uint8)
extractor = VGGFeatureExtractor(
    "block3_pool",
    pooling="avg",
    input_size=size,
    weights=None,
    random_state=0,
    engine=engine,
    cache=folder or None,
).fit(images)
start = time.perf_counter()
features = extractor.transform(images)
seconds = time.perf_counter() - start
# Not getrusage, whose peak a process inherits from the one that started it.
peak = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])
print(json.dumps([seconds, round(peak / 1024), features.nbytes / 2**20, extractor.engine_]))
"""


def _first_transform(n_images: int, size: int, engine: str = "auto", folder: str = "") -> Any:
    """Return seconds, peak memory and output in MiB, and the engine of a process of its own."""
    return run_python(_FIRST_TRANSFORM, n_images, size, engine, folder)


def measure_growth(options: Options) -> list[Row]:
    """Measure the first `transform` of a process to block3_pool, averaged, and of a second one.

    The first builds the network; the second, a restart, finds every row in the store of the first.
    """
    cases = [(100, 32), (1000, 32)]
    if not options.is_quick:
        cases += [(8200, 32), (100, 64), (100, 128), (100, 224)]
    rows = []
    for n_images, size in cases:
        with tempfile.TemporaryDirectory() as folder:
            seconds, _, _, engine = _first_transform(n_images, size, folder=folder)
            restarted, *_ = _first_transform(n_images, size, folder=folder)
        rows.append(
            {
                "images": n_images,
                "size": size,
                "engine": engine,
                "seconds": seconds,
                "images_per_s": n_images / seconds,
                "restart_s": restarted,
                "restart_images_per_s": n_images / restarted,
                "x_restart": seconds / restarted,
            }
        )
    return rows


def measure_memory(options: Options) -> list[Row]:
    """Measure peak memory to block3_pool, averaged, at 224 px: the whole process, in MiB.

    The images are random, 28 x 28 and 8-bit: what they show costs no memory. "resized" is what all
    of them would take as the network's input.
    """
    rows = []
    size = options.few(224, 32)
    for engine in filter(is_installed, ("keras", "openvino", "ncnn")):
        for n_images in (100, options.few(2000, 200)):
            _, peak, output, _ = _first_transform(n_images, size, engine)
            rows.append(
                {
                    "engine": engine,
                    "images": n_images,
                    "peak_mib": peak,
                    "output_mib": output,
                    "peak_without_output_mib": round(peak - output),
                    "resized_mib": round(n_images * size**2 * 3 * 4 / 2**20),
                }
            )
    return rows
