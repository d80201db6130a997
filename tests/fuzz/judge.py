"""One input given to one parser, and whether what happened is allowed.

Allowed is success, or one of the package's own errors: a ValueError, TypeError or OSError that a
`raise` of the package made and that names the file. Nothing may be left behind.
"""

from __future__ import annotations

import dis
import gc
import os
import sys
import tempfile
import threading
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm.auto import tqdm

import sktransfer
from tests.fuzz.targets import Target, WrongResult, clear

_PACKAGE = str(Path(sktransfer.__file__).parent)
_FUZZ = str(Path(__file__).parent)
_RAISE = dis.opmap["RAISE_VARARGS"]
_MOST_CHARACTERS = 20_000


@dataclass(frozen=True)
class Failure:
    """What must not happen.

    Attributes
    ----------
    kind : str
        In a word or two.
    type : str
        The exception, if any.
    where : str
        The innermost frame, or the innermost of the package where that tells more.
    detail : str
        The beginning of the message.
    """

    kind: str
    type: str = ""
    where: str = ""
    detail: str = ""

    @property
    def key(self) -> str:
        """What failures are told apart by."""
        return f"{self.kind}: {self.type} in {self.where}"

    def facts(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)


class Judge:
    """Runs inputs in a folder of its own.

    Parameters
    ----------
    folder : Path
        An empty folder, best in memory.
    """

    def __init__(self, folder: Path) -> None:
        self._inputs = folder / "inputs"
        self._temporary = folder / "temporary"
        for each in (self._inputs, self._temporary):
            each.mkdir(exist_ok=True)
        tempfile.tempdir = str(self._temporary)
        self._noise: list[Failure] = []
        tqdm.monitor_interval = 0  # a thread of its own for all bars of a process
        warnings.simplefilter("always")
        warnings.showwarning = self._note_warning
        sys.unraisablehook = self._note_unraisable

    def __call__(self, target: Target, data: bytes) -> Failure | None:
        """Run an input, and say what is wrong if anything is."""
        clear(self._inputs)
        path = self._inputs / f"fuzzed{target.suffix}"
        path.write_bytes(data)
        target.prepare(path)
        self._noise.clear()
        before = _held()
        failure = None
        try:
            target.run(path)
        except Exception as error:
            failure = _judge(error, target.named)
        return failure or self._leftover(target, path, before) or next(iter(self._noise), None)

    def _leftover(self, target: Target, path: Path, before: tuple[int, int, int]) -> Failure | None:
        after = _held()
        if any(now > then for now, then in zip(after, before, strict=True)):
            gc.collect()  # what only a cycle keeps alive is not lost
            after = _held()
        for what, now, then in zip(
            ("descriptors", "threads", "processes"), after, before, strict=True
        ):
            if now > then:
                return Failure("leftover", "", what, f"{now - then} {what}")
        beside = [] if target.has_company else [p for p in self._inputs.iterdir() if p != path]
        left = [*beside, *self._temporary.iterdir()]
        if left:
            clear(self._temporary)
            return Failure("leftover", "", "files", ", ".join(each.name for each in left))
        return None

    def _note_warning(self, message: Any, category: type[Warning], *args: Any) -> None:
        # Those of Pillow and of the package are meant for users.
        if category in (RuntimeWarning, ResourceWarning):
            self._noise.append(Failure("warning", category.__name__, str(args[0]), str(message)))

    def _note_unraisable(self, unraisable: Any) -> None:
        kind = unraisable.exc_type.__name__
        self._noise.append(Failure("unraisable", kind, repr(unraisable.object)[:80]))


def _held() -> tuple[int, int, int]:
    """Count descriptors, threads and child processes."""
    try:
        n_files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - half the time
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_bytes().split()
    except OSError:  # not Linux
        n_files, children = 0, []
    return n_files, threading.active_count(), len(children)


def _judge(error: Exception, named: str) -> Failure | None:
    """Say what is wrong with an error, if anything is."""
    name = type(error).__name__
    frames = _frames(error.__traceback__)
    own = [frame for frame in frames if _is_own(frame)]
    where = _spell(own[-1] if own else frames[-1])
    if own and own[-1] is not frames[-1]:
        where += f" < {_spell(frames[-1])}"
    message = str(error)
    detail = message[:300]
    if isinstance(error, WrongResult):
        return Failure("wrong result", "", message.split(":")[0][:60], detail)
    if _needs_memory(error):
        return Failure("memory", name, where, detail)
    if not isinstance(error, ValueError | TypeError | OSError):
        return Failure("raw error", name, where, detail)
    innermost = frames[-1]
    code = innermost.tb_frame.f_code.co_code
    if not _is_own(innermost) or code[innermost.tb_lasti] != _RAISE:
        return Failure("raw error", name, where, detail)
    if named not in message:
        return Failure("nameless error", name, where, detail)
    if len(message) > _MOST_CHARACTERS:
        return Failure("endless message", name, where, detail)
    try:
        message.encode()
    except UnicodeEncodeError:
        return Failure("message that cannot be printed", name, where, ascii(detail))
    return None


def _needs_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return False


def _frames(traceback: TracebackType | None) -> list[TracebackType]:
    frames = []
    while traceback is not None:
        if not traceback.tb_frame.f_code.co_filename.startswith(_FUZZ) or not frames:
            frames.append(traceback)
        traceback = traceback.tb_next
    return frames


def _is_own(frame: TracebackType) -> bool:
    return frame.tb_frame.f_code.co_filename.startswith(_PACKAGE)


def _spell(frame: TracebackType) -> str:
    code = frame.tb_frame.f_code
    return f"{Path(code.co_filename).name}:{code.co_name}"
