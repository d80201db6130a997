"""Latency and memory of a web service that gets one image in each request."""

from __future__ import annotations

import http.client
import io
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import joblib
import numpy as np
from measuring import Options, Row
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktransfer import VGGFeatureExtractor, load_digit_pair

_CLIENTS = (1, 4, 16)
# How long each number of clients asks, and how many requests may show that memory grows.
_SECONDS = 8.0
_REQUESTS, _MOST_SECONDS = 10_000, 240.0
_LAYERS = ("block2_pool", "block5_pool")


def measure_serving(options: Options) -> list[Row]:
    """Measure a FastAPI service on this machine's loopback, 32 px, one process.

    Clients wait for an answer before they ask again. The last row of each layer asks up to 10,000
    times with four clients, for four minutes at most; "grown_MiB" is how much more memory the
    process has then than after the first 500 answers.
    """
    rows = []
    for layer in _LAYERS:
        with tempfile.TemporaryDirectory() as folder, _service(layer, Path(folder)) as (pid, port):
            _ask(port, 4, 2.0, 10**9)  # builds what the first requests need
            for n_clients in _CLIENTS:
                seconds = 1.0 if options.is_quick else _SECONDS
                rows.append(_row(layer, n_clients, _ask(port, n_clients, seconds, 10**9), None))
            n = options.few(_REQUESTS, 50)
            warm = _ask(port, 4, _MOST_SECONDS, min(500, n))
            before = _memory(pid)
            times = _ask(port, 4, 2.0 if options.is_quick else _MOST_SECONDS, n - len(warm))
            rows.append(_row(layer, 4, warm + times, _memory(pid) - before))
    return rows


def _row(layer: str, n_clients: int, times: list[float], grown: float | None) -> Row:
    return {
        "layer": layer,
        "clients": n_clients,
        "requests": len(times),
        "median_ms": round(1e3 * float(np.median(times)), 1),
        "p99_ms": round(1e3 * float(np.quantile(times, 0.99)), 1),
        "per_s": round(n_clients / float(np.mean(times)), 1),
        "grown_MiB": None if grown is None else round(grown, 1),
    }


@contextmanager
def _service(layer: str, folder: Path) -> Iterator[tuple[int, int]]:
    """Start a service in a process of its own, and end it."""
    X, y = load_digit_pair(return_X_y=True)
    extractor = VGGFeatureExtractor(
        layer, weights="synthetic", pooling="avg", input_size=32, cache=None
    )
    files = [_content(image) for image in X[:40]]
    model = make_pipeline(extractor, LogisticRegression(max_iter=1000)).fit(files, y[:40])
    joblib.dump(model, folder / "model.joblib")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "service:app", "--port", str(port)]
    process = subprocess.Popen(
        [*command, "--log-level", "warning"],
        cwd=Path(__file__).parent,
        env=os.environ | {"SERVICE_MODEL": str(folder / "model.joblib")},
    )
    try:
        for _ in range(600):
            with socket.socket() as asking:
                if asking.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield process.pid, port
    finally:
        process.terminate()
        process.wait(30)


def _content(row: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray((row.reshape(8, 8) * 15.9).astype(np.uint8)).save(file, "png")
    return file.getvalue()


def _ask(port: int, n_clients: int, seconds: float, n_requests: int) -> list[float]:
    """Ask from several threads until the time is over, or so many answers came."""
    X, _ = load_digit_pair(return_X_y=True)
    contents = [_content(row) for row in X]
    times: list[float] = []
    end = time.perf_counter() + seconds

    def ask(first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        number = first
        while time.perf_counter() < end and len(times) < n_requests:
            start = time.perf_counter()
            connection.request("POST", "/predict", contents[number % len(contents)])
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            times.append(time.perf_counter() - start)
            number += n_clients
        connection.close()

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(n_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def _memory(pid: int) -> float:
    """Return the memory of a process in MiB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024
