"""Put the tables of a JSON file into a page, each behind the comment with its name.

python benchmarks/tables.py docs/measured/benchmarks.json docs/benchmarks.md
python benchmarks/tables.py docs/measured/benchmarks.json docs/article.md
python benchmarks/tables.py docs/measured/synthetic.json docs/synthetic.md
python benchmarks/tables.py docs/measured/networks.json docs/choosing_network.md
python benchmarks/tables.py docs/measured/trained.json docs/choosing_network.md
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from bars import compare
from measuring import Row, format_rows_as_markdown

# <!-- name -->, an empty line, and a table or a block of text.
_TABLE = re.compile(
    r"(<!-- ([\w-]+) -->\n\n)(```text\n.*?\n```|\|[^\n]*(?:\n\|[^\n]*)*)", re.DOTALL
)


def fill(page: str, results: Row) -> str:
    """Return the page with the tables of all parts that were measured; others stay."""
    parts = results["parts"]
    tables = {name: format_rows_as_markdown(part["rows"]) for name, part in parts.items()}
    if ratios := compare(parts):
        tables["ratios"] = format_rows_as_markdown(ratios)
    merged = {
        "speed": _best_speed(parts),
        "cached": _cached(parts),
        "errors": _errors(parts),
        "article-steps": _steps(parts),
        "networks": [
            row
            for name, part in parts.items()
            if name.startswith("network-")
            for row in part["rows"]
        ],
    }
    for name, rows in merged.items():
        if rows:
            tables[name] = format_rows_as_markdown(rows)
    host = ", ".join(f"{key} {value}" for key, value in results["host"].items() if value)
    tables["host"] = f"```text\n{textwrap.fill(host, 98)}\n```"
    return put(page, tables)


def _best_speed(parts: Mapping[str, Row]) -> list[Row]:
    """Say what the fastest engine makes of Keras' `predict`, in each precision."""
    rows: list[Row] = []
    for size in (224, 32):
        found = parts.get(f"engines-{size}", {"rows": []})["rows"]
        own = [row for row in found if row["engine"] in ("keras", "openvino", "ncnn")]
        row: Row = {"input size": f"{size} px"}
        for precision in ("float32", "bfloat16", "int8"):
            tried = [each for each in own if each["precision"] == precision]
            if tried:
                best = max(tried, key=lambda each: each["x_keras_predict"])
                row[precision] = f"{best['x_keras_predict']:.1f} ({best['engine']})"
        if own:
            rows.append(row)
    return rows


def _cached(parts: Mapping[str, Row]) -> list[Row]:
    """Say what a cross-validation takes without and with cached features, in seconds."""
    rows: list[Row] = []
    for size in (224, 32):
        found = parts.get(f"folds-{size}", {"rows": []})["rows"]
        seconds = {
            (row["features"], row["n_jobs"]): row["seconds"]
            for row in found
            if row["precision"] == "float32"
        }
        rows += [
            {
                "images": f"{found[0]['images']} of {size} px",
                "workers": n_jobs,
                "without cache, s": seconds["not cached", n_jobs],
                "with cache, s": seconds["cached", n_jobs],
            }
            for n_jobs in (1, 2)
            if ("cached", n_jobs) in seconds
        ]
    return rows


def _errors(parts: Mapping[str, Row]) -> list[Row]:
    """Give the relative errors of the two short precisions, by layer and size."""
    found: dict[tuple[str, int], Row] = {}
    for row in parts.get("accuracy", {"rows": []})["rows"]:
        if row["precision"] != "float32":
            place = f"{row['layer']}, {row['size']} px"
            errors = found.setdefault((row["layer"], row["size"]), {"features": place})
            errors[row["precision"]] = row["relative_error"]
    return list(found.values())


def _steps(parts: Mapping[str, Row]) -> list[Row]:
    """Give the seconds that each step of the article's job takes, by precision."""
    return [
        {
            "precision": f"{row['precision']} ({row['engine']})",
            "read the digits, s": row["read_s"],
            "features, s": row["features_s"],
            "ten folds on features, s": row["folds_s"],
            "ten folds on raw pixels, s": row["raw_folds_s"],
        }
        for row in parts.get("article", {"rows": []})["rows"]
        if row["features_s"] is not None
    ]


def put(page: str, tables: Mapping[str, str]) -> str:
    """Return the page with these tables, by name; others stay."""

    def replace(found: re.Match[str]) -> str:
        start, name, _ = found.groups()
        return f"{start}{tables[name]}" if name in tables else found[0]

    return _TABLE.sub(replace, page)


def main(results: str, page: str) -> None:
    """Write the page anew."""
    text = Path(page).read_text(encoding="utf-8")
    filled = fill(text, json.loads(Path(results).read_text(encoding="utf-8")))
    Path(page).write_text(filled, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
