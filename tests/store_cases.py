"""Rows that are known by their numbers, for all tests of the store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sktransfer import FeatureStore

WIDTH = 300


def image(number: int) -> bytes:
    return (number * 2654435761 % 2**32).to_bytes(4, "big") + number.to_bytes(12, "big")


def row(number: int, recipe: str = "a", width: int = WIDTH) -> np.ndarray:
    """Say what the row of an image must be."""
    seed = [number, len(recipe), *recipe.encode()]
    return np.random.default_rng(seed).random(width, dtype=np.float32)


def write(
    store: FeatureStore, numbers: Sequence[int], recipe: str = "a", width: int = WIDTH
) -> None:
    rows = np.array([row(number, recipe, width) for number in numbers], np.float32)
    with store.open() as use:
        use.write(recipe, [image(number) for number in numbers], rows.reshape(-1, width))


def read(
    store: FeatureStore, numbers: Sequence[int], recipe: str = "a", width: int = WIDTH
) -> list[int]:
    """Read rows, check each that is there, and return their numbers."""
    out = np.full((len(numbers), width), np.nan, dtype=np.float32)
    with store.open() as use:
        found = use.read(recipe, [image(number) for number in numbers], out)
    for number, values, is_there in zip(numbers, out, found, strict=True):
        if is_there:
            np.testing.assert_array_equal(values, row(number, recipe, width))
        else:
            assert np.isnan(values).all()
    return [number for number, is_there in zip(numbers, found, strict=True) if is_there]
