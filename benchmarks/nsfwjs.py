"""Networks of Keras with the weights of nsfwjs, an npm package that sorts photographs.

It holds TensorFlow.js models, of which each weight is stored in 8 bits: a byte times a scale, plus
a minimum. Read back into float32, they are trained weights like others.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def read_weights(folder: Path) -> dict[str, np.ndarray]:
    """Read all weights of a model by name, in float32."""
    weights = {}
    for group in _read_manifest(folder):
        data = b"".join(_read_shard(folder / f"{path}.min.js") for path in group["paths"])
        start = 0
        for entry in group["weights"]:
            levels = entry["quantization"]
            if levels["dtype"] != "uint8":
                raise ValueError(f"{entry['name']} is not stored in 8 bits: {levels['dtype']}")
            stop = start + math.prod(entry["shape"])
            codes = np.frombuffer(data[start:stop], np.uint8).reshape(entry["shape"])
            scale, least = np.float32(levels["scale"]), np.float32(levels["min"])
            weights[entry["name"]] = codes * scale + least
            start = stop
        if start != len(data):
            raise ValueError(f"{folder} holds {len(data)} bytes, of which {start} are named")
    return weights


def _read_manifest(folder: Path) -> list[dict[str, Any]]:
    """Read the list of weights, which is written as JavaScript."""
    _, _, text = (folder / "model.min.js").read_text(encoding="utf-8").partition("weightsManifest:")
    text = re.sub(r"([{,])(\w+):", r'\1"\2":', text)  # names without quotation marks
    text = re.sub(r"([:,\[]-?)\.", r"\g<1>0.", text)  # .5 for 0.5
    manifest: list[dict[str, Any]] = json.JSONDecoder().raw_decode(text)[0]
    return manifest


def _read_shard(path: Path) -> bytes:
    _, _, text = path.read_text(encoding="utf-8").partition('.exports="')
    return base64.b64decode(text.partition('"')[0])


def load_mobilenet(folder: Path) -> Any:
    """Return MobileNetV2 up to the embedding."""
    import keras

    model = keras.applications.MobileNetV2(
        weights=None, include_top=False, pooling="avg", input_shape=(224, 224, 3)
    )
    _fill({layer.name: layer for layer in model.layers}, read_weights(folder / "mobilenet_v2"))
    return model


def load_inception(folder: Path) -> Any:
    """Return InceptionV3 up to the embedding."""
    import keras

    model = keras.applications.InceptionV3(
        weights=None, include_top=False, pooling="avg", input_shape=(299, 299, 3)
    )
    layers = {}
    for kind, name in (
        (keras.layers.Conv2D, "conv2d"),
        (keras.layers.BatchNormalization, "batch_normalization"),
    ):
        # Keras counts on from the models that it made before.
        found = [layer for layer in model.layers if isinstance(layer, kind)]
        found.sort(key=lambda layer: int("0" + re.sub(r"\D", "", layer.name.removeprefix(name))))
        layers |= {f"{name}_{number}": layer for number, layer in enumerate(found, 1)}
    _fill(layers, read_weights(folder / "inception_v3"))
    return model


def load_wide_mobilenet(folder: Path) -> Any:
    """Return MobileNetV2 of width 1.4 up to the embedding.

    Batch normalization is part of the convolutions there; what is left of it is an offset.
    """
    import keras

    model = keras.applications.MobileNetV2(
        alpha=1.4, weights=None, include_top=False, pooling="avg", input_shape=(224, 224, 3)
    )
    weights = {}
    for name, values in read_weights(folder / "mobilenet_v2_mid").items():
        if "/MobilenetV2/" in name:
            weights |= _unfold(name.partition("/MobilenetV2/")[2], values)
    _fill({layer.name: layer for layer in model.layers}, weights)
    return model


def _unfold(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Rename one weight; an offset becomes a batch normalization that does nothing else."""
    place, _, kind = name.rpartition("/")
    layer = re.sub(r"expanded_conv_(\d)", r"block_\1", place.replace("/", "_"))
    if kind.endswith("_weights"):
        return {f"{'Conv1' if layer == 'Conv' else layer}/kernel": values}
    norm = {"Conv": "bn_Conv1", "Conv_1": "Conv_1_bn"}.get(layer, f"{layer}_BN")
    return {
        f"{norm}/gamma": np.ones_like(values),
        f"{norm}/beta": values,
        f"{norm}/moving_mean": np.zeros_like(values),
        f"{norm}/moving_variance": np.full_like(values, 1 - 1e-3),  # Keras adds 1e-3
    }


def _fill(layers: Mapping[str, Any], weights: dict[str, np.ndarray]) -> None:
    """Give each layer its weights; only those of a classifier may be left."""
    weights = {name.replace("depthwise_kernel", "kernel"): each for name, each in weights.items()}
    for name, layer in layers.items():
        layer.set_weights([weights.pop(f"{name}/{variable.name}") for variable in layer.weights])
    if left := [name for name in weights if not name.startswith("dense")]:
        raise ValueError(f"no layer takes {', '.join(left)}")
