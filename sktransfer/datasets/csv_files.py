"""CSV files of pixels with a column of labels, read in pieces."""

from __future__ import annotations

import csv
import math
import os
import re
import warnings
from typing import Any

import numpy as np

from sktransfer.datasets.bunches import is_wanted, to_uint8
from sktransfer.files.text import TextLines, open_text

# What the rows of a CSV file that are parsed at once may take as float64.
_CHUNK_BYTES = 8 << 20
# How long lines may be: 500 x 500 RGB pixels make a header of 10 MB, a number has rarely 30
# characters.
_MAX_HEADER = 16 << 20
_MAX_COLUMNS = 1 << 20
_MAX_LABEL = 1 << 16
_MAX_NUMBER = 64
_FREE_LABEL_CHARACTERS = 16 << 20
# Labels that survive the way to an int and back; others, such as 08, would lose something.
_INT = re.compile(r"0|-?[1-9][0-9]{0,17}")


def read_table(
    path: str | os.PathLike, wanted: tuple[str, ...] | None, who: str
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Read a CSV file of pixels with a label column, in pieces."""
    name = os.fspath(path)
    with open_text(path, who) as lines:
        columns, label_at = _read_header(lines, name, who)
        pixels, labels = _read_rows(lines, columns, label_at, wanted, f"{who} cannot read {name!r}")
    return columns[:label_at] + columns[label_at + 1 :], pixels, labels


def _read_header(lines: TextLines, name: str, who: str) -> tuple[list[str], int]:
    """Return the names of all columns, and which of them is the label."""
    rule = f"{who} needs a CSV file with a header 'label,pixel0,pixel1,...'. Got {name!r}"
    header = lines.read(_MAX_HEADER)
    if not header.strip():
        raise ValueError(
            f"{rule}, whose first line is blank." if header else f"{rule}, which is empty."
        )
    if header.count(",") >= _MAX_COLUMNS:
        raise ValueError(
            f"{rule}, which has more than {_MAX_COLUMNS:,} columns: save smaller images."
        )
    columns = [column.strip() for column in _split(header)]
    places = [i for i, column in enumerate(columns) if column.lower() == "label"]
    shown = ", ".join(repr(column[:30]) for column in columns[:5]) + ", ..." * (len(columns) > 5)
    if not places:
        raise ValueError(
            f"{rule}, which has no 'label' column: its first line reads {shown}. Kaggle's test.csv "
            "has no labels, its train.csv has; in other files, separate columns by commas and call "
            "that of the labels 'label'."
        )
    if len(places) > 1:
        raise ValueError(f"{rule}, which has {len(places)} columns called 'label'. Leave one.")
    if len(columns) == 1:
        raise ValueError(f"{rule}, which has labels but no pixels.")
    if "" in columns:
        raise ValueError(
            f"{rule}, whose column {columns.index('') + 1} has no name: {shown}. If it counts the "
            "rows, leave it out (in pandas: to_csv(path, index=False))."
        )
    return columns, places[0]


def _split(line: str) -> list[str]:
    line = line.rstrip("\r\n")
    try:
        return next(csv.reader([line]))
    except csv.Error:
        # A field of more than 128 KiB is no pixel; that it is no number is said elsewhere.
        return line.split(",")


def _read_rows(
    lines: TextLines,
    columns: list[str],
    label_at: int,
    wanted: tuple[str, ...] | None,
    where: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels of the wanted rows and the labels of all rows."""
    kept: list[np.ndarray] = []
    known: dict[str, int] = {}
    all_codes: list[np.ndarray] = []
    is_uint8 = True
    line_number = 2
    while chunk := _read_chunk(lines, len(columns)):
        if not all(map(str.isspace, chunk)):
            pixels, labels = _parse(chunk, columns, label_at, line_number, where)
            is_uint8 = is_uint8 and pixels.dtype == np.uint8
            kept.append(pixels[is_wanted(labels, wanted)])
            codes = [known.setdefault(label, len(known)) for label in labels]
            all_codes.append(np.array(codes, dtype=np.int32))
        line_number += len(chunk)
    if not known:
        raise ValueError(f"{where}: it has a header and no rows below it.")
    data = np.concatenate(kept)
    if not is_uint8:
        data = data.astype(np.float64, copy=False)
    return data, _spread_labels(list(known), np.concatenate(all_codes), where)


def _read_chunk(lines: TextLines, n_columns: int) -> list[str]:
    """Read as many lines as are parsed at once."""
    limit = _MAX_LABEL + _MAX_NUMBER * n_columns
    n_rows = max(1, _CHUNK_BYTES // (8 * n_columns))
    chunk: list[str] = []
    n_characters = 0
    # Lines may be far longer than their numbers need, by spaces or labels.
    while len(chunk) < n_rows and n_characters < 8 * _CHUNK_BYTES and (line := lines.read(limit)):
        chunk.append(line)
        n_characters += len(line)
    return chunk


def _spread_labels(known: list[str], codes: np.ndarray, where: str) -> np.ndarray:
    """Return the label of every row, as int if all of them are integers and as str if not."""
    if all(map(_INT.fullmatch, known)):
        return np.array(list(map(int, known)), dtype=np.int64)[codes]
    lengths = np.array(list(map(len, known)))
    # An array of text gives every row as much room as the longest label needs.
    n_characters, longest = int(lengths[codes].sum()), int(lengths.max())
    if longest * len(codes) > max(_FREE_LABEL_CHARACTERS, 64 * n_characters):
        raise ValueError(
            f"{where}: one of its labels has {longest:,} characters, and {len(codes):,} labels of "
            f"that length may fill the memory: {known[int(lengths.argmax())][:30]!r}.... Use "
            "shorter labels."
        )
    return np.array(known)[codes]


def _parse(
    chunk: list[str], columns: list[str], label_at: int, line_number: int, where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels and labels of some lines, of which the first has the given number."""
    filled = [line for line in chunk if not line.isspace()]
    rows, reason = None, "its rows do not follow its header"
    # Integers are read several times as fast as floats, and are what nearly all files hold.
    for dtype in (np.uint8, np.float64):
        try:
            rows = _load(filled, len(columns), label_at, dtype)
            break
        except (ValueError, DeprecationWarning) as error:
            reason = str(error)[:200]
    if rows is not None and len(rows) == len(filled):
        labels = np.array([label.strip() for label in rows["label"]], dtype=object)
        parts = [rows[name] for name in ("before", "after") if name in (rows.dtype.names or ())]
        pixels = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        if "" not in labels and (pixels.dtype == np.uint8 or np.isfinite(pixels).all()):
            small = to_uint8(pixels)
            return (pixels if small is None else small), labels
    fault = _find_fault(chunk, columns, label_at, line_number)
    if fault is None:
        last = line_number + len(chunk) - 1
        fault = f"lines {line_number} to {last} (a quote that is not closed?): {reason}"
    raise ValueError(f"{where}: {fault}.")


def _load(lines: list[str], n_columns: int, label_at: int, dtype: type) -> np.ndarray:
    widths = {"before": label_at, "label": 0, "after": n_columns - label_at - 1}
    fields: list[Any] = [
        ("label", object) if name == "label" else (name, dtype, (width,))
        for name, width in widths.items()
        if width or name == "label"
    ]
    with warnings.catch_warnings():
        # NumPy below 2 only warns where it reads 1.5 as the integer 1.
        warnings.simplefilter("error", DeprecationWarning)
        return np.loadtxt(
            lines, dtype=np.dtype(fields), delimiter=",", comments=None, quotechar='"', ndmin=1
        )


def _find_fault(
    chunk: list[str], columns: list[str], label_at: int, line_number: int
) -> str | None:
    """Name the first line and column that is wrong."""
    for number, line in enumerate(chunk, line_number):
        if line.isspace():
            continue
        row = [text.strip() for text in _split(line)]
        if len(row) != len(columns):
            return f"line {number} has {len(row)} columns, but its header has {len(columns)}"
        for at, (column, text) in enumerate(zip(columns, row, strict=True)):
            if not (text if at == label_at else _is_finite(text)):
                rule = "a label" if at == label_at else "a finite number, as every pixel must be"
                found = f"line {number}, column {column[:30]!r}: {text[:30]!r}"
                return f"{found} is not {rule}. Fill it in or leave the line out"
    return None


def _is_finite(text: str) -> bool:
    try:
        return "_" not in text and math.isfinite(float(text))
    except ValueError:
        return False
