"""What every part of the benchmark shares: times taken in turn, tables, and results as JSON.

A part is a function that takes `Options` and returns rows: dictionaries of one level, all with the
same keys, which are the columns of its table and of the JSON. Times are taken in turn, every
contestant once in each round, so that a slow moment of the machine meets all of them; ratios are
medians of the ratios within each round.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sktransfer.engines.accelerators import list_accelerators
from sktransfer.engines.processor import has_instructions, processor_flags
from sktransfer.results.tables import format_markdown, format_table

Row = dict[str, Any]

#: Of the layout of the JSON.
FORMAT = 1
_PACKAGES = (
    *("numpy", "scipy", "scikit-learn", "tensorflow", "keras"),
    *("openvino", "ncnn", "torch", "jax", "onnxruntime"),
)
_VECTORS = (
    *("avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16"),
    *("asimd", "asimddp", "bf16", "sve"),
)

_Key = TypeVar("_Key", bound=Hashable)


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    rounds: int = 5
    is_quick: bool = False
    data: Path | None = None
    weights: Path | None = None

    def few(self, number: int, quick: int) -> int:
        """Return a number, or a smaller one where the run is only to show that it runs."""
        return quick if self.is_quick else number


def clock(run: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def take_turns(runs: Mapping[_Key, Callable[[], object]], n_rounds: int) -> dict[_Key, np.ndarray]:
    """Return the seconds of every run in every round, after one that does not count."""
    for run in runs.values():
        run()
    seconds: dict[_Key, list[float]] = {key: [] for key in runs}
    for _ in range(n_rounds):
        for key, run in runs.items():
            seconds[key].append(clock(run))
    return {key: np.array(times) for key, times in seconds.items()}


def median(values: np.ndarray) -> float:
    """Return a median as a plain float."""
    return float(np.median(values))


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the norm of the difference, relative to that of what is expected."""
    difference = found.reshape(expected.shape) - expected
    return float(np.linalg.norm(difference) / np.linalg.norm(expected))


def run_python(code: str, *args: object, **environment: str) -> Any:
    """Run code in a fresh process, which may import these modules, and return what it prints last.

    What it prints last must be JSON.
    """
    here = str(Path(__file__).resolve().parent)
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *map(str, args)],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": path} | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(run.stdout.splitlines()[-1])


def describe_host() -> Row:
    """Name the cores and accelerators, and the versions of what computes.

    The processor is not among them: each part of the results names its own.
    """
    host: Row = {
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "accelerators": list_accelerators(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    return host | {name: _version(name) for name in _PACKAGES if _version(name)}


def name_processor() -> str:
    """Name the processor and its sets of vector instructions: names alone hide generations."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    flags = [flag for flag in _VECTORS if flag in processor_flags()]
    return f"{names[0] if names else platform.machine()} ({', '.join(flags)})"


def list_precisions() -> list[str]:
    """Return the precisions that this processor computes in, the reference first."""
    return [name for name in ("float32", "bfloat16", "int8") if has_instructions(name)]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


# -- tables and JSON


def format_rows(rows: Sequence[Row]) -> str:
    """Lay rows out as a table, with the keys of the first as header."""
    return format_table(
        list(rows[0]), [[_format(key, row[key]) for key in rows[0]] for row in rows]
    )


def format_rows_as_markdown(rows: Sequence[Row]) -> str:
    """Lay rows out as a table in Markdown, which a page shows as one that scrolls."""
    header = [key.replace("_", " ") for key in rows[0]]
    return format_markdown(header, [[_format(key, row[key]) for key in rows[0]] for row in rows])


def _format(key: str, value: object) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    if key in ("accuracy", "deviation"):
        return f"{value:.4f}"
    if abs(value) < 0.1:
        return f"{value:.2g}"
    n_digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{n_digits}f}"


def read_results(path: Path, host: Row) -> Row:
    """Read earlier results of this host, so that parts can be measured one after the other."""
    if not path.exists():
        return {"format": FORMAT, "host": host, "parts": {}}
    results = json.loads(path.read_text(encoding="utf-8"))
    if results["host"] != host:
        differing = sorted(
            key for key in results["host"] | host if results["host"].get(key) != host.get(key)
        )
        raise SystemExit(
            f"{path} holds results of another host or of other versions ({', '.join(differing)}): "
            "name another file, or remove it and measure all parts anew."
        )
    return results


def write_results(path: Path, results: Row) -> None:
    """Write results so that an interruption leaves the old or the new file."""
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
