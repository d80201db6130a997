"""``sktransfer info``: versions, engines, and the package's own weights."""

from __future__ import annotations

import argparse

SUMMARY = "versions, engines, what engine='auto' selects here, and the package's own weights"
DESCRIPTION = (
    "Print the versions of the libraries that compute, the precisions that the processor "
    "supports, the engine that engine='auto' selects here for each precision and size, and facts "
    "about the weights that come with the package."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add no option: there is nothing to choose."""


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say."""
    from sktransfer.engines.inventory import describe_machine
    from sktransfer.weights.synthetic import describe_synthetic

    print(describe_machine())
    print(f"\n{describe_synthetic()}")
    return 0
