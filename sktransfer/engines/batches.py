"""Batches of one fixed shape, because another shape may change the last bits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def split(inputs: np.ndarray, n_images: int) -> Iterator[tuple[int, np.ndarray]]:
    """Cut inputs into batches of one shape, the last filled up with zeros."""
    for first in range(0, len(inputs), n_images):
        batch = inputs[first : first + n_images]
        if len(batch) < n_images:
            missing = np.zeros((n_images - len(batch), *batch.shape[1:]), dtype=batch.dtype)
            batch = np.concatenate([batch, missing])
        yield first, batch
