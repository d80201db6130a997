"""The start of TensorFlow without its messages, and of OpenVINO without its telemetry."""

from __future__ import annotations

import importlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

LEVEL = "TF_CPP_MIN_LOG_LEVEL"

# Notes, warnings, what follows a note, and errors about libraries of GPUs that are not there.
_START_UP = re.compile(
    r"WARNING: All log messages before absl::InitializeLog|To enable the following instructions"
    r"|[IW]\d{4,} |E\d{4,} .*(?i:cuda|cudnn|cublas|cufft|gpu|computation_placer)"
)


@contextmanager
def held_back() -> Iterator[None]:
    """Hold back what TensorFlow prints when it starts, unless it fails or a level is set.

    Some of its messages come before it reads a level, so that the standard error is kept meanwhile.
    What else was written there, by other threads, is written afterwards.
    """
    if LEVEL in os.environ:
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        os.environ[LEVEL] = "3"
        is_done = False
        try:
            yield
            is_done = True
        finally:
            del os.environ[LEVEL]
            os.dup2(stderr, 2)
            held.seek(0)
            for line in held.read().decode(errors="replace").splitlines(keepends=True):
                if not (is_done and _START_UP.match(line)):
                    os.write(stderr, line.encode())
            os.close(stderr)


def import_tensorflow() -> None:
    """Import TensorFlow without its messages, where nobody did so far."""
    if "tensorflow" not in sys.modules:
        with held_back():
            import tensorflow  # noqa: F401 - for those who import it next


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which would report the import."""
    if "openvino" in sys.modules:
        return sys.modules["openvino"]
    name = "openvino_telemetry"
    former = sys.modules.get(name)
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        importlib.import_module("openvino.tools.ovc")
    finally:
        del sys.modules[name]
        if former is not None:
            sys.modules[name] = former
    return sys.modules["openvino"]
