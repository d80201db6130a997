"""What loading in all threads gains for `transform`, beside the same in one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from measuring import Options, Row, median, take_turns
from throughput import KINDS, write_files

from sktransfer import FeatureStore, VGGFeatureExtractor
from sktransfer.engines.processor import count_threads
from sktransfer.features import loading

_SIZE = 32
#: The shallower the cut, the more of the time is loading.
_LAYERS = ("block1_pool", "block3_pool", "block5_pool")


def measure_loading(options: Options) -> list[Row]:
    """Measure `transform` of files at 32 px, float32, with one loading thread and with all.

    The network has all threads in both. "cached" is with a store, empty at the beginning, which
    needs the digest of every image. Where all processors are busy, no more can come out per second.
    """
    n_images = options.few(256, 8)
    rows = []
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as folder:
            paths = write_files(kind, Path(folder), n_images)
            for layer in _LAYERS:
                for features in ("not cached", "cached"):
                    rows.append(_measure(paths, kind, layer, features, options))
    return rows


def _measure(paths: list[str], kind: str, layer: str, features: str, options: Options) -> Row:
    extractor = VGGFeatureExtractor(
        layer, pooling="avg", weights=None, random_state=0, input_size=_SIZE, cache=None
    ).fit(paths[:16])
    found = []

    def transform(n_threads: int) -> None:
        counted, loading.count_threads = loading.count_threads, lambda: n_threads
        try:
            with tempfile.TemporaryDirectory() as folder:
                extractor.set_params(cache=FeatureStore(folder) if features == "cached" else None)
                found.append(extractor.transform(paths))
        finally:
            loading.count_threads = counted

    runs: dict[str, Callable[[], object]] = {
        "one": partial(transform, 1),
        "all": partial(transform, count_threads()),
    }
    seconds = take_turns(runs, options.rounds)
    return {
        "files": kind,
        "layer": layer,
        "features": features,
        "engine": extractor.engine_,
        "threads": count_threads(),
        "one_thread_images_per_s": len(paths) / median(seconds["one"]),
        "images_per_s": len(paths) / median(seconds["all"]),
        "x_one_thread": median(seconds["one"] / seconds["all"]),
        "is_equal": all(np.array_equal(each, found[0]) for each in found),
    }
