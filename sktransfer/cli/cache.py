"""``sktransfer cache``: show or shrink stores of features."""

from __future__ import annotations

import argparse
import math

SUMMARY = "show or shrink stores of features"
DESCRIPTION = "Show what the stores of features hold, or remove rows from them."


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the actions of the command."""
    actions = parser.add_subparsers(dest="action", required=True)
    default = "(default: the temporary stores of all your processes"
    info = actions.add_parser("info", help="count rows and bytes")
    info.add_argument("path", nargs="?", help=f"folder of a store {default})")
    clear = actions.add_parser("clear", help="remove all rows")
    clear.add_argument("path", nargs="?", help=f"folder of a store {default} that have ended)")
    prune = actions.add_parser("prune", help="remove the rows unused for longest")
    prune.add_argument("path", help="folder of a store")
    prune.add_argument(
        "--max-bytes",
        type=_n_bytes,
        required=True,
        metavar="N[K|M|G]",
        help="bytes that may stay, such as 500M",
    )


def _n_bytes(text: str) -> int:
    """Read a number of bytes: 500000000, or 500M."""
    unit = {"K": 10**3, "M": 10**6, "G": 10**9}.get(text[-1:].upper())
    number = float(text[:-1]) * unit if unit else int(text)
    if not 0 <= number < math.inf:
        raise ValueError
    return int(number)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say."""
    from sktransfer.features import temporary
    from sktransfer.features.store import FeatureStore

    if args.path is None and args.action == "clear":
        for folder in temporary.sweep_orphans():
            print(f"removed {folder}")
        return 0
    for store in [FeatureStore(args.path)] if args.path else temporary.list_stores():
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
