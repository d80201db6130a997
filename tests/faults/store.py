"""Stores whose writers are killed, or run out of disk or files: no row is wrong, nothing is left.

`python -m tests.faults store --kills 1000` for as many kills. Writers are forked from one process,
so that each takes a fraction of a second.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from sktransfer import FeatureStore, FeatureStoreWarning
from sktransfer.features import temporary
from tests.store_cases import read, write

_MAX_BYTES = 6 << 20
_WIDTH = 4000
_NUMBERS = range(520)
# No writer takes longer, unless it hangs.
_PATIENCE = 120
_NOBODY = 65534


def fork(work: Callable[[], object]) -> int:
    """Start work in a process of its own; return its number."""
    number = os.fork()
    if number:
        return number
    signal.alarm(_PATIENCE)
    try:
        work()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def finish(number: int) -> None:
    """Wait for a process, which must end well."""
    _, status = os.waitpid(number, 0)
    assert status == 0, f"a process ended with status {os.waitstatus_to_exitcode(status)}"


def kill(numbers: Sequence[int]) -> None:
    """Kill processes, which must still be at work."""
    for number in numbers:
        os.kill(number, signal.SIGKILL)
    for number in numbers:
        _, status = os.waitpid(number, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "a writer failed by itself"


def write_forever(store: FeatureStore | None) -> None:
    """Write and read rows at random; without a store, those of the temporary one."""
    rng = random.Random(os.getpid())
    while True:
        current = store or temporary.temporary_store()
        assert current is not None
        start = rng.randrange(500)
        write(current, range(start, start + 20), rng.choice("ab"), _WIDTH)
        read(current, range(start, start + 20), rng.choice("ab"), _WIDTH)


def count_right(store: FeatureStore) -> int:
    """Count the rows that are found; each must be right, and the database whole."""
    n_right = sum(len(read(store, _NUMBERS, recipe, _WIDTH)) for recipe in "ab")
    info = store.info()
    assert info.damaged == []
    assert info.n_rows == n_right
    return n_right


def kill_writers(folder: Path, n_kills: int, rng: random.Random) -> int:
    """Kill pairs of writers; return how many rows were found after it, all of them right.

    Every other pair is killed while it makes a new store, or soon after.
    """
    n_found = 0
    for n in range(0, n_kills, 2):
        is_new = n % 4 == 2
        path = folder / (f"new-{n}" if is_new else "store")
        store = FeatureStore(path, max_bytes=_MAX_BYTES)
        writers = [fork(lambda store=store: write_forever(store)) for _ in range(2)]
        while not path.exists():
            time.sleep(0.0005)
        time.sleep(rng.random() * (0.02 if is_new else 0.1))
        kill(writers)
        n_found += count_right(store)
        assert store.info().n_bytes <= _MAX_BYTES
        write(store, range(3), width=_WIDTH)
        assert read(store, range(3), width=_WIDTH) == [0, 1, 2]
        if is_new:
            shutil.rmtree(path)
    return n_found


def start_family() -> None:
    """Be the first process of a family, as one that was not forked is."""
    multiprocessing.current_process().authkey = os.urandom(32)
    temporary._importer = os.getpid()


def kill_families(folder: Path, n_kills: int, rng: random.Random) -> int:
    """Kill a process and its worker that share a temporary store; the next start removes it."""
    os.environ["SKTRANSFER_CACHE_DIR"] = str(folder)
    n_found = 0
    for _ in range(0, n_kills, 2):
        read_end, write_end = os.pipe()

        def work(write_end: int = write_end) -> None:
            start_family()
            worker = fork(lambda: write_forever(None))
            os.write(write_end, worker.to_bytes(4, "big"))
            write_forever(None)

        main = fork(work)
        os.close(write_end)
        worker = int.from_bytes(os.read(read_end, 4), "big")
        os.close(read_end)
        time.sleep(rng.random() * 0.1)
        both = [main, worker]
        rng.shuffle(both)
        for number in both:
            os.kill(number, signal.SIGKILL)
            time.sleep(rng.random() * 0.01)
        _, status = os.waitpid(main, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, "a writer failed by itself"
        while is_running(worker):  # it is not this process's child
            time.sleep(0.001)
        n_found += sum(count_right(store) for store in temporary.list_stores())
        finish(fork(start_and_end))
        left = [store.path for store in temporary.list_stores()]
        assert left == [], left
    return n_found


def is_running(number: int) -> bool:
    return temporary._start_time(number) is not None


def start_and_end() -> None:
    """Make a temporary store as another process would, use it, and end as Python does."""
    start_family()
    store = temporary.temporary_store()
    assert store is not None
    assert [each.path for each in temporary.list_stores()] == [store.path]
    write(store, range(3))
    assert read(store, range(3)) == [0, 1, 2]
    temporary._leave()


def suffer(store: FeatureStore, limit: Callable[[], object], *, is_tight: bool) -> None:
    """Write and read under a limit: one warning for each fault, and no row that is wrong.

    A tight limit leads to a fault for certain.
    """
    limit()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for start in range(0, 100, 20):
            write(store, range(start, start + 20), width=_WIDTH)
            read(store, _NUMBERS, width=_WIDTH)
    texts = [str(each.message) for each in caught]
    assert all(each.category is FeatureStoreWarning for each in caught), texts
    assert len(texts) == len(set(texts)), texts
    assert texts or not is_tight


def fill_disk(folder: Path, n_rounds: int, rng: random.Random) -> None:
    """Let no file grow beyond a size, as on a full disk."""
    import resource

    for n in range(n_rounds):
        store = FeatureStore(folder / f"disk-{n}", max_bytes=_MAX_BYTES)
        if n % 2:
            write(store, range(20), width=_WIDTH)
        size = rng.randrange(1 << 21)

        def limit(size: int = size) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        is_tight = size < 1 << 20
        finish(
            fork(
                lambda store=store, limit=limit, is_tight=is_tight: suffer(
                    store, limit, is_tight=is_tight
                )
            )
        )
        check_it_works(store)


def take_descriptors(folder: Path, n_rounds: int, rng: random.Random) -> None:
    """Let no more than a few files be open at once."""
    import resource

    store = FeatureStore(folder / "files", max_bytes=_MAX_BYTES)
    for _ in range(n_rounds):
        n_files = rng.randrange(3, 16)

        def limit(n_files: int = n_files) -> None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (n_files, n_files))

        is_tight = n_files < 6
        finish(fork(lambda limit=limit, is_tight=is_tight: suffer(store, limit, is_tight=is_tight)))
        check_it_works(store)


def forbid_writing(folder: Path) -> None:
    """Take the permission to write from the folder; root, whom that does not bind, turns nobody."""
    folder.chmod(0o755)
    path = folder / "read-only"
    store = FeatureStore(path, max_bytes=_MAX_BYTES)
    write(store, range(20), width=_WIDTH)

    def limit() -> None:
        if os.geteuid() == 0:
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)

    for missing in (False, True):
        path.chmod(0o555)
        inner = FeatureStore(path / "inner", max_bytes=_MAX_BYTES) if missing else store
        finish(fork(lambda inner=inner: suffer(inner, limit, is_tight=True)))
        path.chmod(0o700)
    check_it_works(store)


def check_it_works(store: FeatureStore) -> None:
    """Once the fault is over, rows are stored and found, and none was wrong."""
    count_right(store)
    write(store, range(3), width=_WIDTH)
    assert read(store, range(3), width=_WIDTH) == [0, 1, 2]


def write_by_two(folder: Path) -> None:
    """Let two processes write the same rows and others, at once."""
    store = FeatureStore(folder / "two", max_bytes=100 << 20)

    def work(first: int) -> None:
        for start in range(first, first + 200, 20):
            write(store, range(start, start + 20), width=_WIDTH)

    for number in [fork(lambda first=first: work(first)) for first in (0, 100)]:
        finish(number)
    assert read(store, range(310), width=_WIDTH) == list(range(300))
    assert store.info().damaged == []


def main(argv: Sequence[str] | None = None) -> int:
    """Let stores suffer; end with an error at the first row that is wrong, or anything left."""
    parser = argparse.ArgumentParser(
        "python -m tests.faults store",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kills", type=int, default=100, help="how many processes are killed")
    parser.add_argument("--rounds", type=int, help="of the other faults; kills / 10 if left out")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    n_rounds = args.kills // 10 if args.rounds is None else args.rounds
    rng = random.Random(args.seed)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        n_kills = args.kills // 2
        n_found = kill_writers(folder, n_kills, rng) + kill_families(folder, n_kills, rng)
        assert n_found > 0
        fill_disk(folder, n_rounds, rng)
        take_descriptors(folder, n_rounds, rng)
        forbid_writing(folder)
        write_by_two(folder)
    print(
        f"{args.kills} writers killed, {n_found:,} rows found after it, 0 wrong, 0 folders left; "
        f"{n_rounds} full disks, {n_rounds} times no descriptors, in "
        f"{time.perf_counter() - start:.0f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
