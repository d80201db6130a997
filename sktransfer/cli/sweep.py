"""``sktransfer sweep``: which layer, pooled how, at which input size."""

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


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    sweep = commands.add_parser(
        "sweep",
        help="which layer, pooled how, at which input size",
        description="Score a linear classifier on layers x poolings x input sizes of a network, "
        "and say what each costs. Without --data: scikit-learn's embedded digits, 8 against 6.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    sweep.set_defaults(run=run)
    add_data(sweep)
    network = sweep.add_argument_group("network")
    network.add_argument("--architecture", default="vgg16", choices=["vgg16", "vgg19"])
    network.add_argument(
        "--weights",
        default="imagenet",
        metavar="SOURCE",
        help="imagenet, synthetic, a weights file, or random",
    )
    network.add_argument(
        "--layers",
        nargs="+",
        metavar="LAYER",
        help="layers by their Keras names; the end of each block where left out",
    )
    network.add_argument(
        "--poolings",
        nargs="+",
        default=["avg", "max", "flat"],
        choices=["avg", "max", "flat"],
        help="flat keeps all values",
    )
    network.add_argument(
        "--input-sizes",
        type=int,
        nargs="+",
        default=[32, 64],
        metavar="PIXELS",
        help="32 and up; 224 is what the networks were trained at",
    )
    network.add_argument("--precision", default="float32", choices=["float32", "bfloat16", "int8"])
    running = sweep.add_argument_group("run")
    running.add_argument("--folds", type=int, default=5, help="folds of the cross-validation")
    running.add_argument("--seed", type=seed, default=0, help="of folds, subset and random weights")
    running.add_argument(
        "--max-width",
        type=positive_int,
        default=50_000,
        metavar="N",
        help="features per image above which a row is skipped",
    )
    running.add_argument(
        "--time-budget",
        type=float,
        metavar="SECONDS",
        help="begin nothing more after this long",
    )
    running.add_argument(
        "--cache",
        default="temporary",
        metavar="FOLDER",
        help="keep features here, so that an interrupted sweep goes on",
    )
    running.add_argument(
        "--quiet", action="store_true", help="no progress bars but that of a download"
    )
    add_outputs(sweep, instead_of="the table")


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say."""
    from sktransfer.extractor import VGGFeatureExtractor
    from sktransfer.sweep import sweep_layers
    from sktransfer.sweep.grid import BLOCK_ENDS

    check_targets(args)
    X, y, names = read_data(args)
    extractor = VGGFeatureExtractor(
        architecture=args.architecture,
        weights=None if args.weights == "random" else args.weights,
        image_shape=args.image_shape and tuple(args.image_shape),
        value_range=tuple(args.value_range) if args.value_range else "auto",
        precision=args.precision,
        cache=args.cache,
        random_state=args.seed,
    )
    start_keras()
    result = sweep_layers(
        X,
        y,
        extractor=extractor,
        layers=args.layers or BLOCK_ENDS,
        poolings=[None if pooling == "flat" else pooling for pooling in args.poolings],
        input_sizes=args.input_sizes,
        cv=args.folds,
        positive=None if names is None else 1,
        max_width=args.max_width,
        time_budget=args.time_budget,
        random_state=args.seed,
        verbose=0 if args.quiet else 1,
    )
    write_result(args, result)
    if args.plot:
        from sktransfer.displays import LayerSweepDisplay

        save_plot(LayerSweepDisplay(result).plot(), args.plot)
    if args.report:
        write_report(args, sweep=result)
    return 0
