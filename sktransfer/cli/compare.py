"""``sktransfer compare``: logistic regression on raw pixels against VGG features."""

from __future__ import annotations

import argparse

from sktransfer.cli._data import name_labels, read_data
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

SUMMARY = "logistic regression on raw pixels against VGG features"
DESCRIPTION = (
    "Compare logistic regression on raw pixels with logistic regression on VGG features, or with "
    "--network on those of other networks: the same images, folds and scaling, with all labels and "
    "with few. Say whether transfer helped. Without arguments, compare scikit-learn's ten digits "
    "with the package's own synthetic weights, with ImageNet weights if they are on this machine, "
    "and with random weights as a control."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_data(parser)
    add_networks(parser)
    running = add_run(parser, folds=10, seeds="folds, subset and random weights")
    running.add_argument(
        "--few-labels",
        type=int,
        nargs="*",
        metavar="N",
        help="also score with N labels of each class; no number: only with all labels (default: 3 "
        "and 10, as far as there are twice as many)",
    )
    running.add_argument(
        "--controls",
        type=positive_int,
        default=3,
        metavar="N",
        help="draw the random weights of a control with N seeds (default: %(default)s)",
    )
    add_quiet(running)
    add_outputs(parser)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say."""
    from sktransfer.displays import TransferComparisonDisplay
    from sktransfer.evaluation.comparison import compare_transfer

    check_targets(args)
    X, y, names = read_data(args)
    extractors, optional = make_extractors(args)
    start_engines(extractors.values())
    result = compare_transfer(
        X,
        y,
        extractors=extractors,
        positive=None if names is None else 1,
        target_names=names,
        optional=optional,
        on_error="skip" if args.network else "raise",
        cv=args.folds,
        few_labels="auto" if args.few_labels is None else args.few_labels,
        n_controls=args.controls,
        random_state=args.seed,
        verbose=0 if args.quiet else 1,
    )
    computed = [row for row in result.rows if row.name in extractors and row.unavailable is None]
    estimator = extractors[(result.best_transfer or computed[-1]).name]
    shown = {"estimator": estimator, "X": X, "y": name_labels(y, names)}
    write_result(args, result, "comparison", TransferComparisonDisplay, **shown)
    return 0
