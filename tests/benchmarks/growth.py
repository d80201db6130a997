"""Images per second as their number and size grow, a restart with a kept store, peak memory.

    python tests/benchmarks/growth.py [--numbers 100 1000 8200] [--sizes 32 64 128 224]

VGG16 up to block3_pool, averaged, with random weights, each case in a process of its own: the time
of its first `transform`. "kept" is that of a second process, which finds all rows in the store of
the first.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile

_RUN = """
import resource, sys, time
import numpy as np
from sktransfer import VGGFeatureExtractor
n_images, size, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
images = np.random.default_rng(0).integers(0, 256, (n_images, 28, 28), dtype=np.uint8)
extractor = VGGFeatureExtractor(
    "block3_pool", pooling="avg", input_size=size, weights=None, random_state=0, cache=folder
).fit(images)
start = time.perf_counter()
extractor.transform(images)
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(seconds, peak, extractor.engine_)
"""


def _run(n_images: int, size: int, folder: str) -> tuple[float, int, str]:
    run = subprocess.run(
        [sys.executable, "-c", _RUN, str(n_images), str(size), folder],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    seconds, peak, engine = run.stdout.split()
    return float(seconds), int(peak), engine


def main() -> None:
    """Print a row for each number and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--numbers", type=int, nargs="+", default=[100, 1000, 8200])
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64, 128, 224])
    args = parser.parse_args()

    print("images  size  engine    seconds  images/s  peak, MiB  kept, s  kept, images/s")
    cases = [(n, args.sizes[0]) for n in args.numbers]
    cases += [(min(args.numbers), size) for size in args.sizes[1:]]
    for n_images, size in cases:
        with tempfile.TemporaryDirectory() as folder:
            seconds, peak, engine = _run(n_images, size, folder)
            kept, _, _ = _run(n_images, size, folder)
        print(
            f"{n_images:6}  {size:4}  {engine:8}  {seconds:7.1f}  {n_images / seconds:8.0f}  "
            f"{peak:9}  {kept:7.2f}  {n_images / kept:14.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
