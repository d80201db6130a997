"""The command line: arguments in, one call of the library, its result out.

One module for each command, with `SUMMARY`, `DESCRIPTION`, `add_options` and `run`. `run` imports
what computes, so that help and usage errors are shown at once.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sktransfer._version import __version__
from sktransfer.cli import article, cache, compare, curve, diagnose, extract, info, pretrain, sweep
from sktransfer.cli._checks import check_names

_COMMANDS = {
    "article": article,
    "compare": compare,
    "sweep": sweep,
    "curve": curve,
    "diagnose": diagnose,
    "extract": extract,
    "pretrain": pretrain,
    "cache": cache,
    "info": info,
}

# Parameters of the library whose options have other names.
_OPTIONS = {
    "cv": "folds",
    "input_size": "input_sizes",
    "layer": "layers",
    "n_classes": "classes",
    "n_images": "images",
    "n_jobs": "jobs",
    "n_repeats": "repeats",
    "random_state": "seed",
    "sizes": "size",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    with _printable_output():
        try:
            try:
                return _run(argv)
            finally:
                # What is still held back is written here, where an error can be caught.
                sys.stdout.flush()
        except BrokenPipeError:
            _drop_output()
            return 141  # 128 + SIGPIPE: what a shell says of tools that this signal ends


def _run(argv: Sequence[str] | None) -> int:
    args = _parser().parse_args(argv)

    def show_warning(message: Any, *_: Any) -> None:
        words = _name_options(str(message), args)
        print(f"sktransfer {args.command}: warning: {words}", file=sys.stderr)

    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning  # type: ignore[assignment]
            check_names(args)
            return args.run(args)
    except KeyboardInterrupt:
        print(f"\nsktransfer {args.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads what is printed has stopped reading
        raise
    except (ImportError, OSError, TypeError, ValueError) as error:
        message = _name_options(str(error), args)
        print(f"sktransfer {args.command}: error: {message}", file=sys.stderr)
        return 2


def _name_options(message: str, args: argparse.Namespace) -> str:
    """Name the command's options where an error of the library names parameters."""

    def name(match: re.Match) -> str:
        parameter = match[1] or match[2]
        for option in (parameter, _OPTIONS.get(parameter, "")):
            if hasattr(args, option):
                flag = f"--{option.replace('_', '-')}"
                return f"'{flag}' option" if match[1] else f"{flag} "
        return match[0]

    message = re.sub(r"'(\w+)' parameter of \w[\w.]*|\b(\w+)=(?=\S)", name, message)
    # Values as Python writes them, as the command takes them.
    message = re.sub(
        r"(--[\w-]+) \(([^()]*)\)", lambda m: f"{m[1]} {m[2].replace(',', '')}", message
    )
    message = re.sub(r"(--input-sizes) \[\(?(\d+)(?:, (\d+)\))?\]", _spell_option_size, message)
    return message.replace("pass None", "pass random")


def _spell_option_size(match: re.Match) -> str:
    """Write the only size of a list as the option takes it: `16`, or `16x24`."""
    return f"{match[1]} {'x'.join(filter(None, match.groups()[1:]))}"


def _drop_output() -> None:
    """Let vanish what is not written yet: Python writes it when it ends, and would complain."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
            stream.flush()


@contextmanager
def _printable_output() -> Iterator[None]:
    r"""Print characters that the terminal does not know as ``\xe9``, such as those of odd names."""
    stream = sys.stdout
    if not isinstance(stream, io.TextIOWrapper):
        yield
        return
    errors = stream.errors
    stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        stream.reconfigure(errors=errors)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sktransfer", description="Features of pretrained networks for scikit-learn."
    )
    parser.add_argument("--version", action="version", version=f"sktransfer {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, command in _COMMANDS.items():
        each = commands.add_parser(name, help=command.SUMMARY, description=command.DESCRIPTION)
        command.add_options(each)
        each.set_defaults(run=command.run)
    return parser
