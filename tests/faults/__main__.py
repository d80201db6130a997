"""Faults, for as long as wanted: `python -m tests.faults store --kills 1000`.

The first argument names a module of this folder, whose `main` takes the others.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path


def main() -> int:
    """Run the faults that are named."""
    here = Path(__file__).parent
    names = sorted(
        path.stem for path in here.glob("*.py") if not path.stem.startswith(("_", "test_"))
    )
    if sys.argv[1:2] in ([], ["-h"], ["--help"]) or sys.argv[1] not in names:
        print(f"usage: python -m tests.faults {{{','.join(names)}}} ...", file=sys.stderr)
        return 0 if sys.argv[1:2] in (["-h"], ["--help"]) else 2
    return import_module(f"tests.faults.{sys.argv[1]}").main(sys.argv[2:]) or 0


if __name__ == "__main__":
    sys.exit(main())
