"""What docs/promises.md promises beyond the numbers: nothing global, threads, forks, memory."""

from __future__ import annotations

import multiprocessing
import os
import random
import subprocess
import sys
import threading
import warnings
from typing import Any

import numpy as np
import pytest
from memory import memory_below
from PIL import Image

from sktransfer import VGGFeatureExtractor
from sktransfer.engines import Engine, add_engine, find_engine, ready
from sktransfer.features import runner as runner_module
from sktransfer.features.fitted import get_runner
from sktransfer.features.runner import Runner
from sktransfer.inputs.images import ArrayImages


def _random(layer: str = "block1_pool", **params: Any) -> VGGFeatureExtractor:
    params = {"pooling": "max", "input_size": 32, "random_state": 0, "cache": None} | params
    return VGGFeatureExtractor(layer, weights=None, **params)


def _images(n: int = 20) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 8, 8), dtype=np.uint8)


def _run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_settings_of_keras_stay_and_do_not_matter() -> None:
    code = """
import numpy as np, keras
from PIL import Image

from sktransfer import VGGFeatureExtractor
from sktransfer.engines import ready
X = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
ready.MAX_ENGINES = 0  # every call builds the network
def features():
    return VGGFeatureExtractor("block3_conv1", weights=None, input_size=32, random_state=0,
                               cache=None).fit_transform(X)
plain = features()
keras.config.set_dtype_policy("mixed_float16")
keras.config.set_image_data_format("channels_first")
keras.config.set_floatx("float64")
print((features() == plain).all())
print(keras.config.dtype_policy().name, keras.config.image_data_format(), keras.config.floatx())
"""
    assert _run(code) == "True\nmixed_float16 channels_first float64"


def test_random_states_environment_and_warnings_stay() -> None:
    import keras

    def draw() -> list[float]:
        """Draw from the global generators of Keras, NumPy and Python."""
        numbers = keras.ops.convert_to_numpy(keras.random.uniform((2,))).tolist()
        numbers += np.random.rand(2).tolist()  # noqa: NPY002 - the global state is what is tested
        return [*numbers, random.random()]

    keras.utils.set_random_seed(3)
    expected = draw()
    keras.utils.set_random_seed(3)
    before = (dict(os.environ), list(warnings.filters), np.geterr())
    _random("block1_conv2").fit_transform(_images())
    assert (dict(os.environ), list(warnings.filters), np.geterr()) == before
    assert draw() == expected


def _find_engine(extractor: VGGFeatureExtractor) -> Engine | None:
    runner = get_runner(extractor)
    return find_engine(runner.cut, runner.sha256, runner.config)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """All engines that are built in a test."""
    engines = []

    def add(*args: Any) -> Engine:
        engines.append(add_engine(*args))
        return engines[-1]

    monkeypatch.setattr(runner_module, "add_engine", add)
    return engines


def test_threads_share_an_extractor(built: list[Engine]) -> None:
    X = _images(60)
    # A network that is not ready yet, so that the threads also race to build it.
    extractor = _random("block2_conv1", random_state=50).fit(X)
    assert _find_engine(extractor) is None
    results: dict[int, np.ndarray] = {}
    threads = [
        threading.Thread(target=lambda i=i: results.update({i: extractor.transform(X[i:])}))
        for i in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    features = extractor.transform(X)
    for i in range(6):
        np.testing.assert_array_equal(results[i], features[i:])
    assert len(built) == 1


def test_the_table_of_networks_is_bounded_and_keeps_what_is_used() -> None:
    X = _images(2)
    first = _random(random_state=100).fit(X)
    first.transform(X)
    kept = _find_engine(first)
    others = [_random(random_state=seed).fit(X) for seed in range(101, 101 + ready.MAX_ENGINES)]
    for other in others:
        other.transform(X)
        first.transform(X)
    assert kept is not None
    assert _find_engine(first) is kept
    ready_ones = [other for other in others if _find_engine(other) is not None]
    assert ready_ones == others[1:]


def test_equal_extractors_share_a_network(built: list[Engine]) -> None:
    X = _images(2)
    for _ in range(2):
        for params in ({}, {"batch_size": 3, "value_range": (0, 300), "aspect": "crop"}):
            _random(random_state=120, **params).fit_transform(X)
    assert len(built) == 1


def _peak_mib(n_images: int) -> float:
    import resource

    X = np.random.default_rng(0).integers(0, 256, (n_images, 28, 28), dtype=np.uint8)
    _random(pooling="avg", input_size=64).fit_transform(X)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="units of ru_maxrss differ")
def test_memory_does_not_grow_with_the_number_of_images() -> None:
    # 1,500 images more, resized, are 70 MiB, and their feature maps at block1_pool 375 MiB.
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        few, many = pool.map(_peak_mib, [1000, 2500], chunksize=1)
    assert many - few < 40


def test_output_is_float32_in_c_order_and_its_own() -> None:
    X = _images(3)
    extractor = _random().fit(X)
    features = extractor.transform(X)
    assert features.dtype == np.float32
    assert features.flags.c_contiguous
    assert features.flags.owndata
    features[:] = 0
    assert extractor.transform(X).any()


@pytest.mark.parametrize("cache", [None, "temporary"])
@pytest.mark.parametrize("form", ["array", "list"])
def test_memory_does_not_grow_with_the_size_of_the_source_images(
    form: str, cache: str | None
) -> None:
    # As float32 these are 275 MiB in all; what is allowed holds the slices and their copies.
    images = np.zeros((24, 1000, 1000, 3), dtype=np.uint8)
    images[:, 0, 0, 0] = np.arange(24)
    X: Any = images if form == "array" else list(images)
    extractor = _random(cache=cache).fit(X)
    extractor.transform(X[:1])  # the network is built
    with memory_below(130 << 20):
        extractor.transform(X)


@pytest.mark.parametrize("cache", [None, "temporary"])
def test_the_next_images_are_loaded_while_the_network_runs(
    cache: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """The network waits for the next chunk to be loaded: if nobody loads it, it waits in vain."""
    X = np.random.default_rng(1).integers(0, 256, (130, 8, 8), dtype=np.uint8)
    extractor = _random(batch_size=64, cache=cache, random_state=7).fit(X)
    loaded_beyond_the_first = threading.Event()
    load, run = ArrayImages.load, Runner.run
    runs = []

    def spy(self: ArrayImages, start: int, stop: int, value_range: Any) -> Any:
        if start > 0:
            loaded_beyond_the_first.set()
        return load(self, start, stop, value_range)

    def wait_and_run(self: Runner, inputs: np.ndarray, out: np.ndarray) -> None:
        if len(out):
            runs.append(loaded_beyond_the_first.wait(timeout=20))
        run(self, inputs, out)

    monkeypatch.setattr(ArrayImages, "load", spy)
    monkeypatch.setattr(Runner, "run", wait_and_run)
    extractor.transform(X)
    assert len(runs) == 3
    assert all(runs)


def test_an_unreadable_file_among_later_images_is_an_error(tmp_path: Any) -> None:
    """An error in the thread that loads is an error of the call."""
    paths = []
    for i in range(70):
        paths.append(str(tmp_path / f"{i}.png"))
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(paths[-1])
    extractor = _random(batch_size=16).fit(paths)
    content = (tmp_path / "69.png").read_bytes()
    (tmp_path / "69.png").write_bytes(content[:45])
    with pytest.raises(OSError, match=r"1 of 70 cannot:\n  '.*69\.png'"):
        extractor.transform(paths)
