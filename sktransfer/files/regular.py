"""Opening a file that others made, so that nothing but a regular file is ever read."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_regular(path: str | os.PathLike) -> BinaryIO:
    """Open a regular file to read bytes; a pipe or a device, which may block, is an error."""
    # Before it is opened, since opening alone can act on a device; after, since it may be replaced.
    check_regular(path)
    # Without O_NONBLOCK, opening a named pipe waits for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    try:
        _check_status(os.fstat(descriptor), path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def check_regular(path: str | os.PathLike) -> None:
    """Check that a path leads to a regular file, without opening it."""
    _check_status(os.stat(path), path)  # noqa: PTH116 - takes any path-like


def _check_status(status: os.stat_result, path: str | os.PathLike) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    kind = next((kind for test, kind in _KINDS if test(status.st_mode)), "not a regular file")
    code = errno.EISDIR if kind == "a folder" else errno.EINVAL
    raise OSError(code, f"it is {kind}", os.fspath(path))
