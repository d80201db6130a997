"""``sktransfer info``: what there is to compute with, and the package's own weights."""

from __future__ import annotations

import argparse
from typing import Any


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    info = commands.add_parser(
        "info",
        help="versions, engines, what engine='auto' takes here, and the package's own weights",
        description="Print the versions of what computes, the precisions that the processor knows, "
        "the engine that engine='auto' takes here for each precision and size, and what the "
        "weights that come with the package are.",
    )
    info.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say."""
    from sktransfer.engines.inventory import describe_machine
    from sktransfer.synthetic import describe_synthetic

    print(describe_machine())
    print(f"\n{describe_synthetic()}")
    return 0
