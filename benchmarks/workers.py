"""A Dask cluster on this host: images per second by worker processes, and what a task costs."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measuring import Options, Row, clock, median
from throughput import KINDS, write_files

from sktransfer import VGGFeatureExtractor

_CASES = ((KINDS[0], 32), (KINDS[1], 224))
_LAYER = "block5_pool"


def measure_workers(options: Options) -> list[Row]:
    """Measure files to block5_pool, averaged, float32, by Dask workers of one thread each.

    Each worker decodes, computes and writes blocks of its own. "Task" is one that does nothing:
    what the scheduler and the connections take of it.
    """
    rows = []
    for kind, size in _CASES:
        n_images = options.few(4096 if size == 32 else 64, 16)
        with tempfile.TemporaryDirectory() as folder:
            paths = write_files(kind, Path(folder), n_images)
            for n_workers in (1, 2, 4):
                rows.append(_measure(paths, kind, size, n_workers, options))
    return rows


def _measure(paths: list[str], kind: str, size: int, n_workers: int, options: Options) -> Row:
    import dask.array as da
    from distributed import Client, LocalCluster

    block = len(paths) // 8
    with (
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address=None,
        ) as cluster,
        Client(cluster) as client,
    ):
        extractor = VGGFeatureExtractor(
            _LAYER, pooling="avg", weights=None, random_state=0, input_size=size, cache=None
        ).fit(paths[:1])
        features = extractor.transform(da.from_array(np.array(paths), chunks=block))

        def run() -> None:
            with tempfile.TemporaryDirectory() as folder:
                da.to_npy_stack(folder, features)

        # Before the first, every worker reads the weights and builds the network.
        client.run(extractor.transform, paths[:1])
        seconds = [clock(run) for _ in range(options.rounds)]
        n_tasks = options.few(2000, 100)
        tasks = client.map(_nothing, range(n_tasks), pure=False)
        client.gather(tasks)
        task_s = [clock(lambda: _run_tasks(client, n_tasks)) for _ in range(options.rounds)]
    return {
        "files": kind,
        "size": size,
        "engine": extractor.engine_,
        "workers": n_workers,
        "images_per_task": block,
        "images_per_s": len(paths) / median(np.array(seconds)),
        "task_ms": median(np.array(task_s)) / n_tasks * 1000,
    }


def _run_tasks(client: Any, n_tasks: int) -> None:
    client.gather(client.map(_nothing, range(n_tasks), pure=False))


def _nothing(number: int) -> None:
    return None
