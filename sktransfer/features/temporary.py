"""The store that a process shares with its workers and removes at its end.

Temporary stores lie in one folder per user, which is private to that user. A store is named after
the authentication key of `multiprocessing`: a process draws it at random, and every worker that it
starts inherits it, with joblib, multiprocessing and Dask alike. So all of them find one store,
whoever needs it first, and nothing about it has to be sent to them.

Every process that uses a store holds a file lock in it for life. The kernel frees the lock however
the process ends. A store in which nobody holds a lock is an orphan and is removed, unless the
process that started the workers still lives: it may start new ones.

References
----------
https://docs.python.org/3/library/multiprocessing.html#multiprocessing.Process.authkey
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import re
import secrets
import stat
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from sktransfer.features.database import Database
from sktransfer.features.store import FeatureStore
from sktransfer.features.store_use import FeatureStoreWarning
from sktransfer.files.paths import expand

# Members wait so long for each other to join, or to remove a store.
_MUTEX_SECONDS = 60
_STORE_NAME = re.compile(r"store-[0-9a-f]{32}")
# What the package puts into a store. Nothing else is ever removed.
_LOCK_NAME = re.compile(r"(?:(main|worker)-\d+-[0-9a-f]{16}|open|\d{3})\.lock")
_KEEPER_NAME = re.compile(r"for-(\d+)-(\d+)")
_DATABASE_NAME = re.compile(r"features-\d{4,}\.sqlite(?:-wal|-shm|-journal)?")

# Guards what follows: the process that imported this module, the lock that it holds in each store
# that it uses, and the last answer of `temporary_store` with the folder that it holds for.
_lock = threading.Lock()
_importer = os.getpid()
_members: dict[Path, Any] = {}
_current: tuple[Path, FeatureStore | None] | None = None
# Locks of the parent, in a forked child: to let go of them could free them.
_inherited: list[Any] = []


class TemporaryStore(FeatureStore):
    """A store that is not made again once its owner has removed it."""

    def connect(self) -> Database:
        """Open the database, if the folder is still there."""
        if not self.path.is_dir():
            raise FileNotFoundError("the process that owns this temporary store has removed it")
        return super().connect()


def temporary_store() -> FeatureStore | None:
    """Return the store that this process shares with its parent and its workers.

    Made at the first call, in a private folder of this user under ``$SKTRANSFER_CACHE_DIR`` or the
    system's temporary folder.

    Returns
    -------
    FeatureStore or None
        The store; None where ``$SKTRANSFER_CACHE`` is ``off``, and with a warning where no folder
        can be made or the user's folder is not safe to use.
    """
    global _current
    if os.environ.get("SKTRANSFER_CACHE", "").lower() == "off":
        return None
    with _lock:
        try:
            parent = _parent()
            if _current is not None and _current[0] == parent and _is_usable(_current[1]):
                return _current[1]
            _current = parent, None  # so that there is one warning
            _current = parent, _join(parent)
        except OSError as error:
            warnings.warn(
                f"FeatureStore cannot be made in a temporary folder: {error}. Features are "
                "computed without being stored. Set $SKTRANSFER_CACHE_DIR to a writable folder of "
                "your own, or cache=None.",
                FeatureStoreWarning,
                stacklevel=2,
            )
            return None
        return _current[1]


def find_store(cache: str | os.PathLike | FeatureStore | None) -> FeatureStore | None:
    """Return the store that a parameter `cache` means."""
    if cache is None or isinstance(cache, FeatureStore):
        return cache
    return temporary_store() if cache == "temporary" else FeatureStore(cache)


def temporary_folder() -> Path:
    """Return the folder in which the users' folders of temporary stores lie."""
    folder = os.environ.get("SKTRANSFER_CACHE_DIR") or tempfile.gettempdir()
    return expand(folder, "$SKTRANSFER_CACHE_DIR must be the path of a folder.")


def list_stores() -> list[FeatureStore]:
    """List this user's temporary stores, those of other processes among them."""
    parent = _parent()
    try:
        _check_private(parent)
        entries = sorted(os.scandir(parent), key=lambda entry: entry.name)
    except OSError:
        return []
    return [
        TemporaryStore(entry.path)
        for entry in entries
        if _STORE_NAME.fullmatch(entry.name) and _is_own(Path(entry.path))
    ]


def sweep_orphans() -> list[Path]:
    """Remove the stores whose processes ended without removing them."""
    folders = [store.path for store in list_stores()]
    if not folders:
        return []
    with _mutex(_parent()):
        return [folder for folder in folders if _is_orphan(folder) and _remove(folder)]


def _parent() -> Path:
    user = f"-{os.geteuid()}" if hasattr(os, "geteuid") else ""
    return temporary_folder().absolute() / f"sktransfer-stores{user}"


def _family() -> str:
    """Name the tree of processes to which this one belongs."""
    key = bytes(multiprocessing.current_process().authkey)
    return blake2b(key, digest_size=16, person=b"sktransfer").hexdigest()


def _is_main() -> bool:
    """Whether this process is the first of its tree: no worker, and not forked from another."""
    return multiprocessing.parent_process() is None and os.getpid() == _importer


