"""``sktransfer compare``: logistic regression on raw pixels against VGG features."""

from __future__ import annotations

import argparse
from typing import Any

from sktransfer.cli._data import (
    add_data,
    add_outputs,
    check_targets,
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
    compare = commands.add_parser(
        "compare",
        help="logistic regression on raw pixels against VGG features",
        description="Compare logistic regression on raw pixels with the same on VGG features, by "
        "the same images, folds and scaling, with all labels and with few, and say whether "
        "transfer helped. Without arguments: scikit-learn's ten embedded digits, the "
        "package's own synthetic weights, ImageNet weights if they are on this machine, and random "
        "weights as a control.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    compare.set_defaults(run=run)
    # A pair leaves nothing to gain: raw pixels tell 8 from 6 with three labels.
    add_data(compare, digits="0 1 2 3 4 5 6 7 8 9")
    add_network(compare)
    running = compare.add_argument_group("run")
    running.add_argument("--folds", type=int, default=10, help="folds of the cross-validation")
    running.add_argument(
        "--few-labels",
        type=int,
        nargs="*",
        metavar="N",
        help="labels of each class at which rows are scored, too, none for all labels alone; 3 and "
        "10 where left out, as far as there are twice as many",
    )
    running.add_argument("--seed", type=seed, default=0, help="of folds, subset and random weights")
    running.add_argument(
        "--quiet", action="store_true", help="no progress bars but that of a download"
    )
    add_outputs(compare)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say."""
    from sktransfer.comparison import compare_transfer
    from sktransfer.displays import TransferComparisonDisplay

    check_targets(args)
    X, y, names = read_data(args)
    extractors, optional = make_extractors(args)
    start_keras()
    result = compare_transfer(
        X,
        y,
        extractors=extractors,
        positive=None if names is None else 1,
        target_names=names,
        optional=optional,
        cv=args.folds,
        few_labels="auto" if args.few_labels is None else args.few_labels,
        random_state=args.seed,
        verbose=0 if args.quiet else 1,
    )
    write_result(args, result)
    if args.plot:
        save_plot(TransferComparisonDisplay(result).plot(), args.plot)
    if args.report:
        write_report(args, comparison=result)
    return 0
