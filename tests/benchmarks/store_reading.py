"""Rows read from a feature store against ``np.load`` of the same array, interleaved, both warm."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from sktransfer import FeatureStore


def main() -> None:
    """Print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-images", type=int, default=8200)
    parser.add_argument("--width", type=int, default=25088, help="features per image")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()

    rows = np.random.default_rng(0).random((args.n_images, args.width), dtype=np.float32)
    images = [i.to_bytes(16, "little") for i in range(args.n_images)]
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "rows.npy", rows)
        store = FeatureStore(Path(folder) / "store")
        start = time.perf_counter()
        with store.open() as use:
            for first in range(0, args.n_images, 64):
                some = slice(first, first + 64)
                use.write("recipe", images[some], rows[some])
        print(f"writing: {time.perf_counter() - start:.2f} s")

        def load() -> np.ndarray:
            return np.load(Path(folder) / "rows.npy")

        def read() -> np.ndarray:
            out = np.empty_like(rows)
            with store.open() as use:
                for first in range(0, args.n_images, 64):
                    some = slice(first, first + 64)
                    assert use.read("recipe", images[some], out[some]).all()
            return out

        seconds: dict[Callable[[], np.ndarray], list[float]] = {load: [], read: []}
        for _ in range(args.repeats + 1):
            for way, times in seconds.items():
                start = time.perf_counter()
                result = way()
                times.append(time.perf_counter() - start)
                np.testing.assert_array_equal(result, rows)
                del result
    plain, stored = (statistics.median(times[1:]) for times in seconds.values())
    print(f"np.load: {plain:.3f} s, FeatureStore: {stored:.3f} s, ratio {stored / plain:.2f}")


if __name__ == "__main__":
    main()
