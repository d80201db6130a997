"""VGG16 and VGG19 as one table, from which everything but the weights follows.

Names, shapes, strides, receptive fields, parameters and multiply-adds are decided here from five
numbers per network, without running it and without importing a framework. Only :func:`build`
imports Keras.

References
----------
K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
2015, https://arxiv.org/abs/1409.1556 (networks D and E of its table 1).
"""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

from sktransfer._tables import format_table

if TYPE_CHECKING:
    import keras

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
def list_layers(architecture: str, input_size: int = TRAINED_SIZE) -> tuple[Layer, ...]:
    """List every layer of a network, input first.

    Parameters
    ----------
    architecture : {'vgg16', 'vgg19'}
        The network.
    input_size : int, default=224
        Side of the square image, in pixels. At any size but 224 the list ends with ``flatten``.

    Returns
    -------
    tuple of Layer
        In the order of the forward pass.
    """
    side, channels, field, stride = input_size, 3, 1, 1
    layers = [Layer("input", "input", (side, side, channels), None, 0, 0, field, stride)]
    for block, (n_convs, filters) in enumerate(
        zip(ARCHITECTURES[architecture], _FILTERS, strict=True), start=1
    ):
        for conv in range(1, n_convs + 1):
            field += 2 * stride
            name, shape = f"block{block}_conv{conv}", (side, side, filters)
            kernel = (3, 3, channels, filters)
            n_weights = math.prod(kernel)
            counts = n_weights + filters, side * side * n_weights
            layers.append(Layer(name, "conv", shape, kernel, *counts, field, stride))
            channels = filters
        field += stride
        stride *= 2
        side //= 2
        shape = (side, side, channels)
        layers.append(Layer(f"block{block}_pool", "pool", shape, None, 0, 0, field, stride))

    width = side * side * channels
    layers.append(Layer("flatten", "flatten", (width,), None, 0, 0, field, 0))
    if input_size == TRAINED_SIZE:
        for name, units in DENSE_UNITS.items():
            counts = width * units + units, width * units
            layers.append(Layer(name, "dense", (units,), (width, units), *counts, input_size, 0))
            width = units
    return tuple(layers)


