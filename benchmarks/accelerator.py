"""The Keras engine on an accelerator, beside the framework alone and the chip's matrix rate.

Keras' backend is chosen once per process, so that each backend is measured in its own: this module
is imported by a process with `KERAS_BACKEND` set, whose `main` prints the rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import frameworks
import numpy as np
from measuring import Options, Row, clock, median, run_python, take_turns

from sktransfer.engines import keras as keras_engine
from sktransfer.engines.choice import is_installed
from sktransfer.engines.processor import has_instructions
from sktransfer.networks import Cut, plan_cut
from sktransfer.weights import draw_weights

_BACKENDS = ("torch", "jax", "tensorflow")


def measure_accelerator(options: Options) -> list[Row]:
    """Measure VGG16 to flatten at 224 px at batch sizes of 32 to 512, on each backend installed.

    "Alone" is the framework's own layers on a batch that is on the device already, and whose
    features stay there; the matrix rate is that of one large product in the same precision.
    """
    rows: list[Row] = []
    for backend in filter(is_installed, _BACKENDS):
        code = "import accelerator, sys; accelerator.main(*map(int, sys.argv[1:]))"
        arguments = (options.rounds, int(options.is_quick))
        rows += run_python(code, *arguments, KERAS_BACKEND=backend)
    return rows


def main(n_rounds: int, is_quick: int) -> None:
    """Print the rows of the backend that Keras is set to."""
    import keras

    options = Options(n_rounds, bool(is_quick))
    backend, device = keras.config.backend(), _device()
    cut = plan_cut("flatten", input_size=options.few(224, 32))
    operations = 2 * sum(layer.multiply_adds for layer in cut.trunk)
    on_accelerator = "cpu" not in device.lower()
    rows = []
    for precision in ("float32", "bfloat16", "float16"):
        if not (on_accelerator or has_instructions(precision)):
            continue
        peak = _matrix_rate(precision, options)
        for n in (2,) if is_quick else (32, 64, 128, 256, 512):
            shape = (n, *cut.trunk[0].output_shape)
            # Two batches, so that the second may start while the first comes back.
            inputs = np.random.default_rng(0).normal(0, 60, (2 * n, *shape[1:])).astype(np.float32)
            keras_engine.images_per_call = lambda size, n=n: n
            engine = keras_engine.KerasEngine(cut, draw_weights(cut, 0), precision)
            out = np.empty((len(inputs), cut.n_features), np.float32)
            runs = {
                "engine": partial(engine, inputs, [out]),
                "alone": _alone(cut, inputs[:n], precision),
            }
            seconds = take_turns(runs, n_rounds)
            rate = 2 * n / median(seconds["engine"])
            rows.append(
                {
                    "backend": backend,
                    "device": device,
                    "precision": precision,
                    "batch": n,
                    "images_per_s": rate,
                    "alone_images_per_s": n / median(seconds["alone"]),
                    "engine_over_alone": median(2 * seconds["alone"] / seconds["engine"]),
                    "teraflops": rate * operations / 1e12,
                    "matrix_teraflops": peak,
                    "share_of_matrix_rate": rate * operations / 1e12 / peak,
                }
            )
    print(json.dumps(rows))


def _device() -> str:
    """Name what the backend computes on."""
    import keras

    backend = keras.config.backend()
    if backend == "torch":
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    if backend == "jax":
        import jax

        return jax.devices()[0].device_kind
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else "cpu"


def _matrix_rate(precision: str, options: Options) -> float:
    """Return the teraflops of one large matrix product."""
    import keras

    n = options.few(8192 if "cpu" not in _device().lower() else 2048, 256)
    numbers = np.random.default_rng(0).normal(size=(n, n)).astype(np.float32)
    square = keras.ops.cast(keras.ops.convert_to_tensor(numbers), precision)

    def multiply() -> Any:
        # A single value comes back, and that waits for the device.
        value = keras.ops.cast(keras.ops.matmul(square, square)[0, 0], "float32")
        return float(keras.ops.convert_to_numpy(value))

    multiply()
    return 2 * n**3 / min(clock(multiply) for _ in range(5)) / 1e12


def _alone(cut: Cut, inputs: np.ndarray, precision: str) -> Callable[[], object]:
    """Return the network in the framework's own words, on a batch that the device holds."""
    import keras

    run = {"torch": _torch, "jax": _jax, "tensorflow": _tensorflow}[keras.config.backend()]
    return run(cut, inputs, precision)


def _torch(cut: Cut, inputs: np.ndarray, precision: str) -> Callable[[], object]:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = getattr(torch, precision)
    model = frameworks.torch_layers(cut).to(device, dtype)
    images = torch.from_numpy(inputs).permute(0, 3, 1, 2).to(device, dtype)

    def run() -> None:
        with torch.inference_mode():
            model(images).flatten()[0].item()  # waits for the device

    return run


def _jax(cut: Cut, inputs: np.ndarray, precision: str) -> Callable[[], object]:
    import jax
    import jax.numpy as jnp

    cast = partial(jnp.asarray, dtype=precision)
    weights = jax.tree.map(cast, draw_weights(cut, 0))

    @jax.jit
    def forward(weights: Any, value: Any) -> Any:
        for layer in cut.trunk[1:]:
            if layer.kind == "conv":
                kernel, bias = weights[layer.name]
                layout = ("NHWC", "HWIO", "NHWC")
                value = jax.lax.conv_general_dilated(
                    value, kernel, (1, 1), "SAME", dimension_numbers=layout
                )
                value = jax.nn.relu(value + bias)
            elif layer.kind == "pool":
                window = (1, 2, 2, 1)
                value = jax.lax.reduce_window(value, -jnp.inf, jax.lax.max, window, window, "VALID")
        return value

    images = cast(inputs)
    return lambda: forward(weights, images).block_until_ready()


def _tensorflow(cut: Cut, inputs: np.ndarray, precision: str) -> Callable[[], object]:
    import tensorflow as tf

    weights = {
        name: [tf.cast(array, precision) for array in arrays]
        for name, arrays in draw_weights(cut, 0).items()
    }
    images = tf.cast(inputs, precision)

    @tf.function
    def forward(value: Any) -> Any:
        for layer in cut.trunk[1:]:
            if layer.kind == "conv":
                kernel, bias = weights[layer.name]
                value = tf.nn.relu(tf.nn.conv2d(value, kernel, 1, "SAME") + bias)
            elif layer.kind == "pool":
                value = tf.nn.max_pool2d(value, 2, 2, "VALID")
        return value

    return lambda: float(tf.cast(forward(images)[0, 0, 0, 0], tf.float32))
