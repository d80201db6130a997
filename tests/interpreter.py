"""A fresh Python process for what a test says about imports, settings or the end of a process."""

from __future__ import annotations

import os
import subprocess
import sys


def run_python(code: str, *arguments: object, **environment: str) -> str:
    """Run code, and return what it prints."""
    run = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout
