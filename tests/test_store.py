"""Rows come back as they went in, whatever happens to files, processes and disks."""

from __future__ import annotations

import copy
import os
import pickle
import random
import sqlite3
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sktransfer import FeatureStore, FeatureStoreWarning
from sktransfer.store import MIN_BYTES, StoreUse

WIDTH = 300


def _image(number: int) -> bytes:
    return (number * 2654435761 % 2**32).to_bytes(4, "big") + number.to_bytes(12, "big")


def _row(number: int, recipe: str = "a", width: int = WIDTH) -> np.ndarray:
    """Say what the row of an image must be."""
    seed = [number, len(recipe), *recipe.encode()]
    return np.random.default_rng(seed).random(width, dtype=np.float32)


def _write(store: FeatureStore, numbers: range, recipe: str = "a", width: int = WIDTH) -> None:
    with store.open() as use:
        rows = np.stack([_row(number, recipe, width) for number in numbers])
        use.write(recipe, [_image(number) for number in numbers], rows)


def _read(store: FeatureStore, numbers: range, recipe: str = "a", width: int = WIDTH) -> list[int]:
    """Read rows, check each that is there, and return their numbers."""
    out = np.full((len(numbers), width), np.nan, dtype=np.float32)
    with store.open() as use:
        found = use.read(recipe, [_image(number) for number in numbers], out)
    for number, row, is_there in zip(numbers, out, found, strict=True):
        if is_there:
            np.testing.assert_array_equal(row, _row(number, recipe, width))
        else:
            assert np.isnan(row).all()
    return [number for number, is_there in zip(numbers, found, strict=True) if is_there]


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return FeatureStore(tmp_path / "store", max_bytes=100 << 20)


# -- rows


@given(
    numbers=st.lists(st.integers(0, 50), max_size=40),
    wanted=st.lists(st.integers(0, 50), max_size=40),
    width=st.integers(1, 5000),
)
def test_what_was_written_is_read_and_nothing_else(
    numbers: list[int], wanted: list[int], width: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = FeatureStore(tmp_path_factory.mktemp("store"), max_bytes=100 << 20)
    with store.open() as use:
        rows = np.array([_row(n, width=width) for n in numbers], np.float32).reshape(-1, width)
        use.write("a", [_image(number) for number in numbers], rows)
    assert _read(store, wanted, width=width) == [n for n in wanted if n in numbers]  # type: ignore[arg-type]
    assert store.info().n_rows == len(set(numbers))


def test_rows_outlive_the_object(store: FeatureStore) -> None:
    _write(store, range(10))
    assert _read(FeatureStore(store.path), range(20)) == list(range(10))


def test_recipes_do_not_meet(store: FeatureStore) -> None:
    _write(store, range(10), "a")
    assert _read(store, range(10), "b") == []
    _write(store, range(5), "b")
    assert _read(store, range(10), "b") == list(range(5))
    assert _read(store, range(10), "a") == list(range(10))
    assert store.info().recipes == {"a": 10, "b": 5}


def test_a_row_of_another_width_is_no_hit(store: FeatureStore) -> None:
    _write(store, range(3), width=10)
    assert _read(store, range(3), width=11) == []


def test_parts_of_rows_can_be_read_into_an_array(store: FeatureStore) -> None:
    _write(store, range(3))
    out = np.zeros((3, WIDTH + 7), dtype=np.float32)
    with store.open() as use:
        assert use.read("a", [_image(i) for i in range(3)], out[:, 7:]).all()
    np.testing.assert_array_equal(out[1, 7:], _row(1))
    assert not out[:, :7].any()


def test_stores_are_values(store: FeatureStore, tmp_path: Path) -> None:
    _write(store, range(3))
    for twin in (copy.deepcopy(store), pickle.loads(pickle.dumps(store))):
        assert twin == store
        assert hash(twin) == hash(store)
        assert _read(twin, range(3)) == [0, 1, 2]
    assert store != FeatureStore(tmp_path / "other")
    assert eval(repr(store)) == store


def test_folder_is_for_its_user_only(store: FeatureStore) -> None:
    _write(store, range(3))
    assert store.path.stat().st_mode & 0o777 == 0o700


# -- bounds


def test_rows_not_used_for_longest_go_first(tmp_path: Path) -> None:
    # 5 MiB hold about 60 rows of 64 KiB.
    store, width = FeatureStore(tmp_path, max_bytes=5 << 20), 1 << 14
    for start in range(0, 40, 10):
        _write(store, range(start, start + 10), width=width)
    assert _read(store, range(10), width=width) == list(range(10))  # used now: the youngest
    for start in range(40, 80, 10):
        _write(store, range(start, start + 10), width=width)
    assert store.info().n_bytes <= 5 << 20
    assert _read(store, range(10), width=width) == list(range(10))
    assert _read(store, range(10, 20), width=width) == []
    assert _read(store, range(70, 80), width=width) == list(range(70, 80))


def test_an_input_that_cannot_fit_keeps_what_fits(tmp_path: Path) -> None:
    store, width = FeatureStore(tmp_path, max_bytes=4 << 20), 1 << 14
    kept = None
    for _ in range(3):  # three epochs over more than fits
        with store.open() as use:
            hits = []
            for start in range(0, 200, 10):
                numbers = range(start, start + 10)
                images = [_image(number) for number in numbers]
                out = np.zeros((10, width), dtype=np.float32)
                found = use.read("a", images, out)
                hits += [n for n, is_there in zip(numbers, found, strict=True) if is_there]
                if not found.all():
                    rows = np.stack([_row(number, width=width) for number in numbers])
                    use.write("a", images, rows)
        if kept is not None:
            assert set(kept) <= set(hits)
        kept = hits
    assert len(kept or []) >= 30
    assert store.info().n_bytes <= 4 << 20


def test_prune_and_clear_give_space_back(store: FeatureStore) -> None:
    width = 1 << 14
    _write(store, range(100), width=width)
    assert store.info().n_bytes > 6 << 20
    store.prune(2 << 20)
    info = store.info()
    assert info.n_bytes <= 2 << 20
    assert 0 < info.n_rows < 100
    store.clear()
    assert store.info().n_rows == 0
    assert store.info().n_bytes < 1 << 20


def test_default_bound_is_a_part_of_the_free_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FeatureStore(tmp_path / "a" / "b")
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 8 << 20}))
    assert store.bound() == 2 << 20
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1 << 50}))
    assert store.bound() == 4 << 30


