"""Dask collections give lazy features: on threads, and on a cluster of processes over TCP."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from sktransfer import (
    VGGClassifier,
    VGGFeatureExtractor,
    compare_transfer,
    diagnose,
    load_digit_pair,
    sweep_layers,
    transfer_curve,
)
from sktransfer.networks import plan_cut
from sktransfer.weights import draw_weights

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
cloudpickle = pytest.importorskip("cloudpickle")
da = pytest.importorskip("dask.array")
db = pytest.importorskip("dask.bag")
dd = pytest.importorskip("dask.dataframe")

# Workers cannot import this module: what runs on them is sent whole.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def _extractor(**params: Any) -> VGGFeatureExtractor:
    defaults = {"pooling": "avg", "input_size": 32, "random_state": 0, "cache": None}
    return VGGFeatureExtractor("block1_pool", weights=None, **(defaults | params))


def _images(n_images: int, shape: tuple[int, ...] = (8, 8)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n_images, *shape), dtype=np.uint8)


def _never(block: np.ndarray) -> np.ndarray:
    raise AssertionError("computed")


def _uncomputable(shape: tuple[int, ...], dtype: Any = np.uint8, chunks: Any = 4) -> Any:
    empty = da.zeros(shape, dtype=dtype, chunks=(chunks, *shape[1:]))
    return empty.map_blocks(_never, dtype=dtype, meta=np.empty((0,) * len(shape), dtype))


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Twelve images in files."""
    folder = tmp_path_factory.mktemp("images")
    files = [folder / f"{i:02d}.png" for i in range(12)]
    for file, pixels in zip(files, _images(12, (9, 7, 3)), strict=True):
        Image.fromarray(pixels).save(file)
    return list(map(str, files))


# -- lazy


def test_features_are_a_lazy_array_with_chunks_dtype_and_meta() -> None:
    fitted = _extractor().fit(_images(3))
    features = fitted.transform(_uncomputable((10, 8, 8)))
    assert isinstance(features, da.Array)
    assert features.chunks == ((4, 4, 2), (64,))
    assert (features.shape, features.dtype) == ((10, 64), np.float32)
    assert isinstance(features._meta, np.ndarray)
    assert (features._meta.shape, features._meta.dtype) == ((0, 0), np.float32)
    with pytest.raises(AssertionError, match="computed"):
        features.compute(scheduler="sync")


def test_fit_reads_shape_and_dtype_and_computes_nothing() -> None:
    X = _images(10)
    lazy, eager = _extractor().fit(_uncomputable((10, 8, 8))), _extractor().fit(X)
    assert vars(lazy) == vars(eager)
    assert lazy.value_range_ == (0.0, 255.0)
    given = _extractor(value_range=(0, 1)).fit(_uncomputable((10, 64), np.float64))
    assert (given.value_range_, given.image_shape_, given.n_features_in_) == ((0, 1), (8, 8, 1), 64)
    lazily = _extractor().fit_transform(da.from_array(X, chunks=(4, 8, 8)))
    np.testing.assert_array_equal(lazily.compute(), eager.transform(X))


def test_names_are_equal_where_features_are() -> None:
    X = da.from_array(_images(6), chunks=(3, 8, 8))
    fitted = _extractor().fit(X)
    assert fitted.transform(X).name == fitted.transform(X).name
    assert fitted.transform(X).name != _extractor(pooling="max").fit(X).transform(X).name
    assert fitted.transform(X).name != fitted.transform(X + X).name


@pytest.mark.parametrize(
    ("shape", "chunks", "rows"),
    [
        ((10, 64), (4, 64), (4, 4, 2)),
        ((10, 64), (4, 10), (4, 4, 2)),
        ((10, 8, 8), (5, 4, 3), (5, 5)),
        ((10, 8, 8, 3), (10, 8, 8, 1), (10,)),
        ((10, 3, 8, 7), (3, 1, 8, 7), (3, 3, 3, 1)),
    ],
)
def test_arrays_of_every_layout(shape: Any, chunks: Any, rows: Any) -> None:
    X = _images(shape[0], shape[1:])
    fitted = _extractor().fit(X)
    features = fitted.transform(da.from_array(X, chunks=chunks))
    assert features.chunks == (rows, (64,))
    np.testing.assert_array_equal(features.compute(), fitted.transform(X))


