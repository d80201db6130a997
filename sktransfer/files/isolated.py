"""Reading an HDF5 file in a separate process, which may hang or crash without harm.

The process runs :mod:`sktransfer.files.hdf5` as a program, which imports h5py and NumPy alone. What
it finds comes back as JSON and plain bytes, whose sizes are known before they are read. It starts
without a fork of this process, so that threads and daemonic workers may start it too.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing import spawn
from typing import IO, Any

import numpy as np

from sktransfer.files import hdf5

#: Seconds of processor time, and of any time, after which the process is stopped.
CPU_SECONDS = 60
SECONDS = 300
# In addition to the arrays: the libraries; and a chunk as stored, as unpacked, and more.
_MEMORY = 2 << 30
_MEMORY_PER_BYTE = 6

_MAX_LINE = 4 << 20
_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
# What tells HDF5 to load no filters from elsewhere.
_NO_PLUGINS = {"HDF5_PLUGIN_PRELOAD": "::"}


def ask(request: Mapping[str, Any]) -> Iterator[Any]:
    """Let another process answer, as :func:`sktransfer.files.hdf5.answer` does.

    RefusedError says that the file has what no file of weights needs, hangs or crashes the library,
    or takes too much memory; ValueError that it is damaged.
    """
    shapes = [tuple(shape) for pair in request["wanted"].values() for shape in pair]
    n_bytes = 4 * sum(map(math.prod, shapes))
    limits = {
        "RLIMIT_CORE": 0,
        "RLIMIT_CPU": CPU_SECONDS,
        "RLIMIT_AS": _MEMORY + _MEMORY_PER_BYTE * n_bytes,
    }
    # It finds the libraries where this process does; the empty entry is any folder that happens to
    # be the current one.
    places = [place for place in sys.path if place]
    message = json.dumps({**request, "limits": limits, "path": places}).encode()
    with _started() as helper:
        with suppress(BrokenPipeError):  # it has ended, and how is found out below
            helper.input.write(message)
            helper.input.close()
        helper.expect_item()
        facts = json.loads(helper.output.readline(_MAX_LINE))
        yield facts
        for shape in shapes if facts["read"] else ():
            helper.expect_item()
            values = np.empty(shape, np.float32)
            helper.fill(values.reshape(-1).view(np.uint8).data)
            yield values


def check(path: str) -> None:
    """Let another process read all of a file; what it raises is as in :func:`ask`."""
    nothing: dict[str, Any] = {"attributes": [], "architecture": None, "tables": {}, "wanted": {}}
    for _ in ask({"file": path, "everything": True, **nothing}):
        pass


class _Helper:
    """The process, from its start to its end."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None and process.stdout is not None
        self.input: IO[bytes] = process.stdin
        self.output: IO[bytes] = process.stdout
        self._process = process
        self._is_late = False

    def stop(self) -> None:
        """End it because it took too long."""
        self._is_late = True
        self._process.kill()

    def expect_item(self) -> None:
        """Read what every item begins with; a fault is raised here."""
        sign = self.output.read(1)
        if sign == b"+":
            return
        if sign != b"-":
            self._raise_end()
        kind, reason = json.loads(self.output.readline(_MAX_LINE))
        raise hdf5.RefusedError(reason) if kind == "refused" else ValueError(reason)

    def fill(self, buffer: memoryview) -> None:
        """Read as many bytes as there is room for."""
        start = 0
        while start < len(buffer):
            n_read = self.output.readinto(buffer[start:])  # type: ignore[attr-defined]
            if not n_read:
                self._raise_end()
            start += n_read

    def _raise_end(self) -> None:
        """Say why there is no more to read."""
        code = self._process.wait()
        if self._is_late:
            reason = f"reading it took more than {SECONDS} seconds"
        elif code == -getattr(signal, "SIGXCPU", math.inf):
            reason = f"reading it took more than {CPU_SECONDS} seconds of processor time"
        else:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            reason = f"reading it ended the process that did so ({how})"
        raise hdf5.RefusedError(f"{reason}, so it is probably damaged")


@contextmanager
def _started() -> Iterator[_Helper]:
    """Start the process, and let neither it nor the timer outlive the block."""
    try:
        process = subprocess.Popen(
            # -P: the folder of the program, which is the package's, is not where modules are found.
            [spawn.get_executable(), "-P", hdf5.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_ONE_THREAD, **_NO_PLUGINS},
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError as error:
        raise hdf5.RefusedError(
            f"it is read in a separate process, which cannot be started ({error})"
        ) from error
    with process:
        helper = _Helper(process)
        timer = threading.Timer(SECONDS, helper.stop)
        timer.daemon = True
        timer.start()
        try:
            yield helper
        finally:
            timer.cancel()
            process.kill()
            # A thread that is about to end would still count for whoever forks next.
            timer.join()
