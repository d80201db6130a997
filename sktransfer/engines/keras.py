"""The network run by Keras, on whichever backend Keras is set to."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from joblib import cpu_count

from sktransfer.engines.batches import split
from sktransfer.engines.processor import count_threads, list_accelerators
from sktransfer.networks import Cut, build

#: Images per call of the compiled network, by input size: the first row whose size holds. One
#: shape for every call makes a row's values independent of its neighbours and their number; alone
#: at large sizes, because an image then fills the cores and waits for nobody.
BATCH_SHAPES = ((48, 16), (112, 8), (math.inf, 1))
#: The same for accelerators, which a few images leave idle.
ACCELERATOR_BATCH_SHAPES = ((48, 256), (112, 128), (math.inf, 32))
#: Half precision ends at 65,504, which the values of a deep layer may pass. So all of them are
#: computed at this share and brought back at the end: a power of two changes no digit.
_HALF_SHARE = 1 / 32


def batch_shape(input_size: int) -> int:
    """Return how many images every call of the network takes at an input size.

    Parameters
    ----------
    input_size : int
        Side of the images, in pixels.

    Returns
    -------
    int
        Images per call; fewer are filled up.
    """
    shapes = ACCELERATOR_BATCH_SHAPES if list_accelerators() else BATCH_SHAPES
    return next(n for size, n in shapes if input_size <= size)


def describe_backend() -> str:
    """Name what decides the last bits of a feature, without importing a framework.

    Returns
    -------
    str
        Keras, its backend, their versions, and the accelerators in sight.
    """
    packages = [f"{name} {_version(name)}" for name in ("keras", _backend())]
    one_dnn = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default")
    return ", ".join([*packages, f"oneDNN {one_dnn}", *(list_accelerators() or ["processor"])])


# Reading a package's metadata takes milliseconds, and every transform asks.
_version = lru_cache(version)


def _backend() -> str:
    """Say which backend Keras has or will have, by the rules of its own start."""
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "config"):
        return keras.config.backend()
    if "KERAS_BACKEND" in os.environ:
        return os.environ["KERAS_BACKEND"]
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        settings = json.loads((home / "keras.json").read_text(encoding="utf-8"))
        return settings.get("backend", "tensorflow")
    except (OSError, ValueError):
        return "tensorflow"


class KerasEngine:
    """A cut network with its weights, compiled for one shape.

    Parameters
    ----------
    cut : Cut
        The network and the wanted layers.
    weights : mapping of str to tuple of ndarray
        Kernel and bias of each layer of ``cut.weighted_layers``.
    precision : {'float32', 'bfloat16', 'float16'}
        What is computed in.
    """

    def __init__(
        self, cut: Cut, weights: Mapping[str, tuple[np.ndarray, np.ndarray]], precision: str
    ) -> None:
        self._batch_shape = batch_shape(cut.input_size)
        _limit_threads()
        model = build(cut, precision)
        self._shares = [1.0] * len(cut.layers)
        if precision == "float16":
            weights = _scale(weights, _HALF_SHARE)
            names = [layer.name for layer in cut.layers]
            self._shares = [1.0 if name == "predictions" else _HALF_SHARE for name in names]
        for name, arrays in weights.items():
            model.get_layer(name).set_weights(list(arrays))
        model.trainable = False
        shape = (self._batch_shape, cut.input_size, cut.input_size, 3)
        self._run = _compile(model, shape)

    def __call__(self, inputs: np.ndarray, outputs: list[np.ndarray]) -> None:
        """Compute the wanted layers.

        Parameters
        ----------
        inputs : ndarray of shape (n_images, input_size, input_size, 3)
            Preprocessed images, float32.
        outputs : list of ndarray of shape (n_images, width)
            Where the features of each wanted layer go, float32.

        Raises
        ------
        ValueError
            If values pass what float16 holds.
        """
        running: tuple[int, list[Any]] | None = None
        for first, batch in split(inputs, self._batch_shape):
            started = first, self._run(batch)
            # An accelerator computes this batch while the one before comes back.
            if running:
                self._fetch(*running, outputs)
            running = started
        if running:
            self._fetch(*running, outputs)

    def _fetch(self, first: int, results: list[Any], outputs: list[np.ndarray]) -> None:
        import keras

        for result, share, out in zip(results, self._shares, outputs, strict=True):
            rows = out[first : first + len(result)]
            rows[:] = keras.ops.convert_to_numpy(result)[: len(rows)]
            if share != 1:
                rows /= share
                if not np.isfinite(rows).all():
                    raise ValueError(
                        "The network's values must stay below what float16 holds, "
                        f"{65504 / share:,.0f}. Got larger ones: take precision='bfloat16' or "
                        "'float32', or look for images far outside their value range."
                    )


def _scale(
    weights: Mapping[str, tuple[np.ndarray, np.ndarray]], share: float
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Scale weights so that every layer but the softmax gives this share of its values.

    Convolution, ReLU and pooling keep proportions: the first kernel carries the share to all
    layers, and only the biases that are added on the way need it too.
    """
    scaled = {}
    for i, (name, (kernel, bias)) in enumerate(weights.items()):
        if name == "predictions":
            scaled[name] = kernel / np.float32(share), bias
        else:
            scaled[name] = kernel * np.float32(1 if i else share), bias * np.float32(share)
    return scaled


def _limit_threads() -> None:
    """Hold TensorFlow to its share of the processors beside joblib's other workers.

    It does not read what joblib tells its workers, as PyTorch and the other engines do. A number
    that the user set, or threads that run already, stay as they are.
    """
    import keras

    if keras.config.backend() != "tensorflow" or count_threads() >= cpu_count():
        return
    import tensorflow as tf

    threading = tf.config.threading
    if threading.get_intra_op_parallelism_threads() == 0:
        with suppress(RuntimeError):  # they run already
            threading.set_intra_op_parallelism_threads(count_threads())


def _compile(model, shape: tuple[int, ...]) -> Callable[[np.ndarray], list[Any]]:  # type: ignore[no-untyped-def]
    """Compile by backend: the one thing for which Keras has no neutral call."""
    import keras

    backend = keras.config.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        signature = [tf.TensorSpec(shape, tf.float32)]
        compiled = tf.function(lambda x: model(x, training=False), input_signature=signature)
        function = compiled.get_concrete_function()
        return lambda batch: _as_list(function(tf.constant(batch)))
    if backend == "jax":
        import jax

        frozen = [variable.value for variable in model.non_trainable_variables]

        @jax.jit
        def forward(values, x):  # type: ignore[no-untyped-def]
            outputs, _ = model.stateless_call([], values, x, training=False)
            return outputs

        return lambda batch: _as_list(forward(frozen, batch))

    import torch

    def run(batch: np.ndarray) -> list[Any]:
        with torch.inference_mode():
            return _as_list(model(batch, training=False))

    return run


def _as_list(outputs):  # type: ignore[no-untyped-def]
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]
