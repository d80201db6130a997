"""``sktransfer curve``: how many labels VGG features save."""

from __future__ import annotations

import argparse

from sktransfer.cli._data import read_data
from sktransfer.cli._network import make_extractors, start_engines
from sktransfer.cli._options import (
    add_data,
    add_networks,
    add_outputs,
    add_quiet,
    add_run,
    positive_int,
)
from sktransfer.cli._output import check_targets, write_result

SUMMARY = "scores by number of labels, with and without VGG features"
DESCRIPTION = (
    "Measure how scores grow with the number of labels: on raw pixels, on VGG features, or with "
    "--network on those of other networks, and on those of the same network with random weights. "
    "Print start, slope and asymptote of each curve, and the labels saved. Without arguments, "
    "measure scikit-learn's ten digits with the package's own synthetic weights, and with ImageNet "
    "weights if they are on this machine."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_data(parser)
    add_networks(parser)
    running = add_run(parser, seeds="draws, subset and random weights")
    running.add_argument(
        "--sizes",
        type=positive_int,
        nargs="+",
        metavar="N",
        help="numbers of labels (default: from two per class, doubled up to all)",
    )
    running.add_argument(
        "--repeats",
        type=int,
        default=10,
        metavar="N",
        help="random draws for each number of labels (default: %(default)s)",
    )
    running.add_argument(
        "--test",
        type=float,
        default=0.25,
        metavar="SHARE",
        help="share of the images to test on (default: %(default)s)",
    )
    running.add_argument(
        "--scoring",
        default="accuracy",
        metavar="METRIC",
        help="a metric by its name in scikit-learn (default: %(default)s)",
    )
    add_quiet(running)
    add_outputs(parser)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say."""
    from sktransfer.displays import TransferCurveDisplay
    from sktransfer.evaluation.curves import transfer_curve

    check_targets(args)
    X, y, _ = read_data(args)
    extractors, optional = make_extractors(args)
    start_engines(extractors.values())
    result = transfer_curve(
        X,
        y,
        extractors=extractors,
        sizes=args.sizes or "auto",
        n_repeats=args.repeats,
        test=args.test,
        scoring=args.scoring,
        optional=optional,
        on_error="skip" if args.network else "raise",
        random_state=args.seed,
        verbose=0 if args.quiet else 1,
    )
    write_result(args, result, "curve", TransferCurveDisplay)
    return 0
