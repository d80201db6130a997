"""Options that several commands share: which networks are compared."""

from __future__ import annotations

import argparse
from typing import Any


def add_network(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which network is cut where, with which weights."""
    network = parser.add_argument_group("network")
    network.add_argument("--layer", default="block3_pool", help="where the network is cut")
    network.add_argument("--architecture", default="vgg16", choices=["vgg16", "vgg19"])
    network.add_argument(
        "--weights",
        nargs="+",
        metavar="SOURCE",
        help="imagenet, synthetic or weights files, a row for each, beside which random weights "
        "are shown as a control; or random alone. Left out: synthetic as far as it goes, and "
        "imagenet if it is on this machine",
    )
    network.add_argument("--pooling", choices=["avg", "max"])
    network.add_argument(
        "--input-size", type=int, nargs="+", default=[32], metavar="PIXELS", help="32 and up"
    )


def make_extractors(args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Return the extractors with their controls, and the names of those that may be missing."""
    from sktransfer.extractor import VGGFeatureExtractor
    from sktransfer.probing.planning import name_extractor

    chosen = _list_defaults(args) if args.weights is None else args.weights
    # The control stands last.
    chosen = [*(source for source in chosen if source != "random"), "random"]
    extractors = {}
    for size in dict.fromkeys(args.input_size):
        for source in chosen:
            extractor = VGGFeatureExtractor(
                args.layer,
                architecture=args.architecture,
                weights=None if source == "random" else source,
                pooling=args.pooling,
                image_shape=args.image_shape and tuple(args.image_shape),
                value_range=tuple(args.value_range) if args.value_range else "auto",
                input_size=size,
                random_state=args.seed,
            )
            extractors[name_extractor(extractor)] = extractor
    # Weights that nobody asked for by name are not downloaded; their row then says so.
    optional = [
        name
        for name, extractor in extractors.items()
        if args.weights is None and extractor.weights == "imagenet"
    ]
    return extractors, optional


def _list_defaults(args: argparse.Namespace) -> list[str]:
    """List the weights to show where none are named."""
    from sktransfer.networks import DENSE_UNITS
    from sktransfer.synthetic import ARCHITECTURE, NAME

    is_within = args.architecture == ARCHITECTURE and args.layer not in DENSE_UNITS
    return [*([NAME] if is_within else []), "imagenet"]
