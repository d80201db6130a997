"""The layers of VGG16 and VGG19 as one table, from which everything but the weights follows.

Names, shapes, strides, receptive fields, parameters and multiply-adds are decided here from five
numbers per network, without running it and without importing a framework.

References
----------
K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
2015, https://arxiv.org/abs/1409.1556 (networks D and E of its table 1).
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from numbers import Integral
from typing import Any, Literal

from sktransfer.networks.outputs import as_shape, as_size, spell_size

#: Convolutions in each of the five blocks: the only thing in which the two networks differ.
ARCHITECTURES = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}

#: The size that the networks were trained at, and the only one that their dense layers take.
TRAINED_SIZE = 224
#: Below this, the fifth pooling has no pixel left.
MIN_SIZE = 32

_FILTERS = (64, 128, 256, 512, 512)
#: Values of each dense layer.
DENSE_UNITS = {"fc1": 4096, "fc2": 4096, "predictions": 1000}

LayerKind = Literal["input", "conv", "pool", "flatten", "dense"]


@dataclass(frozen=True)
class Layer:
    """One layer of a network at one input size.

    Attributes
    ----------
    name : str
        The name that Keras gives it.
    kind : {'input', 'conv', 'pool', 'flatten', 'dense'}
        What it does.
    output_shape : tuple of int
        `(height, width, n_channels)`, or `(n_values,)` from ``flatten`` on.
    kernel_shape : tuple of int or None
        `(height, width, n_in, n_out)` of a convolution, `(n_in, n_out)` of a dense layer.
    n_parameters : int
        Kernel values and biases.
    multiply_adds : int
        Multiplications, each with its addition, for one image.
    receptive_field : int
        Side, in pixels of the resized image, of the square that one value depends on. Where it
        exceeds the image, the value sees the whole image and padding.
    stride : int
        Pixels of the resized image between neighbouring values; 0 where there is no grid.
    """

    name: str
    kind: LayerKind
    output_shape: tuple[int, ...]
    kernel_shape: tuple[int, ...] | None
    n_parameters: int
    multiply_adds: int
    receptive_field: int
    stride: int


@lru_cache(maxsize=64)
def list_layers(
    architecture: str, input_size: int | tuple[int, int] = TRAINED_SIZE
) -> tuple[Layer, ...]:
    """List every layer of a network, input first.

    At any input size but 224 x 224 pixels the list ends with ``flatten``.
    """
    height, width = as_shape(input_size)
    channels, field, stride = 3, 1, 1
    layers = [Layer("input", "input", (height, width, channels), None, 0, 0, field, stride)]
    for block, (n_convs, filters) in enumerate(
        zip(ARCHITECTURES[architecture], _FILTERS, strict=True), start=1
    ):
        for conv in range(1, n_convs + 1):
            field += 2 * stride
            name, shape = f"block{block}_conv{conv}", (height, width, filters)
            kernel = (3, 3, channels, filters)
            n_weights = math.prod(kernel)
            counts = n_weights + filters, height * width * n_weights
            layers.append(Layer(name, "conv", shape, kernel, *counts, field, stride))
            channels = filters
        field += stride
        stride *= 2
        height, width = height // 2, width // 2
        shape = (height, width, channels)
        layers.append(Layer(f"block{block}_pool", "pool", shape, None, 0, 0, field, stride))

    n_values = height * width * channels
    layers.append(Layer("flatten", "flatten", (n_values,), None, 0, 0, field, 0))
    if as_size(as_shape(input_size)) == TRAINED_SIZE:
        for name, units in DENSE_UNITS.items():
            counts = n_values * units + units, n_values * units
            kernel_shape = (n_values, units)
            layers.append(Layer(name, "dense", (units,), kernel_shape, *counts, TRAINED_SIZE, 0))
            n_values = units
    return tuple(layers)


def read_input_size(given: Any, who: str) -> int | tuple[int, int]:
    """Read a side, or height and width, in pixels; `who` is whose parameter `input_size` it is."""
    sides = given if isinstance(given, list | tuple) else (given, given)
    if len(sides) != 2 or not all(isinstance(s, Integral) and int(s) >= MIN_SIZE for s in sides):
        raise ValueError(
            f"The 'input_size' parameter of {who} must be an int or a pair, height and width, of "
            f"at least {MIN_SIZE} pixels. Got {given!r} instead."
        )
    return as_size(sides)


def find_layer(name: Any, architecture: str, input_size: int | tuple[int, int], who: str) -> Layer:
    """Find a layer other than the input by its name, or say which one was probably meant.

    `who` is how the error begins: ``"The 'layer' parameter of ..."``.
    """
    for layer in list_layers(architecture, input_size)[1:]:
        if layer.name == name:
            return layer
    if name in list(DENSE_UNITS):
        raise ValueError(
            f"{who} names the dense layer {name!r}, which exists at an input size of "
            f"{TRAINED_SIZE} pixels only. Got an input size of {spell_size(input_size)}. Set "
            f"input_size={TRAINED_SIZE} and weights that reach there, such as weights='imagenet', "
            f"or cut at 'flatten' or before, which take any size from {MIN_SIZE} pixels up."
        )
    known = [layer.name for layer in list_layers(architecture)[1:]]
    close = difflib.get_close_matches(str(name).lower(), known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ValueError(
        f"{who} must be a layer of {architecture!r}. Got {name!r} instead.{hint} Its layers are: "
        f"{', '.join(known)}."
    )


@lru_cache(maxsize=1)
def imagenet_class_names() -> tuple[str, ...]:
    """Return the names of the 1,000 ImageNet classes in the order of ``predictions``."""
    table = resources.files(__package__).joinpath("imagenet_classes.txt")
    lines = table.read_text(encoding="utf-8").splitlines()
    return tuple(line.split("\t")[2] for line in lines if not line.startswith("#"))
