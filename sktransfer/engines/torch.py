"""PyTorch as the engine of timm's networks."""

from __future__ import annotations

from typing import Any

import numpy as np

from sktransfer.engines.batches import split
from sktransfer.engines.keras import IMAGES_PER_CALL


def images_per_call(input_size: int) -> int:
    """Return how many images every call of the network takes at an input size."""
    return next(n for size, n in IMAGES_PER_CALL if input_size <= size)


class TorchEngine:
    """A module of PyTorch that gives several outputs, called with one shape.

    Modules behind the wanted ones do not run. A call uses all cores.
    """

    def __init__(self, module: Any, n_images: int) -> None:
        self._module, self._n_images = module, n_images

    def __call__(self, inputs: np.ndarray, outputs: list[np.ndarray]) -> None:
        """Compute the wanted layers."""
        import torch

        for first, batch in split(inputs, self._n_images):
            images = torch.from_numpy(np.ascontiguousarray(batch.transpose(0, 3, 1, 2)))
            with torch.inference_mode():
                results = self._module(images)
            for result, out in zip(results, outputs, strict=True):
                rows = out[first : first + len(result)]
                rows[:] = result.numpy()[: len(rows)]
