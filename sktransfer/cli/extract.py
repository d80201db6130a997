"""``sktransfer extract``: features of any number of image files, into a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sktransfer.cli._data import seed, start_keras


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    extract = commands.add_parser(
        "extract",
        help="features of any number of image files, into a file",
        description="Write the features of image files to a file, one row per image, in constant "
        "memory. Interrupted, the same command goes on where it was.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    extract.set_defaults(run=run)
    extract.add_argument(
        "images",
        nargs="+",
        metavar="INPUT",
        help="a folder, image files, a text file with a path in each line, or a .csv file with a "
        "column of paths",
    )
    extract.add_argument(
        "--out", required=True, metavar="FILE", help="a name that ends with .npy, .zarr or .parquet"
    )
    extract.add_argument(
        "--on-error",
        choices=["raise", "skip", "nan"],
        default="raise",
        help="what an image means that cannot be read: an error, no row, or a row of NaN",
    )
    extract.add_argument("--path-column", default="path", help="of a .csv file")
    extract.add_argument("--label-column", default="label", help="of a .csv file; may be missing")
    network = extract.add_argument_group("network")
    network.add_argument("--layer", nargs="+", default=["flatten"], help="where it is cut")
    network.add_argument("--architecture", default="vgg16", choices=["vgg16", "vgg19"])
    network.add_argument(
        "--weights",
        default="imagenet",
        metavar="SOURCE",
        help="imagenet, synthetic, a weights file or random",
    )
    network.add_argument("--pooling", choices=["avg", "max"])
    network.add_argument("--input-size", type=_size, default="auto", metavar="PIXELS")
    network.add_argument("--engine", default="auto", choices=["auto", "keras", "openvino", "ncnn"])
    network.add_argument("--precision", default="float32", choices=["float32", "bfloat16", "int8"])
    network.add_argument("--seed", type=seed, default=0, help="of random weights")
    extract.add_argument(
        "--quiet", action="store_true", help="no progress bar but that of a download"
    )


def _size(text: str) -> str | int:
    return text if text == "auto" else int(text)


def run(args: argparse.Namespace) -> int:
    """Do what the arguments say."""
    from sktransfer.extraction import extract
    from sktransfer.extractor import VGGFeatureExtractor

    extractor = VGGFeatureExtractor(
        args.layer[0] if len(args.layer) == 1 else args.layer,
        architecture=args.architecture,
        weights=None if args.weights == "random" else args.weights,
        pooling=args.pooling,
        input_size=args.input_size,
        engine=args.engine,
        precision=args.precision,
        random_state=args.seed,
    )
    one = Path(args.images[0])
    is_source = len(args.images) == 1 and (one.is_dir() or not one.exists() or _is_list(one))
    start_keras()
    done = extract(
        args.images[0] if is_source else args.images,
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
    from sktransfer.labelled_files import IMAGE_EXTENSIONS

    return not path.name.lower().endswith(IMAGE_EXTENSIONS)
