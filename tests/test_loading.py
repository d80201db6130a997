"""Images are loaded by threads, a piece ahead, in their order; no thread outlives the call."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sktransfer import ImageWarning, VGGFeatureExtractor, extract
from sktransfer.features import loading
from sktransfer.features.loading import load_ahead, load_all
from sktransfer.inputs.images import Images, read_images


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    """Forty images of differing sizes, each of its own value."""
    paths = [str(tmp_path / f"{i:02d}.png") for i in range(40)]
    for i, path in enumerate(paths):
        Image.fromarray(np.full((8 + i % 3, 9), i, np.uint8)).save(path)
    return paths


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    """No thread is left behind, whatever a test does."""
    yield
    assert not [t.name for t in threading.enumerate() if t.name.startswith("sktransfer")]


def _value(pixels: np.ndarray, value_range: Any) -> list[int]:
    return [int(image.max()) for image in pixels]


def _room(n_images: int) -> list[int]:
    return [-1] * n_images


def _pieces(images: Images, size: int) -> list[tuple[Images, range]]:
    starts = range(0, len(images), size)
    return [(images, range(start, min(start + size, len(images)))) for start in starts]


@pytest.mark.parametrize("n_threads", [1, 2, 7])
@pytest.mark.parametrize("size", [1, 7, 40])
def test_values_come_in_the_order_of_images(
    n_threads: int, size: int, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "count_threads", lambda: n_threads)
    for images in (read_images(paths), read_images(np.arange(40.0).reshape(40, 1, 1))):
        loaded = load_all(_pieces(images, size), (0.0, 255.0), _value, _room)
        rows, values = zip(*loaded, strict=True)
        assert [row for some in rows for row in some] == list(range(40))
        assert [value for some in values for value in some] == list(range(40))


def test_two_pieces_at_most_are_in_memory(paths: list[str]) -> None:
    begun: list[int] = []

    def pieces() -> Iterator[tuple[Images, range]]:
        for images, rows in _pieces(read_images(paths), 5):
            begun.append(rows.start)
            yield images, rows

    for rows, _ in load_all(pieces(), None, _value, _room):
        assert max(begun) <= rows.start + 5


def test_one_error_names_all_files_that_cannot_be_read(paths: list[str]) -> None:
    extractor = _extractor().fit(paths)
    for i in (11, 30, 39):
        Path(paths[i]).write_bytes(Path(paths[i]).read_bytes()[:50])
    pattern = r"(?s)3 of 40 cannot:.*11\.png.*30\.png.*39\.png"
    with pytest.raises(OSError, match=pattern):
        extractor.set_params(batch_size=8).transform(paths)
    with pytest.raises(OSError, match=pattern):
        list(load_all(_pieces(read_images(paths), 40), None, _value, _room))


def test_failures_of_a_piece_are_in_order(paths: list[str]) -> None:
    for i in (39, 3, 20):
        Path(paths[i]).write_bytes(b"nothing")
    (chunk,) = load_ahead([("all", read_images(paths), range(40))], None, _value, _room)
    assert (chunk.key, list(chunk.failures)) == ("all", [3, 20, 39])
    assert [value for row, value in enumerate(chunk.values) if row not in chunk.failures] == [
        row for row in range(40) if row not in (3, 20, 39)
    ]


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, KeyboardInterrupt])
def test_what_fails_in_a_thread_fails_in_the_call(
    error: type[BaseException], paths: list[str]
) -> None:
    def fail(pixels: np.ndarray, value_range: Any) -> list[int]:
        if pixels.max() == 13:
            raise error("in a thread")
        return _value(pixels, value_range)

    seen = []
    with pytest.raises(error, match="in a thread"):
        for rows, _ in load_all(_pieces(read_images(paths), 5), None, fail, _room):
            seen += list(rows)
    assert seen == list(range(10))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_whoever_stops_early_leaves_nothing_running(
    error: type[BaseException], paths: list[str]
) -> None:
    pieces = _pieces(read_images(paths), 5)
    with pytest.raises(error), closing(load_all(pieces, None, _value, _room)) as loaded:
        for _ in loaded:
            raise error
    extractor = _extractor().fit(paths)

    def interrupt(*args: Any) -> None:
        raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sktransfer.features.runner.find_engine", interrupt)
        with pytest.raises(error):
            extractor.transform(paths)


def test_extract_leaves_no_thread_where_images_cannot_be_read(
    paths: list[str], tmp_path: Path
) -> None:
    Path(paths[17]).write_bytes(b"nothing")
    extractor = _extractor(batch_size=8)
    with pytest.raises(OSError, match=r"17\.png") as caught:
        extract(paths, tmp_path / "features.npy", extractor=extractor)
    assert caught.value.__traceback__ is not None  # which holds all frames
    assert not [t.name for t in threading.enumerate() if t.name.startswith("sktransfer")]


def test_nothing_more_is_decoded_once_it_is_over(
    paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "count_threads", lambda: 1)
    decoded: list[int] = []
    is_over = threading.Event()

    def wait(pixels: np.ndarray, value_range: Any) -> list[int]:
        decoded.append(int(pixels.max()))
        if len(decoded) > 1:  # of the second piece
            is_over.wait(timeout=20)
        return _value(pixels, value_range)

    images = read_images(paths)
    with closing(load_all([(images, range(1)), (images, range(1, 40))], None, wait, _room)) as each:
        next(each)
        threading.Timer(0.2, is_over.set).start()
    assert len(decoded) <= 3


def test_the_first_file_that_does_not_fit_the_range_is_warned_of_and_no_other(
    paths: list[str],
) -> None:
    extractor = _extractor(value_range=(10.0, 30.0)).fit(paths)
    with pytest.warns(ImageWarning, match="got one with values from 0 to 0") as caught:
        extractor.transform(paths)
    assert len(caught) == 1


def test_transform_and_extract_give_the_same_bits(paths: list[str], tmp_path: Path) -> None:
    extractor = _extractor().fit(paths)
    expected = extractor.transform(paths)
    done = extract(paths, tmp_path / "features.npy", extractor=extractor)
    np.testing.assert_array_equal(np.load(done.path), expected)
    for i in (0, 17, 39):
        np.testing.assert_array_equal(extractor.transform(paths[i : i + 1])[0], expected[i])


def _extractor(**params: Any) -> VGGFeatureExtractor:
    defaults = {"pooling": "avg", "input_size": 32, "random_state": 0, "cache": None}
    return VGGFeatureExtractor("block1_pool", weights=None, **(defaults | params))
