"""What training runs over: each image once, and what was computed of it kept out of memory."""

from __future__ import annotations

import math
import tempfile
import weakref
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from sktransfer.computing import Task, digest, load_255, load_inputs
from sktransfer.images import Images
from sktransfer.preprocessing import centre, resize
from sktransfer.temporary import temporary_folder

# Rows up to this size altogether stay in memory, and larger ones go to a file.
_MEMORY_BYTES = 64 << 20


class Rows(Protocol):
    """Inputs of a network, one for each image, loaded where they are needed."""

    def take(self, positions: np.ndarray, epoch: int = 0) -> np.ndarray:
        """Load the inputs of some images; augmented where `epoch` is above 0."""


class SpooledRows:
    """What the frozen layers gave for each image, in a file once it is large.

    Parameters
    ----------
    shape : tuple of int
        Shape of one row.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._row_bytes = 4 * math.prod(shape)
        folder = temporary_folder()
        folder.mkdir(parents=True, exist_ok=True)
        self._file = tempfile.SpooledTemporaryFile(_MEMORY_BYTES, dir=str(folder))  # noqa: SIM115
        # It is removed when it is closed, and needed as long as these rows are.
        weakref.finalize(self, self._file.close)

    def append(self, rows: np.ndarray) -> None:
        """Keep more rows.

        Parameters
        ----------
        rows : ndarray of shape (n_rows, ...)
            Rows, flat or not.
        """
        self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(rows, np.float32).data)

    def take(self, positions: np.ndarray, epoch: int = 0) -> np.ndarray:
        """Read rows.

        Parameters
        ----------
        positions : ndarray of int
            Which of them.
        epoch : int, default=0
            Not used: what is kept does not change.

        Returns
        -------
        ndarray of shape (n_positions, ...)
            The rows, float32.
        """
        out = np.empty((len(positions), *self._shape), dtype=np.float32)
        for row, position in zip(out, positions.tolist(), strict=True):
            self._file.seek(position * self._row_bytes)
            row[...] = np.frombuffer(self._file.read(self._row_bytes), np.float32).reshape(
                self._shape
            )
        return out


class ImageRows:
    """Images, preprocessed whenever they are asked for, and augmented in training.

    Parameters
    ----------
    images : ArrayImages or ImageList
        The images.
    task : Task
        What they are loaded for.
    augmentation : list of dict
        Keras preprocessing layers, serialized; they see RGB images of the network's size with
        values from 0 to 255.
    seed : int
        Seed of everything that is random in them.
    """

    def __init__(
        self, images: Images, task: Task, augmentation: Sequence[dict[str, Any]], seed: int
    ) -> None:
        self._images = images
        self._task = task
        self._augmentation = augmentation
        self._seed = seed
        self._epoch = 0
        self._layers: list[Any] = []

    def take(self, positions: np.ndarray, epoch: int = 0) -> np.ndarray:
        """Load images.

        Parameters
        ----------
        positions : ndarray of int
            Which of them.
        epoch : int, default=0
            The epoch, whose augmentation depends on it and the seed alone; 0 for none.

        Returns
        -------
        ndarray of shape (n_positions, input_size, input_size, 3)
            What the network takes, float32.
        """
        images, n = self._images.take(positions.tolist()), len(positions)
        if not (self._augmentation and epoch):
            return load_inputs(images, 0, n, self._task)
        if epoch != self._epoch:
            self._layers, self._epoch = self._seeded_layers(epoch), epoch
        resized = np.empty_like(self._task.empty_inputs(n))
        row = 0
        for group in load_255(images, 0, n, self._task.value_range):
            resized[row : row + len(group)] = resize(group, self._task.resizing)
            row += len(group)
        return centre(self._augment(resized))

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
    """Give every layer a seed of its own, those within other layers too."""
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
    which rows are given makes no difference.

    Parameters
    ----------
    images : ArrayImages or ImageList
        The images.
    value_range : tuple of float or None
        The values of black and white in arrays.
    targets : ndarray of shape (n_images,) or (n_images, n_outputs)
        What is to be learned.
    weights : ndarray of shape (n_images,)
        Weight of each row, not negative.

    Returns
    -------
    positions : ndarray of int
        Where the first of each group of equal rows stands, in an order that depends on their
        content only.
    weights : ndarray of float
        Sum of the weights of each group.
    content : bytes
        Digest of all that was found: images, targets and weights.
    """
    from hashlib import blake2b

    groups: dict[tuple[bytes, bytes], list[int]] = {}
    position = 0
    for group in load_255(images, 0, len(images), value_range):
        for i in range(len(group)):
            if weights[position] > 0:
                key = digest(group[i : i + 1]), targets[position].tobytes()
                groups.setdefault(key, []).append(position)
            position += 1
    keys = sorted(groups)
    positions = np.asarray([groups[key][0] for key in keys], dtype=np.intp)
    sums = np.asarray([weights[groups[key]].sum() for key in keys])
    content = blake2b(digest_size=16)
    for key, weight in zip(keys, sums, strict=True):
        content.update(b"".join(key) + weight.tobytes())
    return positions, sums, content.digest()
