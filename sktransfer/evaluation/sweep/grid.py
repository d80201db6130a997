"""The grid of layers x poolings x input sizes: its cuts, what each gives, and what is skipped.

All of it follows from names and sizes, before any weight or image is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from sktransfer.evaluation.sweep.networks import (
    check_size,
    default_layers,
    find_layers,
    is_vgg,
    list_layers_of,
    only_size,
)
from sktransfer.features.estimator import FeatureExtractor
from sktransfer.networks import DENSE_UNITS, MIN_SIZE, TRAINED_SIZE
from sktransfer.networks.outputs import as_shape, as_size, spell_size

#: Default layers: the end of each block.
BLOCK_ENDS = tuple(f"block{block}_pool" for block in range(1, 6))
POOLINGS = ("avg", "max", None)
#: Those that there are: not every network has class tokens.
ALL_POOLINGS = (*POOLINGS, "cls")
INPUT_SIZES = (32, 64, 224)
#: On wider features, a linear classifier is too slow on most machines.
MAX_WIDTH = 50_000


#: Side of square images in pixels, or height and width.
Size = int | tuple[int, int]


@dataclass(frozen=True)
class Variant:
    """One way to take features from a network.

    Attributes
    ----------
    layer : str
        The layer.
    pooling : {'avg', 'max', 'cls'} or None
        How each feature map becomes one value; 'cls' is the class token, None keeps all values.
    input_size : int or tuple of int
        Side of the square image in pixels, or height and width.
    width : int
        Features per image.
    multiply_adds : int
        Multiply-adds for one image up to the layer.
    """

    layer: str
    pooling: str | None
    input_size: Size
    width: int
    multiply_adds: int

    def __str__(self) -> str:
        return f"{self.layer} {self.pooling or 'flat'}, {spell_size(self.input_size)} px"


@dataclass(frozen=True)
class Skipped:
    """A variant that was asked for and not computed.

    Attributes
    ----------
    variant : Variant
        Which one.
    reason : str
        Why not, and what would change it.
    """

    variant: Variant
    reason: str

    def __str__(self) -> str:
        return f"{self.variant} ({self.variant.width:,} values): {self.reason}"


def plan_variants(
    network: FeatureExtractor | str,
    layers: Any,
    poolings: Any,
    input_sizes: Any,
    max_width: Any,
    *,
    who: str,
) -> tuple[list[Variant], list[Skipped]]:
    """List every variant of an extractor's network, or of VGG's by its name.

    Without sizes, these are the usual ones, or the only one that the network takes. Small inputs
    come first, and narrow before wide. Plain vectors (``flatten``, the dense layers)
    have nothing to pool: they are listed once, whatever the poolings.
    """
    layers = _check_list("layers", layers, "layer names, such as ['block1_pool']", who)
    poolings = _check_poolings(poolings, who)
    only = only_size(network)
    if input_sizes is None:
        input_sizes = INPUT_SIZES if only is None else [only]
    sizes = _check_sizes(input_sizes, MIN_SIZE if is_vgg(network) else 1, who)
    if max_width is not None and not (isinstance(max_width, Integral) and int(max_width) >= 1):
        raise ValueError(
            f"The 'max_width' parameter of {who} must be None or a whole number of features from "
            f"1 up. Got {max_width!r} instead."
        )
    check_size(only, sizes, who)
    tables, refused = _list_tables(network, sizes, only)
    # A layer that some size has may be missing at the others; one that none has is a mistake.
    largest = TRAINED_SIZE if TRAINED_SIZE in tables else next(iter(tables))
    if tuple(layers) == BLOCK_ENDS:
        layers = default_layers(tables[largest], BLOCK_ENDS)
    find_layers(layers, network, largest, tables[largest], f"The 'layers' parameter of {who}")

    variants = []
    skipped = [
        Skipped(Variant(layer, None, size, 0, 0), reason)
        for size, reason in refused.items()
        for layer in layers
    ]
    for size in sorted(tables, key=sort_key):
        found = [
            variant
            for layer in layers
            for variant in _variants_of(layer, poolings, tables[size], size)
        ]
        for variant in sorted(found, key=lambda each: (each.width, each.multiply_adds)):
            reason = _why_skipped(
                variant, tables[size], None if max_width is None else int(max_width)
            )
            if reason is None:
                variants.append(variant)
            else:
                skipped.append(Skipped(variant, reason))
    if not variants:
        raise ValueError(
            f"{who} has nothing to compute: all variants are skipped. "
            f"{'; '.join(map(str, skipped))}. Raise max_width, or pool."
        )
    return variants, skipped


def _check_poolings(poolings: Any, who: str) -> list[Any]:
    what = "'avg', 'max' and None (all values), or 'cls' (the class token)"
    poolings = _check_list("poolings", poolings, what, who)
    if not set(poolings) <= set(ALL_POOLINGS):
        raise ValueError(
            f"The 'poolings' parameter of {who} must list {what}. Got {poolings} instead."
        )
    return poolings


def _check_sizes(input_sizes: Any, smallest: int, who: str) -> list[Size]:
    what = "whole numbers of pixels, or heights and widths"
    if isinstance(input_sizes, Iterable) and not isinstance(input_sizes, str):
        input_sizes = [tuple(each) if isinstance(each, list) else each for each in input_sizes]
    sizes = _check_list("input_sizes", input_sizes, what, who)
    for size in sizes:
        sides = size if isinstance(size, tuple) and len(size) == 2 else (size,)
        if not all(isinstance(side, Integral) and int(side) >= smallest for side in sides):
            raise ValueError(
                f"The 'input_sizes' parameter of {who} must list whole numbers of at least "
                f"{smallest} pixels, or (height, width). Got {sizes} instead."
            )
    return [as_size(as_shape(size)) for size in sizes]


def sort_key(size: Size) -> tuple[int, ...]:
    """Order sizes by their pixels."""
    return math.prod(as_shape(size)), *as_shape(size)


def _why_skipped(variant: Variant, table: Sequence[Any], max_width: int | None) -> str | None:
    """Say why a variant is not computed, if it is not."""
    if variant.pooling == "cls" and all(
        len(layer.output_shape) != 2 for layer in table if layer.name == variant.layer
    ):
        return "this layer gives maps, which have no class token"
    if variant.width == 0 and variant.layer in DENSE_UNITS:
        return f"the dense layers exist at an input size of {TRAINED_SIZE} pixels only"
    if variant.width == 0:
        size = spell_size(variant.input_size)
        return f"this layer does not exist at an input size of {size} pixels"
    if max_width is not None and variant.width > max_width:
        return f"wider than max_width={max_width:,}"
    return None


def _list_tables(
    network: FeatureExtractor | str, sizes: Sequence[Size], only: Size | None
) -> tuple[dict[Size, Sequence[Any]], dict[Size, str]]:
    """List the layers at each size, and why there are none at the others."""
    layers_at = list_layers_of(network)
    tables, refused = {}, {}
    for size in sizes:
        if only not in (None, size):
            sides = " x ".join(map(str, as_shape(only)))
            refused[size] = f"the network takes images of {sides} pixels only"
            continue
        try:
            tables[size] = layers_at(size)
        except ValueError as error:
            refused[size] = str(error)
            failure = error
    if not tables:
        raise failure
    return tables, refused


def _variants_of(
    name: str, poolings: Sequence[str | None], table: Sequence[Any], input_size: Size
) -> Iterable[Variant]:
    names = [layer.name for layer in table]
    if name not in names:
        yield Variant(name, None, input_size, 0, 0)
        return
    above = table[: names.index(name) + 1]
    cost = sum(layer.multiply_adds or 0 for layer in above)
    shape = above[-1].output_shape
    for pooling in [None] if len(shape) == 1 else poolings:
        width = shape[-1] if pooling else math.prod(shape)
        yield Variant(name, pooling, input_size, width, cost)


def _check_list(name: str, values: Any, what: str, who: str) -> list[Any]:
    """Check that a parameter lists different things, at least one."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise TypeError(
            f"The {name!r} parameter of {who} must be a list of {what}. Got {values!r} instead."
        )
    values = list(values)
    if not values or len(set(values)) < len(values):
        raise ValueError(
            f"The {name!r} parameter of {who} must list {what}, at least one and each once. Got "
            f"{values} instead."
        )
    return values
