"""A process that runs inputs: it may crash or hang, which is seen from outside.

It reads jobs as lines of JSON, and answers with lines of JSON. Run by `run`, not by hand.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from random import Random
from typing import Any, TextIO

CORPUS = Path(__file__).parent / "corpus"
#: The file of a worker's folder that says where it crashed or hangs.
STACK = "stack"
# Seconds after which a worker ends that hangs and has nobody left who would end it.
_LAST_RESORT = 120
#: Beyond what the process has at its start.
MEMORY = 3 << 29


def corpus(name: str) -> list[bytes]:
    """Return the inputs that once failed, in the order of their names."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]


class _Session:
    def __init__(self, folder: Path, answers: TextIO) -> None:
        from tests.fuzz.board import Board
        from tests.fuzz.judge import Judge
        from tests.fuzz.targets import TARGETS, isolate_briefly, read_here

        isolate_briefly()
        self.folder, self._targets, self.read_here = folder, TARGETS, read_here
        self.board = Board(folder / "board")
        self._judge = Judge(folder)
        self._answers = answers
        self._smallest: dict[str, int] = {}
        _bound_memory()

    def answer(self, **facts: Any) -> None:
        self._answers.write(json.dumps(facts) + "\n")
        self._answers.flush()

    def try_one(self, target: Any, data: bytes, count: int) -> None:
        """Run an input; of failures of one kind, tell those that are smaller than before."""
        self.board.write(count, data)
        signal.alarm(_LAST_RESORT)
        failure = self._judge(target, data)
        if failure is None:
            return
        smallest = self._smallest.get(failure.key)
        self.answer(failure=failure.facts(), key=failure.key, is_new=smallest is None)
        if smallest is None or len(data) < smallest:
            self._smallest[failure.key] = len(data)
            (self.folder / "failed").write_bytes(data)
            self.answer(example=failure.key, data=data.hex())

    def run(self, job: dict[str, Any]) -> None:
        """Do a job: one input, or many by their numbers."""
        target = self._targets[job["target"]]
        self._smallest.clear()
        if "data" in job:
            self.answer(ready=True)
            with nullcontext() if job["isolated"] else self.read_here():
                self.try_one(target, bytes.fromhex(job["data"]), 1)
            self.answer(done=True)
            return
        inputs = Inputs(target, corpus(target.name), job["seed"])
        stop = len(inputs.known) + job["changes"]
        self.answer(ready=True)
        end = time.monotonic() + job["seconds"]
        index = job["start"]
        with self.read_here():
            while index < stop and time.monotonic() < end:
                self.try_one(target, inputs[index], index)
                index += 1
        self.board.write(index, b"")
        self.answer(done=True)


class Inputs:
    """The inputs of a target by number: first the corpus and the seeds, then changes of these."""

    def __init__(self, target: Any, corpus: list[bytes], seed: int) -> None:
        from tests.fuzz.mutate import mutate_bytes

        self._mutate_bytes = mutate_bytes
        self._target, self._seed = target, seed
        self.known = [*corpus, *target.seeds]

    def __getitem__(self, index: int) -> bytes:
        if index < len(self.known):
            return self.known[index]
        rng = Random(f"{self._seed} {self._target.name} {index}")
        # What once failed mostly fails again, whatever is changed in it.
        bases = self.known if rng.random() < 0.02 else self._target.seeds
        return self.change(rng, rng.choice(bases))

    def change(self, rng: Random, data: bytes) -> bytes:
        """Change an input as suits its format, or as if it had none."""
        if self._target.changes and rng.random() < 0.5:
            try:
                data = rng.choice(self._target.changes)(rng, data)
            except Exception:  # what is damaged already cannot be changed within its format
                pass
            else:
                if rng.random() < 0.8:
                    return data
        return self._mutate_bytes(rng, data, self.known)


def _bound_memory() -> None:
    pages = int(Path("/proc/self/statm").read_bytes().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def _guide(session: _Session, job: dict[str, Any]) -> None:
    """Let atheris choose inputs by what they reach, until it ends the process."""
    import atheris

    with atheris.instrument_imports(include=["sktransfer", "PIL"]):
        from tests.fuzz.targets import TARGETS

        target = TARGETS[job["target"]]
        inputs = Inputs(target, corpus(target.name), job["seed"])
        count = session.board.count()
        known = session.folder / "known"
        known.mkdir(exist_ok=True)
        # What once hung would hang again at every start; the short test runs it by itself.
        for i, data in enumerate(target.seeds if target.is_isolated else inputs.known):
            (known / f"{i:04d}").write_bytes(data)
            with session.read_here():
                session.try_one(target, data, count)  # which imports what is imported late

    def run(data: bytes) -> None:
        nonlocal count
        count += 1
        session.try_one(target, data, count)

    def change(data: bytes, size: int, seed: int) -> bytes:
        rng = Random(seed)
        if rng.random() < 0.3:
            return atheris.Mutate(data, size)
        return inputs.change(rng, data)[:size]

    session.answer(ready=True)
    options = {
        "max_total_time": max(1, int(job["seconds"])),
        "seed": job["seed"] + 1,  # to libFuzzer, 0 is none
        "max_len": 1 << 16,
        "timeout": 1 << 20,  # seen from outside
        "rss_limit_mb": 0,
        "artifact_prefix": f"{session.folder}/",
        "verbosity": 0,
        "handle_int": 0,
    }
    atheris.Setup(
        ["fuzz", *(f"-{name}={value}" for name, value in options.items()), str(known)],
        run,
        custom_mutator=change,
    )
    with session.read_here():
        atheris.Fuzz()


def main() -> None:
    """Do the jobs that come, in a folder that is given."""
    # Answers have a descriptor of their own: what a library prints goes nowhere.
    answers = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Where it crashes, and where it hangs when it is asked.
    stack = Path(sys.argv[1], STACK).open("w")  # noqa: SIM115 - as long as the process
    faulthandler.enable(stack)
    faulthandler.register(signal.SIGUSR1, stack)
    session: _Session | None = None
    for line in sys.stdin:
        job = json.loads(line)
        try:
            if job.get("guided"):
                import atheris

                # Before the package is imported for the first time.
                with atheris.instrument_imports(include=["sktransfer", "PIL"]):
                    session = _Session(Path(sys.argv[1]), answers)
                _guide(session, job)
            else:
                session = session or _Session(Path(sys.argv[1]), answers)
                session.run(job)
        except Exception as error:
            import traceback

            answers.write(json.dumps({"broken": f"{error!r}\n{traceback.format_exc()}"}) + "\n")
            answers.flush()
            return


if __name__ == "__main__":
    main()
