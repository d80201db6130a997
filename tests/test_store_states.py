"""A store against a dictionary, through everything that may happen to it, in any order.

The long mode takes 10,000 steps:

    SKTRANSFER_STORE_STEPS=10000 python -m pytest tests/test_store_states.py
"""

from __future__ import annotations

import os
import pickle
import random
import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from store_cases import read, write

from sktransfer import FeatureStore, FeatureStoreWarning
from sktransfer.features.store import MIN_BYTES

STEPS = int(os.environ.get("SKTRANSFER_STORE_STEPS", "1000"))
_STEPS_OF_ONE = 50
_WIDTH = 9000  # 36 KB: a small store holds about a dozen rows
_SMALL, _LARGE = MIN_BYTES, 100 << 20
_NUMBERS = range(31)

some = st.lists(st.sampled_from(_NUMBERS), min_size=1, max_size=6)
recipes = st.sampled_from(["a", "b"])
seeds = st.integers(0, 2**32)


class StoreAgainstDictionary(RuleBasedStateMachine):
    """Whatever is found must be right (`read` checks it), and what must be there is found.

    There are few rules, as many that take rows away would leave none to be found.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.store = FeatureStore(self.folder / "store", max_bytes=_LARGE)
        # What must be found, and all that may be.
        self.certain: set[tuple[str, int]] = set()
        self.possible: set[tuple[str, int]] = set()
        # The database that is damaged in more than its rows, which any call may find out.
        self.suspect: Path | None = None

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    @rule(numbers=some, recipe=recipes)
    def put(self, numbers: list[int], recipe: str) -> None:
        with tolerated():
            write(self.store, numbers, recipe, _WIDTH)
        keys = {(recipe, number) for number in numbers}
        self.possible |= keys
        if self.store.max_bytes == _LARGE and self.database() != self.suspect:
            self.certain |= keys

    @rule(recipe=recipes)
    def get(self, recipe: str) -> None:
        with tolerated():
            found = {(recipe, number) for number in read(self.store, _NUMBERS, recipe, _WIDTH)}
            n_rows = self.store.info().n_rows
        assert {key for key in self.certain if key[0] == recipe} <= found <= self.possible
        assert len(self.certain) <= n_rows

    @rule(numbers=some, recipe=recipes)
    def put_and_get(self, numbers: list[int], recipe: str) -> None:
        self.put(numbers, recipe)
        self.get(recipe)

    @rule(how=st.sampled_from(["open", "files", "large", "large", "small", "prune", "clear"]))
    def keep_house(self, how: str) -> None:
        if how == "open":
            self.store = pickle.loads(pickle.dumps(self.store))
        elif how == "files":
            self.store.path.mkdir(exist_ok=True)
            for name in ("features-x.sqlite", "features-0001.sqlite.bak", "notes.txt"):
                (self.store.path / name).write_text("stray", encoding="utf-8")
        elif how in ("large", "small"):
            bound = _LARGE if how == "large" else _SMALL
            self.store = FeatureStore(self.store.path, max_bytes=bound)
        elif how == "prune":
            with tolerated():
                self.store.prune()
                assert self.store.info().n_bytes <= self.store.bound()
        else:
            with tolerated():
                self.store.clear()
                assert self.store.info().n_rows == 0
            self.possible.clear()
        if how == "clear" or self.store.max_bytes == _SMALL:
            self.certain.clear()  # which of them have to go is not said

    @precondition(lambda self: self.possible)
    @rule(how=st.sampled_from(["mix", "mix", "values", "noise", "cut", "empty"]), seed=seeds)
    def damage(self, how: str, seed: int) -> None:
        rng = random.Random(seed)
        path = self.database()
        if how == "mix":
            # Each row as it was written, and under another image's key.
            self.execute("UPDATE feature SET id = -id")
            self.execute(f"UPDATE feature SET id = {rng.randrange(1, 4)} - id")
        elif how == "values":
            column = rng.choice(["feature.data", "entry.checksum", "entry.age", "entry.n_bytes"])
            value = rng.choice(["'text'", "CAST(x'ff' AS TEXT)", "x'00'", "9223372036854775807"])
            table, name = column.split(".")
            which = f"rowid IN (SELECT rowid FROM {table} LIMIT {rng.randrange(1, 4)})"
            self.execute(f"UPDATE {table} SET {name} = {value} WHERE {which}")
        else:
            content = bytearray(path.read_bytes())
            start = rng.randrange(len(content) or 1)
            if how == "noise":
                # The version, bytes 60 to 63, is what tells a newer store from a damaged one.
                start = max(start, 64)
                content[start : start + 100] = rng.randbytes(100)
            else:
                del content[start if how == "cut" else 0 :]
            path.write_bytes(content)
        if how != "mix":
            self.suspect = path
        self.certain.clear()  # of any of them the row, or the whole database, may be gone

    @precondition(lambda self: self.possible)
    @rule(numbers=some, recipe=recipes)
    def try_a_newer_store(self, numbers: list[int], recipe: str) -> None:
        if self.database() == self.suspect:
            return  # what cannot be read has no version
        self.execute("PRAGMA user_version = 99")
        before = self.database().read_bytes()
        with tolerated():
            write(self.store, numbers, recipe, _WIDTH)
            assert read(self.store, _NUMBERS, recipe, _WIDTH) == []
            self.store.prune()
            assert self.store.info().n_rows == 0
        assert self.database().read_bytes() == before
        self.execute("PRAGMA user_version = 1")

    def database(self) -> Path:
        return self.store.databases()[-1]

    def execute(self, statement: str) -> None:
        connection = sqlite3.connect(self.database())
        # What is damaged already may be beyond statements.
        with closing(connection), suppress(sqlite3.DatabaseError):
            connection.execute(statement)
            connection.commit()


@contextmanager
def tolerated() -> Iterator[None]:
    """Let the store warn, and do nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FeatureStoreWarning)
        yield


TestStoreAgainstDictionary = StoreAgainstDictionary.TestCase
TestStoreAgainstDictionary.settings = settings(
    max_examples=max(1, STEPS // 40),  # some end before their last step
    stateful_step_count=_STEPS_OF_ONE,
    deadline=None,
    # The long mode looks elsewhere each time.
    derandomize="SKTRANSFER_STORE_STEPS" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
