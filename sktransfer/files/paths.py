"""Paths that users give, with one clear error for those that no system can look up."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def expand(path: str | os.PathLike, lead: str) -> Path:
    """Fill in ``~``, and raise an error that begins with `lead` where a path can be none."""
    try:
        expanded = Path(path).expanduser()
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            expanded.lstat()
        return expanded
    except RuntimeError:
        fault = "this system knows no home folder of that user"
    except ValueError:
        fault = "it holds a null byte"
    except OSError as error:
        fault = f"{error.strerror}".lower()
    raise OSError(f"{lead} Got {os.fspath(path)!r:.90}: {fault}. Name another path.")
