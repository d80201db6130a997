"""The command line: arguments in, one call of the library, its result out.

One module for each command, which says what arguments there are and what is done with them.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from sktransfer._version import __version__
from sktransfer.cli import cache, compare, curve, diagnose, extract, info, pretrain, sweep


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str or None, default=None
        The arguments; None takes those of the process.

    Returns
    -------
    int
        0, or 2 after an error, or 130 after an interruption.
    """
    args = _parser().parse_args(argv)

    def show_warning(message: Any, *_: Any) -> None:
        print(f"sktransfer {args.command}: warning: {message}", file=sys.stderr)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning  # type: ignore[assignment]
            return args.run(args)
    except KeyboardInterrupt:
        print(f"\nsktransfer {args.command}: interrupted", file=sys.stderr)
        return 130
    except (ImportError, OSError, TypeError, ValueError) as error:
        print(f"sktransfer {args.command}: error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sktransfer", description="Features of pretrained VGG networks for scikit-learn."
    )
    parser.add_argument("--version", action="version", version=f"sktransfer {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in (compare, sweep, curve, diagnose, extract, pretrain, cache, info):
        command.add_to(commands)
    return parser