def test_arrays_of_unknown_length() -> None:
    X = _images(10)
    lazy = da.from_array(X, chunks=(4, 8, 8))
    fitted = _extractor().fit(X)
    some = lazy[lazy[:, 0, 0] > 100]
    features = fitted.transform(some)
    assert np.isnan(features.shape[0])
    np.testing.assert_array_equal(features.compute(), fitted.transform(X[X[:, 0, 0] > 100]))


def test_frames_of_pixels() -> None:
    names = [f"p{i:02d}" for i in range(64)]
    frame = pd.DataFrame(_images(10, (64,)), columns=names)
    lazy = dd.from_pandas(frame, npartitions=3)
    fitted = _extractor().fit(lazy)
    assert fitted.feature_names_in_.tolist() == names
    features = fitted.transform(lazy)
    assert features.numblocks == (3, 1)
    assert features.shape[1] == 64
    np.testing.assert_array_equal(features.compute(), _extractor().fit_transform(frame))
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.transform(lazy[names[::-1]])


def test_frames_series_arrays_and_bags_of_paths(paths: list[str]) -> None:
    expected = _extractor().fit_transform(paths)
    frame = dd.from_pandas(pd.DataFrame({"path": paths}), npartitions=3)
    bag = db.from_sequence(paths, npartitions=3)
    array = da.from_array(np.array(paths, dtype=object), chunks=5)
    for lazy, n_blocks in ((frame, 3), (frame["path"], 3), (bag, 3), (array, 3)):
        fitted = _extractor().fit(lazy)
        assert fitted.value_range_ is None
        features = fitted.transform(lazy)
        assert features.numblocks == (n_blocks, 1)
        np.testing.assert_array_equal(features.compute(scheduler="sync"), expected)
    assert fitted.transform(array).shape == (12, 64)
    # Derived collections, some partitions of which are empty.
    first = bag.filter(lambda path: path.endswith(("00.png", "01.png")))
    np.testing.assert_array_equal(fitted.transform(first).compute(scheduler="sync"), expected[:2])


def test_bags_of_images(paths: list[str]) -> None:
    images = [np.asarray(Image.open(path)) for path in paths]
    bag = db.from_sequence(images, npartitions=2)
    features = _extractor().fit(bag).transform(bag)
    np.testing.assert_array_equal(
        features.compute(scheduler="sync"), _extractor().fit_transform(paths)
    )


def test_later_steps_see_lazy_features() -> None:
    X = _images(20)
    lazy = da.from_array(X, chunks=(5, 8, 8))
    expected = _extractor().fit_transform(X)
    means = _extractor().fit_transform(lazy).mean(axis=0)
    np.testing.assert_allclose(means.compute(), expected.mean(axis=0), rtol=1e-5)


def test_fine_tuned_networks_travel_with_their_weights() -> None:
    X, y = _images(8), np.arange(8) % 2
    tuned = VGGClassifier(
        "block1_pool",
        weights=None,
        input_size=32,
        pooling="avg",
        unfreeze="block1_conv2",
        epochs=1,
        random_state=0,
        cache=None,
    ).fit(X, y)
    lazy = tuned.transform(da.from_array(X, chunks=(4, 8, 8)))
    np.testing.assert_array_equal(lazy.compute(), tuned.transform(X))


# -- bad input


def _sparse_blocks() -> Any:
    import scipy.sparse

    rows = da.zeros((4, 64), chunks=(2, 64), dtype=np.uint8)
    return rows.map_blocks(_never, meta=scipy.sparse.csr_matrix((0, 0), dtype=np.uint8))


def _unknown_width() -> Any:
    X = da.zeros((4, 64), chunks=(2, 64), dtype=np.uint8)
    return X[:, X[0] > 0]


