"""Short runs of the tests of faults; `python -m tests.faults NAME` makes long ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.skipif(sys.platform != "linux", reason="forks, and asks /proc who is alive")
@pytest.mark.parametrize(
    ("name", "kills", "rounds", "printed"),
    [("extraction", 6, 2, "outputs compared"), ("store", 16, 4, "16 writers killed")],
)
def test_what_is_written_survives_faults(name: str, kills: int, rounds: int, printed: str) -> None:
    # In a process that has started no network, since forks of others cannot use one.
    counts = ["--kills", str(kills), "--rounds", str(rounds)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults", name, *counts],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout


@pytest.mark.parametrize("argument", ["nonsense", "test_faults", "__main__"])
def test_an_unknown_module_is_said_so(argument: str) -> None:
    command = [sys.executable, "-m", "tests.faults", argument]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage: python -m tests.faults {" in done.stderr
