"""SQLite's connections and forks: none is open while this process forks.

A forked child inherits the locks that SQLite notes in memory, of statements that it never ends. So
a fork waits for the work on databases to pause, and closes them; the next use opens them again.

References
----------
https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_connection_across_a_fork_
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Protocol
from weakref import WeakSet


class _Closable(Protocol):
    def close(self) -> None: ...


class _State:
    """Who works on databases, and who is about to fork."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.depths = Counter[int]()  # of blocks, one in another, by thread
        self.n_forking = 0

    def leave(self, thread: int) -> None:
        self.depths[thread] -= 1
        if not self.depths[thread]:
            del self.depths[thread]
        self.changed.notify_all()


_state = _State()
#: What is open, and closed before a fork.
opened: WeakSet[_Closable] = WeakSet()


@lru_cache(maxsize=1)
def _watch_forks() -> None:
    # Before a fork the hooks run in reverse order: those of filelock, which keep others from taking
    # locks, have to come after ours, which wait for threads that take some.
    import filelock  # noqa: F401

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(
            before=_before_fork, after_in_parent=_after_fork, after_in_child=_forget
        )


@contextmanager
def no_fork() -> Iterator[None]:
    """Have forks of other threads wait for the end of the block."""
    _watch_forks()
    state, thread = _state, threading.get_ident()
    with state.changed:
        state.changed.wait_for(lambda: not state.n_forking or thread in state.depths)
        state.depths[thread] += 1
    try:
        yield
    finally:
        with state.changed:
            state.leave(thread)


def _before_fork() -> None:
    state, thread = _state, threading.get_ident()
    state.changed.acquire()  # until after the fork
    state.n_forking += 1
    state.changed.wait_for(lambda: not state.depths.keys() - {thread})
    state.depths[thread] += 1
    for each in list(opened):
        each.close()


def _after_fork() -> None:
    _state.n_forking -= 1
    _state.leave(threading.get_ident())
    _state.changed.release()


def _forget() -> None:
    """In a forked child: of the threads that waited none is left."""
    global _state
    _state = _State()