def _texts(n_columns: int) -> Any:
    names = [f"c{i}" for i in range(n_columns)]
    return dd.from_pandas(pd.DataFrame([["a"] * n_columns] * 4, columns=names), npartitions=2)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (lambda: _uncomputable((4, 8, 8), np.float64), ValueError, "dtype float64.*value_range="),
        (lambda: _uncomputable((4, 8, 8), np.int64), ValueError, "dtype int64.*value_range="),
        (lambda: _uncomputable((4, 67)), ValueError, "cannot determine the shape of images"),
        (lambda: _uncomputable((4, 8, 8, 5)), ValueError, "must have 1 .* channels"),
        (lambda: da.zeros((0, 8, 8), dtype=np.uint8), ValueError, "needs at least one image"),
        (lambda: dask.delayed([1]), TypeError, "takes Dask arrays.*dask.delayed.Delayed"),
        (_sparse_blocks, TypeError, r"Dask arrays of NumPy arrays. Got one of scipy\.sparse"),
        (_unknown_width, ValueError, r"know the shape .* call X\.compute_chunk_sizes\(\)"),
        (lambda: _texts(2), ValueError, "needs images as arrays of numbers"),
    ],
)
def test_bad_input_is_an_error_before_anything_is_computed(
    X: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        _extractor().fit(X())


def test_int8_needs_images_to_calibrate_on() -> None:
    with pytest.raises(ValueError, match="pass up to 128 of the images as 'calibration'"):
        _extractor(precision="int8").fit(_uncomputable((4, 8, 8)))


def test_other_images_than_in_fit_are_refused_at_once() -> None:
    fitted = _extractor().fit(_images(4))
    with pytest.raises(ValueError, match=r"was fitted on images of shape \(8, 8, 1\)"):
        fitted.transform(_uncomputable((4, 8, 9)))
    flat = _extractor().fit(_images(4, (64,)))
    with pytest.raises(ValueError, match="X has 81 features, but VGGFeatureExtractor is expecting"):
        flat.transform(_uncomputable((4, 81)))


def test_arrays_after_a_fit_on_files(paths: list[str]) -> None:
    fitted = _extractor().fit(paths)
    with pytest.raises(ValueError, match="fitted on files and cannot determine black and white"):
        fitted.transform(_uncomputable((4, 8, 8), np.float64))


def test_unreadable_files_are_named_when_they_are_computed(paths: list[str]) -> None:
    fitted = _extractor().fit(paths)
    features = fitted.transform(db.from_sequence([*paths, "none.png"], npartitions=2))
    with pytest.raises(FileNotFoundError, match=r"(?s)cannot:.*none\.png"):
        features.compute(scheduler="sync")


# -- what travels


def _graph_bytes(collection: Any) -> int:
    return len(cloudpickle.dumps(collection.__dask_graph__()))


def test_a_graph_of_many_blocks_is_small() -> None:
    X = da.zeros((1_000_000, 8, 8), dtype=np.uint8, chunks=(100, 8, 8))
    features = _extractor(calibration=_images(100)).fit(X).transform(X)
    assert features.numblocks == (10_000, 1)
    assert _graph_bytes(features) - _graph_bytes(X) < 10_000


def test_weights_in_memory_are_in_the_graph_once() -> None:
    weights = draw_weights(plan_cut("block2_pool", input_size=32), 0)
    n_bytes = sum(array.nbytes for pair in weights.values() for array in pair)
    extractor = VGGFeatureExtractor("block2_pool", weights=dict(weights), input_size=32)
    for X in (
        da.zeros((1000, 8, 8), dtype=np.uint8, chunks=(10, 8, 8)),
        db.from_sequence(map(str, range(1000)), npartitions=100),
    ):
        features = extractor.fit(X).transform(X)
        assert n_bytes < _graph_bytes(features) < n_bytes + 50_000


def test_dask_is_not_imported_for_others() -> None:
    code = (
        "import sys, numpy as np\n"
        "from sktransfer import VGGFeatureExtractor\n"
        "vgg = VGGFeatureExtractor('block1_pool', weights=None, input_size=32, random_state=0)\n"
        "vgg.fit_transform(np.zeros((2, 8, 8), np.uint8) + 255)\n"
        "print('dask' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "False", run.stderr


# -- a cluster


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Three processes of one thread each, which speak TCP."""
    with (
        distributed.LocalCluster(
            n_workers=3,
            threads_per_worker=1,
            processes=True,
            protocol="tcp://",
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit="2GiB",
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def _slow_down(seconds: float) -> None:
    from sktransfer.features.runner import Runner

    compute = Runner.compute
    Runner.at_full_speed = compute  # type: ignore[attr-defined]

    def compute_slowly(*args: Any) -> np.ndarray:
        time.sleep(seconds)
        return compute(*args)

    Runner.compute = compute_slowly  # type: ignore[method-assign]


def _speed_up() -> None:
    from sktransfer.features.runner import Runner

    Runner.compute = getattr(Runner, "at_full_speed", Runner.compute)  # type: ignore[method-assign]


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def _received(name: str, dask_worker: Any) -> int:
    """Count how often another worker sent this one something."""
    return sum(name in each["keys"] for each in dask_worker.transfer_incoming_log)


def _count_loads() -> None:
    from sktransfer import weights

    load = weights.FittedWeights.load
    weights.n_loads = 0  # type: ignore[attr-defined]

    def load_and_count(self: Any) -> Any:
        weights.n_loads += 1  # type: ignore[attr-defined]
        return load(self)

    weights.FittedWeights.load = load_and_count  # type: ignore[method-assign]


def _loads() -> int:
    from sktransfer import weights

    return weights.n_loads  # type: ignore[attr-defined]


def _computed_by(client: Any, features: Any) -> Counter[str]:
    has = client.who_has(client.futures_of(features))
    return Counter(worker for workers in has.values() for worker in workers)


def test_a_cluster_gives_the_bits_of_one_process(client: Any, paths: list[str]) -> None:
    X = _images(60)
    fitted = _extractor().fit(X)
    expected = fitted.transform(X)
    features = fitted.transform(da.from_array(X, chunks=(4, 8, 8)))
    np.testing.assert_array_equal(features.compute(), expected)
    of_files = fitted.transform(db.from_sequence(paths, npartitions=4))
    np.testing.assert_array_equal(of_files.compute(), _extractor().fit_transform(paths))
    assert all(address.startswith("tcp://") for address in client.scheduler_info()["workers"])


def test_weights_reach_each_worker_once(client: Any) -> None:
    weights = dict(draw_weights(plan_cut("block1_pool", input_size=32), 1))
    X = _images(120)
    fitted = VGGFeatureExtractor(
        "block1_pool", pooling="avg", weights=weights, input_size=32, cache=None
    ).fit(X)
    features = fitted.transform(da.from_array(X, chunks=(4, 8, 8)))
    (name,) = [key for key in dict(features.__dask_graph__()) if isinstance(key, str)]
    client.run(_count_loads)
    np.testing.assert_array_equal(features.compute(), fitted.transform(X))
    received = client.run(_received, name)
    # The graph brings them to one worker, from which the others have them.
    assert sorted(received.values()) == [0, 1, 1]
    assert list(client.run(_loads).values()) == [1, 1, 1]


def test_a_killed_worker_loses_nothing(client: Any) -> None:
    X = _images(48)
    fitted = _extractor().fit(X)
    expected = fitted.transform(X)
    client.run(_slow_down, 0.2)
    try:
        futures = client.compute(
            list(fitted.transform(da.from_array(X, chunks=(4, 8, 8))).to_delayed().ravel())
        )
        distributed.wait(futures, return_when="FIRST_COMPLETED")
        victim = next(workers[0] for workers in client.who_has(futures).values() if workers)
        n_done = sum(future.done() for future in futures)
        before = set(client.run(os.getpid).values())
        os.kill(client.run(os.getpid, workers=[victim])[victim], signal.SIGKILL)
        np.testing.assert_array_equal(np.concatenate(client.gather(futures)), expected)
    finally:
        client.wait_for_workers(3)
        client.run(_speed_up)
    assert 0 < n_done < len(futures)
    assert len(before - set(client.run(os.getpid).values())) == 1


def test_a_slow_worker_does_not_stall_the_rest(client: Any) -> None:
    X = _images(120)
    fitted = _extractor().fit(X)
    fitted.transform(da.from_array(X[:30], chunks=(1, 8, 8))).compute()  # all networks are ready
    slow, *others = client.scheduler_info()["workers"]
    client.run(_slow_down, 1.5, workers=[slow])
    try:
        features = client.persist(fitted.transform(da.from_array(X, chunks=(4, 8, 8))))
        distributed.wait(features)
        counts = _computed_by(client, features)
        np.testing.assert_array_equal(features.compute(), fitted.transform(X))
    finally:
        client.run(_speed_up)
    assert counts[slow] < min(counts[other] for other in others), counts


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux tells it")
def test_memory_of_a_worker_does_not_grow_with_the_number_of_blocks(client: Any) -> None:
    def means(n_blocks: int) -> np.ndarray:
        rng = da.random.default_rng(0)
        shape = (32 * n_blocks, 256, 256)
        X = rng.integers(0, 256, shape, dtype=np.uint8, chunks=(32, 256, 256))
        return _extractor().fit(X).transform(X).mean(axis=0).compute()

    means(12)
    before = client.run(_peak_mib)
    means(120)  # 240 MiB of pixels, 960 MiB as float32; measured: 3 to 8 MiB more
    after = client.run(_peak_mib)
    assert max(after[worker] - before[worker] for worker in before) < 40


def test_joblib_runs_folds_on_the_cluster(client: Any) -> None:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    X, y = X[:60], y[:60]
    model = make_pipeline(_extractor(cache="temporary"), LogisticRegression(max_iter=1000))
    here = cross_val_score(model, X, y, cv=3)
    with parallel_config(backend="dask"):
        there = cross_val_score(model, X, y, cv=3)
        scored_in = cross_val_score(model, X, y, cv=3, scoring=lambda *_: os.getpid())
    np.testing.assert_array_equal(here, there)
    assert set(scored_in) <= set(client.run(os.getpid).values())


def test_a_fitted_pipeline_predicts_block_by_block(client: Any) -> None:
    """What dask_ml.wrappers.ParallelPostFit does, with Dask alone."""
    X, y = load_digit_pair((8, 6), return_X_y=True)
    model = make_pipeline(_extractor(), LogisticRegression(max_iter=1000)).fit(X, y)
    lazy = da.from_array(X, chunks=(100, X.shape[1]))
    labels = lazy.map_blocks(model.predict, drop_axis=1, meta=np.empty(0, y.dtype))
    np.testing.assert_array_equal(labels.compute(), model.predict(X))


def test_dask_ml_wraps_extractors_and_pipelines(client: Any) -> None:
    wrappers = pytest.importorskip("dask_ml.wrappers")
    X, y = load_digit_pair((8, 6), return_X_y=True)
    lazy = da.from_array(X, chunks=(100, X.shape[1]))
    model = make_pipeline(_extractor(), LogisticRegression(max_iter=1000))
    wrapped = wrappers.ParallelPostFit(model).fit(X, y)
    np.testing.assert_array_equal(wrapped.predict(lazy).compute(), model.fit(X, y).predict(X))
    features = wrappers.ParallelPostFit(_extractor()).fit(X).transform(lazy)
    np.testing.assert_array_equal(features.compute(), _extractor().fit_transform(X))


def test_fitted_extractors_are_small_on_the_wire() -> None:
    fitted = _extractor(calibration=_images(100), random_state=np.random.RandomState(0))
    X = _uncomputable((4, 8, 8))
    features = fitted.fit(X).transform(X)
    graph = dict(features.__dask_graph__())
    (name,) = [key for key in graph if isinstance(key, str)]
    assert len(pickle.dumps(graph[name])) < 3_000


def test_experiments_ask_for_images_in_memory() -> None:
    X = da.zeros((8, 8, 8), chunks=4, dtype=np.uint8)
    y = np.arange(8) % 2
    extractor = VGGFeatureExtractor("block1_pool", weights=None, input_size=32, random_state=0)
    for experiment in (
        lambda: compare_transfer(X, y, extractors={"random": extractor}, cv=2),
        lambda: transfer_curve(X, y, extractors={"random": extractor}),
        lambda: sweep_layers(X, y, extractor=extractor, cv=2),
        lambda: diagnose(extractor, X, y),
        lambda: VGGClassifier("block1_pool", weights=None).fit(X, y),
    ):
        with pytest.raises(TypeError, match=r"Got a Dask Array, .*: pass X\.compute\(\)"):
            experiment()
