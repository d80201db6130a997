"""Peak memory of one transform against the number of images, each in a process of its own.

The images are random, 28 x 28 and 8-bit, as MNIST's digits are: what they show costs no memory.
The bound that docs/promises.md gives is that of the column "over it" with 2,000 images.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import resource
import time

import numpy as np

MIB = 1 << 20


def measure(
    n_images: int, layer: str, pooling: str | None, input_size: int, engine: str
) -> tuple[float, ...]:
    """Return seconds, peak resident memory of the process, and size of the output, in MiB."""
    from sktransfer import VGGFeatureExtractor

    images = np.random.default_rng(0).integers(0, 256, (n_images, 28, 28), dtype=np.uint8)
    extractor = VGGFeatureExtractor(
        layer,
        pooling=pooling,
        input_size=input_size,
        weights=None,
        random_state=0,
        engine=engine,
    )
    start = time.perf_counter()
    features = extractor.fit_transform(images)
    seconds = time.perf_counter() - start
    # Linux gives KiB.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return seconds, peak, features.nbytes / MIB


def main() -> None:
    """Print a row for each number of images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-images", type=int, nargs="+", default=[250, 500, 1000, 2000])
    parser.add_argument("--layer", default="block3_pool")
    parser.add_argument("--pooling", choices=["avg", "max", "none"], default="avg")
    parser.add_argument("--input-size", type=int, default=224)
    parser.add_argument("--engines", nargs="+", default=["keras", "openvino", "ncnn"])
    args = parser.parse_args()
    pooling = None if args.pooling == "none" else args.pooling

    print("engine    images  seconds  peak, MiB  output, MiB  over it, MiB  resized, MiB")
    for engine, n in itertools.product(args.engines, args.n_images):
        # A fresh process: peak memory never falls again in one.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, peak, output = pool.apply(
                measure, (n, args.layer, pooling, args.input_size, engine)
            )
        resized = n * args.input_size**2 * 3 * 4 / MIB
        print(
            f"{engine:8}  {n:6}  {seconds:7.1f}  {peak:9.0f}  {output:11.1f}  "
            f"{peak - output:12.0f}  {resized:12.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
