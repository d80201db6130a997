"""``sktransfer sweep``: which layer, pooled how, at which input size."""

from __future__ import annotations

import argparse

from sktransfer.cli._data import read_data
from sktransfer.cli._network import choose_weights, make_extractor, make_other, start_keras
from sktransfer.cli._options import (
    add_cache,
    add_data,
    add_network,
    add_other_networks,
    add_outputs,
    add_precision,
    add_quiet,
    add_run,
    image_size,
    positive_int,
)
from sktransfer.cli._output import check_targets, write_result

SUMMARY = "which layer, pooled how, at which input size"
DESCRIPTION = (
    "Score a linear classifier on the features of several layers, poolings and input sizes, and "
    "say what each costs. Without --data, use scikit-learn's ten digits, and without "
    "--weights the package's own synthetic weights."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_data(parser)
    network = add_network(parser, download=False)
    add_other_networks(network, several=True)
    network.add_argument(
        "--layers",
        nargs="+",
        metavar="LAYER",
        help="layers by their Keras names (default: the last of each block)",
    )
    network.add_argument(
        "--poolings",
        nargs="+",
        choices=["avg", "max", "flat"],
        help="how feature maps become features; flat keeps all values (default: avg max flat, with "
        "--network avg)",
    )
    network.add_argument(
        "--input-sizes",
        type=image_size,
        nargs="+",
        metavar="PIXELS",
        help="sides of the images in pixels, 32 or more, or HEIGHTxWIDTH; networks were trained "
        "at 224 (default: 32 64, with --network what each was trained at)",
    )
    add_precision(network, ["float32", "bfloat16", "int8"])
    running = add_run(parser, folds=5, seeds="folds, subset and random weights")
    running.add_argument(
        "--max-width",
        type=positive_int,
        default=50_000,
        metavar="N",
        help="skip rows with more than N features per image (default: %(default)s)",
    )
    running.add_argument(
        "--time-budget", type=float, metavar="SECONDS", help="start no new row after this time"
    )
    add_cache(running, "temporary")
    add_quiet(running)
    add_outputs(parser)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say."""
    from sktransfer.displays import LayerSweepDisplay
    from sktransfer.evaluation.sweep import sweep_layers
    from sktransfer.evaluation.sweep.grid import BLOCK_ENDS

    check_targets(args)
    if args.network:
        return _run_networks(args)
    X, y, names = read_data(args)
    layers = args.layers or BLOCK_ENDS
    weights = args.weights or choose_weights(args.architecture, layers)
    extractor = make_extractor(args, weights=weights, precision=args.precision, cache=args.cache)
    start_keras()
    result = sweep_layers(
        X,
        y,
        extractor=extractor,
        layers=layers,
        poolings=_poolings(args.poolings or ["avg", "max", "flat"]),
        input_sizes=args.input_sizes or [32, 64],
        cv=args.folds,
        positive=None if names is None else 1,
        max_width=args.max_width,
        time_budget=args.time_budget,
        random_state=args.seed,
        verbose=0 if args.quiet else 1,
    )
    write_result(args, result, "sweep", LayerSweepDisplay)
    return 0


def _poolings(names: list[str]) -> list[str | None]:
    return [None if name == "flat" else name for name in names]


def _run_networks(args: argparse.Namespace) -> int:
    from sktransfer.displays import NetworkSweepDisplay
    from sktransfer.evaluation.probing.planning import name_network
    from sktransfer.evaluation.sweep.across import sweep_networks

    if args.layers:
        raise ValueError(
            "The '--layers' option is for one network of VGG. Got it with --network, which "
            "compares embeddings: call sktransfer.sweep_networks(layers=...), or leave one out."
        )
    X, y, names = read_data(args)
    params = {"precision": args.precision, "cache": args.cache}
    start_keras()
    extractors = [make_other(args, network, **params) for network in args.network]
    result = sweep_networks(
        X,
        y,
        networks={name_network(each): each for each in extractors},
        poolings=_poolings(args.poolings or ["avg"]),
        input_sizes=args.input_sizes,
        cv=args.folds,
        positive=None if names is None else 1,
        max_width=args.max_width,
        random_state=args.seed,
        verbose=0 if args.quiet else 1,
    )
    write_result(args, result, "networks", NetworkSweepDisplay)
    return 0
