"""Loading of images: read and preprocessed in threads, a chunk ahead of the network.

Threads decode, convert and resize, which is most of the work with files, while the network runs on
the previous chunk. The output is in the order of the images, however many threads there are.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Generic, TypeVar

import numpy as np

from sktransfer.engines.processor import count_threads
from sktransfer.features.digest import digest
from sktransfer.features.memory import allocate
from sktransfer.features.preprocessing import Resizing, preprocess, to_255
from sktransfer.inputs.decoding import raise_if_exhausted
from sktransfer.inputs.images import ArrayImages, Group, ImageList, Images
from sktransfer.inputs.scale import ValueRange
from sktransfer.inputs.value_range import find_doubt, warn_once
from sktransfer.networks.outputs import as_shape
from sktransfer.networks.pixels import PixelScaling

# The least that a thread takes at a time: files, and values of an array. Less would not be faster.
_LEAST_FILES = 4
_LEAST_VALUES = 1 << 18

_Key = TypeVar("_Key")
_Values = TypeVar("_Values", np.ndarray, list)


@dataclass
class Chunk(Generic[_Key, _Values]):
    """Some images, loaded.

    Attributes
    ----------
    key : object
        The caller's key for them.
    images : ArrayImages or ImageList
        The images that they are among.
    rows : range
        Which of them they are.
    values : ndarray or list
        What was made of each; of those that cannot be read, anything.
    failures : dict of int to Exception
        Why images cannot be read, by their position.
    """

    key: _Key
    images: Images
    rows: range
    values: _Values
    failures: dict[int, Exception] = field(default_factory=dict)


def load_ahead(
    pieces: Iterable[tuple[_Key, Images, range]],
    value_range: ValueRange | None,
    prepare: Callable[..., Any],
    make_room: Callable[[int], _Values],
) -> Generator[Chunk[_Key, _Values]]:
    """Load images piece by piece, each while the caller makes use of the one before.

    `prepare` makes one value for each of a group of images of one size, from their pixels and
    `value_range`; it is called in threads.
    """
    n_threads = count_threads()
    with _threads(n_threads) as (pool, is_over):
        waiting: deque[tuple[Chunk, list[Future]]] = deque()
        for key, images, rows in pieces:
            chunk = Chunk(key, images, rows, make_room(len(rows)))
            parts = [
                pool.submit(_load_part, chunk, part, value_range, prepare, is_over)
                for part in _split(images, rows, n_threads)
            ]
            waiting.append((chunk, parts))
            del chunk, parts  # and with them what is made use of next
            if len(waiting) > 1:
                yield _finish(*waiting.popleft())
        while waiting:
            yield _finish(*waiting.popleft())


@contextmanager
def _threads(n_threads: int) -> Iterator[tuple[ThreadPoolExecutor, Event]]:
    """Keep threads for as long as something is loaded, and leave none behind, whatever happens."""
    is_over = Event()
    pool = ThreadPoolExecutor(n_threads, "sktransfer-load")
    try:
        yield pool, is_over
    finally:
        is_over.set()
        pool.shutdown(cancel_futures=True)


def _split(images: Images, rows: range, n_threads: int) -> Iterator[range]:
    """Cut rows into parts that threads take, a few for each."""
    least = _LEAST_FILES
    if isinstance(images, ArrayImages):
        least = -(-_LEAST_VALUES // math.prod(images.row_shape))
    size = max(least, -(-len(rows) // (4 * n_threads)))
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _load_part(
    chunk: Chunk,
    part: range,
    value_range: ValueRange | None,
    prepare: Callable[..., Any],
    is_over: Event,
) -> str | None:
    """Load some images of a chunk, in a thread; return what is doubtful about the first."""
    doubt = None
    position = part.start
    for group in _load_groups(chunk, part, value_range):
        if is_over.is_set():
            break
        if isinstance(group, Exception):
            chunk.failures[position] = group
            position += 1
            continue
        pixels, own_range = group
        doubt = doubt or find_doubt(chunk.images, pixels)
        start = position - chunk.rows.start
        chunk.values[start : start + len(pixels)] = prepare(pixels, value_range=own_range)
        position += len(pixels)
    return doubt


def _load_groups(
    chunk: Chunk, part: range, value_range: ValueRange | None
) -> Iterator[Group | Exception]:
    """Load images of one size together; of one that cannot be read give the error."""
    images = chunk.images
    if isinstance(images, ArrayImages):
        yield from images.load(part.start, part.stop, value_range)
        return
    for position in part:
        try:
            yield images.load_one(position, value_range)
        except (OSError, ValueError) as error:
            raise_if_exhausted(error)
            yield error


def _finish(chunk: Chunk[_Key, _Values], parts: list[Future]) -> Chunk[_Key, _Values]:
    """Wait until a chunk is loaded."""
    for part in parts:
        warn_once(chunk.images, part.result())
    chunk.failures = dict(sorted(chunk.failures.items()))
    return chunk


def load_all(
    pieces: Iterable[tuple[Images, range]],
    value_range: ValueRange | None,
    prepare: Callable[..., Any],
    make_room: Callable[[int], _Values],
) -> Generator[tuple[range, _Values]]:
    """Load images as :func:`load_ahead` does, all of which must be readable."""
    keyed = ((None, images, rows) for images, rows in pieces)
    with closing(load_ahead(keyed, value_range, prepare, make_room)) as chunks:
        for chunk in chunks:
            if chunk.failures:
                assert isinstance(chunk.images, ImageList)
                chunk.images.raise_unreadable(*next(iter(chunk.failures.items())))
            yield chunk.rows, chunk.values


def empty_inputs(n_images: int, size: int | tuple[int, int]) -> np.ndarray:
    """Allocate preprocessed images."""
    return allocate(
        (n_images, *as_shape(size), 3),
        "The 'batch_size' parameter",
        f"a batch of {n_images:,} preprocessed images",
        "Set a smaller batch_size or input_size.",
    )


@dataclass(frozen=True)
class Loaded:
    """An image on its way to the network: loaded, or already preprocessed where that is smaller."""

    digest: bytes
    values: np.ndarray
    is_preprocessed: bool

    def inputs(self, resizing: Resizing, scaling: PixelScaling) -> np.ndarray:
        """Preprocess the image, if it is not."""
        if self.is_preprocessed:
            return self.values
        return preprocess(self.values, resizing, scaling=scaling)


def to_loaded(
    pixels: np.ndarray, value_range: ValueRange, resizing: Resizing, scaling: PixelScaling
) -> list[Loaded]:
    """Hash each of a group of images, and preprocess large ones."""
    n_values = 3 * math.prod(as_shape(resizing.size))
    is_large = math.prod(pixels.shape[1:3]) * min(pixels.shape[3], 3) > n_values
    if is_large:  # never floats as a whole
        return [
            Loaded(
                digest(image, value_range),
                preprocess(image, resizing, value_range, scaling),
                is_large,
            )
            for image in _each(pixels)
        ]
    # Copy, or one image would keep its whole group in memory.
    group = to_255(pixels, value_range)
    # Bytes are hashed as they are, and whatever had to be converted is not converted again.
    hashed = (pixels, value_range) if pixels.dtype == np.uint8 else (group, None)
    return [
        Loaded(digest(image, hashed[1]), values.copy(), is_large)
        for image, values in zip(_each(hashed[0]), _each(group), strict=True)
    ]


def _each(group: np.ndarray) -> Iterator[np.ndarray]:
    return (group[i : i + 1] for i in range(len(group)))
