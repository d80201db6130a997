"""Fuzzing seen from outside: a worker does it, and is replaced when it crashes or hangs."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import Thread
from typing import IO, Any

from tests.fuzz.board import Board
from tests.fuzz.targets import TARGETS
from tests.fuzz.worker import CORPUS, STACK

ROOT = Path(__file__).resolve().parents[2]
#: Seconds that one input may take, and that a worker may take to be ready.
LIMIT, READY = 10.0, 180.0
_MOST_BYTES = 20_000


@dataclass
class Report:
    """What came of one target.

    Attributes
    ----------
    executions : int
        Inputs that were run.
    seconds : float
        What they took.
    failures : dict of str to dict
        Of every kind its facts, how often it came, and the smallest input.
    contained : int
        Inputs that crash, hang or flood the process that a parser starts for that, and nothing
        else: the parser says so.
    """

    executions: int = 0
    seconds: float = 0.0
    failures: dict[str, dict[str, Any]] = field(default_factory=dict)
    contained: int = 0

    def note(self, key: str, facts: dict[str, Any]) -> None:
        """Count a failure."""
        known = self.failures.setdefault(key, facts | {"n": 0, "data": None})
        known["n"] += 1

    def example(self, key: str, data: bytes) -> None:
        """Keep the smallest input that fails so."""
        known = self.failures[key]
        if known["data"] is None or len(data) < len(known["data"]):
            known["data"] = data

    def count(self, *kinds: str) -> int:
        """Count the failures of some kinds, or of all others than crashes and hangs."""
        return sum(
            known["n"]
            for known in self.failures.values()
            if (known["kind"] in kinds if kinds else known["kind"] not in ("crash", "hang"))
        )


class Stopped(Exception):
    """The worker has ended, or was ended, with an input in hand."""

    def __init__(self, kind: str, how: str, where: str, data: bytes) -> None:
        super().__init__(kind)
        self.kind, self.how, self.where, self.data = kind, how, where, data


class Worker:
    """A process that runs inputs.

    Parameters
    ----------
    limit : float
        Seconds that one input may take.
    """

    def __init__(self, limit: float = LIMIT) -> None:
        memory = Path("/dev/shm")
        self._folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self._limit = limit
        self.board = Board(self._folder / "board")
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def close(self) -> None:
        """End it, and remove what it used."""
        self._end()
        self.board.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end(self) -> int:
        if self._process is None:
            return 0
        self._process.kill()
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        self._process = None
        return code

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.worker", str(self._folder)],
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": path},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            self._lines = queue.SimpleQueue()
            Thread(target=_pass_on, args=(self._process.stdout, self._lines), daemon=True).start()
        return self._process

    def _where(self) -> str:
        """Read where the worker was, in the package and innermost."""
        lines = (self._folder / STACK).read_text(errors="replace").split("Current thread")[-1]
        found = re.findall(r'File "([^"]*)", line \d+ in (\S+)', lines)
        frames = [f"{Path(file).name}:{name}" for file, name in found]
        own = [
            frame for frame, (file, _) in zip(frames, found, strict=True) if "sktransfer" in file
        ]
        return " < ".join(dict.fromkeys([*own[:1], *frames[:1]]))

    def do(self, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the answers to a job.

        Raises
        ------
        Stopped
            If the worker crashes or hangs.
        """
        process = self._start()
        assert process.stdin is not None
        process.stdin.write(json.dumps(job).encode() + b"\n")
        process.stdin.flush()
        is_ready, count, since = False, self.board.count(), time.monotonic()
        while True:
            try:
                line = self._lines.get(timeout=0.5)
            except queue.Empty:
                now = self.board.count()
                if now != count:
                    count, since = now, time.monotonic()
                elif time.monotonic() - since > (self._limit_of(job) if is_ready else READY):
                    raise self._stop(process, is_ready) from None
                continue
            if not line:
                code = process.wait()
                if code == 0 and job.get("guided"):  # atheris ends the process
                    self._end()
                    return
                raise self._stop(process, is_ready)
            answer = json.loads(line)
            if "broken" in answer:
                raise RuntimeError(answer["broken"])
            if "ready" in answer:
                is_ready, since = True, time.monotonic()
            elif "done" in answer:
                return
            else:
                yield answer

    def _limit_of(self, job: dict[str, Any]) -> float:
        # A hang here is tried again in a process of its own, and so need not be certain.
        is_first = TARGETS[job["target"]].is_isolated and not job.get("isolated")
        return min(self._limit, 2.0) if is_first else self._limit

    def _stop(self, process: subprocess.Popen[bytes], is_ready: bool) -> Exception:
        """End a worker that hangs, or has ended, and say what happened."""
        kind, how = "hang", "too long"
        if process.returncode is not None:
            kind, how = "crash", f"exit status {process.returncode}"
        else:
            process.send_signal(signal.SIGUSR1)
            time.sleep(0.5)
        where = self._where()
        self._end()
        if not is_ready:
            return RuntimeError(f"the worker does not begin: {kind}, {how}, {where}")
        return Stopped(kind, how, where, self.board.read()[1])