def find_layer(name: Any, architecture: str, input_size: int, who: str) -> Layer:
    """Find a layer by name, or say which one was probably meant.

    Parameters
    ----------
    name : str
        A Keras layer name, other than the input's.
    architecture : {'vgg16', 'vgg19'}
        The network.
    input_size : int
        Side of the square image, in pixels.
    who : str
        Who asks, as the error's first words: ``"The 'layer' parameter of ..."``.

    Returns
    -------
    Layer
        The layer of that name.

    Raises
    ------
    ValueError
        If the network has no such layer, or has it at another input size only.
    """
    for layer in list_layers(architecture, input_size)[1:]:
        if layer.name == name:
            return layer
    if name in list(DENSE_UNITS):
        raise ValueError(
            f"{who} names the dense layer {name!r}, which exists at an input size of "
            f"{TRAINED_SIZE} pixels only. Got an input size of {input_size}. Set "
            f"input_size={TRAINED_SIZE}, or cut at 'flatten' or before, which take any size from "
            f"{MIN_SIZE} pixels up."
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
    """Return the names of the 1,000 ImageNet classes in the order of ``predictions``.

    Returns
    -------
    tuple of str
        Spelled as Keras' ``decode_predictions`` spells them. Two names stand twice ("crane",
        "maillot").
    """
    table = resources.files(__package__).joinpath("imagenet_classes.txt")
    lines = table.read_text(encoding="utf-8").splitlines()
    return tuple(line.split("\t")[2] for line in lines if not line.startswith("#"))


@dataclass(frozen=True)
class Cut:
    """Where a network is cut, and what comes out there.

    Attributes
    ----------
    architecture : {'vgg16', 'vgg19'}
        The network.
    layers : tuple of Layer
        The wanted layers, in the order in which their features are concatenated.
    poolings : tuple of {'avg', 'max'} or None
        For each of them, how a feature map becomes one value.
    input_size : int
        Side of the square image, in pixels.
    """

    architecture: str
    layers: tuple[Layer, ...]
    poolings: tuple[str | None, ...]
    input_size: int

    @property
    def outputs(self) -> tuple[tuple[Layer, str | None], ...]:
        """Each wanted layer with its pooling: a layer may be wanted with several."""
        return tuple(zip(self.layers, self.poolings, strict=True))

    @cached_property
    def trunk(self) -> tuple[Layer, ...]:
        """Every layer up to the deepest wanted one: all that is built and computed."""
        layers = list_layers(self.architecture, self.input_size)
        return layers[: 1 + max(layers.index(layer) for layer in self.layers)]

    @cached_property
    def weighted_layers(self) -> tuple[Layer, ...]:
        """The layers of the trunk that have weights."""
        return self.weighted_above(self.trunk[-1])

    def weighted_above(self, layer: Layer) -> tuple[Layer, ...]:
        """List the layers with weights from the input to a layer of the trunk, itself included.

        Parameters
        ----------
        layer : Layer
            The layer.

        Returns
        -------
        tuple of Layer
            In the order of the forward pass.
        """
        above = self.trunk[: self.trunk.index(layer) + 1]
        return tuple(layer for layer in above if layer.kernel_shape is not None)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """How many features each output gives."""
        return tuple(
            layer.output_shape[-1] if pooling else math.prod(layer.output_shape)
            for layer, pooling in self.outputs
        )

    @property
    def n_features(self) -> int:
        """How many features all outputs give together."""
        return sum(self.widths)

    def feature_names(self) -> list[str]:
        """Name every feature by layer, place and channel, so that sorting keeps the order.

        Returns
        -------
        list of str
            ``block3_pool_r03_c12_f045`` (row, column, channel), ``block3_pool_avg_f045``,
            ``fc1_0123`` or ``predictions_0134_crane``.
        """
        return list(itertools.chain.from_iterable(itertools.starmap(self._names_of, self.outputs)))

    def _names_of(self, layer: Layer, pooling: str | None) -> list[str]:
        if layer.kind == "dense":
            names = _numbers(layer.output_shape[0], n_digits=4)
            if layer.name == "predictions":
                classes = imagenet_class_names()
                names = [f"{n}_{name}" for n, name in zip(names, classes, strict=True)]
            return [f"{layer.name}_{name}" for name in names]
        # What flatten flattens is the last feature map, so its names keep row, column, channel.
        grid = layer
        if layer.kind == "flatten":
            grid = self.trunk[self.trunk.index(layer) - 1]
        height, width, n_channels = grid.output_shape
        channels = _numbers(n_channels)
        if pooling:
            return [f"{layer.name}_{pooling}_f{f}" for f in channels]
        return [
            f"{layer.name}_r{r}_c{c}_f{f}"
            for r in _numbers(height)
            for c in _numbers(width)
            for f in channels
        ]


def _numbers(n: int, n_digits: int = 0) -> list[str]:
    """Count to n with leading zeros, so that names sort as numbers do."""
    n_digits = n_digits or len(str(n - 1))
    return [f"{i:0{n_digits}d}" for i in range(n)]


def plan_cut(
    layer: str | Sequence[str],
    architecture: str = "vgg16",
    pooling: str | Sequence[str | None] | None = None,
    input_size: int = TRAINED_SIZE,
    *,
    who: str = "VGGFeatureExtractor",
    param: str = "layer",
) -> Cut:
    """Decide from names and sizes alone what a cut gives.

    Parameters
    ----------
    layer : str or list of str
        The wanted layers.
    architecture : {'vgg16', 'vgg19'}, default='vgg16'
        The network; like `input_size`, checked by the caller.
    pooling : {'avg', 'max'}, None or list of these, default=None
        How each feature map becomes one value; in a list, for each layer its own.
    input_size : int, default=224
        Side of the square image, in pixels.
    who : str, default='VGGFeatureExtractor'
        The class whose parameters these are, named in errors.
    param : str, default='layer'
        What that class calls the parameter `layer`.

    Returns
    -------
    Cut
        The plan.

    Raises
    ------
    ValueError
        If a layer is unknown, named twice with the same pooling, absent at this size, or has no
        feature map to pool; or if the poolings are not one for each layer.
    """
    rule = f"The {param!r} parameter of {who}"
    names = [layer] if isinstance(layer, str) else list(layer)
    if not names:
        raise ValueError(f"{rule} must name at least one layer. Got an empty list instead.")
    found = tuple(find_layer(name, architecture, input_size, rule) for name in names)
    if pooling is None or isinstance(pooling, str):
        poolings: tuple[str | None, ...] = (pooling,) * len(names)
    else:
        poolings = tuple(pooling)
        if len(poolings) != len(names) or not set(poolings) <= {"avg", "max", None}:
            raise ValueError(
                f"The 'pooling' parameter of {who} must be 'avg', 'max', None or a list with one "
                f"of these for each of the {len(names)} layers. Got {pooling!r} instead."
            )
    pairs = list(zip(names, poolings, strict=True))
    repeated = sorted({name for name, how in pairs if pairs.count((name, how)) > 1})
    if repeated:
        raise ValueError(
            f"{rule} must name each layer once. Got {repeated} more than once in {names} with the "
            "same pooling."
        )
    flat = [
        layer.name
        for layer, how in zip(found, poolings, strict=True)
        if how is not None and len(layer.output_shape) == 1
    ]
    if flat:
        raise ValueError(
            f"The 'pooling' parameter of {who} pools feature maps, which convolutional and "
            f"pooling layers give. Got pooling={pooling!r} with {', '.join(map(repr, flat))}, "
            "which give plain vectors. Set pooling=None, or cut at 'block5_pool'."
        )
    return Cut(architecture, found, poolings, input_size)


def build(cut: Cut, precision: str = "float32", *, below: Layer | None = None) -> keras.Model:
    """Build the Keras network up to the deepest wanted layer, with weights of zero.

    Parameters
    ----------
    cut : Cut
        What is wanted.
    precision : {'float32', 'bfloat16', 'float16'}, default='float32'
        The dtype of weights and of all values but those that come out, which are float32.
    below : Layer or None, default=None
        A layer of the trunk whose output goes in, in place of images; it and all before it are not
        built.

    Returns
    -------
    keras.Model
        From images `(n, input_size, input_size, 3)`, preprocessed, or the output of `below`, to one
        tensor `(n, width)` for each output: a list of them, or of a single output the tensor
        itself.

    Notes
    -----
    Precision, layout, names and initializers are all given, so that neither a global policy of
    the user's changes the network nor building it draws from Keras' global seeds.
    """
    import keras

    first = cut.trunk[0] if below is None else below
    tensor = inputs = keras.Input(first.output_shape, dtype="float32", name="input")
    tensors = {}
    for layer in cut.trunk[cut.trunk.index(first) + 1 :]:
        tensor = tensors[layer.name] = _keras_layer(layer, precision)(tensor)
    outputs = [_to_vector(pooling, layer, tensors[layer.name]) for layer, pooling in cut.outputs]
    return keras.Model(inputs, outputs, name=cut.architecture)


def _keras_layer(layer: Layer, precision: str) -> keras.Layer:
    from keras import layers

    common = {"name": layer.name, "dtype": precision}
    zeros = {"kernel_initializer": "zeros", "bias_initializer": "zeros"}
    if layer.kind == "conv":
        return layers.Conv2D(
            layer.output_shape[-1],
            3,
            padding="same",
            activation="relu",
            data_format="channels_last",
            **zeros,
            **common,
        )
    if layer.kind == "pool":
        return layers.MaxPooling2D(2, strides=2, data_format="channels_last", **common)
    if layer.kind == "flatten":
        return layers.Flatten(data_format="channels_last", **common)
    activation = "softmax" if layer.name == "predictions" else "relu"
    return layers.Dense(layer.output_shape[0], activation=activation, **zeros, **common)


def _to_vector(pooling: str | None, layer: Layer, tensor: Any) -> Any:
    from keras import layers, ops

    name = f"{layer.name}_{pooling or 'vector'}"
    tensor = ops.cast(tensor, "float32")
    if len(layer.output_shape) == 1 or pooling is None:
        return layers.Flatten(name=name, dtype="float32", data_format="channels_last")(tensor)
    mean_or_max = {"avg": ops.mean, "max": ops.max}[pooling]
    # Each row by itself first: one long sum in float32 would lose digits.
    return mean_or_max(mean_or_max(tensor, axis=2), axis=1)


@dataclass(frozen=True)
class NetworkDescription:
    """A network up to a cut, layer by layer; printed, it is a table.

    Attributes
    ----------
    architecture : {'vgg16', 'vgg19'}
        The network.
    input_size : int
        Side of the square image, in pixels.
    cut : str
        The last layer that is kept.
    layers : tuple of Layer
        Every layer up to the cut, input first.
    """

    architecture: str
    input_size: int
    cut: str
    layers: tuple[Layer, ...]

    @property
    def n_parameters(self) -> int:
        """Kernel values and biases of all layers up to the cut."""
        return sum(layer.n_parameters for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds for one image up to the cut."""
        return sum(layer.multiply_adds for layer in self.layers)

    def rows(self) -> list[dict[str, Any]]:
        """Return one dictionary per layer.

        Returns
        -------
        list of dict
            With the keys ``layer``, ``output_shape``, ``parameters``, ``multiply_adds``,
            ``receptive_field``.
        """
        return [
            {
                "layer": layer.name,
                "output_shape": layer.output_shape,
                "parameters": layer.n_parameters,
                "multiply_adds": layer.multiply_adds,
                "receptive_field": layer.receptive_field,
            }
            for layer in self.layers
        ]

    def to_frame(self) -> Any:
        """Return the table as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            One row per layer; the columns are the keys of :meth:`rows`.
        """
        import pandas as pd

        return pd.DataFrame(self.rows())

    def __str__(self) -> str:
        """Lay the table out as text."""
        header = ("layer", "output shape", "parameters", "multiply-adds", "receptive field")
        body = [
            (
                layer.name,
                " x ".join(map(str, layer.output_shape)),
                f"{layer.n_parameters:,}",
                f"{layer.multiply_adds:,}",
                f"{layer.receptive_field}",
            )
            for layer in self.layers
        ]
        total = ("total", "", f"{self.n_parameters:,}", f"{self.multiply_adds:,}", "")
        return format_table(header, body, total)


def describe_network(
    architecture: str = "vgg16", *, cut: str = "predictions", input_size: int = TRAINED_SIZE
) -> NetworkDescription:
    """Describe a network up to a cut without running it.

    Parameters
    ----------
    architecture : {'vgg16', 'vgg19'}, default='vgg16'
        The network.
    cut : str, default='predictions'
        The last layer to keep.
    input_size : int, default=224
        Side of the square image, in pixels; 32 and up.

    Returns
    -------
    NetworkDescription
        A table of layers with output shape, parameters, multiply-adds and receptive field.

    Raises
    ------
    ValueError
        If the network, the layer or the size does not exist.

    See Also
    --------
    ArchitectureDisplay : The same as a drawing.
    VGGFeatureExtractor : Computes what comes out at the cut.

    Examples
    --------
    >>> from sktransfer import describe_network
    >>> print(describe_network("vgg16", cut="block1_pool"))
    layer           output shape  parameters  multiply-adds  receptive field
    ------------  --------------  ----------  -------------  ---------------
    input          224 x 224 x 3           0              0                1
    block1_conv1  224 x 224 x 64       1,792     86,704,128                3
    block1_conv2  224 x 224 x 64      36,928  1,849,688,064                5
    block1_pool   112 x 112 x 64           0              0                6
    ------------  --------------  ----------  -------------  ---------------
    total                             38,720  1,936,392,192
    """
    if architecture not in list(ARCHITECTURES):
        raise ValueError(
            "The 'architecture' parameter of describe_network must be one of "
            f"{sorted(ARCHITECTURES)}. Got {architecture!r} instead."
        )
    if not isinstance(input_size, Integral) or input_size < MIN_SIZE:
        raise ValueError(
            "The 'input_size' parameter of describe_network must be an int of at least "
            f"{MIN_SIZE} pixels. Got {input_size!r} instead."
        )
    if not isinstance(cut, str):
        raise ValueError(
            "The 'cut' parameter of describe_network must be the name of one layer. Got "
            f"{cut!r} instead."
        )
    input_size = int(input_size)
    last = find_layer(cut, architecture, input_size, "The 'cut' parameter of describe_network")
    layers = list_layers(architecture, input_size)
    return NetworkDescription(architecture, input_size, last.name, layers[: layers.index(last) + 1])
