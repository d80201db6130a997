"""``sktransfer sweep``: which layer, pooled how, at which input size."""

from __future__ import annotations

import argparse
from typing import Any

from sktransfer.cli._data import name_labels, read_data
from sktransfer.cli._network import choose_weights, make_extractor, make_other, start_engines
from sktransfer.cli._options import (
    add_cache,
    add_data,
    add_engine,
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
    "Score a linear classifier on the features of several layers, poolings and input sizes, or "
    "with --network of several networks, and say what each costs. Without --data, use "
    "scikit-learn's ten digits, and without --weights and --network the package's own synthetic "
    "weights."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_data(parser)
    network = add_network(parser, download=False)
    add_other_networks(network, several=True)
    network.add_argument(
        "--layers",
        nargs="*",
        metavar="LAYER",
        help="layers by their names (default: the last of each block); with one --network its "
        "layers instead of its embedding, without names the last of each resolution",
    )
    network.add_argument(
        "--poolings",
        nargs="+",
        choices=["avg", "max", "cls", "flat"],
        help="how feature maps become features; cls takes the class token, flat keeps all values "
        "(default: avg max flat, of embeddings what each network means)",
    )
    network.add_argument(
        "--input-sizes",
        type=image_size,
        nargs="+",
        metavar="PIXELS",
        help="sides of the images in pixels, 32 or more, or HEIGHTxWIDTH; networks were trained "
        "at 224 (default: 32 64, with --network what each was trained at)",
    )
    add_engine(network)
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
    check_targets(args)
    if args.layers is not None and len(args.network or []) > 1:
        raise ValueError(
            "The '--layers' option is for one network at a time, as each has layers of its own. "
            f"Got it with {len(args.network)}: leave it out to compare their embeddings, or call "
            "sktransfer.sweep_networks(layers=...)."
        )
    if args.network and args.layers is None:
        return _run_networks(args)
    return _run_layers(args)


def _run_layers(args: argparse.Namespace) -> int:
    """Sweep over the layers of one network."""
    from sktransfer.displays import LayerSweepDisplay
    from sktransfer.evaluation.sweep import sweep_layers
    from sktransfer.evaluation.sweep.grid import BLOCK_ENDS
    from sktransfer.evaluation.sweep.networks import own_size

    X, y, positive = _read_named(args)
    layers = args.layers or BLOCK_ENDS
    if args.network:
        extractor = make_other(args, args.network[0], **_given(args))
        start_engines([extractor])
        sizes = args.input_sizes or [own_size(extractor)]
    else:
        weights = args.weights or choose_weights(args.architecture, layers)
        extractor = make_extractor(args, weights=weights, **_given(args))
        start_engines([extractor])
        sizes = args.input_sizes or [32, 64]
    result = sweep_layers(
        X,
        y,
        extractor=extractor,
        layers=layers,
        poolings=_poolings(args.poolings or ["avg", "max", "flat"]),
        input_sizes=sizes,
        **_measured(args, positive),
    )
    write_result(args, result, "sweep", LayerSweepDisplay)
    return 0


def _run_networks(args: argparse.Namespace) -> int:
    """Sweep over the embeddings of networks."""
    from sktransfer.displays import NetworkSweepDisplay
    from sktransfer.evaluation.probing.naming import name_networks
    from sktransfer.evaluation.sweep.across import sweep_networks

    X, y, positive = _read_named(args)
    extractors = [make_other(args, network, **_given(args)) for network in args.network]
    start_engines(extractors)
    result = sweep_networks(
        X,
        y,
        networks=dict(zip(name_networks(extractors), extractors, strict=True)),
        poolings=None if args.poolings is None else _poolings(args.poolings),
        input_sizes=args.input_sizes,
        **_measured(args, positive),
    )
    write_result(args, result, "networks", NetworkSweepDisplay)
    return 0


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """Return what the options say of every extractor."""
    return {name: getattr(args, name) for name in ("engine", "precision", "cache")}


def _read_named(args: argparse.Namespace) -> tuple[Any, Any, str | None]:
    """Return images, labels, a pair of digits by their names, and which of these is positive."""
    X, y, names = read_data(args)
    return X, name_labels(y, names), None if names is None else names[1]


def _measured(args: argparse.Namespace, positive: str | None) -> dict[str, Any]:
    """Return what the options say of every sweep."""
    return {
        "cv": args.folds,
        "positive": positive,
        "max_width": args.max_width,
        "time_budget": args.time_budget,
        "random_state": args.seed,
        "verbose": 0 if args.quiet else 1,
    }


def _poolings(names: list[str]) -> list[str | None]:
    return [None if name == "flat" else name for name in names]