def _pass_on(pipe: IO[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    """Read lines until there are no more, and an empty one then."""
    with contextlib.suppress(ValueError, OSError):  # closed meanwhile
        for line in pipe:
            lines.put(line)
    lines.put(b"")


def fuzz(
    name: str,
    *,
    seed: int = 0,
    seconds: float = 1e9,
    changes: int = 1 << 62,
    guided: bool = False,
    worker: Worker,
) -> Report:
    """Fuzz one target, for some seconds or with some changes of what is known.

    Parameters
    ----------
    name : str
        The target.
    seed : int
        Decides all inputs, unless they are guided.
    seconds : float
        How long at most.
    changes : int
        How many inputs beside the corpus and the seeds.
    guided : bool
        Whether atheris chooses the inputs.
    worker : Worker
        What runs them.

    Returns
    -------
    Report
        What came of it.
    """
    report = Report()
    begin = time.monotonic()
    start = 0
    worker.board.write(0, b"")
    while True:
        left = seconds - (time.monotonic() - begin)
        if left <= 0:
            break
        job = {"target": name, "seed": seed, "start": start, "changes": changes, "seconds": left}
        if guided:
            job |= {"guided": True, "seed": seed + start}
        try:
            for answer in worker.do(job):
                _note(report, answer)
            start = worker.board.count()
            break
        except Stopped as stopped:
            start = worker.board.count() + 1
            if guided:
                worker.board.write(start, b"")
            _confirm(report, name, stopped, worker)
            worker.board.write(start, b"")
    if TARGETS[name].is_isolated:
        _contain(report, name, worker)
    report.executions = start
    report.seconds = time.monotonic() - begin
    return report


def _note(report: Report, answer: dict[str, Any]) -> None:
    if "failure" in answer:
        report.note(answer["key"], answer["failure"])
    elif "example" in answer:
        report.example(answer["example"], bytes.fromhex(answer["data"]))


def _confirm(report: Report, name: str, stopped: Stopped, worker: Worker) -> None:
    """Run an input that stopped the worker once more: it may have been the machine."""
    facts = {"kind": stopped.kind, "type": "", "where": stopped.where, "detail": stopped.how}
    key = f"{stopped.kind}: in {stopped.where}"
    try:
        # What is read in a process of its own is now read there, where it does no harm.
        answers = list(worker.do(_one(name, stopped.data, isolated=True)))
    except Stopped:
        pass
    else:
        for answer in answers:
            _note(report, answer)
        if TARGETS[name].is_isolated:
            report.contained += 1
            return
        key += ", once only"
    report.note(key, facts)
    report.example(key, stopped.data)


def _contain(report: Report, name: str, worker: Worker) -> None:
    """Read in a process of its own what took much memory, which that process may not take."""
    for key, known in list(report.failures.items()):
        if known["kind"] == "memory" and not any(
            "failure" in answer for answer in worker.do(_one(name, known["data"], isolated=True))
        ):
            report.contained += known["n"]
            del report.failures[key]


def _one(name: str, data: bytes, *, isolated: bool = False) -> dict[str, Any]:
    return {"target": name, "data": data.hex(), "isolated": isolated}


def shrink(name: str, key: str, data: bytes, worker: Worker, seconds: float = 2.0) -> bytes:
    """Leave out what a failure does not need, as far as one gets in some seconds."""
    end = time.monotonic() + seconds

    def still_fails(shorter: bytes) -> bool:
        try:
            answers = list(worker.do(_one(name, shorter)))
            return any(answer.get("key") == key for answer in answers)
        except Stopped:
            return False

    size = max(1, len(data) // 2)
    while size and time.monotonic() < end:
        at = 0
        while at < len(data) and time.monotonic() < end:
            shorter = data[:at] + data[at + size :]
            if still_fails(shorter):
                data = shorter
            else:
                at += size
        size //= 2
    return data


def save(name: str, data: bytes) -> Path | None:
    """Put an input into the corpus, unless it is too large for that."""
    if len(data) > _MOST_BYTES:
        return None
    path = CORPUS / name / sha256(data).hexdigest()[:12]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path
