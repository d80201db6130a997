"""``sktransfer info``: what there is to compute with."""

from __future__ import annotations

import argparse
from typing import Any


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    info = commands.add_parser(
        "info",
        help="versions, engines and what engine='auto' takes here",
        description="Print the versions of what computes, the precisions that the processor knows, "
        "and the engine that engine='auto' takes here for each precision and size.",
    )
    info.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say."""
    from sktransfer.engines.inventory import describe_machine

    print(describe_machine())
    return 0
