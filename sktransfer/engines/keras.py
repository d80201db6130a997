"""The network run by Keras, on whichever backend Keras is set to."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

import numpy as np

from sktransfer.networks import Cut, build

#: Images per call of the compiled network, by input size: the first row whose size holds. One
#: shape for every call makes a row's values independent of its neighbours and their number; alone
#: at large sizes, because an image then fills the cores and waits for nobody.
BATCH_SHAPES = ((48, 16), (112, 8))


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
    return next((n for size, n in BATCH_SHAPES if input_size <= size), 1)


def describe_engine() -> str:
    """Name everything that decides the last bits of a feature, without importing a framework.

    Returns
    -------
    str
        Keras, its backend, their versions, and the kinds of processor and accelerator.
    """
    packages = [f"{name} {_version(name)}" for name in ("keras", _backend(), "numpy", "scipy")]
    one_dnn = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default")
    return ", ".join([*packages, f"oneDNN {one_dnn}", _processor(), _accelerators()])


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


@lru_cache(maxsize=1)
def _processor() -> str:
    """Name the kind of processor: its instruction sets decide in which order sums are taken."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    flags = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {blake2b(flags.encode(), digest_size=8).hexdigest()}"


def _accelerators() -> str:
    """Name the accelerators that a framework may find here, and what hides them from it."""
    visible = [
        f"{name}={os.environ[name]}"
        for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "JAX_PLATFORMS")
        if name in os.environ
    ]
    return " ".join([*_devices(), *visible]) or "no accelerator"


@lru_cache(maxsize=1)
def _devices() -> list[str]:
    models = []
    for path in Path("/proc/driver/nvidia/gpus").glob("*/information"):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        models += [line.partition(":")[2].strip() for line in lines if line.startswith("Model")]
    others = [name for name in ("/dev/kfd", "/dev/dxg", "/dev/nvidia0") if Path(name).exists()]
    return sorted(models) or others


class KerasEngine:
    """A cut network with its weights, compiled for one shape.

    Parameters
    ----------
    cut : Cut
        The network and the wanted layers.
    weights : mapping of str to tuple of ndarray
        Kernel and bias of each layer of ``cut.weighted_layers``.

    Attributes
    ----------
    batch_shape : int
        Images per call.
    """

    def __init__(self, cut: Cut, weights: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
        self.batch_shape = batch_shape(cut.input_size)
        model = build(cut)
        for name, arrays in weights.items():
            model.get_layer(name).set_weights(list(arrays))
        model.trainable = False
        shape = (self.batch_shape, cut.input_size, cut.input_size, 3)
        self._run = _compile(model, shape)

    def __call__(self, batch: np.ndarray) -> list[np.ndarray]:
        """Compute the wanted layers.

        Parameters
        ----------
        batch : ndarray of shape (batch_shape, input_size, input_size, 3)
            Preprocessed images, float32.

        Returns
        -------
        list of ndarray of shape (batch_shape, width)
            One array for each wanted layer, float32.
        """
        return self._run(batch)


def _compile(model, shape: tuple[int, ...]) -> Callable[[np.ndarray], list[np.ndarray]]:  # type: ignore[no-untyped-def]
    """Compile by backend: the one thing for which Keras has no neutral call."""
    import keras

    backend = keras.config.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        signature = [tf.TensorSpec(shape, tf.float32)]
        compiled = tf.function(lambda x: model(x, training=False), input_signature=signature)
        function = compiled.get_concrete_function()
        return lambda batch: [out.numpy() for out in _as_list(function(tf.constant(batch)))]
    if backend == "jax":
        import jax

        frozen = [variable.value for variable in model.non_trainable_variables]

        @jax.jit
        def forward(values, x):  # type: ignore[no-untyped-def]
            outputs, _ = model.stateless_call([], values, x, training=False)
            return outputs

        return lambda batch: [np.asarray(out) for out in _as_list(forward(frozen, batch))]

    import torch

    def run(batch: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            outputs = _as_list(model(batch, training=False))
            return [keras.ops.convert_to_numpy(out) for out in outputs]

    return run


def _as_list(outputs):  # type: ignore[no-untyped-def]
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]
