"""The command line: arguments in, one call of the library, its result out."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sktransfer._version import __version__

_DEFAULT_DIGITS = ["8", "6"]


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
        print("\nsktransfer: interrupted", file=sys.stderr)
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
    compare = commands.add_parser(
        "compare",
        help="logistic regression on raw pixels against VGG features",
        description="Compare logistic regression on raw pixels with the same on VGG features: same "
        "images, folds, scaling. Without arguments: scikit-learn's embedded digits, 8 against 6, "
        "ImageNet weights and random weights as a control.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    compare.set_defaults(run=_compare)
    data = compare.add_argument_group("data")
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
        help="the classes to compare; of two, the first is the positive one (8 6 without --data)",
    )
    data.add_argument(
        "--max-images", type=_positive, metavar="N", help="a stratified random subset of this size"
    )
    network = compare.add_argument_group("network")
    network.add_argument("--layer", default="block3_pool", help="where the network is cut")
    network.add_argument("--architecture", default="vgg16", choices=["vgg16", "vgg19"])
    network.add_argument(
        "--weights",
        metavar="SOURCE",
        help="imagenet or a weights file, beside which random weights are shown as a control; or "
        "random alone. Left out: imagenet, if it can be had",
    )
    network.add_argument("--pooling", choices=["avg", "max"])
    network.add_argument(
        "--input-size", type=int, nargs="+", default=[32], metavar="PIXELS", help="32 and up"
    )
    images = compare.add_argument_group("images")
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
    run = compare.add_argument_group("run")
    run.add_argument("--folds", type=int, default=10, help="folds of the cross-validation")
    run.add_argument("--seed", type=_seed, default=0, help="of folds, subset and random weights")
    run.add_argument("--quiet", action="store_true", help="no progress bars")
    for form in ("json", "csv"):
        run.add_argument(
            f"--{form}",
            nargs="?",
            const="-",
            metavar="FILE",
            help=f"write {form.upper()} to a file, or instead of the tables where none is named",
        )
    _add_cache(commands)
    info = commands.add_parser(
        "info",
        help="versions, engines and what engine='auto' takes here",
        description="Print the versions of what computes, the precisions that the processor knows, "
        "and the engine that engine='auto' takes here for each precision and size.",
    )
    info.set_defaults(run=_info)
    return parser


def _add_cache(commands: Any) -> None:
    cache = commands.add_parser(
        "cache",
        help="look into stores of features, or make room",
        description="Look into the stores that keep features, or make room in them.",
    )
    cache.set_defaults(run=_cache)
    actions = cache.add_subparsers(dest="action", required=True)
    without = "; left out: the temporary stores of all processes of this user"
    info = actions.add_parser("info", help="count rows and bytes")
    info.add_argument("path", nargs="?", help=f"folder of a store{without}")
    clear = actions.add_parser("clear", help="remove all rows")
    clear.add_argument("path", nargs="?", help=f"folder of a store{without}, if those have ended")
    prune = actions.add_parser("prune", help="remove the rows that were not used for longest")
    prune.add_argument("path", help="folder of a store")
    prune.add_argument("--max-bytes", type=_n_bytes, required=True, metavar="N[K|M|G]")


def _positive(text: str) -> int:
    """Read a whole number from 1 up."""
    if int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return int(text)


def _seed(text: str) -> int:
    """Read a seed as NumPy takes it."""
    if not 0 <= int(text) < 2**32:
        raise argparse.ArgumentTypeError(f"must lie from 0 to 2**32 - 1, got {text}")
    return int(text)


def _n_bytes(text: str) -> int:
    """Read a number of bytes: 500000000, or 500M."""
    unit = {"K": 10**3, "M": 10**6, "G": 10**9}.get(text[-1:].upper())
    return int(float(text[:-1]) * unit) if unit else int(text)


def _cache(args: argparse.Namespace) -> int:
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


def _info(args: argparse.Namespace) -> int:
    from sktransfer.engines.inventory import describe_machine

    print(describe_machine())
    return 0


def _compare(args: argparse.Namespace) -> int:
    from sktransfer.comparison import compare_transfer

    _check_targets(args)
    X, y, names = _read_data(args)
    extractors, optional = _extractors(args)
    _start_keras()
    result = compare_transfer(
        X,
        y,
        extractors=extractors,
        positive=None if names is None else 1,
        target_names=names,
        optional=optional,
        n_folds=args.folds,
        random_state=args.seed,
        verbose=0 if args.quiet else 1,
    )
    # What is printed cannot be lost to a file that cannot be written.
    if "-" not in (args.json, args.csv):
        print(result)
    for target, write in ((args.json, result.to_json), (args.csv, result.to_csv)):
        if target == "-":
            print(write().rstrip("\n"))
        elif target:
            Path(target).write_text(write(), encoding="utf-8")
    return 0


def _check_targets(args: argparse.Namespace) -> None:
    """Find out that a result cannot be written before it is computed."""
    if args.json == args.csv == "-":
        raise ValueError(
            "The options '--json' and '--csv' cannot both print. Name a file for one of them."
        )
    for target in {args.json, args.csv} - {None, "-"}:
        path = Path(target)
        is_new = not path.exists()
        with path.open("a", encoding="utf-8"):
            pass
        if is_new:
            path.unlink()


def _read_data(args: argparse.Namespace) -> tuple[Any, Any, list[str] | None]:
    """Return images, labels, and of a pair of digits the names of classes 0 and 1."""
    from sklearn.model_selection import train_test_split

    from sktransfer.datasets import load_digit_pair, read_labelled_images

    digits = args.digits or (_DEFAULT_DIGITS if args.data is None else [])
    if args.max_images is not None and args.max_images < 2 * args.folds:
        raise ValueError(
            "The '--max-images' option must leave at least one image of two classes for each of "
            f"the {args.folds} folds. Got {args.max_images} instead."
        )
    if args.data is None:
        if len(digits) != 2 or not all(digit.isdecimal() for digit in digits):
            raise ValueError(
                "The '--digits' option takes two digits from 0 to 9 where '--data' is left out. "
                f"Got {' '.join(digits)} instead."
            )
        pair = (int(digits[0]), int(digits[1]))
        X, y = load_digit_pair(pair, return_X_y=True)
    else:
        data = read_labelled_images(args.data, digits=args.digits)
        X, y = data.data, data.target
    if args.max_images is not None and args.max_images < len(y):
        X, _, y, _ = train_test_split(
            X, y, train_size=args.max_images, stratify=y, random_state=args.seed
        )
    return X, y, digits[::-1] if len(digits) == 2 else None


def _extractors(args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    from sktransfer.extractor import VGGFeatureExtractor

    trained = "imagenet" if args.weights is None else args.weights
    chosen = ["random"] if trained == "random" else [trained, "random"]
    extractors = {}
    for size in dict.fromkeys(args.input_size):
        for source in chosen:
            label = "random weights" if source == "random" else Path(source).name
            pooling = f" {args.pooling}-pooled" if args.pooling else ""
            name = f"{args.architecture} {label}, {args.layer}{pooling}, {size} px"
            extractors[name] = VGGFeatureExtractor(
                args.layer,
                architecture=args.architecture,
                weights=None if source == "random" else source,
                pooling=args.pooling,
                image_shape=args.image_shape and tuple(args.image_shape),
                value_range=tuple(args.value_range) if args.value_range else "auto",
                input_size=size,
                random_state=args.seed,
            )
    # Weights that nobody asked for by name may be missing; their row then says why.
    optional = [
        name
        for name, extractor in extractors.items()
        if args.weights is None and extractor.weights == "imagenet"
    ]
    return extractors, optional


def _start_keras() -> None:
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
