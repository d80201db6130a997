"""Which cuts are meant by layers x poolings x input sizes, what each gives, and which are left out.

All of it follows from names and sizes, before a weight is read or an image looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from sktransfer.networks import MIN_SIZE, TRAINED_SIZE, find_layer, list_layers, plan_cut

#: Where to look when nothing is said: the end of each block.
BLOCK_ENDS = tuple(f"block{block}_pool" for block in range(1, 6))
POOLINGS = ("avg", "max", None)
INPUT_SIZES = (32, 64, 224)
#: Wider than that, a linear classifier takes longer than it is worth on most machines.
MAX_WIDTH = 50_000


@dataclass(frozen=True)
class Variant:
    """One way to take features from a network.

    Attributes
    ----------
    layer : str
        The layer.
    pooling : {'avg', 'max'} or None
        How each feature map becomes one value; None keeps all values.
    input_size : int
        Side of the square image, in pixels.
    width : int
        Features per image.
    multiply_adds : int
        Multiply-adds for one image up to the layer.
    """

    layer: str
    pooling: str | None
    input_size: int
    width: int
    multiply_adds: int

    def __str__(self) -> str:
        return f"{self.layer} {self.pooling or 'flat'}, {self.input_size} px"


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
    architecture: str,
    layers: Any,
    poolings: Any,
    input_sizes: Any,
    max_width: Any,
    *,
    who: str,
) -> tuple[list[Variant], list[Skipped]]:
    """List every variant, small inputs first and narrow before wide.

    Plain vectors (``flatten``, the dense layers) have nothing to pool: they are listed once,
    whatever the poolings.

    Parameters
    ----------
    architecture : {'vgg16', 'vgg19'}
        The network.
    layers : list of str
        Names of layers.
    poolings : list of {'avg', 'max'} or None
        None stands for all values of a layer.
    input_sizes : list of int
        Sides in pixels.
    max_width : int or None
        Features per image above which a variant is left out; None leaves out none.
    who : str
        The function or class named in errors.

    Returns
    -------
    variants : list of Variant
        What is to be computed.
    skipped : list of Skipped
        What is too wide, and dense layers at sizes at which they do not exist.

    Raises
    ------
    TypeError, ValueError
        If a parameter is wrong, or nothing is left.
    """
    layers = _check_list("layers", layers, "layer names, such as ['block1_pool']", who)
    poolings = _check_list("poolings", poolings, "'avg', 'max' and None (all values)", who)
    sizes = _check_list("input_sizes", input_sizes, "whole numbers of pixels", who)
    if not set(poolings) <= set(POOLINGS):
        raise ValueError(
            f"The 'poolings' parameter of {who} must list 'avg', 'max' and None (all values). Got "
            f"{poolings} instead."
        )
    if not all(isinstance(size, Integral) and int(size) >= MIN_SIZE for size in sizes):
        raise ValueError(
            f"The 'input_sizes' parameter of {who} must list whole numbers of at least {MIN_SIZE} "
            f"pixels. Got {sizes} instead."
        )
    if max_width is not None and not (isinstance(max_width, Integral) and int(max_width) >= 1):
        raise ValueError(
            f"The 'max_width' parameter of {who} must be None or a whole number of features from "
            f"1 up. Got {max_width!r} instead."
        )
    # A layer that some size has may be missing at the others; one that none has is a mistake.
    largest = TRAINED_SIZE if TRAINED_SIZE in sizes else sizes[0]
    for layer in layers:
        find_layer(layer, architecture, largest, f"The 'layers' parameter of {who}")

    variants, skipped = [], []
    for size in sorted(map(int, sizes)):
        found = [
            variant
            for layer in layers
            for variant in _variants_of(layer, poolings, architecture, size)
        ]
        for variant in sorted(found, key=lambda each: (each.width, each.multiply_adds)):
            if variant.width == 0:
                reason = f"the dense layers exist at an input size of {TRAINED_SIZE} pixels only"
            elif max_width is not None and variant.width > max_width:
                reason = f"wider than max_width={max_width:,}"
            else:
                variants.append(variant)
                continue
            skipped.append(Skipped(variant, reason))
    if not variants:
        raise ValueError(
            f"{who} has nothing to compute: all is left out. {'; '.join(map(str, skipped))}. Raise "
            "max_width, or pool."
        )
    return variants, skipped


def _variants_of(
    name: str, poolings: Sequence[str | None], architecture: str, input_size: int
) -> Iterable[Variant]:
    table = list_layers(architecture, input_size)
    names = [layer.name for layer in table]
    if name not in names:
        yield Variant(name, None, input_size, 0, 0)
        return
    above = table[: names.index(name) + 1]
    cost = sum(layer.multiply_adds for layer in above)
    is_vector = len(above[-1].output_shape) == 1
    for pooling in [None] if is_vector else poolings:
        width = plan_cut(name, architecture, pooling, input_size).n_features
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
