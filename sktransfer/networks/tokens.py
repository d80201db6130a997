"""Sequences of tokens: whether they are the patches of an image, with a class token or without."""

from __future__ import annotations

import math
from collections.abc import Sequence

from sktransfer.networks.outputs import as_shape


def are_patches(n_tokens: int, input_size: int | Sequence[int]) -> bool:
    """Tell whether square patches, side by side, fill an image with so many tokens."""
    height, width = as_shape(input_size)
    common = math.gcd(height, width)
    sides = (side for side in range(1, common + 1) if common % side == 0)
    return any(n_tokens == height // side * (width // side) for side in sides)


def how_to_pool(shape: Sequence[int], input_size: int | Sequence[int]) -> str | None:
    """Say how what a network ends with becomes an embedding.

    That is the mean of maps or of patches, or the class token before these. None is for vectors,
    and for sequences that are neither: with registers or other tokens, only the user can tell.
    """
    if len(shape) == 1:
        return None
    if len(shape) == 3 or are_patches(shape[0], input_size):
        return "avg"
    # Of two tokens nothing tells which is the class token, and whether one is.
    return "cls" if shape[0] > 2 and are_patches(shape[0] - 1, input_size) else None