def _check_own(folder: Path) -> os.stat_result:
    """Raise an error if a folder is a link, or another user's."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(f"{str(folder)!r} is a link or a file where a folder should be")
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise PermissionError(f"{str(folder)!r} belongs to another user")
    return status


def _check_private(folder: Path) -> None:
    """Raise an error if others could have made a folder, or can reach into it."""
    status = _check_own(folder)
    if hasattr(os, "geteuid") and status.st_mode & 0o077:
        raise PermissionError(
            f"{str(folder)!r} is open to other users: its mode is {status.st_mode & 0o777:03o} "
            "and must be 700"
        )


def _is_own(folder: Path) -> bool:
    try:
        _check_own(folder)
    except OSError:
        return False
    return True


def _is_usable(store: FeatureStore | None) -> bool:
    if store is None:
        return True  # there was a warning, and another one is of no use
    try:
        _check_private(store.path.parent)
    except OSError:
        return False
    lock = _members.get(store.path)
    return lock is not None and _is_own(store.path) and Path(lock.lock_file).exists()


def _join(parent: Path) -> FeatureStore:
    """Become a member of this family's store, which is made where it is not there."""
    from filelock import FileLock

    parent.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        parent.mkdir(mode=0o700)
    _check_private(parent)
    folder = parent / f"store-{_family()}"
    if not folder.exists():
        sweep_orphans()
    with _mutex(parent):
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        _check_own(folder)
        kind = "main" if _is_main() else "worker"
        name = f"{kind}-{os.getpid()}-{secrets.token_hex(8)}.lock"
        # Not bound to this thread, as another one may be the last.
        lock = FileLock(folder / name, thread_local=False)
        lock.acquire(timeout=0)
        _members[folder] = lock
        keeper = multiprocessing.parent_process()
        number = _importer if keeper is None else keeper.pid
        start = _start_time(number)
        if start is not None:
            (folder / f"for-{number}-{start}").touch(mode=0o600)
    return TemporaryStore(folder)


@contextmanager
def _mutex(parent: Path) -> Iterator[None]:
    """Keep other processes from joining or removing stores meanwhile."""
    from filelock import FileLock

    with FileLock(parent / "stores.lock", timeout=_MUTEX_SECONDS):
        yield


def _is_orphan(folder: Path) -> bool:
    """Whether all processes that used a store, or may start some, have ended; under the mutex."""
    try:
        names = [each.name for each in os.scandir(folder) if each.is_file(follow_symlinks=False)]
        is_empty = not any(folder.iterdir())
    except OSError:
        return False
    locks = [name for name in names if _LOCK_NAME.fullmatch(name)]
    keepers = [match for name in names if (match := _KEEPER_NAME.fullmatch(name))]
    if any(_start_time(int(keeper[1])) == keeper[2] for keeper in keepers):
        return False
    # A process killed between making or emptying a folder and the next step left it empty.
    # Without a member's lock it is a store that a user keeps under such a name.
    return is_empty or (
        any(map(_is_members, locks)) and all(_is_free(folder / name) for name in locks)
    )


def _is_members(name: str) -> bool:
    """Whether a file is the lock that marks a store as temporary."""
    match = _LOCK_NAME.fullmatch(name)
    return match is not None and match[1] is not None


def _is_free(path: Path) -> bool:
    """Whether nobody holds the lock of an existing file."""
    from filelock import FileLock

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except OSError:
        return False
    lock.release()
    return True


def _start_time(number: int | None) -> str | None:
    """Return when a process was started, as the system counts; None if it ended or cannot say."""
    try:
        text = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # man 5 proc: the name in parentheses may hold anything; behind it state is the first field.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _remove(folder: Path) -> bool:
    """Remove a store and tell whether it is gone; under the mutex."""
    with suppress(OSError):
        # Members' locks last: a removal cut off leaves an orphan, which the next sweep removes.
        for entry in sorted(os.scandir(folder), key=lambda each: _is_members(each.name)):
            if any(
                pattern.fullmatch(entry.name)
                for pattern in (_LOCK_NAME, _KEEPER_NAME, _DATABASE_NAME)
            ) and entry.is_file(follow_symlinks=False):
                Path(entry.path).unlink(missing_ok=True)
        folder.rmdir()
        return True
    return False


def _leave() -> None:
    """Remove this family's stores at the end of its first process, or of the last one."""
    # If something fails here, the next process that makes a store removes what is left.
    with suppress(OSError):
        for folder in {*_members, _parent() / f"store-{_family()}"}:
            if not _is_own(folder):
                continue
            _check_private(folder.parent)
            with _mutex(folder.parent):
                if folder in _members:
                    _members.pop(folder).release()
                if _is_orphan(folder) or (_is_main() and not _has_another_main(folder)):
                    _remove(folder)


def _has_another_main(folder: Path) -> bool:
    """Whether a process that forked before it imported the package uses a store too."""
    return any(
        not _is_free(path) for path in folder.glob("main-*.lock") if _LOCK_NAME.fullmatch(path.name)
    )


def _forget() -> None:
    """In a forked child: nothing is held yet, and no thread is left that could hold the guard."""
    global _lock, _current
    _lock = threading.Lock()
    _inherited.extend(_members.values())
    _members.clear()
    _current = None


# At import, as workers may make a store for a process that never uses one itself.
atexit.register(_leave)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
