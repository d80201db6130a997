"""Put the tables of a JSON file into a page, each behind the comment with its name.

python benchmarks/tables.py docs/measured/benchmarks.json docs/benchmarks.md
python benchmarks/tables.py docs/measured/synthetic.json docs/synthetic.md
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
    host = ", ".join(f"{key} {value}" for key, value in results["host"].items() if value)
    tables["host"] = f"```text\n{textwrap.fill(host, 98)}\n```"
    return put(page, tables)


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
