"""VGG's weights in files of PyTorch, as torchvision and timm publish them.

PyTorch lays out kernels by output channel, input channel, row and column, and flattens the last
maps by channel, row and column; this package and Keras, by row, column, input and output channel.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from sktransfer.files.hdf5 import ArrayFacts, RefusedError
from sktransfer.files.pytorch import Tensor, TensorFile, read_file
from sktransfer.networks import (
    ARCHITECTURES,
    TRAINED_SIZE,
    Cut,
    Layer,
    find_layer,
    list_layers,
)
from sktransfer.networks.pixels import TORCH
from sktransfer.weights.arrays import Weights, wanted_shapes
from sktransfer.weights.contents import PREPROCESSING, Contents

# What the dense layers are called by torchvision, and by timm, in which the first is a convolution.
_DENSE = {
    "fc1": ("classifier.0", "pre_logits.fc1"),
    "fc2": ("classifier.3", "pre_logits.fc2"),
    "predictions": ("classifier.6", "head.fc"),
}
# The maps that the first dense layer sees.
_FLATTENED = find_layer("block5_pool", "vgg16", TRAINED_SIZE, "").output_shape


def name_convolutions(architecture: str) -> dict[str, str]:
    """Name the convolutions as PyTorch does, by their places among all steps up to flattening."""
    names, place = {}, 0
    for layer in list_layers(architecture)[1:]:
        if layer.kind == "conv":
            names[layer.name] = f"features.{place}"
        place += 2 if layer.kind == "conv" else 1  # the activation is a step of its own
    return names


def read_pytorch(path: str | os.PathLike, cut: Cut | None) -> Contents:
    """Read the weights of a cut network, and what preprocessing they were trained with."""
    if cut is None:
        return Contents([], {}, {}, {})
    return read_file(Path(path), lambda file: _read(file, cut))


def _read(file: TensorFile, cut: Cut) -> Contents:
    tensors = file.tensors
    if any(name.endswith("running_mean") for name in tensors):
        raise RefusedError(
            "it is of a VGG with batch normalization, a different network: "
            "ImageFeatureExtractor('timm/vgg16_bn', weights=...) reads it"
        )
    names = _find_layers(tensors, cut.architecture)
    found = {layer: _describe(tensors, own) for layer, own in names.items()}
    wanted = {layer.name: layer for layer in cut.weighted_layers}
    arrays: Weights = {}
    is_there = all(
        [facts.shape for facts in found.get(name, ())] == wanted_shapes(layer)
        and all(facts.is_float for facts in found[name])
        for name, layer in wanted.items()
    )
    for name, layer in wanted.items() if is_there else ():
        kernel, bias = (file.read(f"{names[name]}.{kind}") for kind in ("weight", "bias"))
        arrays[name] = _turn(kernel, layer), bias
    # As torchvision and timm trained all that they publish.
    record = {PREPROCESSING: json.dumps(asdict(TORCH))}
    return Contents(list(tensors)[:6], record, found, arrays)


def _find_layers(tensors: Mapping[str, Tensor], architecture: str) -> dict[str, str]:
    """Name the layers that are there by the network that their places fit, the wanted one first."""
    kernels = {
        name.removesuffix(".weight")
        for name in tensors
        if name.startswith("features.") and name.endswith(".weight")
    }
    networks = sorted(ARCHITECTURES, key=lambda each: each != architecture)
    candidates = [name_convolutions(each) for each in networks]
    fitting = (each for each in candidates if kernels <= set(each.values()))
    names = {layer: own for layer, own in next(fitting, candidates[0]).items() if own in kernels}
    for layer, known in _DENSE.items():
        there = [own for own in known if f"{own}.weight" in tensors]
        if there:
            names[layer] = there[0]
    return names


def _describe(tensors: Mapping[str, Tensor], own: str) -> list[ArrayFacts]:
    """Say what arrays a layer has, in the shapes that they are turned to."""
    found = []
    for kind in ("weight", "bias"):
        tensor = tensors.get(f"{own}.{kind}")
        if tensor is None:
            continue
        shape = tensor.shape
        if kind == "weight" and own.startswith("features.") and len(shape) == 4:
            shape = (*shape[2:], shape[1], shape[0])
        elif kind == "weight" and len(shape) in (2, 4):
            shape = (int(np.prod(shape[1:])), shape[0])
        found.append(ArrayFacts(shape, tensor.storage.dtype, tensor.is_float))
    return found


def _turn(kernel: np.ndarray, layer: Layer) -> np.ndarray:
    """Lay a kernel out as Keras does."""
    if layer.kind == "conv":
        return np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))
    n_out = len(kernel)
    if layer.name == "fc1":
        height, width, n_channels = _FLATTENED
        maps = kernel.reshape(n_out, n_channels, height, width).transpose(2, 3, 1, 0)
        return np.ascontiguousarray(maps.reshape(-1, n_out))
    return np.ascontiguousarray(kernel.reshape(n_out, -1).T)
