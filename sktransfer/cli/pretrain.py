"""``sktransfer pretrain``: weights of one's own, from images that a formula draws."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sktransfer.cli._data import positive_int, seed, start_keras


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    pretrain = commands.add_parser(
        "pretrain",
        help="weights of one's own, from images that a formula draws",
        description="Train VGG16 on images that a formula draws, and write its weights to a file. "
        "Interrupted, the same command goes on where it was.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    pretrain.set_defaults(run=run)
    pretrain.add_argument("out", metavar="OUT", help="the weights file, a name that ends with .h5")
    images = pretrain.add_argument_group("images")
    images.add_argument(
        "--formula",
        metavar="MODULE:NAME",
        help="a function (label, rng, size) of a module that can be imported from here; the "
        "package's own formulas where left out",
    )
    images.add_argument(
        "--classes",
        type=positive_int,
        metavar="N",
        help="how many labels there are; as many as the formula says where left out",
    )
    images.add_argument("--images", type=positive_int, default=500_000, metavar="N", help="in all")
    images.add_argument(
        "--size",
        type=int,
        nargs="+",
        default=[32],
        metavar="PIXELS",
        help="32 and up; each batch has one of them, and one named twice comes up twice as often",
    )
    training = pretrain.add_argument_group("training")
    training.add_argument("--batch-size", type=positive_int, default=64, metavar="N")
    training.add_argument("--learning-rate", type=float, default=0.1, metavar="RATE")
    training.add_argument("--weight-decay", type=float, default=5e-3, metavar="RATE")
    training.add_argument(
        "--precision",
        default="float32",
        choices=["float32", "bfloat16"],
        help="bfloat16 is faster where the processor has it",
    )
    training.add_argument("--seed", type=seed, default=0, help="of weights and images")
    pretrain.add_argument(
        "--weight-bits",
        type=positive_int,
        metavar="N",
        help="bits to which weights are rounded in the file; not at all where left out",
    )
    pretrain.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="processes that draw images; 1 draws in a thread, -1 takes all processors",
    )
    pretrain.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say."""
    from sktransfer.pretraining import pretrain

    with _current_folder():
        formula = None if args.formula is None else _import(args.formula)
        start_keras()
        done = pretrain(
            args.out,
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
