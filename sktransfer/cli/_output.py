"""The output of results: to the terminal, files, drawings and the web page."""

from __future__ import annotations

import argparse
import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from sktransfer.cli._data import describe_data
from sktransfer.files.regular import check_regular

_PLOTS = (".png", ".svg", ".pdf")


def check_targets(args: argparse.Namespace) -> None:
    """Find out that a result cannot be written before it is computed."""
    if args.json == args.csv == "-":
        raise ValueError(
            "The options '--json' and '--csv' cannot both print. Name a file for one of them."
        )
    plot = getattr(args, "plot", None)
    if plot is not None:
        _check_matplotlib("The option '--plot'")
        if Path(plot).suffix.lower() not in _PLOTS:
            raise ValueError(
                f"The '--plot' option needs a file that ends in {', '.join(_PLOTS)}. Got {plot!r} "
                "instead."
            )
    if args.report is not None:
        _check_matplotlib("The option '--report'")
        if Path(args.report).suffix.lower() not in (".html", ".htm"):
            raise ValueError(
                f"The '--report' option needs a file that ends in .html. Got {args.report!r} "
                "instead."
            )
    for name in ("json", "csv", "plot", "report"):
        target = getattr(args, name, None)
        if target not in (None, "-"):
            _check_target(name, Path(target))


def _check_matplotlib(who: str) -> None:
    # Displays import NumPy and scikit-learn, for which `--help` does not wait.
    from sktransfer.displays.availability import check_matplotlib

    check_matplotlib(who)


def _check_target(name: str, path: Path) -> None:
    try:
        is_new = not path.exists()
        if not is_new:
            check_regular(path)  # opening a pipe would wait for a reader
            if _is_printed_to(path):  # /dev/stdout, where that is a file
                raise OSError(errno.EINVAL, "it is what the command prints to")
        place = Path(os.path.realpath(path))  # of a link, the target is made and removed again
        with place.open("xb" if is_new else "ab"):
            pass
        if is_new:
            place.unlink()
    except OSError as error:
        raise OSError(
            f"The '--{name}' option must name a file that can be written. Got {str(path)!r}: "
            f"{error.strerror}. Create its folder, or choose another path."
        ) from error


def _is_printed_to(path: Path) -> bool:
    with suppress(OSError):  # it may be closed
        return os.path.samestat(path.stat(), os.fstat(1))
    return False


def write_result(
    args: argparse.Namespace,
    result: Any,
    section: str,
    display: type | None = None,
    **shown: Any,
) -> None:
    """Print a result, or write and draw it as the options say; `section` is its part of the page.

    `shown` are images, labels and what classifies them, which the page shows too.

    What is printed cannot be lost to a file that cannot be written.
    """
    if "-" not in (args.json, args.csv):
        from sktransfer.report.brief import BRIEFS

        print(result if args.verbose else BRIEFS[section](result))
    for form in ("json", "csv"):
        target = getattr(args, form)
        if target is not None:
            text = getattr(result, f"to_{form}")().rstrip("\n")
            if target == "-":
                print(text)
            else:
                Path(target).write_text(f"{text}\n", encoding="utf-8")
    if display is not None and args.plot:
        import matplotlib.pyplot as plt

        figure = display(result).plot().figure_
        figure.savefig(args.plot, dpi=200, bbox_inches="tight")
        plt.close(figure)
    if args.report:
        from sktransfer.report.page import TransferReport

        page = TransferReport(**{section: result}, **shown, data=describe_data(args))
        page.to_html(args.report)
