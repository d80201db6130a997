"""Features of images, chunk by chunk: taken from the store, and computed where they are missing.

What comes out is the same with a store and without: rows never depend on their neighbours, so that
computing a few of them is computing them in any other company.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np

from sktransfer.engines import Engine
from sktransfer.images import Images
from sktransfer.networks import Cut
from sktransfer.preprocessing import Resizing, preprocess, to_255
from sktransfer.store import FeatureStore, StoreUse
from sktransfer.value_range import warn_file

# What the preprocessed images of one chunk may take, where batch_size='auto'.
_CHUNK_BYTES = 32 << 20
# What images may take before they are resized, as far as one is not larger by itself.
_LOADED_BYTES = 16 << 20
# Images of one chunk where there is a store. Others cannot claim them until they are computed, and
# what a killed process loses is one chunk.
_STORED_CHUNK = 64


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

    def chunks(self, n_images: int, largest: int | None = None) -> Iterator[tuple[int, int]]:
        """Cut a number of images into ranges that are computed at once."""
        size = self.batch_size or _CHUNK_BYTES // (4 * 3 * self.cut.input_size**2)
        size = min(size, largest or size)
        size = -(-max(size, 1) // self.step) * self.step
        for start in range(0, n_images, size):
            yield start, min(start + size, n_images)


def compute_features(
    images: Images, task: Task, store: FeatureStore | None, *, progress: Any
) -> np.ndarray:
    """Compute the features of images, or take them from a store.

    Parameters
    ----------
    images : ArrayImages or ImageList
        The images.
    task : Task
        What is wanted of them.
    store : FeatureStore or None
        Where features are looked for and kept.
    progress : tqdm.tqdm
        Told of every image that is done.

    Returns
    -------
    ndarray of shape (n_images, n_features)
        float32, C-contiguous.
    """
    out = np.empty((len(images), task.cut.n_features), dtype=np.float32)
    if store is None:
        for start, stop in task.chunks(len(images)):
            _run_network(_inputs(images, start, stop, task), task, out[start:stop])
            progress.update(stop - start)
        return out
    others: list[tuple[int, int]] = []
    with store.open() as use:
        for start, stop in task.chunks(len(images), _STORED_CHUNK):
            loaded = _load(images, start, stop, task)
            if _fill(loaded, task, use, out[start:stop], wait=False):
                progress.update(stop - start)
            else:
                others.append((start, stop))
        # What another process was computing: it is in the store by now, or soon, or was lost.
        for start, stop in others:
            _fill(_load(images, start, stop, task), task, use, out[start:stop], wait=True)
            progress.update(stop - start)
    return out


def _load(images: Images, start: int, stop: int, task: Task) -> Iterator[list[np.ndarray]]:
    """Load images from black as 0 to white as 255, a few MiB at a time: groups of one size."""
    groups: list[np.ndarray] = []
    for pixels, own_range in images.load(start, stop, task.value_range):
        warn_file(images, pixels)
        groups.append(to_255(pixels, own_range))
        if sum(group.nbytes for group in groups) >= _LOADED_BYTES:
            yield groups
            groups = []
    if groups:
        yield groups


def _inputs(images: Images, start: int, stop: int, task: Task) -> np.ndarray:
    """Load and preprocess a chunk."""
    inputs = task.empty_inputs(stop - start)
    row = 0
    for group in itertools.chain.from_iterable(_load(images, start, stop, task)):
        inputs[row : row + len(group)] = preprocess(group, task.resizing)
        row += len(group)
    return inputs


def _fill(
    loaded: Iterator[list[np.ndarray]], task: Task, use: StoreUse, out: np.ndarray, *, wait: bool
) -> bool:
    """Fill the rows of a chunk, and tell whether all are filled: others may be computing some."""
    digests: list[bytes] = []
    missing: dict[bytes, list[int]] = {}
    inputs: dict[bytes, np.ndarray] = {}
    for groups in loaded:
        # Of each image only its digest outlives this turn, and if it is missing its small input.
        singles = [group[i : i + 1] for group in groups for i in range(len(group))]
        first = len(digests)
        digests += map(digest, singles)
        there = range(first, len(digests))
        for image, places in _missing(digests, there, task, use, out).items():
            if image not in inputs:
                inputs[image] = preprocess(singles[places[0] - first], task.resizing)
            missing.setdefault(image, []).extend(places)
    if not missing:
        return True
    with use.claim(list(missing), wait=wait) as claimed:
        positions = [p for image in claimed for p in missing[image]]
        # Somebody may have computed them between the look and the claim.
        left = _missing(digests, positions, task, use, out)
        rows = np.empty((len(left), out.shape[1]), dtype=np.float32)
        batch = task.empty_inputs(len(left))
        for i, image in enumerate(left):
            batch[i] = inputs[image][0]
        _run_network(batch, task, rows)
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
