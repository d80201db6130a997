"""The options of the commands: each stands here once, in the group that its command shows it in."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

#: The engines' names, repeated here so that help imports no engine.
PRECISIONS = ["float32", "bfloat16", "float16", "int8"]
_NETWORKS = ["vgg16", "vgg19"]
#: The usual ways of scaling pixels, by the names of the option `--preprocessing`.
SCALINGS = ("caffe", "tf", "torch", "none")
_NUMBERS = '\'{"scale": 0.0039, "mean": 0.5, "std": [0.2, 0.2, 0.3], "order": "RGB"}\''
_SOURCES = "imagenet, synthetic, random or a weights file"
#: What all commands take without --data. A pair would leave nothing to gain: raw pixels tell 8 from
#: 6 with three labels.
DIGITS = "0 1 2 3 4 5 6 7 8 9"


def positive_int(text: str) -> int:
    """Read a whole number from 1 up."""
    return _read_int(text, 1, None)


def seed(text: str) -> int:
    """Read a seed as NumPy takes it."""
    return _read_int(text, 0, 2**32 - 1)


def image_size(text: str) -> int | tuple[int, int]:
    """Read the side of square images in pixels, or their height and width: ``48x96``."""
    try:
        sides = [int(side) for side in text.lower().split("x")]
        if len(sides) > 2:
            raise ValueError
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"must be a side in pixels, such as 64, or HEIGHTxWIDTH, such as 48x96, got {text!r}"
        ) from error
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def scaling(text: str) -> str | dict[str, object]:
    """Read how pixels are scaled: a usual way by its name, or numbers as JSON."""
    if text in SCALINGS:
        return text
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise argparse.ArgumentTypeError(
            f"must be {', '.join(SCALINGS)}, or JSON such as {_NUMBERS}, got {text!r}"
        )
    return given


def _read_int(text: str, low: int, high: int | None) -> int:
    rule = f"of at least {low}" if high is None else f"from {low} to {high}"
    try:
        number = int(text)
        if number < low or (high is not None and number > high):
            raise ValueError
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be a whole number {rule}, got {text!r}") from error
    return number


def add_data(parser: argparse.ArgumentParser, *, digits: str = DIGITS) -> None:
    """Add which images are read, and how; without any, scikit-learn's digits."""
    parser.set_defaults(default_digits=digits.split())
    data = parser.add_argument_group("data")
    data.add_argument(
        "--data",
        metavar="PATH",
        help="a CSV file of pixels (label,pixel0,...), an .npz file with images and labels, or a "
        "folder with one folder per class; or mnist: two digits, fetched from OpenML (default: "
        "scikit-learn's digits)",
    )
    data.add_argument(
        "--digits",
        "--classes",
        nargs="+",
        metavar="LABEL",
        help="the classes to use; of two, the first is the positive one (default without --data: "
        f"{digits})",
    )
    data.add_argument(
        "--max-images",
        type=positive_int,
        metavar="N",
        help="use a random subset of N images with the same share of each class",
    )
    images = parser.add_argument_group("images")
    images.add_argument(
        "--value-range",
        type=float,
        nargs=2,
        metavar=("BLACK", "WHITE"),
        help="the values of black and white (default: by data type, values or file)",
    )
    images.add_argument(
        "--image-shape",
        type=int,
        nargs="+",
        metavar="N",
        help="shape of images that are flat rows: height width, height width channels, or "
        "channels height width (default: square)",
    )


def add_network(
    parser: argparse.ArgumentParser, *, download: bool = True
) -> argparse._ArgumentGroup:
    """Add which network is used, with which weights; further options go into the group.

    Without `download`, weights that the package holds are taken where no others are asked for.
    """
    network = _add_architecture(parser)
    default = "imagenet" if download else "synthetic where the cut allows it, else imagenet"
    network.add_argument(
        "--weights",
        default="imagenet" if download else None,
        metavar="SOURCE",
        help=f"{_SOURCES} (default: {default})",
    )
    return network


def add_other_networks(network: argparse._ArgumentGroup, *, several: bool) -> None:
    """Add networks other than VGG."""
    network.add_argument(
        "--network",
        nargs="+" if several else None,
        metavar="NAME",
        help="a network of keras.applications by name, such as resnet50, one of timm, such as "
        "timm/resnet50, or a .keras or .onnx file" + ("; several are compared" * several),
    )
    network.add_argument(
        "--preprocessing",
        type=scaling,
        metavar="SCALING",
        help="how pixels are scaled for .keras and .onnx files that do not tell it: as Keras' "
        "networks in mode caffe, tf or torch, not at all (none), or by numbers as JSON, such as "
        f"{_NUMBERS}; other networks keep their own",
    )


