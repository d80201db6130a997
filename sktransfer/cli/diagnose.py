"""``sktransfer diagnose``: what is wrong with images, features and labels, with evidence."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sktransfer.cli._data import (
    add_data,
    check_targets,
    read_data,
    seed,
    start_keras,
    write_report,
)

_MAX_IMAGES = 200


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "diagnose",
        help="look for what is wrong with images, features and labels",
        description="Look for wrong ranges, double preprocessing, copies, labels out of step, "
        "unfit sizes and layers, on a sample of the images (200, or --max-images), and print "
        "findings with evidence and remedy.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.set_defaults(run=run, csv=None)
    add_data(parser)
    network = parser.add_argument_group("network")
    network.add_argument("--layer", default="block3_pool", help="where the network is cut")
    network.add_argument("--architecture", default="vgg16", choices=["vgg16", "vgg19"])
    network.add_argument(
        "--weights",
        metavar="SOURCE",
        default="imagenet",
        help="imagenet, synthetic, a weights file or random",
    )
    network.add_argument("--pooling", choices=["avg", "max"])
    network.add_argument("--input-size", type=int, default=32, metavar="PIXELS", help="32 and up")
    running = parser.add_argument_group("run")
    running.add_argument("--folds", type=int, default=5, help="folds of the cross-validation")
    running.add_argument("--seed", type=seed, default=0, help="of sample, folds, random weights")
    running.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write JSON to a file, or instead of the report where none is named",
    )
    running.add_argument(
        "--report", metavar="FILE", help="write findings and remedies as one web page: .html"
    )


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say."""
    from sktransfer.diagnosis import diagnose
    from sktransfer.extractor import VGGFeatureExtractor

    check_targets(args)
    # All images are read, as copies are searched among all; the sample is drawn afterwards.
    whole = argparse.Namespace(**vars(args) | {"max_images": None})
    X, y, _ = read_data(whole)
    extractor = VGGFeatureExtractor(
        args.layer,
        architecture=args.architecture,
        weights=None if args.weights == "random" else args.weights,
        pooling=args.pooling,
        image_shape=args.image_shape and tuple(args.image_shape),
        value_range=tuple(args.value_range) if args.value_range else "auto",
        input_size=args.input_size,
        random_state=args.seed,
    )
    start_keras()
    diagnosis = diagnose(
        extractor,
        X,
        y,
        cv=args.folds,
        max_images=args.max_images or _MAX_IMAGES,
        random_state=args.seed,
    )
    if args.json != "-":
        print(diagnosis)
    else:
        print(diagnosis.to_json())
    if args.json not in (None, "-"):
        Path(args.json).write_text(diagnosis.to_json() + "\n", encoding="utf-8")
    if args.report:
        write_report(whole, diagnosis=diagnosis)
    return 0
