"""Extractions that are killed, damaged, refused or doubled: in the end the bytes are the same.

`python -m tests.faults extraction --kills 1000` for as many kills, with damage between some of them
and the next run. One process forks all others, so that a run costs a fraction of a second.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

FORMS = (".npy", ".zarr", ".parquet")
_N_IMAGES = 96
_BLOCK_ROWS = 8
# No run takes longer, unless it hangs.
_PATIENCE = 120
_NOBODY = 65534


def _nothing() -> None:
    pass


class Run:
    """An extraction in a process of its own, forked from this one.

    Parameters
    ----------
    images, out : Path
        What is extracted, and whereto.
    prepare : callable
        Called in the new process first.
    """

    def __init__(self, images: Path, out: Path, prepare: Callable[[], object] = _nothing) -> None:
        self._read, write = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            self._work(images, out, prepare, write)
        os.close(write)

    @staticmethod
    def _work(images: Path, out: Path, prepare: Callable[[], object], write: int) -> None:
        signal.alarm(_PATIENCE)  # ends a process that hangs
        try:
            prepare()
            _extract(images, out)
        except BaseException as error:
            os.write(write, f"{type(error).__name__}: {error}"[:4000].encode("utf-8", "replace"))
        finally:
            os._exit(0)

    def wait(self) -> str:
        """Return what went wrong in it; nothing where all is well, `killed` where it was killed."""
        with os.fdopen(self._read, encoding="utf-8") as file:
            fault = file.read()
        _, status = os.waitpid(self.pid, 0)
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            assert number == signal.SIGKILL, f"ended by {signal.Signals(number).name}"
            return "killed"
        return fault


class Bench:
    """Images, what an undisturbed run makes of them, and a place for runs that are disturbed.

    Parameters
    ----------
    folder : Path
        An empty folder.
    seed : int
        Of whatever is random.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.images = folder / "images"
        self.place = folder / "place"
        rng = np.random.default_rng(seed)
        for i in range(_N_IMAGES):
            path = self.images / f"class{i % 3}" / f"{i:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
        (self.images / "class1" / "031.png").write_bytes(b"not an image")
        self._expected: dict[str, dict[str, bytes]] = {}
        self._seconds: dict[str, float] = {}
        for form in FORMS:
            out = self._fresh(form)
            start = time.monotonic()
            fault = Run(self.images, out).wait()
            assert not fault, fault
            self._seconds[form] = time.monotonic() - start
            self._expected[form] = self._content()

    def _fresh(self, form: str) -> Path:
        """Empty the place, and name an output in it."""
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir()
        return self.place / f"out{form}"

    def _content(self) -> dict[str, bytes]:
        files = [path for path in self.place.rglob("*") if path.is_file()]
        return {str(path.relative_to(self.place)): path.read_bytes() for path in files}

    def _finish(self, out: Path) -> None:
        """Run to the end, and compare everything with the undisturbed run."""
        fault = Run(self.images, out).wait()
        if _is_refused(fault):  # the record or the mark was damaged: its cure
            self.counts["damaged records refused"] += 1
            # A run that refused removes the folder itself where there is no row in it.
            shutil.rmtree(f"{out}.partial", ignore_errors=True)
            fault = Run(self.images, out).wait()
            if "move or remove that file" in fault:  # it was damaged after the last row: its cure
                self.counts["files beside refused"] += 1
                for path in out.parent.glob(f"{out.name}.*"):
                    path.unlink()
                fault = Run(self.images, out).wait()
        assert not fault, fault
        content, expected = self._content(), self._expected[out.suffix]
        assert sorted(content) == sorted(expected), set(content) ^ set(expected)
        for name, data in content.items():
            assert data == expected[name], f"{name} differs"
        self.counts["outputs compared"] += 1

    def kill(self, n_kills: int) -> None:
        """Kill runs at random moments, and damage what some of them leave."""
        while self.counts["kills"] < n_kills:
            out = self._fresh(FORMS[self.counts["outputs compared"] % len(FORMS)])
            for _ in range(self.random.randint(1, 4)):
                run = Run(self.images, out)
                time.sleep(self.random.uniform(0.1, 1.1) * self._seconds[out.suffix])
                self.counts["kills with rows written"] += self._has_rows(out)
                os.kill(run.pid, signal.SIGKILL)
                fault = run.wait()
                assert fault in ("", "killed") or _is_refused(fault), fault
                self.counts["kills"] += fault == "killed"
                if self.random.random() < 0.4:
                    self._damage(Path(f"{out}.partial"))
            self._finish(out)

    @staticmethod
    def _has_rows(out: Path) -> bool:
        data = Path(f"{out}.partial") / f"data{out.suffix}"
        return any(data.iterdir()) if data.is_dir() else data.exists()

    def _damage(self, partial: Path) -> None:
        """Remove, cut short or change one of the files of an unfinished run."""
        files = sorted(path for path in partial.rglob("*") if path.is_file())
        records = [path for path in files if path.parent == partial and "progress" in path.name]
        data = [path for path in files if path not in records and path.name != "lock"]
        files = data if data and self.random.random() < 0.8 else records
        if not files:
            return
        path = self.random.choice(files)
        size = path.stat().st_size
        way = self.random.choice(["remove", "cut", "change"])
        if way == "remove":
            path.unlink()
        elif size:
            place = self.random.randrange(size)
            if way == "cut":
                os.truncate(path, place)
            else:
                with path.open("r+b") as file:
                    file.seek(place)
                    byte = file.read(1)[0]
                    file.seek(place)
                    file.write(bytes([byte ^ self.random.randint(1, 255)]))
        self.counts["damaged files"] += 1

    def double(self, n_rounds: int) -> None:
        """Start several runs with one output at nearly the same time."""
        for i in range(n_rounds):
            out = self._fresh(FORMS[i % len(FORMS)])
            runs = []
            for _ in range(3):
                runs.append(Run(self.images, out))
                time.sleep(self.random.uniform(0, 0.6) * self._seconds[out.suffix])
            faults = [run.wait() for run in runs]
            assert "" in faults, faults
            told = [fault for fault in faults if fault]
            assert all("another process is writing it" in fault for fault in told), told
            self.counts["writers at once"] += len(runs)
            self.counts["writers told to wait"] += len(told)
            self._finish(out)

    def limit(self, n_rounds: int) -> None:
        """Let files not grow, descriptors run out, folders be read-only; then remove the cause."""
        import resource

        for i in range(n_rounds):
            form = FORMS[i % len(FORMS)]
            n_bytes = self.random.randint(0, 40_000)
            n_files = self.random.randint(0, 10)

            def small_files(n_bytes: int = n_bytes) -> None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))

            def few_files(n_files: int = n_files) -> None:
                n_open = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - counts itself too
                resource.setrlimit(resource.RLIMIT_NOFILE, (n_open + n_files, n_open + n_files))

            for prepare in (small_files, few_files):
                out = self._fresh(form)
                fault = Run(self.images, out, prepare).wait()
                assert not fault or fault.startswith(("OSError", "UnreadableImages")), fault
                self.counts[f"{prepare.__name__.replace('_', ' ')} refused"] += bool(fault)
                self._finish(out)
            self._read_only(form)

    def _read_only(self, form: str) -> None:
        def become_nobody() -> None:
            if os.geteuid() == 0:  # who may write everywhere
                # Nobody may be unable to read Python's own files: import what a run needs before.
                with tempfile.TemporaryDirectory() as folder:
                    _extract(self.images, Path(folder) / f"first{form}")
                os.setgid(_NOBODY)
                os.setuid(_NOBODY)

        out = self._fresh(form)
        for folder in (self.place.parent, self.place):
            folder.chmod(0o755)
        self.place.chmod(0o555)
        fault = Run(self.images, out, become_nobody).wait()
        self.place.chmod(0o755)
        assert "cannot write" in fault, fault or "wrote to a read-only folder"
        assert "Permission denied" in fault, fault
        self.counts["read-only refused"] += 1
        self._finish(out)


