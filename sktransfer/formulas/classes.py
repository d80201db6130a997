"""What a class of formula images is: one formula, its numbers, and the way it is painted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sktransfer.formulas import painting
from sktransfer.formulas.shapes import Blobs, Fractal, Polygon, Shape, Strokes
from sktransfer.formulas.textures import Cells, Grating, Leaves, RandomField, Texture

_SHAPES: dict[str, Callable[[np.random.Generator], Shape]] = {
    "strokes": Strokes.draw,
    "polygons": Polygon.draw,
    "fractals": Fractal.draw,
    "blobs": Blobs.draw,
}
_TEXTURES: dict[str, Callable[[np.random.Generator], Texture]] = {
    "gratings": Grating.draw,
    "fields": RandomField.draw,
    "cells": Cells.draw,
    "leaves": Leaves.draw,
}

#: Of 21 classes in a row, how many are of each family.
FAMILIES = {
    "strokes": 5,
    "polygons": 2,
    "fractals": 3,
    "blobs": 2,
    "gratings": 1,
    "fields": 3,
    "cells": 1,
    "leaves": 1,
    "compositions": 3,
}
#: Their order, in which each family comes back as evenly as it can.
TURNS = [
    name
    for _, name in sorted(
        ((turn + 0.5) / share, name) for name, share in FAMILIES.items() for turn in range(share)
    )
]


@dataclass(frozen=True)
class ShapeClass:
    """A shape, in whatever colours and light."""

    shape: Shape

    def picture(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Paint one picture of the class."""
        return painting.paint_shape(self.shape, rng, size)


@dataclass(frozen=True)
class TextureClass:
    """A texture over the whole picture; every other one has colours of its own."""

    texture: Texture
    palette: np.ndarray | None

    def picture(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Paint one picture of the class."""
        return painting.paint_texture(self.texture, self.palette, rng, size)


@dataclass(frozen=True)
class Composition:
    """A shape with one texture before a ground with another."""

    shape: Shape
    on: Texture
    behind: Texture

    def picture(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Paint one picture of the class."""
        return painting.paint_composition(self.shape, self.on, self.behind, rng, size)


FormulaClass = ShapeClass | TextureClass | Composition


def draw_class(family: str, rng: np.random.Generator) -> FormulaClass:
    """Draw a class of a family.

    Parameters
    ----------
    family : str
        A key of `FAMILIES`.
    rng : Generator
        What its numbers are drawn from.

    Returns
    -------
    ShapeClass, TextureClass or Composition
        The class.
    """
    if family in _SHAPES:
        return ShapeClass(_SHAPES[family](rng))
    if family in _TEXTURES:
        texture = _TEXTURES[family](rng)
        palette = painting.draw_colours(rng, 2) if rng.random() < 0.5 else None
        return TextureClass(texture, palette)
    # Strokes and fractals are too thin to show what they are filled with.
    shape = _SHAPES[("polygons", "blobs")[rng.integers(2)]](rng)
    return Composition(shape, painting.draw_texture(rng), painting.draw_texture(rng))
