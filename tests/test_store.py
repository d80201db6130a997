"""Rows come back as they went in, whatever happens to files, processes and disks."""

from __future__ import annotations

import contextlib
import copy
import os
import pickle
import random
import re
import sqlite3
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from interpreter import run_python
from store_cases import WIDTH, image, read, row, write

from sktransfer import FeatureStore, FeatureStoreWarning
from sktransfer.features.store import MIN_BYTES
from sktransfer.features.store_use import StoreUse


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
        rows = np.array([row(n, width=width) for n in numbers], np.float32).reshape(-1, width)
        use.write("a", [image(number) for number in numbers], rows)
    assert read(store, wanted, width=width) == [n for n in wanted if n in numbers]  # type: ignore[arg-type]
    assert store.info().n_rows == len(set(numbers))


def test_rows_outlive_the_object(store: FeatureStore) -> None:
    write(store, range(10))
    assert read(FeatureStore(store.path), range(20)) == list(range(10))


def test_recipes_do_not_meet(store: FeatureStore) -> None:
    write(store, range(10), "a")
    assert read(store, range(10), "b") == []
    write(store, range(5), "b")
    assert read(store, range(10), "b") == list(range(5))
    assert read(store, range(10), "a") == list(range(10))
    assert store.info().recipes == {"a": 10, "b": 5}


def test_a_row_of_another_width_is_no_hit(store: FeatureStore) -> None:
    write(store, range(3), width=10)
    assert read(store, range(3), width=11) == []


def test_parts_of_rows_can_be_read_into_an_array(store: FeatureStore) -> None:
    write(store, range(3))
    out = np.zeros((3, WIDTH + 7), dtype=np.float32)
    with store.open() as use:
        assert use.read("a", [image(i) for i in range(3)], out[:, 7:]).all()
    np.testing.assert_array_equal(out[1, 7:], row(1))
    assert not out[:, :7].any()


def test_stores_are_values(store: FeatureStore, tmp_path: Path) -> None:
    write(store, range(3))
    for twin in (copy.deepcopy(store), pickle.loads(pickle.dumps(store))):
        assert twin == store
        assert hash(twin) == hash(store)
        assert read(twin, range(3)) == [0, 1, 2]
    assert store != FeatureStore(tmp_path / "other")
    assert eval(repr(store)) == store


def test_folder_is_for_its_user_only(store: FeatureStore) -> None:
    write(store, range(3))
    assert store.path.stat().st_mode & 0o777 == 0o700


# -- bounds


def test_rows_not_used_for_longest_go_first(tmp_path: Path) -> None:
    # 5 MiB hold about 60 rows of 64 KiB.
    store, width = FeatureStore(tmp_path, max_bytes=5 << 20), 1 << 14
    for start in range(0, 40, 10):
        write(store, range(start, start + 10), width=width)
    assert read(store, range(10), width=width) == list(range(10))  # used now: the youngest
    for start in range(40, 80, 10):
        write(store, range(start, start + 10), width=width)
    assert store.info().n_bytes <= 5 << 20
    assert read(store, range(10), width=width) == list(range(10))
    assert read(store, range(10, 20), width=width) == []
    assert read(store, range(70, 80), width=width) == list(range(70, 80))


def test_an_input_that_cannot_fit_keeps_what_fits(tmp_path: Path) -> None:
    store, width = FeatureStore(tmp_path, max_bytes=4 << 20), 1 << 14
    kept = None
    for epoch in range(3):  # three epochs over more than fits
        full = pytest.warns(FeatureStoreWarning, match=r"full: .* may take 4.2 MB, and each of")
        with full if epoch == 0 else contextlib.nullcontext(), store.open() as use:
            hits = []
            for start in range(0, 200, 10):
                numbers = range(start, start + 10)
                images = [image(number) for number in numbers]
                out = np.zeros((10, width), dtype=np.float32)
                found = use.read("a", images, out)
                hits += [n for n, is_there in zip(numbers, found, strict=True) if is_there]
                if not found.all():
                    rows = np.stack([row(number, width=width) for number in numbers])
                    use.write("a", images, rows)
        if kept is not None:
            assert set(kept) <= set(hits)
        kept = hits
    assert len(kept or []) >= 30
    assert store.info().n_bytes <= 4 << 20


