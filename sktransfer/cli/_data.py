"""Options that several commands share: which images, how they are read, where results go."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from sktransfer.displays._matplotlib import check_matplotlib

_DIGITS = set("0123456789")
_PLOTS = (".png", ".svg", ".pdf")


def add_data(parser: argparse.ArgumentParser, *, digits: str = "8 6") -> None:
    """Add the options that say which images are meant and how they are read.

    `digits` are those that the command takes where neither they nor data are named.
    """
    parser.set_defaults(default_digits=digits.split())
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data",
        metavar="PATH",
        help="a CSV of pixels (label,pixel0,...), an .npz with images and labels, or a folder of "
        "class folders; scikit-learn's digits where left out",
    )
    data.add_argument(
        "--digits",
        nargs="+",
        metavar="LABEL",
        help="the classes to compare; of two, the first is the positive one "
        f"({digits} without --data)",
    )
    data.add_argument(
        "--max-images",
        type=positive_int,
        metavar="N",
        help="a stratified random subset of this size",
    )
    images = parser.add_argument_group("images")
    images.add_argument(
        "--value-range",
        type=float,
        nargs=2,
        metavar=("BLACK", "WHITE"),
        help="the values of black and white; by dtype, data or file where left out",
    )
    images.add_argument(
        "--image-shape",
        type=int,
        nargs="+",
        metavar="N",
        help="height width, height width channels or channels height width of flat rows; the "
        "square that the number of columns makes where left out",
    )


def positive_int(text: str) -> int:
    """Read a whole number from 1 up."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return int(text)


def seed(text: str) -> int:
    """Read a seed as NumPy takes it."""
    if not 0 <= int(text) < 2**32:
        raise argparse.ArgumentTypeError(f"must lie from 0 to 2**32 - 1, got {text}")
    return int(text)


def add_outputs(parser: argparse.ArgumentParser, *, instead_of: str = "the tables") -> None:
    """Add the options that say where results go besides the terminal."""
    outputs = parser.add_argument_group("output")
    for form in ("json", "csv"):
        outputs.add_argument(
            f"--{form}",
            nargs="?",
            const="-",
            metavar="FILE",
            help=f"write {form.upper()} to a file, or instead of {instead_of} where none is named",
        )
    outputs.add_argument("--plot", metavar="FILE", help="draw the result: .png, .svg or .pdf")
    outputs.add_argument(
        "--report", metavar="FILE", help="write verdict, tables and picture as one web page: .html"
    )


def check_targets(args: argparse.Namespace) -> None:
    """Find out that a result cannot be written before it is computed."""
    if args.json == args.csv == "-":
        raise ValueError(
            "The options '--json' and '--csv' cannot both print. Name a file for one of them."
        )
    plot = getattr(args, "plot", None)
    if plot is not None:
        check_matplotlib("The option '--plot'")
        if Path(plot).suffix.lower() not in _PLOTS:
            raise ValueError(
                f"The '--plot' option takes a file that ends in {', '.join(_PLOTS)}. Got "
                f"{plot!r} instead."
            )
    report = getattr(args, "report", None)
    if report is not None:
        if hasattr(args, "plot"):  # the commands that draw
            check_matplotlib("The option '--report'")
        if Path(report).suffix.lower() not in (".html", ".htm"):
            raise ValueError(
                f"The '--report' option takes a file that ends in .html. Got {report!r} instead."
            )
    for name in ("json", "csv", "plot", "report"):
        target = getattr(args, name, None)
        if target in (None, "-"):
            continue
        path = Path(target)
        is_new = not path.exists()
        try:
            with path.open("a", encoding="utf-8"):
                pass
        except OSError as error:
            raise OSError(
                f"The '--{name}' option must name a file that can be written. Got {target!r}: "
                f"{error.strerror}. Make its folder, or name another place."
            ) from error
        if is_new:
            path.unlink()


def write_result(args: argparse.Namespace, result: Any) -> None:
    """Print a result, or write it as the options say.

    What is printed cannot be lost to a file that cannot be written.
    """
    if "-" not in (args.json, args.csv):
        print(result)
    for target, write in ((args.json, result.to_json), (args.csv, result.to_csv)):
        if target == "-":
            print(write().rstrip("\n"))
        elif target:
            Path(target).write_text(write(), encoding="utf-8")


def save_plot(display: Any, path: str) -> None:
    """Save what a display has drawn, and close it."""
    import matplotlib.pyplot as plt

    display.figure_.savefig(path, dpi=200, bbox_inches="tight")
    plt.close(display.figure_)


def _chosen_digits(args: argparse.Namespace) -> list[str]:
    """Return the classes that were asked for, or are taken without being asked for."""
    return args.digits or (args.default_digits if args.data is None else [])


def write_report(args: argparse.Namespace, **results: Any) -> None:
    """Write the page that the option asks for, of results by TransferReport's names."""
    from sktransfer.report import TransferReport

    data = "scikit-learn's embedded digits"
    if args.data is not None:
        data = Path(args.data).name  # where it lies is nobody's business
    digits = _chosen_digits(args)
    if digits:
        data += f", {', '.join(digits)}"
    if args.max_images is not None:
        data += f", a random subset of at most {args.max_images:,} images"
    TransferReport(**results, data=data).to_html(args.report)


def read_data(args: argparse.Namespace) -> tuple[Any, Any, list[str] | None]:
    """Return images, labels, and of a pair of digits the names of classes 0 and 1."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    from sktransfer.datasets import load_digit_pair, read_labelled_images

    digits = _chosen_digits(args)
    n_folds = getattr(args, "folds", 1)  # not every command has folds
    if args.max_images is not None and args.max_images < 2 * n_folds:
        raise ValueError(
            "The '--max-images' option must leave at least one image of two classes for each of "
            f"the {n_folds} folds. Got {args.max_images} instead."
        )
    if args.data is None:
        if len(digits) < 2 or len(set(digits)) < len(digits) or not set(digits) <= _DIGITS:
            raise ValueError(
                "The '--digits' option takes two or more different digits from 0 to 9 where "
                f"'--data' is left out. Got {' '.join(digits)} instead."
            )
        if len(digits) == 2:
            X, y = load_digit_pair((int(digits[0]), int(digits[1])), return_X_y=True)
        else:
            X, y = load_digits(return_X_y=True)
            is_wanted = np.isin(y, [int(digit) for digit in digits])
            X, y = X[is_wanted], y[is_wanted]
    else:
        data = read_labelled_images(args.data, digits=args.digits)
        X, y = data.data, data.target
    if args.max_images is not None and args.max_images < len(y):
        X, _, y, _ = train_test_split(
            X, y, train_size=args.max_images, stratify=y, random_state=args.seed
        )
    return X, y, digits[::-1] if len(digits) == 2 else None


def start_keras() -> None:
    """Import Keras and find its devices, holding back what that prints unless it fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            import keras

            keras.ops.zeros(1)
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