def add_networks(parser: argparse.ArgumentParser) -> None:
    """Add which networks are compared: one or several weights, at one or several sizes."""
    network = _add_architecture(parser)
    add_other_networks(network, several=True)
    network.add_argument(
        "--weights",
        nargs="+",
        metavar="SOURCE",
        help=f"{_SOURCES}; each gives a row, and random weights are always added as a control "
        "(default: synthetic where the cut allows it, and imagenet if it is on this machine)",
    )
    add_cut(network)
    network.add_argument(
        "--input-size",
        type=image_size,
        nargs="+",
        metavar="PIXELS",
        help="side of the images in pixels, 32 or more, or HEIGHTxWIDTH; each gives a row (by "
        "default 32, with --network what each was trained at)",
    )
    add_engine(network)
    add_precision(network, PRECISIONS)
    add_cache(network, "temporary")


def _add_architecture(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    network = parser.add_argument_group("network")
    network.add_argument(
        "--architecture",
        default="vgg16",
        choices=_NETWORKS,
        help="the network (default: %(default)s)",
    )
    return network


def add_cut(network: argparse._ArgumentGroup) -> None:
    """Add the layer whose output is taken, and how it is pooled."""
    network.add_argument(
        "--layer",
        help="the layer whose output is taken (default: block3_pool, with --network what comes "
        "before its classifier)",
    )
    add_pooling(network)


def add_pooling(network: argparse._ArgumentGroup) -> None:
    """Add how feature maps become features."""
    network.add_argument(
        "--pooling",
        choices=["avg", "max", "cls"],
        help="one feature per channel: its mean, its maximum, or its class token in networks that "
        "have one (default: all values)",
    )


def add_engine(network: argparse._ArgumentGroup, *, any_network: bool = True) -> None:
    """Add what runs the network."""
    torch = "; torch is for networks of timm alone" if any_network else ""
    network.add_argument(
        "--engine",
        default="auto",
        choices=["auto", "keras", "openvino", "ncnn", *(["torch"] if any_network else [])],
        help=f"the library that runs the network{torch} (default: %(default)s)",
    )


def add_cache(group: argparse._ArgumentGroup, default: str) -> None:
    """Add where features are stored."""
    group.add_argument(
        "--cache",
        default=default,
        metavar="FOLDER",
        help="store features in FOLDER, for an interrupted run to continue (default: %(default)s)",
    )


def add_precision(group: argparse._ArgumentGroup, choices: Sequence[str]) -> None:
    """Add the precision of the arithmetic."""
    group.add_argument(
        "--precision",
        default="float32",
        choices=choices,
        help="precision of the arithmetic; the shorter ones are less exact and mostly faster, on "
        "processors that support them (default: %(default)s)",
    )


def add_run(
    parser: argparse.ArgumentParser, *, seeds: str, folds: int | None = None
) -> argparse._ArgumentGroup:
    """Add how a measurement runs; further options go into the group."""
    running = parser.add_argument_group("run")
    if folds is not None:
        running.add_argument(
            "--folds",
            type=int,
            default=folds,
            metavar="N",
            help="folds of the cross-validation (default: %(default)s)",
        )
    add_seed(running, seeds)
    return running


def add_seed(group: argparse._ArgumentGroup, of: str) -> None:
    """Add the seed of all that is random."""
    group.add_argument(
        "--seed", type=seed, default=0, metavar="N", help=f"seed of {of} (default: %(default)s)"
    )


def add_quiet(group: argparse._ActionsContainer) -> None:
    """Add the option that turns progress bars off."""
    group.add_argument(
        "--quiet", action="store_true", help="show no progress bars, except of downloads"
    )


def add_outputs(parser: argparse.ArgumentParser) -> None:
    """Add where tables and drawings go besides the terminal."""
    outputs = add_findings(parser, "the tables", forms=["json", "csv"])
    outputs.add_argument(
        "--plot", metavar="FILE", help="draw the result into a .png, .svg or .pdf file"
    )


def add_findings(
    parser: argparse.ArgumentParser, printed: str, *, forms: Sequence[str]
) -> argparse._ArgumentGroup:
    """Add where a result goes besides the terminal, which shows what `printed` names."""
    outputs = parser.add_argument_group("output")
    for form in forms:
        outputs.add_argument(
            f"--{form}",
            nargs="?",
            const="-",
            metavar="FILE",
            help=f"write {form.upper()} to FILE, or without FILE print it instead of {printed}",
        )
    outputs.add_argument(
        "--verbose",
        action="store_true",
        help="print everything, and not only the answer and one table",
    )
    outputs.add_argument(
        "--report", metavar="FILE", help="write everything as one web page into an .html file"
    )
    return outputs
