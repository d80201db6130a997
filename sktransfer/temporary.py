"""The store that a process shares with its workers and removes at its end.

It is a folder named after the process, which holds a file lock on it for life. The kernel frees the
lock however the process ends: a folder whose lock can be had is an orphan, and is swept away. A
worker finds the folder of a living ancestor and uses that.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
import warnings
from pathlib import Path
from typing import Any

from sktransfer.store import FeatureStore, FeatureStoreWarning

_PREFIX = "sktransfer-"

_lock = threading.Lock()
# What this process uses: (its process number, its own lock or None, the store).
_current: tuple[int, Any, FeatureStore | None] | None = None


def temporary_store() -> FeatureStore | None:
    """Return the store that this process shares with its parent or its workers.

    Made at the first call, in a folder for this user's eyes only under ``$SKTRANSFER_CACHE_DIR`` or
    the system's temporary folder.

    Returns
    -------
    FeatureStore or None
        The store; None where ``$SKTRANSFER_CACHE`` is ``off``, and with a warning where no folder
        can be made.
    """
    global _current
    if os.environ.get("SKTRANSFER_CACHE", "").lower() == "off":
        return None
    with _lock:
        if _current is None or _current[0] != os.getpid() or _is_gone(_current[2]):
            _current = (os.getpid(), *_find_or_make())
        return _current[2]


def find_store(cache: str | os.PathLike | FeatureStore | None) -> FeatureStore | None:
    """Return the store that a parameter `cache` means.

    Parameters
    ----------
    cache : 'temporary', path-like, FeatureStore or None
        As :class:`VGGFeatureExtractor` takes it.

    Returns
    -------
    FeatureStore or None
        The store, if features are to be kept.
    """
    if cache is None or isinstance(cache, FeatureStore):
        return cache
    return temporary_store() if cache == "temporary" else FeatureStore(cache)


def _is_gone(store: FeatureStore | None) -> bool:
    return store is not None and not store.path.is_dir()


def temporary_folder() -> Path:
    """Return the folder in which temporary stores are made.

    Returns
    -------
    Path
        ``$SKTRANSFER_CACHE_DIR`` or the system's temporary folder.
    """
    return Path(os.environ.get("SKTRANSFER_CACHE_DIR") or tempfile.gettempdir()).expanduser()


def list_folders() -> list[Path]:
    """List this user's temporary stores, those of other processes among them.

    Returns
    -------
    list of Path
        Their folders.
    """
    return [path for path in sorted(temporary_folder().glob(f"{_PREFIX}*")) if _is_own(path)]


def sweep_orphans() -> list[Path]:
    """Remove the stores of processes that ended without removing them.

    Returns
    -------
    list of Path
        The folders that were removed.
    """
    removed = []
    for folder in list_folders():
        lock = _owner_lock(folder)
        if _try(lock):
            lock.release()
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return removed


def _find_or_make() -> tuple[Any, FeatureStore | None]:
    try:
        return _find() or _make()
    except OSError as error:
        warnings.warn(
            f"FeatureStore cannot be made in {str(temporary_folder())!r}: {error}. Features are "
            "computed without being kept. Set $SKTRANSFER_CACHE_DIR to a folder that can be "
            "written to, or cache=None.",
            FeatureStoreWarning,
            stacklevel=2,
        )
        return None, None


def _find() -> tuple[None, FeatureStore] | None:
    """Find the store of a living ancestor."""
    parent = temporary_folder()
    for number in _ancestors():
        for folder in parent.glob(f"{_PREFIX}{number}-*"):
            if _is_own(folder) and not _is_orphan(folder):
                return None, FeatureStore(folder)
    return None


def _make() -> tuple[Any, FeatureStore]:
    sweep_orphans()
    parent = temporary_folder()
    parent.mkdir(parents=True, exist_ok=True)
    # mkdtemp makes it with mode 0700 and a name that nobody else has. It is locked before it gets
    # the name by which others would sweep it away.
    hidden = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}{os.getpid()}-", dir=parent))
    lock = _owner_lock(hidden)
    lock.acquire()
    folder = hidden.rename(hidden.with_name(hidden.name[1:]))
    atexit.register(_remove, folder, lock, os.getpid())
    return lock, FeatureStore(folder)


def _remove(folder: Path, lock: Any, owner: int) -> None:
    if os.getpid() == owner:  # not in a process forked from it
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _ancestors() -> list[int]:
    """List the processes above this one, the parent first, as far as the system tells."""
    numbers = [os.getppid()]
    while numbers[-1] > 1:
        try:
            # man 5 proc: the name in parentheses may hold anything; the parent is the second
            # field behind it.
            stat = Path(f"/proc/{numbers[-1]}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            break
        numbers.append(int(stat.rpartition(")")[2].split()[1]))
    return numbers


def _owner_lock(folder: Path) -> Any:
    from filelock import FileLock

    return FileLock(folder / "owner.lock")


def _try(lock: Any) -> bool:
    from filelock import Timeout

    try:
        lock.acquire(timeout=0)
    except (Timeout, OSError):
        return False
    return True


def _is_orphan(folder: Path) -> bool:
    lock = _owner_lock(folder)
    if not _try(lock):
        return False
    lock.release()
    return True


def _is_own(folder: Path) -> bool:
    """Whether the folder is this user's, so that no other can plant features."""
    try:
        return folder.is_dir() and (
            not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()
        )
    except OSError:
        return False
