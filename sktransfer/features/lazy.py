"""Lazy features of Dask collections.

Dask's graph holds what reads and computes images once, in a key of its own on which every task
depends, so that it travels once to each worker. Weights do not travel at all unless they are a
mapping: each worker finds them as any other process does, and checks that they are those that `fit`
saw.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.features.runner import Runner
from sktransfer.inputs.lazy import find_kind
from sktransfer.inputs.reader import Reader

if TYPE_CHECKING:
    import dask.array


@dataclass(frozen=True)
class _Work:
    """The data that a worker needs to compute the features of images."""

    reader: Reader
    runner: Runner


def transform_lazily(reader: Reader, runner: Runner, X: Any) -> dask.array.Array:
    """Describe the features of a collection that suits what was fitted; compute nothing.

    There is one block of rows for each block or partition of images.
    """
    import dask
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    width = runner.cut.n_features
    # The bars of many workers would overlap.
    work = dask.delayed(_Work(reader, replace(runner, verbose=0)), pure=True, traverse=False)
    meta = np.empty((0, width), np.float32)
    name = f"image-features-{dask.base.tokenize(X, work)}"
    if find_kind(X) == "array":
        # An image lies in one block, whole.
        X = X.rechunk(dict.fromkeys(range(1, X.ndim), -1))
        return X.map_blocks(
            _compute,
            work,
            name=name,
            chunks=(X.chunks[0], (width,)),
            drop_axis=list(range(2, X.ndim)),
            new_axis=1 if X.ndim == 1 else None,
            meta=meta,
        )
    if find_kind(X) == "frame":
        X = X.optimize()  # which settles the names of its partitions
    parts = X.__dask_keys__()
    tasks = {(name, i, 0): (_compute, part, work.key) for i, part in enumerate(parts)}
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=[X, work])
    # How many images a partition holds is known when it is computed.
    return da.Array(graph, name, chunks=((np.nan,) * len(parts), (width,)), meta=meta)


def _compute(block: Any, work: _Work) -> np.ndarray:
    """Compute the features of one block, on a worker."""
    images = block if hasattr(block, "shape") else list(block)
    if len(images) == 0:
        return np.empty((0, work.runner.cut.n_features), np.float32)
    work.runner.check_engine()
    return work.runner.compute(*work.reader.read_fitted(images))
