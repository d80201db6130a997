"""``sktransfer pretrain``: train your own weights on images that a formula draws."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sktransfer.cli._network import start_keras
from sktransfer.cli._options import add_precision, add_quiet, add_seed, positive_int

SUMMARY = "train your own weights on images that a formula draws"
DESCRIPTION = (
    "Train VGG16 on images that a formula draws, and write its weights to a file. If it is "
    "interrupted, run the same command again: it continues where it stopped."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "weights_file", metavar="OUT", help="the weights file, whose name ends with .h5"
    )
    _add_images(parser.add_argument_group("images"))
    _add_training(parser.add_argument_group("training"))
    parser.add_argument(
        "--weight-bits",
        type=positive_int,
        metavar="N",
        help="round the weights in the file to N bits (default: no rounding)",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="processes that draw images; 1 uses a thread, -1 all processors (default: "
        "%(default)s)",
    )
    add_quiet(parser)


def _add_images(images: argparse._ArgumentGroup) -> None:
    images.add_argument(
        "--formula",
        metavar="MODULE:NAME",
        help="a function (label, rng, size) in a module that Python finds from here (default: the "
        "package's own formulas)",
    )
    images.add_argument(
        "--classes",
        type=positive_int,
        metavar="N",
        help="number of labels (default: as many as the formula has)",
    )
    images.add_argument(
        "--images",
        type=positive_int,
        default=500_000,
        metavar="N",
        help="number of images in all (default: %(default)s)",
    )
    images.add_argument(
        "--size",
        type=int,
        nargs="+",
        default=[32],
        metavar="PIXELS",
        help="side of the images in pixels, 32 or more; of several, each batch has one, and a "
        "size named twice is drawn twice as often (default: 32)",
    )


def _add_training(training: argparse._ArgumentGroup) -> None:
    training.add_argument(
        "--batch-size",
        type=positive_int,
        default=64,
        metavar="N",
        help="images per step (default: %(default)s)",
    )
    training.add_argument(
        "--learning-rate",
        type=float,
        default=0.1,
        metavar="RATE",
        help="of the optimizer (default: %(default)s)",
    )
    training.add_argument(
        "--weight-decay",
        type=float,
        default=5e-3,
        metavar="RATE",
        help="of the optimizer (default: %(default)s)",
    )
    add_precision(training, ["float32", "bfloat16"])
    add_seed(training, "weights and images")


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say."""
    from sktransfer.training.pretraining import pretrain

    with _current_folder():
        formula = None if args.formula is None else _import(args.formula)
        start_keras()
        done = pretrain(
            args.weights_file,
            formula=formula,
            n_classes=args.classes,
            n_images=args.images,
            sizes=args.size,
            batch_size=args.batch_size,
            learning_rate=args.learning_rate,
            weight_decay=args.weight_decay,
            precision=args.precision,
            weight_bits=args.weight_bits,
            n_jobs=args.jobs,
            random_state=args.seed,
            verbose=0 if args.quiet else 1,
        )
    print(done)
    return 0


@contextmanager
def _current_folder() -> Iterator[None]:
    """Find modules in the current folder too, as ``python -m`` does."""
    sys.path.insert(0, "")
    try:
        yield
    finally:
        sys.path.remove("")


def _import(name: str) -> Any:
    module, _, attribute = name.partition(":")
    rule = "The '--formula' option takes MODULE:NAME, such as my_images:stripes"
    if not module or not attribute:
        raise ValueError(f"{rule}. Got {name!r} instead.")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"{rule}. Got {name!r}: {error}. Name a module in the current folder or in an "
            "installed package, and what it defines."
        ) from error
