"""Networks that are ready to run: what all engines have in common, and a table of networks.

Compiled networks never sit on an estimator, which is cloned, pickled and sent to other processes:
they live in one table per process, found again by what determines them.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np

from sktransfer.engines import graphs, keras, ncnn, openvino, quantizing, torch
from sktransfer.engines.choice import JOINT_PRECISIONS
from sktransfer.engines.processor import describe_processor
from sktransfer.engines.quantizing import InputRange
from sktransfer.networks import AnyCut, Cut, NetworkCut
from sktransfer.networks.frameworks import claim
from sktransfer.networks.outputs import side_of

#: Networks kept ready; the one used longest ago goes first.
MAX_ENGINES = 4


class Engine(Protocol):
    """A cut network with its weights, ready to run; threads may share it."""

    def __call__(self, inputs: np.ndarray, outputs: list[np.ndarray]) -> None:
        """Compute the outputs of a cut from preprocessed images into rows, one array each."""


@dataclass(frozen=True)
class EngineConfig:
    """How an engine is to run: which one, in which precision, for int8 with which ranges.

    Attributes
    ----------
    engine : {'keras', 'openvino', 'ncnn', 'torch'}
        What runs the network.
    precision : {'float32', 'bfloat16', 'float16', 'int8'}
        What it computes in.
    ranges : tuple of tuple or None
        For int8 of VGG the name of each weighted layer but the first, and its largest input; of
        other networks what :func:`find_ranges` finds.
    """

    engine: str
    precision: str = "float32"
    ranges: tuple[tuple[Any, ...], ...] | None = None


_MODULES = {"keras": keras, "openvino": openvino, "ncnn": ncnn, "torch": torch}
_engines: OrderedDict[tuple[AnyCut, str, EngineConfig], Engine] = OrderedDict()
_ranges: dict[tuple[NetworkCut, str, bytes], tuple[InputRange, ...]] = {}
_lock = threading.Lock()
_building = threading.Lock()


def _after_fork() -> None:
    """Start a new table in a forked process, where another thread may have held a lock."""
    global _building, _engines, _lock
    # The former networks are never freed, at the end of the process either: those of OpenVINO would
    # wait for threads that are gone.
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(_engines))
    _engines, _lock, _building = OrderedDict(), threading.Lock(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def images_per_call(engine: str, input_size: int) -> int:
    """Return how many images every call of the compiled network takes."""
    return _MODULES[engine].images_per_call(input_size)


def images_for(cut: AnyCut, engine: str) -> int:
    """Return how many images every call of a cut takes."""
    if cut.n_images is not None:
        return cut.n_images
    n_images = images_per_call(engine, side_of(cut.input_size))
    is_other = engine == "openvino" and not isinstance(cut, Cut)
    return max(n_images, openvino.LEAST_IMAGES_OF_OTHERS) if is_other else n_images


def describe_engine(config: EngineConfig, cut: AnyCut, layer: Any) -> str:
    """Name everything that decides the last bits of a layer, without importing a framework."""
    engine = config.engine
    packages = keras.describe_backend() if engine == "keras" else f"{engine} {_version(engine)}"
    parts = [packages, config.precision]
    parts += [f"{name} {_version(name)}" for name in ("numpy", "scipy")]  # what resizes
    # Engines may fuse what lies between layers of which none is wanted.
    if config.precision in JOINT_PRECISIONS or not isinstance(cut, Cut):
        parts.append(f"with {[(wanted.name, pooling) for wanted, pooling in cut.outputs]}")
    if config.ranges is not None and isinstance(cut, Cut):
        above = {each.name for each in cut.weighted_above(layer)}
        parts += [f"{name} {high.hex()}" for name, high in config.ranges if name in above]
    elif config.ranges is not None:
        parts.append(blake2b(repr(config.ranges).encode(), digest_size=16).hexdigest())
    return ", ".join([*parts, describe_processor()])


# Reading a package's metadata takes milliseconds, and every transform asks.
_version = lru_cache(version)


def find_engine(cut: AnyCut, sha256: str, config: EngineConfig) -> Engine | None:
    """Return the engine for a cut and weights, if it is ready."""
    claim(config.engine)
    key = (cut, sha256, config)
    with _lock:
        engine = _engines.get(key)
        if engine is not None:
            _engines.move_to_end(key)
    return engine


@contextmanager
def building() -> Iterator[None]:
    """Keep other threads from building engines: they wait, and then find this one.

    One lock serves all engines, so that the weights of two networks are never loaded at once.
    """
    with _building:
        yield


def add_engine(cut: AnyCut, sha256: str, config: EngineConfig, weights: Any) -> Engine:
    """Build the engine for a cut and weights, and keep it ready; to be called within `building`.

    `weights` are those of VGG as arrays, and of other cuts the network with its weights.
    """
    claim(config.engine)
    engine = _build(cut, weights, config)
    if isinstance(cut, NetworkCut) and cut.is_users:
        _check_rows(engine, cut, images_for(cut, config.engine))
    with _lock:
        _engines[cut, sha256, config] = engine
        while len(_engines) > MAX_ENGINES:
            _engines.popitem(last=False)
    return engine


def find_ranges(
    cut: NetworkCut, sha256: str, network: Any, inputs: np.ndarray
) -> tuple[InputRange, ...]:
    """Find for int8 which values occur where in a network, over some preprocessed images.

    A search fits many extractors with the same images for calibration: the last ranges are kept.
    """
    claim("openvino")
    key = cut, sha256, blake2b(np.ascontiguousarray(inputs).data, digest_size=16).digest()
    with _lock:
        known = _ranges.get(key)
    if known is None:
        n_images = images_for(cut, "openvino")
        # The last call takes images again, where too few are left: zeros are no images.
        rows = np.arange(-(-len(inputs) // n_images) * n_images) % len(inputs)
        model = graphs.convert(network, cut, n_images)
        known = quantizing.find_ranges(model, inputs[rows])
        with _lock:
            _ranges[key] = known
            while len(_ranges) > MAX_ENGINES:
                del _ranges[next(iter(_ranges))]
    return known


def _check_rows(engine: Engine, cut: NetworkCut, n_images: int) -> None:
    """Check that the features of an image do not depend on those beside it in a call."""
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 4, (2, n_images, *cut.trunk[0].output_shape)).astype(np.float32)
    images[1, 0] = images[0, 0]
    first, second = (
        [np.empty((n_images, width), np.float32) for width in cut.widths] for _ in range(2)
    )
    engine(images[0], first)
    engine(images[1], second)
    for layer, one, other in zip(cut.layers, first, second, strict=True):
        if not np.allclose(one[0], other[0], rtol=1e-3, atol=1e-5, equal_nan=True):
            raise ValueError(
                f"The features of an image must not depend on the other images of a batch. Got "
                f"{cut.architecture}, whose layer {layer.name!r} gives others where the images "
                "beside it are others: name a layer before it, or change what computes over the "
                "first axis, such as a softmax, a mean or batch normalization in training mode."
            )


def _build(cut: AnyCut, weights: Any, config: EngineConfig) -> Engine:
    if isinstance(cut, NetworkCut):
        n_images = images_for(cut, config.engine)
        if config.engine == "keras":
            return keras.ModelEngine(weights.cut(cut), n_images)
        if config.engine == "torch":
            return torch.TorchEngine(weights.cut(cut), n_images)
        model = graphs.convert(weights, cut, n_images)
        if config.ranges is not None:
            quantizing.quantize(model, config.ranges)
        return openvino.GraphEngine(model, n_images, config.precision)
    if config.engine == "keras":
        return keras.KerasEngine(cut, weights, config.precision)
    if config.engine == "ncnn":
        return ncnn.NcnnEngine(cut, weights)
    ranges = None if config.ranges is None else dict(config.ranges)
    return openvino.OpenVINOEngine(cut, weights, config.precision, ranges)
