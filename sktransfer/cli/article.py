"""``sktransfer article``: the article's whole job, without and with transfer."""

from __future__ import annotations

import argparse
from contextlib import suppress
from typing import Any

from sktransfer.cli._data import read_data
from sktransfer.cli._network import make_extractor, start_keras
from sktransfer.cli._options import (
    PRECISIONS,
    add_cache,
    add_data,
    add_engine,
    add_outputs,
    add_quiet,
    add_run,
    image_size,
)
from sktransfer.cli._output import check_targets, write_result

SUMMARY = "the article's job: 8 against 6, VGG16 to flatten, logistic regression"
DESCRIPTION = (
    "Do what the article does: digits 8 against 6, VGG16 cut at flatten, 224 pixels, "
    "LogisticRegression() as it stands, ten folds, once on raw pixels and once on features. "
    "Without arguments, use scikit-learn's digits and the package's own synthetic weights. If it "
    "is interrupted, run the same command again: it continues where it stopped."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_data(parser, digits="8 6")
    parser.set_defaults(digits=["8", "6"], architecture="vgg16")
    network = parser.add_argument_group("network")
    network.add_argument(
        "--weights",
        metavar="SOURCE",
        help="imagenet, synthetic or a weights file (default: imagenet with --data, synthetic "
        "without)",
    )
    network.add_argument(
        "--layer",
        default="flatten",
        help="the layer whose output is taken (default: %(default)s)",
    )
    network.add_argument(
        "--input-size",
        type=image_size,
        default=224,
        metavar="PIXELS",
        help="side of the images in pixels, 32 or more, or HEIGHTxWIDTH (default: %(default)s)",
    )
    add_engine(network, any_network=False)
    network.add_argument(
        "--precision",
        nargs="+",
        default=["float32"],
        choices=["all", *PRECISIONS],
        help="one or several, a row for each; all: every one that this machine computes in "
        "(default: float32)",
    )
    running = add_run(parser, folds=10, seeds="folds and subset")
    add_cache(running, "article-features")
    add_quiet(running)
    add_outputs(parser)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say."""
    from sktransfer.displays import TransferComparisonDisplay
    from sktransfer.evaluation.comparison.article import compare_as_in_article

    check_targets(args)
    X, y, names = read_data(args)
    verbose = 0 if args.quiet else 1
    start_keras()
    result = compare_as_in_article(
        X,
        y,
        extractors=_make_extractors(args, verbose),
        cv=args.folds,
        positive=None if names is None else 1,
        target_names=names,
        random_state=args.seed,
        verbose=verbose,
    )
    write_result(args, result, "comparison", TransferComparisonDisplay)
    return 0


def _make_extractors(args: argparse.Namespace, verbose: int) -> dict[str, Any]:
    """Return an extractor for each precision."""
    from sktransfer.evaluation.probing.naming import name_extractor

    extractors = {}
    for precision in _list_precisions(args):
        extractor = make_extractor(
            args,
            layer=args.layer,
            weights=args.weights or ("synthetic" if args.data is None else "imagenet"),
            input_size=args.input_size,
            engine=args.engine,
            precision=precision,
            cache=args.cache,
            verbose=verbose,
        )
        extractors[f"{name_extractor(extractor)}, {precision}"] = extractor
    return extractors


def _list_precisions(args: argparse.Namespace) -> list[str]:
    """List the precisions asked for, or all that this machine computes in."""
    from sktransfer.engines import choose_engine
    from sktransfer.networks.outputs import side_of

    if "all" not in args.precision:
        return list(dict.fromkeys(args.precision))
    possible, side = [], side_of(args.input_size)
    for precision in PRECISIONS:
        with suppress(ImportError, ValueError):
            choose_engine(args.engine, precision, side, who="sktransfer article")
            possible.append(precision)
    return possible
