"""A description of a network up to a cut, layer by layer, as rows, text or a data frame."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sktransfer.networks.graph import check_known
from sktransfer.networks.layers import (
    ARCHITECTURES,
    TRAINED_SIZE,
    Layer,
    find_layer,
    list_layers,
    read_input_size,
)
from sktransfer.networks.opening import find_named, open_network
from sktransfer.networks.pixels import PixelScaling
from sktransfer.results.result import Result
from sktransfer.results.tables import format_markdown, format_table


@dataclass(frozen=True, repr=False)
class NetworkDescription(Result):
    """A network up to a cut, layer by layer; ``print`` shows a table.

    :meth:`to_csv` and :meth:`to_frame` give :meth:`rows`.

    Attributes
    ----------
    architecture : str
        The network.
    input_size : int or tuple of int
        Side of the square image, or height and width, in pixels.
    cut : str
        The last layer that is kept.
    layers : tuple of Layer or NetworkLayer
        Every layer that the cut needs, input first.
    preprocessing : PixelScaling or None, default=None
        What is done to pixels before; None of VGG16 and VGG19, and where the network does not tell.
    resizing : dict or None, default=None
        How images were resized in training, where the network tells: `aspect`, `interpolation` and
        `antialias`.
    """

    architecture: str
    input_size: int | tuple[int, int]
    cut: str
    layers: tuple[Any, ...]
    preprocessing: PixelScaling | None = None
    resizing: Mapping[str, Any] | None = None

    @property
    def n_parameters(self) -> int:
        """Kernel values and biases of all layers up to the cut."""
        return sum(layer.n_parameters for layer in self.layers)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds for one image up to the cut, as far as they can be counted."""
        return sum(layer.multiply_adds or 0 for layer in self.layers)

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

    _records = rows

    def to_markdown(self) -> str:
        """Return the printed table in Markdown."""
        header, body, total = self._table()
        return format_markdown(header, [*body, total])

    def __str__(self) -> str:
        """Lay the table out as text."""
        lines = [format_table(*self._table())]
        if self.preprocessing is not None:
            lines.append(f"scaling: {self.preprocessing}")
        if self.resizing is not None:
            ways = ", ".join(f"{name}={value!r}" for name, value in self.resizing.items())
            lines.append(f"resizing: {ways}")
        return "\n".join(lines)

    def _table(self) -> tuple[list[str], list[list[str]], list[str]]:
        header = ["layer", "output shape", "parameters", "multiply-adds"]
        body = [
            [
                layer.name,
                " x ".join(map(str, layer.output_shape)),
                f"{layer.n_parameters:,}",
                "-" if layer.multiply_adds is None else f"{layer.multiply_adds:,}",
            ]
            for layer in self.layers
        ]
        total = ["total", "", f"{self.n_parameters:,}", f"{self.multiply_adds:,}"]
        if isinstance(self.layers[0], Layer):
            header.append("receptive field")
            for row, layer in zip(body, self.layers, strict=True):
                row.append(f"{layer.receptive_field}")
            total.append("")
        return header, body, total


def describe_network(
    architecture: Any = "vgg16",
    *,
    cut: str = "auto",
    input_size: str | int | tuple[int, int] = "auto",
) -> NetworkDescription:
    """Describe a network up to a cut without running it.

    Parameters
    ----------
    architecture : str, path-like or keras.Model, default='vgg16'
        The network: ``'vgg16'`` or ``'vgg19'``, which need no Keras to be described, or any that
        :class:`ImageFeatureExtractor` takes.
    cut : str, default='auto'
        The last layer to keep; ``'auto'`` is the last of all.
    input_size : 'auto', int or tuple of int, default='auto'
        Side of the square image, or height and width, in pixels; ``'auto'`` is the size that the
        network was trained at. VGG takes 32 and up.

    Returns
    -------
    NetworkDescription
        A table of layers with output shape, parameters, multiply-adds and, for VGG, receptive
        field.

    Raises
    ------
    ValueError
        If the network, the layer or the size does not exist.
    OSError
        If a file cannot be read.

    See Also
    --------
    ArchitectureDisplay : The same as a drawing, of VGG.
    VGGFeatureExtractor : Computes what comes out at the cut.
    ImageFeatureExtractor : The same for any network.

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
    if not isinstance(cut, str):
        raise ValueError(
            "The 'cut' parameter of describe_network must be the name of one layer. Got "
            f"{cut!r} instead."
        )
    if not (isinstance(architecture, str) and architecture in ARCHITECTURES):
        return _describe_any(architecture, cut, input_size)
    size = TRAINED_SIZE if isinstance(input_size, str) and input_size == "auto" else input_size
    size = read_input_size(size, "describe_network")
    layers = list_layers(architecture, size)
    name = layers[-1].name if cut == "auto" else cut
    last = find_layer(name, architecture, size, "The 'cut' parameter of describe_network")
    return NetworkDescription(architecture, size, last.name, layers[: layers.index(last) + 1])


def _describe_any(network: Any, cut: str, input_size: Any) -> NetworkDescription:
    """Describe a network that has to be opened for it."""
    who = "describe_network"
    if not (isinstance(network, str | os.PathLike) or hasattr(network, "get_layer")):
        raise ValueError(
            f"The 'architecture' parameter of {who} must be 'vgg16', 'vgg19', a name of "
            f"keras.applications, a path or a Keras model. Got {network!r} instead."
        )
    size = None if isinstance(input_size, str) else input_size
    application = find_named(network, who, param="architecture")
    opened = open_network(network, size, who=who, param="architecture")
    last = opened.layers[-1].name if cut == "auto" else cut
    check_known([last], opened, f"The 'cut' parameter of {who}")
    above = {"input", *opened.ancestors(last)}
    return NetworkDescription(
        opened.architecture,
        opened.input_size,
        last,
        tuple(layer for layer in opened.layers if layer.name in above),
        getattr(opened if application is None else application, "scaling", None),
        getattr(opened, "resizing", None),
    )