def test_a_store_too_small_for_one_chunk_keeps_what_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A disk with little free space: the store may take a quarter.
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 16 << 20}))
    store, width = FeatureStore(tmp_path), 1 << 14
    message = (
        r"is full: .* may take 4\.\d MB, a quarter of the 16\.\d MB .* takes 0\.082 MB, so that "
        r"about 5\d fit, .* Free disk space"
    )
    with pytest.warns(FeatureStoreWarning, match=message) as caught:
        for _ in range(3):
            write(store, range(200), width=width)
    assert len(caught) == 1
    n_kept = len(read(store, range(200), width=width))
    assert 40 <= n_kept == store.info().n_rows
    # A row that is too large drives nobody out.
    write(FeatureStore(tmp_path, max_bytes=MIN_BYTES), range(1), "b", 1 << 19)
    assert len(read(store, range(200), width=width)) == n_kept


def test_prune_and_clear_give_space_back(store: FeatureStore) -> None:
    width = 1 << 14
    write(store, range(100), width=width)
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
    write(store, range(10))
    connection = sqlite3.connect(_database(store))
    connection.execute("UPDATE feature SET data = zeroblob(length(data)) WHERE id = 3")
    connection.execute("UPDATE entry SET checksum = checksum + 1 WHERE id = 5")
    # Two rows under each other's key: each as it was written, and both wrong.
    connection.execute("UPDATE feature SET id = -7 WHERE id = 7")
    connection.execute("UPDATE feature SET id = 7 WHERE id = 8")
    connection.execute("UPDATE feature SET id = 8 WHERE id = -7")
    connection.commit()
    connection.close()
    assert read(store, range(10)) == [0, 1, 3, 5, 8, 9]
    write(store, range(10))
    assert read(store, range(10)) == list(range(10))


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "no database": lambda content: b"no database" * 1000,
    "header": lambda content: bytes(100) + content[100:],
    "zeros": lambda content: content[: 1 << 16] + bytes(len(content) - (1 << 16)),
    "noise": lambda content: content[:4096] + random.Random(0).randbytes(len(content) - 4096),
    "cut": lambda content: content[: len(content) // 2],
    "cut in the first page": lambda content: content[:5000],
    # SQLite quotes the name in its message, from which Python makes a UnicodeDecodeError.
    "a name that is no UTF-8": lambda content: content.replace(
        b"INDEX entry_age", b"INDEXX\xffntry_age"
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_database_is_set_aside(damage: str, store: FeatureStore) -> None:
    write(store, range(200))
    path = _database(store)
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            read(store, range(200))  # whatever is found is right
            write(store, range(200))
    # Without a header nothing tells it from a file of somebody else.
    is_known = damage not in ("no database", "header")
    for warning in caught:
        assert warning.category is FeatureStoreWarning
        assert ("set it aside" if is_known else "leaves it untouched") in str(warning.message)
    n_aside = len(store.databases()) - 1
    assert len(caught) == n_aside <= 1
    assert store.info().damaged == (store.databases()[:-1] if is_known else [])
    assert read(store, range(200)) == list(range(200))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        store.clear()
    assert len(caught) == (not is_known)
    assert store.info().damaged == []
    assert path.exists() == (not is_known or not n_aside)


# Values that are no features, or no numbers, in each column that is read.
ODD = ["NULL", "'text'", "CAST(x'ff00' AS TEXT)", "x'00'", "9223372036854775807", "-1", "1e300"]
COLUMNS = [
    "feature.data",
    "entry.checksum",
    "entry.age",
    "entry.n_bytes",
    "entry.image",
    "recipe.text",
    "tally.n_written",
]


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("value", ODD)
def test_values_of_an_unexpected_type_are_damage(
    column: str, value: str, store: FeatureStore
) -> None:
    table, name = column.split(".")
    width = 1 << 14
    write(store, range(30), width=width)
    connection = sqlite3.connect(_database(store))
    schema = (
        "PRAGMA writable_schema = {}; UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '')"
    )
    connection.executescript(schema.format("ON"))
    connection.close()
    connection = sqlite3.connect(_database(store))
    n_rows = 1 if table in ("recipe", "tally") else 5
    connection.execute(
        f"UPDATE OR REPLACE {table} SET {name} = {value} "
        f"WHERE rowid IN (SELECT rowid FROM {table} LIMIT {n_rows})"
    )
    connection.commit()
    connection.close()
    small = FeatureStore(store.path, max_bytes=4 << 20)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read(small, range(30), width=width)  # whatever is found is right
        small.info()
        for start in (0, 40, 80):  # which takes the room of older rows
            write(small, range(start, start + 20), width=width)
        assert set(range(80, 100)) <= set(read(small, range(100), width=width))
    assert all("set it aside" in str(each.message) for each in caught)
    assert len(caught) <= 1


@pytest.mark.parametrize("statement", ["DROP TABLE feature", "DELETE FROM tally"])
def test_a_table_that_was_changed_is_damage(statement: str, store: FeatureStore) -> None:
    write(store, range(3))
    connection = sqlite3.connect(_database(store))
    connection.execute(statement)
    connection.commit()
    connection.close()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        read(store, range(3))
        store.info()
        write(store, range(3))
    assert all("set it aside" in str(each.message) for each in caught)
    assert read(store, range(3)) == [0, 1, 2]


def test_stray_files_are_ignored(store: FeatureStore) -> None:
    store.path.mkdir()
    for name in ("features-0001.sqlite", "features-0003.sqlite"):
        (store.path / name).mkdir()
    for name in ("features-x.sqlite", "features-0001.sqlite.bak", "features-.sqlite", "notes"):
        (store.path / name).write_text("stray", encoding="utf-8")
    (store.path / "features-0005.sqlite").symlink_to("nowhere")
    write(store, range(3))
    assert read(store, range(3)) == [0, 1, 2]
    assert store.info().damaged == []
    (store.path / "features-0002.sqlite").write_text("no database" * 1000, encoding="utf-8")
    with pytest.warns(FeatureStoreWarning, match="leaves it untouched"):
        assert read(store, range(3)) == []
    write(store, range(3))
    assert read(store, range(3)) == [0, 1, 2]
    with pytest.warns(FeatureStoreWarning, match=r"leaves \['.*features-0002.sqlite'\], which"):
        store.clear()
    assert sorted(path.name for path in store.path.glob("features-*")) == [
        "features-.sqlite",
        "features-0001.sqlite",
        "features-0001.sqlite.bak",
        "features-0002.sqlite",
        "features-0003.sqlite",
        "features-0004.sqlite",
        "features-0005.sqlite",
        "features-x.sqlite",
    ]


OTHERS = {
    "a newer version": "PRAGMA user_version = 2",
    "an unknown version": "PRAGMA user_version = -7",
    "another program": "CREATE TABLE notes (text)",
}


@pytest.mark.parametrize("other", OTHERS)
def test_what_another_version_wrote_is_left_untouched(other: str, store: FeatureStore) -> None:
    if other == "another program":
        store.path.mkdir()
        connection = sqlite3.connect(store.path / "features-0001.sqlite")
    else:
        write(store, range(10))
        connection = sqlite3.connect(_database(store))
    connection.execute(OTHERS[other])
    connection.commit()
    connection.close()
    before = {path.name: path.read_bytes() for path in store.path.glob("features-*")}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            write(store, range(5, 15))
            assert read(store, range(15)) == []
        store.prune()
        store.clear()
        assert store.info().n_rows == 0
    assert len(caught) == 1
    assert re.search("leaves .* untouched.*newer version.*without being stored", str(caught[0]))
    after = {path.name: path.read_bytes() for path in store.path.glob("features-*")}
    assert after == before


def _execute(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


NOT_OURS: dict[str, Callable[[Path], object]] = {
    "a newer version": lambda path: _execute(path, "PRAGMA user_version = 2"),
    "another program": lambda path: (
        path.unlink(),
        _execute(path, "CREATE TABLE notes (text)", "PRAGMA user_version = 1"),
    ),
    "a text": lambda path: path.write_text("my notes", encoding="utf-8"),
}


@pytest.mark.parametrize("name", NOT_OURS)
def test_clear_removes_nothing_that_this_version_did_not_make(
    name: str, store: FeatureStore
) -> None:
    write(store, range(3))
    path = _database(store)
    NOT_OURS[name](path)
    store.set_aside(path)
    before = path.read_bytes()
    write(store, range(3))
    with pytest.warns(FeatureStoreWarning, match=r"leaves \['.*features-0001.sqlite'\], which"):
        store.clear()
    assert path.read_bytes() == before
    assert store.info().damaged == []


def test_clear_removes_what_an_earlier_version_set_aside(store: FeatureStore) -> None:
    write(store, range(3))
    path = _database(store)
    _execute(path, "PRAGMA application_id = 0")  # it made none
    assert read(store, range(3)) == [0, 1, 2]
    store.set_aside(path)
    assert store.info().damaged == [path]
    store.clear()
    assert not path.exists()


def test_an_empty_file_is_a_new_database(store: FeatureStore) -> None:
    # What a process leaves that was killed while it made one.
    store.path.mkdir()
    (store.path / "features-0001.sqlite").touch()
    write(store, range(3))
    assert read(store, range(3)) == [0, 1, 2]


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
    with store.open() as use:
        use.write("b", images, rows)
print([str(w.category.__name__) for w in caught], caught[0].message)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_a_full_disk_ends_storing_with_one_warning(tmp_path: Path) -> None:
    first, second = run_python(_FULL_DISK, tmp_path).splitlines()
    assert first == "10 False"
    assert re.fullmatch(
        r"\['FeatureStoreWarning'\] .*\([\d.]+ MB were to be written, and [\d,.]+ MB are free\)\. "
        "They are computed without being stored.*",
        second,
    ), second
    assert read(FeatureStore(tmp_path), range(3)) == []  # and the database is whole


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_one_warning(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.warns(FeatureStoreWarning, match="cannot store features"):
        write(FeatureStore(tmp_path / "store"), range(3))


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
        ({"path": "~nosuchuser/x"}, OSError, "Got '~nosuchuser/x': .* no home folder"),
        ({"path": "a\0b"}, OSError, "it holds a null byte"),
        ({"path": "x" * 300}, OSError, "Got 'xx.*: file name too long. Name another path"),
    ],
)
def test_wrong_parameters(
    arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        FeatureStore(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("max_bytes", ["x", -5, 1e6])
def test_prune_takes_a_number_of_bytes(max_bytes: object, store: FeatureStore) -> None:
    write(store, range(3))
    with pytest.raises(ValueError, match=f"FeatureStore.prune .* Got {max_bytes!r}"):
        store.prune(max_bytes)  # type: ignore[arg-type]
    assert read(store, range(3)) == [0, 1, 2]


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
                write(store, range(start, start + 20))
                read(store, range(80))
        except BaseException as error:
            errors.append((i, error))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert read(store, range(60)) == list(range(60))


def test_a_store_that_is_cleared_while_in_use_loses_rows_only(store: FeatureStore) -> None:
    write(store, range(10))
    with store.open() as use:
        out = np.zeros((10, WIDTH), dtype=np.float32)
        assert use.read("a", [image(i) for i in range(10)], out).all()
        store.clear()
    assert read(store, range(10)) == []
    assert isinstance(use, StoreUse)
