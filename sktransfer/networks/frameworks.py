"""Frameworks that run in this process, and those that cannot run after a fork.

A forked process has one thread: those that a framework had started are gone, and calls that wait
for them never end. Measured on Linux with two cores, TensorFlow 2.21, Keras 3.15, PyTorch 2.14,
JAX 0.10, OpenVINO 2026.4 and ncnn 1.0.2026:

=====================================  ===========================================================
in the parent                          in the forked child
=====================================  ===========================================================
nothing, or an import                  all run
TensorFlow: one operation, a model     operations run; ``tf.function``, ``predict`` and ``fit``
that was built, called or trained      hang
JAX: one operation                     hangs
PyTorch on several threads, forward    hangs; runs after ``torch.set_num_threads(1)``
or backward
OpenVINO                               a network of the parent hangs, used or deleted; a new one
                                       runs
ncnn on one thread                     runs
ncnn on several (OpenMP)               runs on one thread, as here, and hangs on several
any of them                            each of the others runs
=====================================  ===========================================================

So each framework that this package ran in the parent is refused in the child, and so are
TensorFlow and JAX where anybody ran them. PyTorch that was imported in the parent, about which
nothing more can be known, gets one thread. Where this package is imported only after the fork, the
parent is known by what it left: a started TensorFlow or JAX without a thread of its own.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from importlib.metadata import version
from pathlib import Path

from sktransfer._version import SITE
from sktransfer.networks.quiet import import_tensorflow

_NAMES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch", "openvino": "OpenVINO"}
# What runs in this process, and what ran in one that it was forked from.
_running: set[str] = set()
_lost: set[str] = set()
_is_torch_inherited = False


def keras_backend() -> str:
    """Return which backend Keras has or will have, by the rules of its own start."""
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


def _check_keras() -> None:
    """Check that Keras is the one that this package is written for."""
    found = getattr(sys.modules.get("keras"), "__version__", None) or version("keras")
    if int(found.partition(".")[0]) < 3:
        raise ImportError(
            "Running and training networks with Keras needs Keras 3.5 or newer. Got keras "
            f"{found}: update it with `pip install -U keras`, or set engine='openvino' or 'ncnn', "
            "which need no Keras."
        )


def claim(engine: str) -> None:
    """Say that a framework is about to run. To be called before it is imported."""
    if engine == "keras":
        _check_keras()
    framework = keras_backend() if engine == "keras" else engine
    if framework in _lost:
        name = _NAMES.get(framework, framework)
        raise RuntimeError(
            f"{name} cannot run in a process forked from one in which it has run: its threads do "
            f"not survive the fork, and calls would hang. {_find_cure()} "
            f"See {SITE}/promises.html#processes-and-fork."
        )
    if framework == "torch" and _is_torch_inherited:
        import torch

        torch.set_num_threads(1)
    if framework == "tensorflow":
        import_tensorflow()
    _running.add(framework)


def _find_cure() -> str:
    """Name the setting of the tool that seems to have forked this process."""
    data = sys.modules.get("torch.utils.data")
    if data is not None and data.get_worker_info() is not None:
        return "Set multiprocessing_context='spawn' of the DataLoader, or num_workers=0."
    # Modules that only the tools' own processes import.
    if "gunicorn.arbiter" in sys.modules:
        return "Start gunicorn without --preload, or compute nothing before its workers start."
    if "celery.apps.worker" in sys.modules:
        return "Start the Celery worker with --pool threads or --pool solo."
    parent = getattr(sys.modules.get("multiprocess"), "parent_process", None)
    if parent is not None and parent() is not None:
        return (
            "Call datasets' map with num_proc before anything is computed in this process, or "
            "with num_proc=None."
        )
    return (
        "Start workers with joblib's backend 'loky', as in `with "
        "joblib.parallel_config(backend='loky')`, or with multiprocessing's start method 'spawn'."
    )


def _find_started() -> set[str]:
    """Find frameworks that run, whoever started them: both tell it in private names only."""
    started = set()
    eager = sys.modules.get("tensorflow.python.eager.context")
    context = eager and getattr(eager, "_context", None)
    if context and getattr(context, "_context_handle", None) is not None:
        started.add("tensorflow")
    if getattr(sys.modules.get("jax._src.xla_bridge"), "_backends", None):
        started.add("jax")
    return started


def _is_without_threads() -> bool:
    """Whether all threads of this process are Python's; False where the system does not tell."""
    try:
        n_threads = sum(1 for _ in Path("/proc/self/task").iterdir())
    except OSError:
        return False
    return n_threads <= threading.active_count()


def _after_fork() -> None:
    global _is_torch_inherited
    _lost.update(_running, _find_started())
    _running.clear()
    _is_torch_inherited = "torch" in sys.modules


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
    if _find_started() and _is_without_threads():
        _after_fork()
