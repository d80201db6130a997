"""Images by formula, drawn batch by batch, ahead of the training that uses them."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

#: From a label, a generator of random numbers and a size in pixels to an image.
Formula = Callable[[int, np.random.Generator, int], np.ndarray]

#: Parts of the stream: no image of one is in the other.
TRAINING, HELD_OUT = 0, 1
_SIZES = 2
# Batches that each worker is ahead.
_AHEAD = 3


@dataclass(frozen=True)
class Stream:
    """All images that a run can see: number and part decide each, nothing else does.

    Attributes
    ----------
    formula : callable
        What draws an image.
    n_classes : int
        Labels go from 0 to one less.
    sizes : tuple of int
        Sides in pixels, of which each batch has one.
    batch_size : int
        Images per batch.
    seed : int
        Not negative.
    """

    formula: Formula
    n_classes: int
    sizes: tuple[int, ...]
    batch_size: int
    seed: int

    def draw(self, part: int, number: int, size: int) -> tuple[np.ndarray, int]:
        """Draw one image.

        Parameters
        ----------
        part : {0, 1}
            `TRAINING` or `HELD_OUT`.
        number : int
            Which.
        size : int
            Side in pixels.

        Returns
        -------
        image : ndarray of shape (size, size, 3), uint8
            Red, green and blue.
        label : int
            Its class.

        Raises
        ------
        ValueError
            If the formula gives anything else.
        """
        rng = np.random.default_rng([self.seed, part, number])
        label = int(rng.integers(self.n_classes))
        image = self.formula(label, rng, size)
        if (
            not isinstance(image, np.ndarray)
            or image.shape != (size, size, 3)
            or image.dtype != np.uint8
        ):
            got = repr(image)
            if isinstance(image, np.ndarray):
                got = f"an array of shape {image.shape} and dtype {image.dtype}"
            raise ValueError(
                "The 'formula' parameter of pretrain must give images of shape (size, size, 3) and "
                f"dtype uint8, from 0 to 255. Got for label {label} at size {size} {got} instead. "
                "Repeat a grey image three times along a last axis, and clip and round values of "
                "another dtype."
            )
        return image, label

    def size_of(self, part: int, batch: int) -> int:
        """Return the size of all images of a batch."""
        rng = np.random.default_rng([self.seed, part + _SIZES, batch])
        return self.sizes[rng.integers(len(self.sizes))]

    def draw_batch(self, part: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw a batch."""
        size = self.size_of(part, batch)
        first = batch * self.batch_size
        pairs = [self.draw(part, first + i, size) for i in range(self.batch_size)]
        images, labels = zip(*pairs, strict=True)
        return np.stack(images), np.array(labels, np.int64)

    def fingerprint(self) -> str:
        """Hash a few images, so that a formula that was changed is known as another."""
        sha256 = hashlib.sha256()
        for number in range(8):
            image, label = self.draw(TRAINING, number, self.sizes[0])
            sha256.update(f"{label} {image.shape}\n".encode())
            sha256.update(np.ascontiguousarray(image).data)
        return sha256.hexdigest()


def draw_ahead(
    stream: Stream, part: int, batches: range, executor: Executor, n_jobs: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches in their order, while the next few are drawn.

    Parameters
    ----------
    stream : Stream
        Where they come from.
    part : {0, 1}
        `TRAINING` or `HELD_OUT`.
    batches : range
        Which.
    executor : Executor
        What draws them.
    n_jobs : int
        How many it draws at a time.

    Yields
    ------
    images, labels : ndarray
        As :meth:`Stream.draw_batch` gives them.
    """
    waiting: deque[Future[Any]] = deque()
    numbers = iter(batches)

    def submit(n: int) -> None:
        for number in islice(numbers, n):
            waiting.append(executor.submit(stream.draw_batch, part, number))

    try:
        submit(_AHEAD * n_jobs)
        while waiting:
            batch = waiting.popleft().result()
            submit(1)
            yield batch
    finally:
        for future in waiting:
            future.cancel()


@contextmanager
def workers(n_jobs: int) -> Iterator[Executor]:
    """Start what draws images: a thread, or processes.

    Parameters
    ----------
    n_jobs : int
        1 for a thread of this process; else as many processes. They are started afresh, never
        forked from this one, in which the network's threads run.

    Yields
    ------
    Executor
        Shut down at the end.
    """
    executor: Any
    if n_jobs == 1:
        executor = ThreadPoolExecutor(1, thread_name_prefix="sktransfer-formula")
    else:
        # Its processes take formulas that were defined in a notebook or a script, too.
        from joblib.externals.loky import ProcessPoolExecutor

        executor = ProcessPoolExecutor(n_jobs)
    try:
        yield executor
    finally:
        # Images drawn after an error are not needed.
        if isinstance(executor, ThreadPoolExecutor):
            executor.shutdown(cancel_futures=True)
        else:
            executor.shutdown(kill_workers=True)