def _is_refused(fault: str) -> bool:
    """Tell whether a run refused what is left of another one, since a file of it was damaged."""
    refusals = (
        "cannot resume",
        "is not a folder that extract of this version made",  # its mark was removed
        "found an unfinished run",  # what it records of its call was changed, and is readable
    )
    return any(text in fault for text in refusals)


def _extract(images: Path, out: Path) -> None:
    from sktransfer import VGGFeatureExtractor, extract
    from sktransfer.export.extraction import run

    run._BLOCK_ROWS = ((np.inf, _BLOCK_ROWS),)
    extractor = VGGFeatureExtractor(
        "block1_pool",
        weights=None,
        pooling="avg",
        input_size=32,
        random_state=0,
        cache=None,
        engine="openvino" if find_spec("openvino") else "auto",
        batch_size=16,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*found a block of rows")
        extract(images, out, extractor=extractor, on_error="nan")


def _import() -> None:
    """Import what every run needs once, but start no network and no thread before a fork."""
    names = ["sktransfer.export.extraction", "filelock", "openvino", "zarr", "pyarrow.parquet"]
    # A child without privileges may not read Python's own files.
    names += ["encodings.ascii", "PIL.ImageOps", "PIL.PngImagePlugin", "PIL.JpegImagePlugin"]
    for name in names:
        with suppress(ImportError):
            import_module(name)


def main(argv: Sequence[str] | None = None) -> int:
    """Disturb extractions in all ways, and print how many of each there were.

    Parameters
    ----------
    argv : sequence of str or None, default=None
        The arguments; None takes those of the process.

    Returns
    -------
    int
        0; an AssertionError says what went wrong.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.faults extraction", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="how many runs are killed")
    parser.add_argument("--rounds", type=int, help="of the other faults; kills / 5 where left out")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    n_rounds = -(-args.kills // 5) if args.rounds is None else args.rounds
    _import()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), args.seed)
        try:
            bench.kill(args.kills)
            bench.double(n_rounds)
            bench.limit(n_rounds)
        finally:  # also of a long run that is interrupted
            for name, count in bench.counts.items():
                print(f"{name}: {count:,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
