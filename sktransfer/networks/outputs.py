"""The outputs of a cut: how many features each wanted layer gives, and their names."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

#: How the maps of a layer become one value per channel.
MAP_POOLINGS = ("avg", "max")
#: The same of any layer; 'cls' takes the class token, the first one of a sequence of tokens.
POOLINGS = (*MAP_POOLINGS, "cls")


class Outputs:
    """The wanted layers of a network, each with a pooling: the base of every cut.

    A cut has the attributes `layers`, `poolings` and `input_size`.
    """

    layers: tuple[Any, ...]
    poolings: tuple[str | None, ...]
    input_size: Any
    #: Images that each call takes, where the network says so.
    n_images: int | None = None

    @property
    def outputs(self) -> tuple[tuple[Any, str | None], ...]:
        """Each wanted layer with its pooling: a layer may be wanted with several."""
        return tuple(zip(self.layers, self.poolings, strict=True))

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

    def _names_of(self, layer: Any, pooling: str | None) -> list[str]:
        return name_values(layer.name, layer.output_shape, pooling)


def settle_poolings(
    names: Sequence[str],
    pooling: Any,
    rule: str,
    who: str,
    known: Sequence[str] = MAP_POOLINGS,
) -> tuple[str | None, ...]:
    """Say for each layer how it is pooled, and check that none is wanted twice in one way.

    `rule` is how an error about the layers begins: ``"The 'layer' parameter of ..."``; `known` are
    the poolings that there are.
    """
    if pooling is None or isinstance(pooling, str):
        poolings: tuple[str | None, ...] = (pooling,) * len(names)
    else:
        poolings = tuple(pooling)
        if len(poolings) != len(names) or not set(poolings) <= {*known, None}:
            raise ValueError(
                f"The 'pooling' parameter of {who} must be {', '.join(map(repr, known))}, None or "
                f"a list with one of these for each of the {len(names)} layers. Got {pooling!r} "
                "instead."
            )
    pairs = list(zip(names, poolings, strict=True))
    repeated = sorted({name for name, how in pairs if pairs.count((name, how)) > 1})
    if repeated:
        raise ValueError(
            f"{rule} must name each layer once. Got {repeated} more than once in {list(names)} "
            "with the same pooling."
        )
    return poolings


def name_values(name: str, shape: tuple[int, ...], pooling: str | None) -> list[str]:
    """Name the values of a layer by row, column and channel; of tokens by their number."""
    *places, n_channels = shape
    if not places:
        return [f"{name}_{number}" for number in numbers(n_channels, n_digits=4)]
    channels = numbers(n_channels)
    if pooling:
        return [f"{name}_{pooling}_f{channel}" for channel in channels]
    letters = {1: "t", 2: "rc"}.get(len(places), "d" * len(places))
    axes = [
        [f"{letter}{number}" for number in numbers(n)]
        for letter, n in zip(letters, places, strict=True)
    ]
    return [
        "_".join([name, *place, f"f{f}"]) for place in itertools.product(*axes) for f in channels
    ]


def numbers(n: int, n_digits: int = 0) -> list[str]:
    """Count to n with leading zeros, so that names sort as numbers do."""
    n_digits = max(n_digits, len(str(n - 1)))
    return [f"{i:0{n_digits}d}" for i in range(n)]


def as_shape(input_size: int | Sequence[int]) -> tuple[int, int]:
    """Return height and width of the network's images."""
    if isinstance(input_size, Iterable):
        height, width = input_size
        return int(height), int(width)
    return int(input_size), int(input_size)


def as_size(shape: Sequence[int]) -> int | tuple[int, int]:
    """Return a height and a width as one number where they are equal."""
    height, width = map(int, shape)
    return height if height == width else (height, width)


def spell_size(input_size: int | Sequence[int]) -> str:
    """Write a size in pixels: its side, or height x width."""
    height, width = as_shape(input_size)
    return f"{height:,}" if height == width else f"{height:,} x {width:,}"


def side_of(input_size: int | Sequence[int]) -> int:
    """Return the side of the square of as many pixels."""
    height, width = as_shape(input_size)
    return height if height == width else round(math.sqrt(height * width))
