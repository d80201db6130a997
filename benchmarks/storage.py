"""What a number format costs weights: size of the file, time to load it, error of the features.

``python benchmarks/storage.py FILE`` writes the convolutions of a weights file of VGG16 in
each format, all by HDF5's filters shuffle and gzip, and compares the features at every block's end
with those of the file as it is, on scikit-learn's digits and parts of its photographs.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from measuring import relative_error

from sktransfer.features.preprocessing import Resizing, preprocess
from sktransfer.networks import Cut, build, plan_cut
from sktransfer.results.tables import format_table
from sktransfer.training.pretraining.storage import round_weights, write_weights
from sktransfer.weights import Weights, read_weights, read_weights_and_record

_N_IMAGES = 48
_N_LOADS = 5
_ENDS = [f"block{block}_pool" for block in range(1, 6)]

Stored = dict[str, np.ndarray]


class Format(NamedTuple):
    """From a kernel or a bias to what is stored of it, and back; None is the library's own."""

    name: str
    encode: Callable[[np.ndarray], Stored] | None
    decode: Callable[[Stored], np.ndarray] | None
    bits: int | None = None


def _to_bfloat16(values: np.ndarray) -> Stored:
    # The upper half of float32, to the nearest, ties to even; HDF5 has no such type.
    pattern = values.view(np.uint32)
    return {"bits": ((pattern + 0x7FFF + ((pattern >> 16) & 1)) >> 16).astype(np.uint16)}


def _from_bfloat16(stored: Stored) -> np.ndarray:
    return (stored["bits"].astype(np.uint32) << 16).view(np.float32)


def _to_int8(values: np.ndarray) -> Stored:
    """A scale for each output channel; biases are too few to matter, and are kept."""
    if values.ndim == 1:
        return {"values": values}
    scale = np.abs(values).max(axis=(0, 1, 2)) / np.float32(127)
    scale[scale == 0] = 1
    return {"values": np.rint(values / scale).astype(np.int8), "scale": scale}


def _from_int8(stored: Stored) -> np.ndarray:
    values = stored["values"].astype(np.float32)
    return values * stored["scale"] if "scale" in stored else values


def _to_mantissa(bits: int) -> Callable[[np.ndarray], Stored]:
    dropped = 23 - bits

    def encode(values: np.ndarray) -> Stored:
        pattern = values.view(np.uint32)
        pattern = pattern + ((1 << (dropped - 1)) - 1) + ((pattern >> dropped) & 1)
        return {"values": ((pattern >> dropped) << dropped).view(np.float32)}

    return encode


_FORMATS = [
    Format("float32", None, None),
    Format(
        "float16",
        lambda values: {"values": values.astype(np.float16)},
        lambda stored: stored["values"].astype(np.float32),
    ),
    Format("bfloat16", _to_bfloat16, _from_bfloat16),
    Format("int8 per channel", _to_int8, _from_int8),
    *(
        Format(f"float32, {bits} bits of mantissa", _to_mantissa(bits), lambda x: x["values"])
        for bits in (6, 5, 4)
    ),
    *(Format(f"float32, weight_bits={bits}", None, None, bits) for bits in (11, 10, 9, 8)),
]


def measure(path: str | os.PathLike) -> list[dict[str, Any]]:
    """Measure every format."""
    weights, recorded, _ = read_weights_and_record(path, plan_cut(_ENDS, "vgg16"))
    size = recorded or 32
    cut = plan_cut(_ENDS, "vgg16", input_size=size)
    images = _images(size)
    reference = _features(weights, cut, images)
    rows = []
    for format_ in _FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "weights.h5"
            _write(file, weights, format_)
            times = []
            for _ in range(_N_LOADS):
                start = time.perf_counter()
                loaded = _read(file, format_)
                times.append(time.perf_counter() - start)
            n_bytes = file.stat().st_size
        row: dict[str, Any] = {
            "format": format_.name,
            "MB": n_bytes / 1e6,
            "seconds": min(times),
        }
        features = _features(loaded, cut, images)
        for name, found, expected in zip(_ENDS, features, reference, strict=True):
            row[name] = relative_error(found, expected)
        rows.append(row)
    return rows


def _write(path: Path, weights: Weights, format_: Format) -> None:
    import h5py

    if format_.encode is None:
        write_weights(path, round_weights(weights, format_.bits), {})
        return
    with h5py.File(path, "w") as file:
        for name, pair in weights.items():
            for kind, values in zip(("kernel", "bias"), pair, strict=True):
                for part, stored in format_.encode(values).items():
                    file.create_dataset(
                        f"{name}/{kind}/{part}",
                        data=stored,
                        chunks=stored.shape,
                        shuffle=True,
                        compression="gzip",
                        compression_opts=4,
                    )


def _read(path: Path, format_: Format) -> Weights:
    import h5py

    if format_.decode is None:
        return read_weights(path, plan_cut("block5_pool", "vgg16", input_size=32))
    weights = {}
    with h5py.File(path) as file:
        for name, group in file.items():
            kernel, bias = (
                format_.decode({part: array[()] for part, array in group[kind].items()})
                for kind in ("kernel", "bias")
            )
            weights[name] = kernel, bias
    return weights


def _images(size: int) -> np.ndarray:
    from sklearn.datasets import load_digits, load_sample_images

    rng = np.random.default_rng(0)
    resizing = Resizing(size, "stretch", "bilinear", False)
    digits = load_digits().images[: _N_IMAGES // 2, :, :, None].astype(np.float32) * (255 / 16)
    crops = []
    for photograph in load_sample_images().images:
        for _ in range(_N_IMAGES // 4):
            top, left = (rng.integers(0, side - 2 * size) for side in photograph.shape[:2])
            crops.append(photograph[top : top + 2 * size, left : left + 2 * size])
    photographs = np.stack(crops).astype(np.float32)
    return np.concatenate([preprocess(each, resizing) for each in (digits, photographs)])


def _features(weights: Weights, cut: Cut, images: np.ndarray) -> list[np.ndarray]:
    network = build(cut)
    for name, pair in weights.items():
        network.get_layer(name).set_weights(list(pair))
    return [np.asarray(each) for each in network(images)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", help="weights of VGG16, as Keras or sktransfer pretrain wrote them")
    rows = measure(parser.parse_args().file)
    header = ("format", "MB", "seconds", *_ENDS)
    body = [
        [
            row["format"],
            f"{row['MB']:.1f}",
            f"{row['seconds']:.2f}",
            *(f"{row[name]:.1e}" for name in _ENDS),
        ]
        for row in rows
    ]
    print(format_table(header, body))


if __name__ == "__main__":
    main()