# -- damage


def _database(store: FeatureStore) -> Path:
    return sorted(store.path.glob("*.sqlite"))[-1]


def test_a_damaged_row_is_missing_and_written_over(store: FeatureStore) -> None:
    _write(store, range(10))
    connection = sqlite3.connect(_database(store))
    connection.execute("UPDATE feature SET data = zeroblob(length(data)) WHERE id = 3")
    connection.execute("UPDATE entry SET checksum = checksum + 1 WHERE id = 5")
    # Two rows under each other's key: each as it was written, and both wrong.
    connection.execute("UPDATE feature SET id = -7 WHERE id = 7")
    connection.execute("UPDATE feature SET id = 7 WHERE id = 8")
    connection.execute("UPDATE feature SET id = 8 WHERE id = -7")
    connection.commit()
    connection.close()
    assert _read(store, range(10)) == [0, 1, 3, 5, 8, 9]
    _write(store, range(10))
    assert _read(store, range(10)) == list(range(10))


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "no database": lambda content: b"no database" * 1000,
    "header": lambda content: bytes(100) + content[100:],
    "zeros": lambda content: content[: 1 << 16] + bytes(len(content) - (1 << 16)),
    "noise": lambda content: content[:4096] + random.Random(0).randbytes(len(content) - 4096),
    "cut": lambda content: content[: len(content) // 2],
    "cut in the first page": lambda content: content[:5000],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_database_is_set_aside(damage: str, store: FeatureStore) -> None:
    _write(store, range(200))
    path = _database(store)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            _read(store, range(200))  # whatever is found is right
            _write(store, range(200))
    for warning in caught:
        assert warning.category is FeatureStoreWarning
        assert "set it aside" in str(warning.message)
    assert len(caught) == len(store.info().damaged) <= 1
    assert _read(store, range(200)) == list(range(200))
    store.clear()
    assert store.info().damaged == []


def test_an_empty_file_is_a_new_database(store: FeatureStore) -> None:
    # What a process leaves that was killed while it made one.
    store.path.mkdir()
    (store.path / "features-0001.sqlite").touch()
    _write(store, range(3))
    assert _read(store, range(3)) == [0, 1, 2]


_FULL_DISK = """
import resource, sys, warnings
import numpy as np
from sktransfer import FeatureStore
store = FeatureStore(sys.argv[1], max_bytes=100 << 20)
rows = np.ones((64, 1 << 14), dtype=np.float32)
images = [bytes([i]) * 16 for i in range(64)]
with store.open() as use:
    use.write("a", images[:10], rows[:10])
# As if the disk were full: no file may grow beyond this.
resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    with store.open() as use:
        for start in range(0, 60, 10):
            use.write("b", images[start : start + 10], rows[start : start + 10])
        out = np.zeros((64, 1 << 14), dtype=np.float32)
        found = use.read("a", images, out)
        assert (out[found] == 1).all()
        print(found.sum(), use.is_storing)
print([str(w.category.__name__) for w in caught], "without being kept" in str(caught[0].message))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_a_full_disk_ends_storing_with_one_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _FULL_DISK, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout == "10 False\n['FeatureStoreWarning'] True\n", result.stderr
    assert _read(FeatureStore(tmp_path), range(3)) == []  # and the database is whole


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_one_warning(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.warns(FeatureStoreWarning, match="cannot keep features"):
        _write(FeatureStore(tmp_path / "store"), range(3))


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="which is a file: name a folder"):
        FeatureStore(tmp_path / "file").info()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"path": 3}, TypeError, "'path' parameter of FeatureStore .* Got 3"),
        ({"path": "x", "max_bytes": MIN_BYTES - 1}, ValueError, "at least 1,048,576 bytes"),
        ({"path": "x", "max_bytes": 1e9}, ValueError, "'max_bytes' .* Got 1000000000.0"),
    ],
)
def test_wrong_parameters(
    arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        FeatureStore(**arguments)  # type: ignore[arg-type]


# -- claims, threads and processes


def test_claimed_images_are_not_claimed_again(store: FeatureStore) -> None:
    images = [bytes([i]) * 16 for i in range(20)]
    with store.open() as one, store.open() as two:
        with one.claim(images[:10], wait=False) as mine:
            assert mine == set(images[:10])
            with two.claim(images, wait=False) as other:
                assert other == set(images[10:])
        with two.claim(images, wait=False) as other:
            assert other == set(images)


def test_a_waiting_claim_gets_all_in_the_end(store: FeatureStore) -> None:
    images = [bytes([i]) * 16 for i in range(20)]
    order: list[str] = []

    def wait() -> None:
        with store.open() as use, use.claim(images, wait=True) as claimed:
            order.append("waited")
            assert claimed == set(images)

    with store.open() as use, use.claim(images[:1], wait=False):
        thread = threading.Thread(target=wait)
        thread.start()
        time.sleep(0.3)
        order.append("released")
    thread.join()
    assert order == ["released", "waited"]


def test_threads_write_and_read_at_once(store: FeatureStore) -> None:
    errors = []

    def work(i: int) -> None:
        try:
            for start in range(0, 60, 20):
                _write(store, range(start, start + 20))
                _read(store, range(80))
        except BaseException as error:
            errors.append((i, error))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert _read(store, range(60)) == list(range(60))


_WRITE_FOREVER = """
import importlib.util, os, random, sys
spec = importlib.util.spec_from_file_location("test_store", sys.argv[2])
test_store = importlib.util.module_from_spec(spec)
spec.loader.exec_module(test_store)
store = test_store.FeatureStore(sys.argv[1], max_bytes=6 << 20)
rng = random.Random(os.getpid())
while True:
    start = rng.randrange(500)
    test_store._write(store, range(start, start + 20), rng.choice("ab"), 4000)
    print("wrote", flush=True)
    test_store._read(store, range(start, start + 20), rng.choice("ab"), 4000)
"""


def test_killed_at_any_instant_every_row_is_right(tmp_path: Path) -> None:
    # `python tests/benchmarks kills` does the same a few hundred times.
    kill_at_random(tmp_path, n_kills=8)


def kill_at_random(path: Path, n_kills: int) -> int:
    """Kill a pair of writers again and again; return how many rows were found, all of them right.

    Every other pair is killed while it makes a new store, or soon after.
    """
    rng = random.Random(0)
    n_found = 0
    for n in range(n_kills):
        is_new = n % 2 == 1
        folder = path / (f"new-{n}" if is_new else "store")
        command = [sys.executable, "-c", _WRITE_FOREVER, str(folder), __file__]
        writers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
        while is_new and not folder.exists() and all(w.poll() is None for w in writers):
            time.sleep(0.0005)
        for writer in [] if is_new else writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"wrote\n"
        time.sleep(rng.random() * (0.02 if is_new else 0.1))
        for writer in writers:
            writer.kill()
            output, _ = writer.communicate()
            assert writer.returncode == -9, output
        store = FeatureStore(folder, max_bytes=6 << 20)
        n_right = sum(len(_read(store, range(520), recipe, 4000)) for recipe in "ab")
        n_found += n_right
        assert is_new or n_right > 0
        info = store.info()
        assert info.damaged == []
        assert info.n_rows == n_right
        assert info.n_bytes <= 6 << 20
        _write(store, range(3), width=4000)
        assert _read(store, range(3), width=4000) == [0, 1, 2]
    return n_found


def test_a_store_that_is_cleared_while_in_use_loses_rows_only(store: FeatureStore) -> None:
    _write(store, range(10))
    with store.open() as use:
        out = np.zeros((10, WIDTH), dtype=np.float32)
        assert use.read("a", [_image(i) for i in range(10)], out).all()
        store.clear()
    assert _read(store, range(10)) == []
    assert isinstance(use, StoreUse)
