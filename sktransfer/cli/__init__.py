"""The command line."""

from sktransfer.cli.entry import main

__all__ = [
    "main",
]
