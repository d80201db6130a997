"""Tables as CSV: of which a spreadsheet runs nothing, and which are read back as they were."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn.linear_model import LogisticRegression

from sktransfer import compare_transfer
from sktransfer.results.tables import unescape, write_csv

_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
_TEXT = st.text(st.sampled_from("'=+-@\t\r\n ,\"1.e\0x\uff1d"), max_size=6) | st.text(
    st.characters(codec="utf-8"), max_size=8
)


def _round(rows: list[list[Any]]) -> list[list[str]]:
    text = io.StringIO(newline="")
    write_csv(text, [f"{i}" for i in range(len(rows[0]))], rows)
    return list(csv.reader(io.StringIO(text.getvalue(), newline="")))[1:]


@given(st.lists(st.tuples(_TEXT, _TEXT).map(list), min_size=1, max_size=4))
def test_text_is_read_back_and_never_begins_like_a_formula(rows: list[list[str]]) -> None:
    written = _round(rows)
    assert [[unescape(cell) for cell in row] for row in written] == rows
    for cell in (cell for row in written for cell in row):
        if cell.lstrip().startswith(_FORMULAS) or cell.startswith(_FORMULAS):
            float(cell)  # a number, which runs nothing


@pytest.mark.parametrize("number", ["-1", "+1", "-.5", "+0.25e-3", "-12.", -1, np.float64(-2)])
def test_numbers_stay_as_they_are(number: Any) -> None:
    assert _round([["label", number]]) == [["label", str(number)]]


def test_a_comparison_writes_its_names_as_text() -> None:
    X = np.random.default_rng(0).integers(0, 256, (12, 8, 8), dtype=np.uint8)
    result = compare_transfer(
        X,
        np.arange(12) % 2,
        extractors={},
        classifier=LogisticRegression(),
        cv=2,
        target_names=["=1+1", "-1"],
    )
    result.rows = [replace(row, name=f"@{row.name}") for row in result.rows]
    rows = list(csv.DictReader(io.StringIO(result.to_csv())))
    assert all(row["features"].startswith("'@") for row in rows)
    assert {row["positive"] for row in rows} <= {"'=1+1", "-1"}
    assert "@" in result.to_json()
    assert "'@" not in result.to_json() + result.to_markdown()
