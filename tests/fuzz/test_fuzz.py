"""What once failed, and a few hundred changes of valid inputs, given to every parser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_no_input_breaks_a_parser(tmp_path: Path) -> None:
    # Outside of this process, which a parser could crash.
    results = tmp_path / "results.json"
    run = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--executions", "150", "--json", str(results)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(results.read_text())["targets"]
    assert len(found) >= 14
    assert all(report["executions"] >= 150 for report in found.values()), found
