"""``sktransfer cache``: look into stores of features, or make room."""

from __future__ import annotations

import argparse
from typing import Any


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    cache = commands.add_parser(
        "cache",
        help="look into stores of features, or make room",
        description="Look into the stores that keep features, or make room in them.",
    )
    cache.set_defaults(run=run)
    actions = cache.add_subparsers(dest="action", required=True)
    without = "; left out: the temporary stores of all processes of this user"
    info = actions.add_parser("info", help="count rows and bytes")
    info.add_argument("path", nargs="?", help=f"folder of a store{without}")
    clear = actions.add_parser("clear", help="remove all rows")
    clear.add_argument("path", nargs="?", help=f"folder of a store{without}, if those have ended")
    prune = actions.add_parser("prune", help="remove the rows that were not used for longest")
    prune.add_argument("path", help="folder of a store")
    prune.add_argument("--max-bytes", type=_n_bytes, required=True, metavar="N[K|M|G]")


def _n_bytes(text: str) -> int:
    """Read a number of bytes: 500000000, or 500M."""
    unit = {"K": 10**3, "M": 10**6, "G": 10**9}.get(text[-1:].upper())
    return int(float(text[:-1]) * unit) if unit else int(text)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say."""
    from sktransfer import temporary
    from sktransfer.store import FeatureStore

    if args.path is None and args.action == "clear":
        for folder in temporary.sweep_orphans():
            print(f"removed {folder}")
        return 0
    folders = [args.path] if args.path else temporary.list_folders()
    for folder in folders:
        store = FeatureStore(folder)
        if args.path and not store.exists():
            raise FileNotFoundError(
                f"The 'path' argument must be the folder of a feature store. Got {args.path!r}, "
                "which holds none."
            )
        if args.action == "clear":
            store.clear()
        elif args.action == "prune":
            store.prune(args.max_bytes)
        print(store.info())
    return 0
