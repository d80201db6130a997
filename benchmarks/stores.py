"""The feature store by itself: how fast it reads, and what survives of killed writers."""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

import numpy as np
from measuring import Options, Row, clock, median, take_turns

from sktransfer import FeatureStore

_WIDTH = 25_088


def measure_reading(options: Options) -> list[Row]:
    """Measure reading rows of 25,088 features against `np.load` of the same array, both warm."""
    n_images = options.few(8200, 200)
    rows = np.random.default_rng(0).random((n_images, _WIDTH), dtype=np.float32)
    images = [i.to_bytes(16, "little") for i in range(n_images)]
    chunks = [slice(first, first + 64) for first in range(0, n_images, 64)]
    with tempfile.TemporaryDirectory() as folder:
        store, plain = FeatureStore(Path(folder) / "store"), Path(folder) / "rows.npy"
        np.save(plain, rows)

        def write() -> None:
            with store.open() as use:
                for some in chunks:
                    use.write("recipe", images[some], rows[some])

        def read() -> np.ndarray:
            out = np.empty_like(rows)
            with store.open() as use:
                for some in chunks:
                    assert use.read("recipe", images[some], out[some]).all()
            return out

        written = clock(write)
        np.testing.assert_array_equal(read(), rows)
        seconds = take_turns({"np.load": lambda: np.load(plain), "store": read}, options.rounds)
    return [
        {
            "rows": n_images,
            "mb": rows.nbytes / 1e6,
            "np_load_s": median(seconds["np.load"]),
            "store_s": median(seconds["store"]),
            "store_over_np_load": median(seconds["store"] / seconds["np.load"]),
            "writing_s": written,
        }
    ]


def kill_writers(options: Options) -> list[Row]:
    """Kill pairs of writing processes at random moments; after each, every row must be right.

    It ends with an error at the first row that is wrong and the first database that is damaged.
    """
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from tests.faults import store

    n_pairs = options.few(250, 4)
    with tempfile.TemporaryDirectory() as folder:
        n_rows = store.kill_writers(Path(folder), 2 * n_pairs, random.Random(0))
    return [{"pairs_killed": n_pairs, "rows_read_after_it": n_rows}]
