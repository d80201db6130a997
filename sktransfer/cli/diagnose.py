"""``sktransfer diagnose``: what is wrong with images, features and labels, with evidence."""

from __future__ import annotations

import argparse
from typing import Any

from sktransfer.cli._data import read_data
from sktransfer.cli._network import choose_weights, make_extractor, make_other, start_engines
from sktransfer.cli._options import (
    add_cut,
    add_data,
    add_findings,
    add_network,
    add_other_networks,
    add_run,
    image_size,
)
from sktransfer.cli._output import check_targets, write_result

_MAX_IMAGES = 200

SUMMARY = "look for what is wrong with images, features and labels"
DESCRIPTION = (
    "Look for wrong value ranges, double preprocessing, copied images, labels out of step, and "
    f"unfit sizes and layers in a sample of the images ({_MAX_IMAGES}, or --max-images). Print "
    "findings with evidence and remedy. Without --data, examine scikit-learn's ten digits."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    add_data(parser)
    network = add_network(parser, download=False)
    add_other_networks(network, several=False)
    add_cut(network)
    network.add_argument(
        "--input-size",
        type=image_size,
        metavar="PIXELS",
        help="side of the images in pixels, 32 or more, or HEIGHTxWIDTH (default: 32, with "
        "--network what it was trained at)",
    )
    parser.add_argument_group("features").add_argument(
        "--features",
        metavar="FILE",
        help="a .npy file of features that were computed elsewhere: say whether they are those of "
        "these images, in this order",
    )
    add_run(parser, folds=5, seeds="sample, folds and random weights")
    add_findings(parser, "the findings", forms=["json"])
    parser.set_defaults(csv=None)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say."""
    from sktransfer.evaluation.diagnosis import diagnose

    check_targets(args)
    # All images are read, as copies are searched among all; the sample is drawn afterwards.
    n_images, args.max_images = args.max_images or _MAX_IMAGES, None
    X, y, _ = read_data(args)
    extractor = _make(args)
    start_engines([extractor])
    diagnosis = diagnose(
        extractor,
        X,
        y,
        features=args.features,
        cv=args.folds,
        max_images=n_images,
        random_state=args.seed,
    )
    shown = {"estimator": extractor, "X": X} if any(e.images for e in diagnosis.findings) else {}
    write_result(args, diagnosis, "diagnosis", **shown)
    return 0


def _make(args: argparse.Namespace) -> Any:
    """Return the extractor that the options describe."""
    if args.network:
        return make_other(
            args,
            args.network,
            layer=args.layer,
            pooling=args.pooling,
            input_size=args.input_size or "auto",
        )
    layer = args.layer or "block3_pool"
    return make_extractor(
        args,
        layer=layer,
        pooling=args.pooling,
        weights=args.weights or choose_weights(args.architecture, [layer]),
        input_size=args.input_size or 32,
    )
