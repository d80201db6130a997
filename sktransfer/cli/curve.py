"""``sktransfer curve``: how many labels VGG features save."""

from __future__ import annotations

import argparse
from typing import Any

from sktransfer.cli._data import (
    add_data,
    add_outputs,
    check_targets,
    positive_int,
    read_data,
    save_plot,
    seed,
    start_keras,
    write_report,
    write_result,
)
from sktransfer.cli._network import add_network, make_extractors


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    curve = commands.add_parser(
        "curve",
        help="scores against numbers of labels, with and without VGG features",
        description="Measure what a number of labels gives on raw pixels, on VGG features and on "
        "those of the same network with random weights: start, slope, asymptote, labels saved. "
        "Without arguments: scikit-learn's embedded digits, 8 against 6, the package's own "
        "synthetic weights, and ImageNet weights if they are on this machine.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    curve.set_defaults(run=run)
    add_data(curve)
    add_network(curve)
    running = curve.add_argument_group("run")
    running.add_argument(
        "--sizes",
        type=positive_int,
        nargs="+",
        metavar="N",
        help="numbers of labels; doublings from two per class to all where left out",
    )
    running.add_argument("--repeats", type=int, default=10, help="draws for each number of labels")
    running.add_argument("--test", type=float, default=0.25, help="share of the images to test on")
    running.add_argument("--scoring", default="accuracy", help="a metric, as scikit-learn names it")
    running.add_argument("--seed", type=seed, default=0, help="of draws, subset and random weights")
    running.add_argument(
        "--quiet", action="store_true", help="no progress bars but that of a download"
    )
    add_outputs(curve)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say."""
    from sktransfer.curves import transfer_curve

    check_targets(args)
    X, y, _ = read_data(args)
    extractors, optional = make_extractors(args)
    start_keras()
    result = transfer_curve(
        X,
        y,
        extractors=extractors,
        sizes=args.sizes or "auto",
        n_repeats=args.repeats,
        test=args.test,
        scoring=args.scoring,
        optional=optional,
        random_state=args.seed,
        verbose=0 if args.quiet else 1,
    )
    write_result(args, result)
    if args.plot:
        from sktransfer.displays import TransferCurveDisplay

        save_plot(TransferCurveDisplay(result).plot(), args.plot)
    if args.report:
        write_report(args, curve=result)
    return 0
