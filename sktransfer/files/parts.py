"""Temporary files beside their final place, moved there once they are complete."""

from __future__ import annotations

import glob
import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sktransfer.files.placing import place_new

_HOST = re.sub(r"[^A-Za-z0-9]", "_", platform.node())[:32]


@contextmanager
def whole(path: Path, *, is_new: bool = False) -> Iterator[Path]:
    """Yield where to write a file that replaces another; a process killed leaves the former one.

    With `is_new` it replaces nothing: FileExistsError where something has its name by then.
    """
    remove_left(path)
    part = name_part(path)
    try:
        yield part
        (place_new if is_new else os.replace)(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def name_part(path: Path) -> Path:
    """Name what this process writes for a place; its ending is that of the place."""
    return path.with_name(f"{prefix()}{secrets.token_hex(4)}.{path.name}")


def prefix() -> str:
    """Begin the name of what this process writes, which eight random characters continue."""
    return f".part-{_HOST}-{os.getpid()}-"


def remove_left(path: Path) -> None:
    """Remove what processes of this host began for a place, and were killed."""
    name = re.compile(rf"\.part-{_HOST}-(\d+)-[a-z0-9_]{{8}}\.{re.escape(path.name)}")
    for part in path.parent.glob(f".part-*.{glob.escape(path.name)}"):
        match = name.fullmatch(part.name)
        if match and _has_ended(int(match[1])):
            with suppress(OSError):  # another process may be first
                shutil.rmtree(part) if part.is_dir() else part.unlink()


def _has_ended(process: int) -> bool:
    if os.name == "nt":
        return True  # Windows removes no file that is open, and its os.kill would end a process
    try:
        os.kill(process, 0)
    except OSError as error:
        return isinstance(error, ProcessLookupError)
    except OverflowError:  # no process has such a number
        return True
    return False
