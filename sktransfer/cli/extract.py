"""``sktransfer extract``: features of any number of image files, into a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from sktransfer.cli._network import make_extractor, make_other, start_engines
from sktransfer.cli._options import (
    add_engine,
    add_network,
    add_other_networks,
    add_pooling,
    add_precision,
    add_quiet,
    add_seed,
    image_size,
)

SUMMARY = "features of any number of image files, into a file"
DESCRIPTION = (
    "Write the features of image files to a file, one row per image, in constant memory. If it is "
    "interrupted, run the same command again: it continues where it stopped."
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="a folder, image files, a text file with one path per line, or a .csv file with a "
        "column of paths",
    )
    parser.add_argument(
        "--out", required=True, metavar="FILE", help="the file to write: .npy, .zarr or .parquet"
    )
    parser.add_argument(
        "--on-error",
        choices=["raise", "skip", "nan"],
        default="raise",
        help="what to do with an image that cannot be read: stop, leave it out, or write a row of "
        "NaN (default: %(default)s)",
    )
    parser.add_argument(
        "--path-column",
        default="path",
        metavar="NAME",
        help="column of paths in a .csv file (default: %(default)s)",
    )
    parser.add_argument(
        "--label-column",
        default="label",
        metavar="NAME",
        help="column of labels in a .csv file, which need not exist (default: %(default)s)",
    )
    network = add_network(parser)
    add_other_networks(network, several=False)
    network.add_argument(
        "--layer",
        nargs="+",
        help="the layer or layers whose output is taken (default: flatten, with --network what "
        "comes before its classifier)",
    )
    add_pooling(network)
    network.add_argument(
        "--input-size",
        type=_size,
        default="auto",
        metavar="PIXELS",
        help="side of the images in pixels, 32 or more, or HEIGHTxWIDTH (default: %(default)s, 224 "
        "or the size that the weights file records)",
    )
    add_engine(network)
    add_precision(network, ["float32", "bfloat16", "int8"])
    add_seed(network, "random weights")
    add_quiet(parser)


def _size(text: str) -> str | int | tuple[int, int]:
    return text if text == "auto" else image_size(text)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say."""
    from sktransfer.export.extraction import extract

    layers = args.layer or ([None] if args.network else ["flatten"])
    params = {
        "layer": layers[0] if len(layers) == 1 else layers,
        "pooling": args.pooling,
        "input_size": args.input_size,
        "engine": args.engine,
        "precision": args.precision,
    }
    if args.network:
        extractor = make_other(args, args.network, **params)
    else:
        extractor = make_extractor(args, **params)
    one = Path(args.inputs[0])
    is_source = len(args.inputs) == 1 and (one.is_dir() or not one.exists() or _is_list(one))
    start_engines([extractor])
    done = extract(
        args.inputs[0] if is_source else args.inputs,
        args.out,
        extractor=extractor,
        on_error=args.on_error,
        path_column=args.path_column,
        label_column=args.label_column,
        verbose=0 if args.quiet else 1,
    )
    print(done)
    return 0


def _is_list(path: Path) -> bool:
    from sktransfer.datasets.folders import IMAGE_EXTENSIONS

    return not path.name.lower().endswith(IMAGE_EXTENSIONS)
