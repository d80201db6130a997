"""What `sktransfer compare` costs with one thread of BLAS for small problems, and with all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from measuring import Options, Row, median, run_python

# Prints seconds, those of the processor, and the mean scores of all rows.
_COMPARE = r"""
import json, os, sys, tempfile, time
from contextlib import redirect_stdout
from pathlib import Path
from sktransfer.cli import main
from sktransfer.evaluation.probing import threads
if sys.argv[1] == "BLAS's default":
    threads.MIN_THREADED_BYTES = 0
start, used = time.perf_counter(), os.times()
with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
    out = Path(folder, "comparison.json")
    with redirect_stdout(nowhere):
        main(["compare", "--quiet", "--json", str(out), *sys.argv[2:]])
    rows = json.loads(out.read_text())["rows"]
end = os.times()
seconds = time.perf_counter() - start
scores = {row["name"]: row["scores"] for row in rows}
print(json.dumps([seconds, end.user + end.system - used.user - used.system, scores]))
"""


@contextmanager
def _busy_process() -> Iterator[None]:
    """Keep one core busy."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def measure_threads(options: Options) -> list[Row]:
    """Measure `sktransfer compare` in fresh processes, idle and beside a busy process.

    Features are computed anew in every run. Scores are compared value by value with those of the
    first run.
    """
    few = ["--max-images", "60", "--folds", "2", "--few-labels"] if options.is_quick else []
    ways = ("limited to one", "BLAS's default")
    found: dict[tuple[str, str], list[Any]] = {}
    for _ in range(options.rounds):
        for way in ways:
            idle = run_python(_COMPARE, way, *few, SKTRANSFER_CACHE="off")
            found.setdefault((way, "nothing"), []).append(idle)
            with _busy_process():
                busy = run_python(_COMPARE, way, *few, SKTRANSFER_CACHE="off")
            found.setdefault((way, "a busy process"), []).append(busy)
    first = next(iter(found.values()))[0][2]
    return [
        {
            "threads_of_blas": way,
            "beside": beside,
            "seconds": median(np.array([seconds for seconds, _, _ in runs])),
            "processor_s": median(np.array([used for _, used, _ in runs])),
            "same_scores": "yes" if all(scores == first for _, _, scores in runs) else "no",
        }
        for (way, beside), runs in found.items()
    ]
