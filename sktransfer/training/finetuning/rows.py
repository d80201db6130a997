"""The rows that training runs over: each image once, with its features in memory or in a file."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from sktransfer.features.digest import digest
from sktransfer.features.loading import empty_inputs, load_all
from sktransfer.features.preprocessing import Resizing, centre, preprocess, resize
from sktransfer.features.temporary import temporary_folder
from sktransfer.inputs.images import Images
from sktransfer.inputs.scale import ValueRange
from sktransfer.networks.pixels import PixelScaling

# Rows up to this size altogether stay in memory, and larger ones go to a file.
_MEMORY_BYTES = 64 << 20
# How many images are hashed at a time.
_HASHED = 1024


class Rows(Protocol):
    """Inputs of a network, one for each image, loaded where they are needed."""

    def batches(self, batches: Iterable[np.ndarray], epoch: int = 0) -> Generator[np.ndarray]:
        """Load the inputs of images by position; augmented where `epoch` is above 0."""


@dataclass(frozen=True)
class ArrayRows:
    """The outputs of the frozen layers for each image, which :meth:`keep` may have put into a file.

    Attributes
    ----------
    values : ndarray or memmap
        A row for each image.
    """

    values: np.ndarray

    @classmethod
    def keep(cls, parts: Iterable[np.ndarray], n_rows: int, shape: tuple[int, ...]) -> ArrayRows:
        """Keep rows of a shape that come in parts: in memory, or in a file if they are large."""
        all_rows = (n_rows, *shape)
        if 4 * math.prod(all_rows) <= _MEMORY_BYTES:
            values, start = np.empty(all_rows, np.float32), 0
            for part in parts:
                values[start : start + len(part)] = part.reshape(-1, *shape)
                start += len(part)
            return cls(values)
        folder = temporary_folder()
        folder.mkdir(parents=True, exist_ok=True)
        # Written before it is mapped: a full disk is then an error, and not the end of the process.
        # The file is removed with the map.
        with tempfile.TemporaryFile(dir=folder) as file:
            for part in parts:
                file.write(np.ascontiguousarray(part, np.float32).data)
            file.flush()
            return cls(np.memmap(file, np.float32, "r", shape=all_rows))

    def batches(self, batches: Iterable[np.ndarray], epoch: int = 0) -> Generator[np.ndarray]:
        """Take rows by position."""
        for positions in batches:
            yield self.values[positions]


class ImageRows:
    """Images, preprocessed whenever they are asked for, and augmented in training.

    Parameters
    ----------
    images : ArrayImages or ImageList
        The images.
    value_range : tuple of float or None
        The values of black and white in arrays.
    resizing : Resizing
        How images become the network's input.
    scaling : PixelScaling
        How their pixels do.
    augmentation : list of dict
        Keras preprocessing layers, serialized; they see RGB images of the network's size with
        values from 0 to 255.
    seed : int
        Seed of everything that is random in them.
    """

    def __init__(
        self,
        images: Images,
        value_range: ValueRange | None,
        resizing: Resizing,
        scaling: PixelScaling,
        augmentation: Sequence[dict[str, Any]],
        seed: int,
    ) -> None:
        self._images = images
        self._value_range = value_range
        self._resizing = resizing
        self._scaling = scaling
        self._augmentation = augmentation
        self._seed = seed
        self._epoch = 0
        self._layers: list[Any] = []

    def batches(self, batches: Iterable[np.ndarray], epoch: int = 0) -> Generator[np.ndarray]:
        """Load images, each batch while the one before is made use of."""
        is_augmented = bool(self._augmentation) and epoch > 0
        if is_augmented and epoch != self._epoch:
            self._layers, self._epoch = self._seeded_layers(epoch), epoch
        taken = (self._images.take(positions.tolist()) for positions in batches)
        load = load_all(
            ((images, range(len(images))) for images in taken),
            self._value_range,
            partial(resize, resizing=self._resizing)
            if is_augmented
            else partial(preprocess, resizing=self._resizing, scaling=self._scaling),
            partial(empty_inputs, size=self._resizing.size),
        )
        with closing(load) as loaded:
            for _, inputs in loaded:
                yield centre(self._augment(inputs), self._scaling) if is_augmented else inputs

    def _augment(self, images: np.ndarray) -> np.ndarray:
        import keras

        for layer in self._layers:
            images = layer(images, training=True)
        return np.asarray(keras.ops.convert_to_numpy(images), np.float32)

    def _seeded_layers(self, epoch: int) -> list[Any]:
        import keras

        rng = np.random.default_rng([self._seed, epoch])
        return [keras.layers.deserialize(_seed_all(each, rng)) for each in self._augmentation]


def _seed_all(config: Any, rng: np.random.Generator) -> Any:
    """Give every layer its own seed, those within other layers too."""
    if isinstance(config, dict):
        return {
            key: int(rng.integers(1 << 31)) if key == "seed" else _seed_all(value, rng)
            for key, value in config.items()
        }
    if isinstance(config, list | tuple):
        return type(config)(_seed_all(value, rng) for value in config)
    return config


def merge_equal_rows(
    images: Images,
    value_range: tuple[float, float] | None,
    targets: np.ndarray,
    weights: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, bytes]:
    """Find the distinct pairs of image and target, with the sum of their weights.

    A row given twice is then a row of weight two, one of weight zero is none, and the order in
    which rows are given makes no difference: the first of each group of equal rows stands for it,
    in an order of their content. Returns positions, weights, and a digest of all that was found.
    """
    from hashlib import blake2b

    groups: dict[tuple[bytes, bytes], list[int]] = {}
    for position, content_of in enumerate(_digests(images, value_range)):
        if weights[position] > 0:
            key = content_of, targets[position].tobytes()
            groups.setdefault(key, []).append(position)
    keys = sorted(groups)
    positions = np.asarray([groups[key][0] for key in keys], dtype=np.intp)
    sums = np.asarray([weights[groups[key]].sum() for key in keys])
    content = blake2b(digest_size=16)
    for key, weight in zip(keys, sums, strict=True):
        content.update(b"".join(key) + weight.tobytes())
    return positions, sums, content.digest()


def _digests(images: Images, value_range: ValueRange | None) -> Iterator[bytes]:
    """Hash every image."""

    def hash_each(pixels: np.ndarray, value_range: ValueRange) -> list[bytes]:
        return [digest(pixels[i : i + 1], value_range) for i in range(len(pixels))]

    parts = range(0, len(images), _HASHED)
    pieces = ((images, range(start, min(start + _HASHED, len(images)))) for start in parts)
    with closing(load_all(pieces, value_range, hash_each, lambda n: [b""] * n)) as loaded:
        for _, digests in loaded:
            yield from digests
