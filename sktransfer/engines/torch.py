"""PyTorch as the engine of timm's networks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np

from sktransfer.engines.batches import split
from sktransfer.engines.keras import IMAGES_PER_CALL
from sktransfer.engines.processor import count_threads
from sktransfer.networks.timm_modules import copy_modules


def images_per_call(input_size: int) -> int:
    """Return how many images every call of the network takes at an input size."""
    return next(n for size, n in IMAGES_PER_CALL if input_size <= size)


class TorchEngine:
    """A module of PyTorch that gives several outputs, called with one shape.

    Modules behind the wanted ones do not run. Calls share the cores, one for each, since PyTorch
    chooses its kernels by the number of threads, and with them the last bits.
    """

    def __init__(self, module: Any, n_images: int) -> None:
        self._n_images = n_images
        self._n_threads = count_threads()
        self._module = module
        # Each call hangs its hooks on modules of its own, which wait here; weights are shared.
        self._idle: SimpleQueue[Any] = SimpleQueue()

    def __call__(self, inputs: np.ndarray, outputs: list[np.ndarray]) -> None:
        """Compute the wanted layers."""

        def run(part: tuple[int, np.ndarray]) -> None:
            self._run(*part, outputs)

        n_calls = -(-len(inputs) // self._n_images)
        n_threads = max(1, min(self._n_threads, n_calls))
        with (
            _threads_given_back(),
            ThreadPoolExecutor(n_threads, initializer=_use_one_core) as pool,
        ):
            list(pool.map(run, split(inputs, self._n_images)))

    def _run(self, first: int, batch: np.ndarray, outputs: list[np.ndarray]) -> None:
        import torch

        images = torch.from_numpy(np.ascontiguousarray(batch.transpose(0, 3, 1, 2)))
        try:
            module = self._idle.get_nowait()
        except Empty:
            module = copy_modules(self._module)
        with torch.inference_mode():
            results = module(images)
        self._idle.put(module)
        for result, out in zip(results, outputs, strict=True):
            rows = out[first : first + len(result)]
            rows[:] = result.numpy()[: len(rows)]


def _use_one_core() -> None:
    """Let this thread compute by itself."""
    import torch

    torch.get_num_threads()  # a new thread takes the number of the process at its first use
    torch.set_num_threads(1)


_lock = threading.Lock()
_n_running = _n_before = 0


@contextmanager
def _threads_given_back() -> Iterator[None]:
    """Set the number of threads of the process back where the last call that changed it ends."""
    global _n_running, _n_before
    import torch

    with _lock:
        if _n_running == 0:
            _n_before = torch.get_num_threads()
        _n_running += 1
    try:
        yield
    finally:
        with _lock:
            _n_running -= 1
            if _n_running == 0:
                torch.set_num_threads(_n_before)
