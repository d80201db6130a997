"""What is computed of images, strip by strip, and how much memory that takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from memory import memory_below

from sktransfer import FeatureStore, VGGFeatureExtractor
from sktransfer.features import digest as digest_module, memory
from sktransfer.features.digest import digest
from sktransfer.features.preprocessing import to_255
from sktransfer.features.runner import Runner


def _extractor(**params: object) -> VGGFeatureExtractor:
    defaults = {"layer": "block1_pool", "pooling": "avg", "input_size": 32, "weights": None}
    return VGGFeatureExtractor(**(defaults | {"random_state": 0} | params))


@pytest.mark.parametrize("value_range", [(0.0, 255.0), (255.0, 0.0), (3.0, 190.0)])
@pytest.mark.parametrize("kind", ["grey", "colour", "grey colour", "alpha"])
def test_strips_of_an_image_have_its_digest(
    kind: str, value_range: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    n_channels = {"grey": 1, "colour": 3, "grey colour": 1, "alpha": 4}[kind]
    pixels = rng.integers(0, 256, (1, 30, 20, n_channels), dtype=np.uint8)
    if kind == "grey colour":
        pixels = np.repeat(pixels, 3, axis=3)
    expected = digest(to_255(pixels, value_range))
    assert digest(pixels, value_range) == expected
    if kind == "grey colour":
        assert digest(pixels[..., :1], value_range) == expected
    monkeypatch.setattr(digest_module, "_STRIP_VALUES", 150)
    assert digest(pixels, value_range) == expected


@pytest.mark.parametrize("cache", [None, "temporary"])
def test_large_images_are_never_floats_as_a_whole(cache: str | None) -> None:
    pixels = np.zeros((1, 4000, 5000, 3), dtype=np.uint8)
    pixels[0, -1, -1] = (1, 2, 255)
    extractor = _extractor(cache=cache).fit(pixels)
    extractor.transform(pixels)  # which builds the network
    with memory_below(pixels.size * 4 / 2):
        extractor.transform(pixels)


# Memory ----------------------------------------------------------------------------------------

IMAGES = np.random.default_rng(0).integers(0, 256, (300, 8, 8), dtype=np.uint8)


def _limit(monkeypatch: pytest.MonkeyPatch, n_bytes: int | None) -> None:
    monkeypatch.setattr(memory, "memory_limit", lambda: n_bytes)


def test_an_output_that_cannot_fit_is_refused_with_its_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extractor = _extractor().fit(IMAGES)
    _limit(monkeypatch, 300 * 64 * 4 - 1)
    problem = (
        r"VGGFeatureExtractor needs 0\.0 GiB \(76,800 bytes\) for 64 features of each of 300 images"
        r", and this process can have .*\. Set pooling='avg', .* with sktransfer\.extract"
    )
    with pytest.raises(MemoryError, match=problem):
        extractor.transform(IMAGES)


def test_a_batch_that_cannot_fit_is_refused_with_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    extractor = _extractor(batch_size=300, cache=None).fit(IMAGES)
    _limit(monkeypatch, 1_000_000)
    problem = r"\(3,686,400 bytes\) for a batch of 300 .* Set a smaller batch_size"
    with pytest.raises(MemoryError, match=problem):
        extractor.transform(IMAGES)
    assert extractor.set_params(batch_size=10).transform(IMAGES).shape == (300, 64)


@pytest.mark.parametrize(
    ("limit", "side", "problem"),
    [
        (
            1 << 62,
            1 << 29,
            r"^A needs 1,073,741,824\.0 GiB .* for b, and this .*\. c",
        ),
        (None, 1 << 29, r"^A needs 1,073,741,824\.0 GiB .* for b, more than there is\. c"),
        (None, 1 << 32, r"^A needs 68,719,476,736\.0 GiB .* for b, more than there is\. c"),
    ],
)
def test_what_numpy_cannot_allocate_says_how_much_it_was(
    limit: int | None, side: int, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _limit(monkeypatch, limit)
    with pytest.raises(MemoryError, match=problem) as caught:
        memory.allocate((side, side), "A", "b", "c")
    assert isinstance(caught.value.__cause__, MemoryError | ValueError)


def test_rows_computed_before_memory_runs_out_stay_in_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = _extractor(cache=FeatureStore(tmp_path / "store")).fit(IMAGES)
    expected = _extractor(cache=None).fit(IMAGES).transform(IMAGES)
    real, sizes = Runner.run, []

    def run(self: Runner, inputs: np.ndarray, out: np.ndarray) -> None:
        if len(sizes) == 2:
            raise MemoryError
        sizes.append(len(inputs))
        real(self, inputs, out)

    monkeypatch.setattr(Runner, "run", run)
    problem = r"VGGFeatureExtractor ran out of memory in a batch of .* Set a smaller batch_size"
    with pytest.raises(MemoryError, match=problem) as caught:
        extractor.transform(IMAGES)
    assert isinstance(caught.value.__cause__, MemoryError)
    n_kept = sum(sizes)
    sizes.clear()
    sizes_after: list[int] = []
    monkeypatch.setattr(
        Runner,
        "run",
        lambda self, inputs, out: sizes_after.append(len(inputs)) or real(self, inputs, out),
    )
    np.testing.assert_array_equal(extractor.transform(IMAGES), expected)
    assert 0 < n_kept == 300 - sum(sizes_after)


def test_an_input_size_that_cannot_fit_is_refused_in_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    _limit(monkeypatch, 64 << 30)
    problem = (
        r"The 'input_size' parameter of VGGFeatureExtractor needs 190\.7 GiB \(204,800,000,000 "
        r"bytes\) for .* 20,000 pixels, and this process can have 64\.0 GiB\. Set a smaller input_s"
    )
    with pytest.raises(MemoryError, match=problem):
        _extractor(input_size=20_000, engine="openvino").fit(IMAGES)


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
def test_the_limit_is_the_least_of_machine_and_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_CONTAINER_LIMITS", [])
    machine = memory.memory_limit()
    paths = [tmp_path / name for name in ("missing", "none", "limit", "large")]
    paths[1].write_text("max\n")
    paths[2].write_text("1048576\n")
    paths[3].write_text(f"{1 << 62}\n")
    monkeypatch.setattr(memory, "_CONTAINER_LIMITS", paths)
    assert memory.memory_limit() == 1 << 20 < machine


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_process_of_limited_memory_gets_one_error() -> None:
    code = """
import resource
import numpy as np
from sktransfer import VGGFeatureExtractor
X = np.zeros((30_000, 8, 8), np.uint8)
extractor = VGGFeatureExtractor("block1_conv1", weights=None, input_size=32, cache=None).fit(X)
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30),) * 2)
try:
    extractor.transform(X)
except MemoryError as error:
    print(error)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300
    )
    assert "needs 7.3 GiB (7,864,320,000 bytes) for 65,536 features of" in result.stdout, result
