"""Kill pairs of processes at random moments of writing; after each, every row must be right."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from test_store import kill_at_random


def main() -> None:
    """Print how many kills the store outlived."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n-kills", type=int, default=250, help="pairs of processes to kill")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        n_right = kill_at_random(Path(folder) / "store", args.n_kills)
    print(
        f"{args.n_kills} pairs of writers killed: no damage, every row right ({n_right} at the end)"
    )


if __name__ == "__main__":
    main()
