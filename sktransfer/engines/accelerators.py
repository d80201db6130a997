"""Accelerators that Keras' backend can compute on in this process.

A driver is only a hint: there may be no device behind it, the environment may hide it, or the
backend may be built without support for it. So where there is a driver, the backend itself is
asked. A backend that is not imported yet is asked in a separate process, since the question starts
CUDA, after which no forked process could use it, and lets JAX take most of a device's memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from functools import lru_cache
from pathlib import Path

from sktransfer.networks.frameworks import keras_backend

# What drivers of NVIDIA, AMD, and of either under WSL leave in the file system.
_DRIVERS = (
    ("/proc/driver/nvidia/gpus", "*"),
    ("/dev", "nvidia[0-9]*"),
    ("/dev", "kfd"),
    ("/dev", "dxg"),
)
# Time for a framework's import on a busy machine.
_SECONDS = 300


def list_accelerators() -> list[str]:
    """Name the accelerators on which Keras' backend computes; no framework is imported for it."""
    return list(_answer(keras_backend()))


def describe_accelerators() -> str:
    """Name the accelerators, or say why there are none."""
    names = ", ".join(list_accelerators())
    if names or not has_driver():
        return names or "none"
    return f"none that {keras_backend()} can use, although a driver is installed"


def has_driver() -> bool:
    """Tell whether anything points to an accelerator."""
    hidden = {"", "-1"}
    if hidden & {os.environ.get(f"{name}_VISIBLE_DEVICES") for name in ("CUDA", "HIP")}:
        return False
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        return False
    return any(any(Path(folder).glob(pattern)) for folder, pattern in _DRIVERS)


@lru_cache
def _answer(backend: str) -> tuple[str, ...]:
    if not has_driver():
        return ()
    try:
        return tuple(sorted(find(backend) if backend in sys.modules else _ask(backend)))
    except (ImportError, OSError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
        warnings.warn(
            f"The driver of an accelerator is installed, but {backend}, on which Keras runs, "
            f"failed to report whether it uses it: {error}. The processor is used. Repair "
            f"{backend}, or set CUDA_VISIBLE_DEVICES=-1 to silence this.",
            UserWarning,
            stacklevel=2,
        )
        return ()


def find(backend: str) -> list[str]:
    """Ask a backend, which this imports, for the models of its accelerators."""
    if backend == "tensorflow":
        import tensorflow as tf

        details = tf.config.experimental.get_device_details
        gpus = tf.config.get_visible_devices("GPU")
        return [details(gpu).get("device_name", gpu.name) for gpu in gpus]
    if backend == "jax":
        import jax

        return [device.device_kind for device in jax.devices() if device.platform != "cpu"]
    if backend == "torch":
        import torch

        if not torch.cuda.is_available():
            return []
        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return []


def _ask(backend: str) -> list[str]:
    """Do the same in a separate process."""
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "import json; from sktransfer.engines.accelerators import find\n"
        f"print('\\n' + json.dumps(find({backend!r})))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=_SECONDS,
    )
    if run.returncode:
        lines = run.stderr.strip().splitlines() or [f"exit status {run.returncode}"]
        raise RuntimeError(lines[-1])
    return list(json.loads(run.stdout.splitlines()[-1]))
