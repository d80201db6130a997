"""Features of images, chunk by chunk: taken from the store, and computed where they are missing.

What comes out is the same with a store and without: rows never depend on their neighbours, so that
computing a few of them is computing them in any other company.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, TypeVar

import numpy as np

from sktransfer.decoding import explain
from sktransfer.engines import Engine
from sktransfer.engines.processor import count_threads
from sktransfer.images import ArrayImages, Images
from sktransfer.networks import Cut
from sktransfer.preprocessing import Resizing, preprocess, to_255
from sktransfer.store import FeatureStore, StoreUse
from sktransfer.value_range import warn_file

# What the preprocessed images of one chunk may take, where batch_size='auto'.
_CHUNK_BYTES = 32 << 20
# Images of one chunk where there is a store. Others cannot claim them until they are computed, and
# what a killed process loses is one chunk.
_STORED_CHUNK = 64

_Chunk = TypeVar("_Chunk")
_Key = TypeVar("_Key")


@dataclass(frozen=True)
class Task:
    """Everything but the images and the store.

    Attributes
    ----------
    cut : Cut
        The network and the wanted layers.
    resizing : Resizing
        How images become the network's input.
    get_engine : callable
        Returns what runs the network; called where something is to be computed.
    step : int
        Images per call of the network: others are filled up.
    value_range : tuple of float or None
        The values of black and white in arrays.
    batch_size : int or None
        Images held in memory at once; None leaves it to a bound of their memory.
    recipes : tuple of str
        For each wanted layer everything besides the image that decides its features.
    """

    cut: Cut
    resizing: Resizing
    get_engine: Callable[[], Engine]
    step: int
    value_range: tuple[float, float] | None
    batch_size: int | None
    recipes: tuple[str, ...]

    @cached_property
    def columns(self) -> list[slice]:
        """Where each wanted layer's features stand in a row."""
        ends = np.cumsum((0, *self.cut.widths))
        return [slice(start, end) for start, end in itertools.pairwise(ends)]

    def empty_inputs(self, n_images: int) -> np.ndarray:
        """Make room for preprocessed images."""
        return np.empty((n_images, *self.cut.trunk[0].output_shape), dtype=np.float32)

    def chunk_size(self, largest: int | None = None) -> int:
        """Say how many images are prepared and computed at once."""
        size = self.batch_size or _CHUNK_BYTES // (4 * 3 * self.cut.input_size**2)
        size = min(size, largest or size)
        return -(-max(size, 1) // self.step) * self.step

    def chunks(self, rows: range, largest: int | None = None) -> Iterator[tuple[int, int]]:
        """Cut a range of images into ranges that are computed at once."""
        size = self.chunk_size(largest)
        for start in range(rows.start, rows.stop, size):
            yield start, min(start + size, rows.stop)


def compute_features(
    images: Images, rows: range, task: Task, store: FeatureStore | None, *, progress: Any
) -> np.ndarray:
    """Compute the features of images, or take them from a store.

    Parameters
    ----------
    images : ArrayImages or ImageList
        The images.
    rows : range
        Which of them, one after the other.
    task : Task
        What is wanted of them.
    store : FeatureStore or None
        Where features are looked for and kept.
    progress : tqdm.tqdm
        Told of every image that is done.

    Returns
    -------
    ndarray of shape (n_rows, n_features)
        float32, C-contiguous.
    """
    out = np.empty((len(rows), task.cut.n_features), dtype=np.float32)
    first = rows.start
    if store is None:
        chunks = task.chunks(rows)
        for (start, stop), inputs in _ahead(
            lambda chunk: load_inputs(images, *chunk, task), chunks
        ):
            _run_network(inputs, task, out[start - first : stop - first])
            progress.update(stop - start)
        return out
    others: list[tuple[int, int]] = []
    with store.open() as use:
        chunks = task.chunks(rows, _STORED_CHUNK)
        for (start, stop), loaded in _ahead(lambda chunk: _digests(images, *chunk, task), chunks):
            if _fill(loaded, task, use, out[start - first : stop - first], wait=False):
                progress.update(stop - start)
            else:
                others.append((start, stop))
        # What another process was computing: it is in the store by now, or soon, or was lost.
        for start, stop in others:
            loaded = _digests(images, start, stop, task)
            _fill(loaded, task, use, out[start - first : stop - first], wait=True)
            progress.update(stop - start)
    return out


def stream_features(
    pieces: Iterable[tuple[_Key, Images]], task: Task
) -> Iterator[tuple[_Key, np.ndarray, dict[int, str]]]:
    """Compute the features of images that come in pieces, whether or not all can be read.

    Files are decoded by as many threads as there are processors, while the network runs on the
    piece before.

    Parameters
    ----------
    pieces : iterable of tuple
        Anything that a piece is known by, and its images: at most ``task.chunk_size()``.
    task : Task
        What is wanted of them.

    Yields
    ------
    key : object
        What the piece is known by.
    rows : ndarray of shape (n_images, n_features)
        float32; NaN where an image could not be read.
    failures : dict of int to str
        For each such image, by its position in the piece, the reason.
    """
    with ThreadPoolExecutor(count_threads(), thread_name_prefix="sktransfer-decode") as decoders:

        def prepare(piece: tuple[_Key, Images]) -> tuple[np.ndarray, dict[int, str]]:
            return _readable_inputs(piece[1], task, decoders)

        for (key, images), (inputs, failures) in _ahead(prepare, pieces):
            rows = np.full((len(images), task.cut.n_features), np.nan, dtype=np.float32)
            if failures:
                found = np.empty((len(inputs), rows.shape[1]), np.float32)
                _run_network(inputs, task, found)
                rows[[i for i in range(len(images)) if i not in failures]] = found
            else:
                _run_network(inputs, task, rows)
            yield key, rows, failures


def _readable_inputs(
    images: Images, task: Task, decoders: ThreadPoolExecutor
) -> tuple[np.ndarray, dict[int, str]]:
    """Preprocess the images that can be read, and say why the others cannot."""
    if isinstance(images, ArrayImages):
        return load_inputs(images, 0, len(images), task), {}

    def prepare(position: int) -> np.ndarray | str:
        try:
            pixels, own_range = images.load_one(position, task.value_range)
        except (OSError, ValueError) as error:
            return explain(error)
        warn_file(images, pixels)
        return preprocess(to_255(pixels, own_range), task.resizing)

    prepared = list(decoders.map(prepare, range(len(images))))
    failures = {i: each for i, each in enumerate(prepared) if isinstance(each, str)}
    inputs = task.empty_inputs(len(images) - len(failures))
    for row, values in enumerate(each for each in prepared if not isinstance(each, str)):
        inputs[row] = values[0]
    return inputs, failures


def _ahead(
    prepare: Callable[[_Chunk], Any], chunks: Iterable[_Chunk]
) -> Iterator[tuple[_Chunk, Any]]:
    """Prepare every chunk in a thread, while the one before is made use of."""
    with ThreadPoolExecutor(1, thread_name_prefix="sktransfer-load") as pool:
        waiting: deque[tuple[_Chunk, Future]] = deque()
        for chunk in chunks:
            waiting.append((chunk, pool.submit(prepare, chunk)))
            if len(waiting) > 1:
                earlier, future = waiting.popleft()
                yield earlier, future.result()
                del future  # and with it what was prepared
        for chunk, future in waiting:
            yield chunk, future.result()


def load_255(
    images: Images, start: int, stop: int, value_range: tuple[float, float] | None
) -> Iterator[np.ndarray]:
    """Load images from black as 0 to white as 255, a few MiB at a time.

    Parameters
    ----------
    images : ArrayImages or ImageList
        The images.
    start, stop : int
        The range of them.
    value_range : tuple of float or None
        The values of black and white in arrays.

    Yields
    ------
    ndarray of shape (n_images, height, width, 1 or 3)
        Images of one size, float32.
    """
    for pixels, own_range in images.load(start, stop, value_range):
        warn_file(images, pixels)
        yield to_255(pixels, own_range)


def load_inputs(images: Images, start: int, stop: int, task: Task) -> np.ndarray:
    """Load and preprocess images.

    Parameters
    ----------
    images : ArrayImages or ImageList
        The images.
    start, stop : int
        The range of them.
    task : Task
        What they are loaded for.

    Returns
    -------
    ndarray of shape (n_images, input_size, input_size, 3)
        What the network takes, float32.
    """
    inputs = task.empty_inputs(stop - start)
    row = 0
    for group in load_255(images, start, stop, task.value_range):
        inputs[row : row + len(group)] = preprocess(group, task.resizing)
        row += len(group)
    return inputs


@dataclass(frozen=True)
class _Loaded:
    """An image on its way to the network: loaded, or already preprocessed where that is smaller."""

    digest: bytes
    values: np.ndarray
    is_preprocessed: bool


def _digests(images: Images, start: int, stop: int, task: Task) -> list[_Loaded]:
    """Load a chunk, and hash each image."""
    loaded = []
    n_values = math.prod(task.cut.trunk[0].output_shape)
    for group in load_255(images, start, stop, task.value_range):
        is_large = math.prod(group.shape[1:]) > n_values
        for i in range(len(group)):
            image = group[i : i + 1]
            # A copy, or the whole group would stay as long as one of its images.
            values = preprocess(image, task.resizing) if is_large else image.copy()
            loaded.append(_Loaded(digest(image), values, is_large))
    return loaded


def _fill(loaded: list[_Loaded], task: Task, use: StoreUse, out: np.ndarray, *, wait: bool) -> bool:
    """Fill the rows of a chunk, and tell whether all are filled: others may be computing some."""
    digests = [image.digest for image in loaded]
    missing = _missing(digests, range(len(digests)), task, use, out)
    if not missing:
        return True
    with use.claim(list(missing), wait=wait) as claimed:
        positions = [p for image in claimed for p in missing[image]]
        # Somebody may have computed them between the look and the claim.
        left = _missing(digests, positions, task, use, out)
        inputs = task.empty_inputs(len(left))
        for i, found in enumerate(left.values()):
            image = loaded[found[0]]
            is_ready = image.is_preprocessed
            inputs[i] = (image.values if is_ready else preprocess(image.values, task.resizing))[0]
        rows = np.empty((len(left), out.shape[1]), dtype=np.float32)
        _run_network(inputs, task, rows)
        for recipe, columns in zip(task.recipes, task.columns, strict=True):
            use.write(recipe, list(left), rows[:, columns])
        for row, found in zip(rows, left.values(), strict=True):
            out[found] = row
    return len(claimed) == len(missing)


def _missing(
    digests: list[bytes], positions: Sequence[int], task: Task, use: StoreUse, out: np.ndarray
) -> dict[bytes, list[int]]:
    """Read the rows that are there; return where the others are, by image."""
    images = [digests[position] for position in positions]
    rows = np.empty((len(images), out.shape[1]), dtype=np.float32)
    found = np.ones(len(images), dtype=bool)
    for recipe, columns in zip(task.recipes, task.columns, strict=True):
        found &= use.read(recipe, images, rows[:, columns])
    out[np.asarray(positions, dtype=int)[found]] = rows[found]
    missing: dict[bytes, list[int]] = {}
    for position, image, is_there in zip(positions, images, found, strict=True):
        if not is_there:
            missing.setdefault(image, []).append(position)
    return missing


def _run_network(inputs: np.ndarray, task: Task, out: np.ndarray) -> None:
    """Run the network on preprocessed images, and write its features into rows."""
    if len(out):
        task.get_engine()(inputs, [out[:, columns] for columns in task.columns])


def digest(image: np.ndarray) -> bytes:
    """Hash the content of an image: equal images have equal digests, however they came.

    Parameters
    ----------
    image : ndarray of shape (1, height, width, 1 or 3)
        From black as 0 to white as 255, float32.

    Returns
    -------
    bytes
        The digest, 16 bytes long.
    """
    if image.shape[3] == 3 and (image == image[..., :1]).all():
        image = image[..., :1]  # a grey image in three channels gives the features of the grey one
    image = np.ascontiguousarray(image) + np.float32(0)  # -0 and 0 are equal, and so are their bits
    return blake2b(image.tobytes(), digest_size=16, key=repr(image.shape).encode()).digest()
