"""Tries every library that is installed, and writes what holds into the page "Works with".

python -m tests.clients          # all
python -m tests.clients torch    # some, next to what is known of the others
"""

from __future__ import annotations

import ast
import importlib.metadata
import json
import re
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent
DOCS = FOLDER.parents[1] / "docs"
RESULTS = DOCS / "measured" / "clients.json"
PAGE = DOCS / "works_with.md"
_MARKS = ("<!-- written by python -m tests.clients -->", "<!-- end -->")


class _Outcomes:
    """Counts how the tests of each file ended."""

    def __init__(self) -> None:
        self.of: dict[str, Counter[str]] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or report.outcome != "passed":
            name = Path(report.fspath).stem.removeprefix("test_")
            self.of.setdefault(name, Counter())[report.outcome] += 1


def read_constants(path: Path) -> dict[str, str]:
    """Read what a file of tests says of itself, without the library that it needs."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id in ("LIBRARY", "TRIED")
    }


def list_clients() -> dict[str, dict[str, str]]:
    """List the libraries that are tried, by the name of their file."""
    files = sorted(FOLDER.glob("test_*.py"))
    return {path.stem.removeprefix("test_"): read_constants(path) for path in files}


def render(results: dict[str, Any]) -> str:
    """Write the table of a run."""
    lines = ["| library | version | tried | tests |", "| --- | --- | --- | --- |"]
    for name, client in list_clients().items():
        found = results["clients"].get(name, {})
        counts = found.get("outcomes", {})
        said = [
            f"{counts[key]} {key}" for key in ("passed", "failed", "skipped") if counts.get(key)
        ]
        version = found.get("version") or "not installed"
        cells = (client["LIBRARY"], version, client["TRIED"], ", ".join(said) or "skipped")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + f"\n\nLast run: {results['date']}, Python {results['python']}."


def put_into(page: str, table: str) -> str:
    """Replace the table of the page."""
    start, end = _MARKS
    return re.sub(
        f"{re.escape(start)}.*?{re.escape(end)}",
        lambda match: f"{start}\n\n{table}\n\n{end}",
        page,
        flags=re.DOTALL,
    )


def main() -> int:
    wanted = sys.argv[1:] or list(list_clients())
    outcomes = _Outcomes()
    files = [str(FOLDER / f"test_{name}.py") for name in wanted]
    code = pytest.main(["-q", "-n", "0", "-p", "no:cacheprovider", *files], plugins=[outcomes])
    known = json.loads(RESULTS.read_text(encoding="utf-8"))["clients"] if RESULTS.exists() else {}
    for name in wanted:
        library = read_constants(FOLDER / f"test_{name}.py")["LIBRARY"]
        try:
            version = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            version = None
        known[name] = {"version": version, "outcomes": dict(outcomes.of.get(name, {}))}
    results = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "python": ".".join(map(str, sys.version_info[:3])),
        "clients": {name: known[name] for name in list_clients() if name in known},
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(put_into(page, render(results)), encoding="utf-8")
    return int(code)


if __name__ == "__main__":
    raise SystemExit(main())
