"""What every result can do, whatever it is a result of."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pytest

from sktransfer import (
    Diagnosis,
    Finding,
    VGGFeatureExtractor,
    compare_transfer,
    describe_network,
    sweep_layers,
    transfer_curve,
)
from sktransfer.results.result import Result


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    X = np.random.default_rng(0).integers(0, 256, (24, 8, 8), dtype=np.uint8)
    y = np.arange(24) % 2
    random = VGGFeatureExtractor("block1_pool", weights=None, pooling="max", input_size=32)
    finding = Finding("=name", "error", "Wrong.", {"scores": [0.5, np.nan]}, "X = X * 255")
    return {
        "comparison": compare_transfer(X, y, extractors={}, cv=2),
        "sweep": sweep_layers(
            X,
            y,
            extractor=random.set_params(random_state=0),
            layers=["block1_pool"],
            input_sizes=[32],
            cv=2,
            max_width=100,
        ),
        "curve": transfer_curve(X, y, extractors={}, sizes=[8, 16], n_repeats=2),
        "diagnosis": Diagnosis([finding], 24, 24, ["=name"], {}),
        "network": describe_network("vgg16", cut="block1_pool"),
    }


KINDS = pytest.mark.parametrize("kind", ["comparison", "sweep", "curve", "diagnosis", "network"])


@KINDS
def test_json_holds_every_attribute(results: dict[str, Any], kind: str) -> None:
    result = results[kind]
    read = json.loads(result.to_json(), parse_constant=pytest.fail)
    assert {each.name for each in fields(result)} <= set(read)


@KINDS
def test_csv_has_a_line_for_each_record(results: dict[str, Any], kind: str) -> None:
    lines = list(csv.reader(io.StringIO(results[kind].to_csv())))
    assert len(lines) > 1
    assert {len(line) for line in lines} == {len(set(lines[0]))}


@KINDS
def test_a_frame_begins_with_the_first_columns_of_the_csv(
    results: dict[str, Any], kind: str
) -> None:
    frame = results[kind].to_frame()
    assert len(frame) > 0
    assert results[kind].to_csv().startswith(",".join(frame.columns[:2]))


@KINDS
def test_notebooks_show_markdown(results: dict[str, Any], kind: str) -> None:
    result = results[kind]
    assert result._repr_markdown_() == result.to_markdown()


@KINDS
def test_repr_is_one_short_line(results: dict[str, Any], kind: str) -> None:
    text = repr(results[kind])
    assert text.startswith(f"<{type(results[kind]).__name__}: ")
    assert "\n" not in text and len(text) < 200


def test_nested_values_are_json_in_csv(results: dict[str, Any]) -> None:
    (line,) = csv.DictReader(io.StringIO(results["diagnosis"].to_csv()))
    assert json.loads(line["evidence"]) == {"scores": [0.5, None]}
    assert line["name"] == "'=name"  # a spreadsheet would run it


def test_a_diagnosis_without_findings_has_columns() -> None:
    empty = Diagnosis([], 2, 2, [], {})
    assert empty.to_csv() == "name,severity,message,evidence,remedy,images\n"
    assert empty.to_frame().columns.tolist() == empty.to_csv().strip().split(",")


def test_what_json_does_not_know_becomes_null_or_plain() -> None:
    @dataclass(repr=False)
    class Numbers(Result):
        values: Any

    values = {"a": (np.float32(0.5), np.nan), "b": np.array([[1, 2]]), "c": [-np.inf, np.int64(3)]}
    read = json.loads(Numbers(values).to_json())
    assert read == {"values": {"a": [0.5, None], "b": [[1, 2]], "c": [None, 3]}}
