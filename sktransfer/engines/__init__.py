"""What runs the network, and the table of networks that are ready to run.

Compiled networks never sit on an estimator, which is cloned, pickled and sent to other processes:
they live in one table per process, found again by what determines them.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from typing import Protocol

import numpy as np

from sktransfer.engines import keras, ncnn, openvino
from sktransfer.engines.choice import ENGINES, PRECISIONS, choose_engine
from sktransfer.engines.processor import describe_processor
from sktransfer.networks import Cut, Layer

__all__ = [
    "ENGINES",
    "PRECISIONS",
    "Arithmetic",
    "Engine",
    "batch_shape",
    "choose_engine",
    "describe_engine",
    "get_engine",
]

#: Networks kept ready; the one used longest ago goes first.
MAX_ENGINES = 4


class Engine(Protocol):
    """A cut network with its weights, ready to run; threads may share it."""

    def __call__(self, inputs: np.ndarray, outputs: list[np.ndarray]) -> None:
        """Compute the outputs of a cut from preprocessed images into rows, one array each."""


@dataclass(frozen=True)
class Arithmetic:
    """What computes, and in which numbers.

    Attributes
    ----------
    engine : {'keras', 'openvino', 'ncnn'}
        What runs the network.
    precision : {'float32', 'bfloat16', 'float16', 'int8'}
        What it computes in.
    ranges : tuple of tuple or None
        For int8 the name of each weighted layer but the first, and its largest input.
    """

    engine: str
    precision: str = "float32"
    ranges: tuple[tuple[str, float], ...] | None = None


_MODULES = {"keras": keras, "openvino": openvino, "ncnn": ncnn}
_engines: OrderedDict[tuple[Cut, str, Arithmetic], Engine] = OrderedDict()
_lock = threading.Lock()
_owner: int | None = None


def batch_shape(engine: str, input_size: int) -> int:
    """Return how many images every call of the compiled network takes.

    Parameters
    ----------
    engine : {'keras', 'openvino', 'ncnn'}
        The engine.
    input_size : int
        Side of the images, in pixels.

    Returns
    -------
    int
        Images per call; engines fill up what is missing.
    """
    return _MODULES[engine].batch_shape(input_size)


def describe_engine(arithmetic: Arithmetic, cut: Cut, layer: Layer) -> str:
    """Name everything that decides the last bits of a layer, without importing a framework.

    Parameters
    ----------
    arithmetic : Arithmetic
        What computes.
    cut : Cut
        What is computed in one pass.
    layer : Layer
        One of the wanted layers.

    Returns
    -------
    str
        Engine, versions, precision, what calibration found, and the kind of processor.
    """
    engine = arithmetic.engine
    packages = keras.describe_backend() if engine == "keras" else f"{engine} {_version(engine)}"
    parts = [packages, arithmetic.precision]
    parts += [f"{name} {_version(name)}" for name in ("numpy", "scipy")]  # what resizes
    if arithmetic.precision in ("bfloat16", "float16"):
        # Where a value is rounded depends on who else reads it.
        parts.append(f"with {[(wanted.name, pooling) for wanted, pooling in cut.outputs]}")
    if arithmetic.ranges is not None:
        above = {each.name for each in cut.weighted_above(layer)}
        parts += [f"{name} {high.hex()}" for name, high in arithmetic.ranges if name in above]
    return ", ".join([*parts, describe_processor()])


# Reading a package's metadata takes milliseconds, and every transform asks.
_version = lru_cache(version)


def get_engine(
    cut: Cut,
    sha256: str,
    arithmetic: Arithmetic,
    load: Callable[[], Mapping[str, tuple[np.ndarray, np.ndarray]]],
) -> Engine:
    """Return the engine for a cut and weights, built at the first call.

    Parameters
    ----------
    cut : Cut
        The network and the wanted layers.
    sha256 : str
        Hash of the weights: together with the others it determines every value that comes out.
    arithmetic : Arithmetic
        What computes, and in which numbers.
    load : callable
        Returns the weights; called only where the engine is not there yet.

    Returns
    -------
    Engine
        Safe to be called by several threads.

    Raises
    ------
    RuntimeError
        In a process forked from one that has already run a network: frameworks deadlock there.
    """
    global _owner
    if _owner not in (None, os.getpid()):
        raise RuntimeError(
            "A network cannot run in a process forked from one that has run a network: the "
            "framework's threads do not survive the fork. Start workers with joblib's default "
            "backend 'loky', or with multiprocessing's 'spawn'."
        )
    key = (cut, sha256, arithmetic)
    with _lock:
        if key not in _engines:
            _engines[key] = _build(cut, load(), arithmetic)
            _owner = os.getpid()
            while len(_engines) > MAX_ENGINES:
                _engines.popitem(last=False)
        _engines.move_to_end(key)
        return _engines[key]


def _build(
    cut: Cut, weights: Mapping[str, tuple[np.ndarray, np.ndarray]], arithmetic: Arithmetic
) -> Engine:
    if arithmetic.engine == "keras":
        return keras.KerasEngine(cut, weights, arithmetic.precision)
    if arithmetic.engine == "ncnn":
        return ncnn.NcnnEngine(cut, weights)
    ranges = None if arithmetic.ranges is None else dict(arithmetic.ranges)
    return openvino.OpenVINOEngine(cut, weights, arithmetic.precision, ranges)
