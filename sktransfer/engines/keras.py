"""The network run by Keras, on whichever backend Keras is set to."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from joblib import cpu_count

from sktransfer.engines.accelerators import list_accelerators
from sktransfer.engines.batches import split
from sktransfer.engines.processor import count_threads
from sktransfer.networks import Cut, build
from sktransfer.networks.frameworks import keras_backend
from sktransfer.networks.outputs import side_of

if TYPE_CHECKING:
    import keras

#: Images per call of the compiled network, by input size: the first row whose size holds. One
#: shape for every call makes a row's values independent of its neighbours and their number; alone
#: at large sizes, because an image then fills the cores and waits for nobody.
IMAGES_PER_CALL = ((48, 16), (112, 8), (math.inf, 1))
#: The same for accelerators, which a few images leave idle.
ACCELERATOR_IMAGES_PER_CALL = ((48, 256), (112, 128), (math.inf, 32))
#: Half precision ends at 65,504, which the values of a deep layer may pass. So all of them are
#: computed at this share and brought back at the end: a power of two changes no digit.
_HALF_SHARE = 1 / 32


def images_per_call(input_size: int) -> int:
    """Return how many images every call of the network takes at an input size."""
    shapes = ACCELERATOR_IMAGES_PER_CALL if list_accelerators() else IMAGES_PER_CALL
    return next(n for size, n in shapes if input_size <= size)


def describe_backend() -> str:
    """Name what decides the last bits of a feature, without importing a framework."""
    packages = [f"{name} {_version(name)}" for name in ("keras", keras_backend())]
    one_dnn = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default")
    return ", ".join([*packages, f"oneDNN {one_dnn}", *(list_accelerators() or ["processor"])])


# Reading a package's metadata takes milliseconds, and every transform asks.
_version = lru_cache(version)


class ModelEngine:
    """A Keras model of several outputs, compiled for one shape.

    `shares` says by what each output is to be divided.
    """

    def __init__(
        self, model: keras.Model, n_images: int, shares: Sequence[float] | None = None
    ) -> None:
        _limit_threads()
        self._n_images = n_images
        self._shares = [1.0] * len(model.outputs) if shares is None else list(shares)
        self._run = _compile(model, (n_images, *model.inputs[0].shape[1:]))

    def __call__(self, inputs: np.ndarray, outputs: list[np.ndarray]) -> None:
        """Compute the wanted layers."""
        running: tuple[int, list[Any]] | None = None
        for first, batch in split(inputs, self._n_images):
            started = first, self._run(batch)
            # An accelerator computes this batch while the previous one is copied back.
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
                        f"{65504 / share:,.0f}. Got larger ones: set precision='bfloat16' or "
                        "'float32', or look for images far outside their value range."
                    )


class KerasEngine(ModelEngine):
    """A cut of VGG with its weights, compiled for one shape."""

    def __init__(
        self, cut: Cut, weights: Mapping[str, tuple[np.ndarray, np.ndarray]], precision: str
    ) -> None:
        _limit_threads()
        model = build(cut, precision)
        shares = [1.0] * len(cut.layers)
        if precision == "float16":
            weights = _scale(weights, _HALF_SHARE)
            names = [layer.name for layer in cut.layers]
            shares = [1.0 if name == "predictions" else _HALF_SHARE for name in names]
        for name, arrays in weights.items():
            model.get_layer(name).set_weights(list(arrays))
        super().__init__(model, images_per_call(side_of(cut.input_size)), shares)


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
    """Limit TensorFlow to its share of the processors among joblib's workers.

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

        values = [
            [variable.value for variable in variables]
            for variables in (model.trainable_variables, model.non_trainable_variables)
        ]

        @jax.jit
        def forward(values, x):  # type: ignore[no-untyped-def]
            outputs, _ = model.stateless_call(*values, x, training=False)
            return outputs

        return lambda batch: _as_list(forward(values, batch))

    import torch

    def run(batch: np.ndarray) -> list[Any]:
        with torch.inference_mode():
            return _as_list(model(batch, training=False))

    return run


def _as_list(outputs):  # type: ignore[no-untyped-def]
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]
