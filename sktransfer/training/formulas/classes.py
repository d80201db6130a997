"""Classes of formula images: a formula, its parameters, and its colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.ndimage import gaussian_filter

from sktransfer.training.formulas.painting import (
    blend,
    draw_palette,
    paint_surface,
    shade,
    take_colours,
)
from sktransfer.training.formulas.shapes import Blobs, Fractal, Polygon, Shape, Strokes
from sktransfer.training.formulas.textures import (
    Cells,
    Grating,
    Layers,
    Leaves,
    RandomField,
    Texture,
    draw_texture,
)

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
    "layers": Layers.draw,
}

#: Of 25 classes in a row, how many are of each family.
FAMILIES = {
    "strokes": 5,
    "polygons": 2,
    "fractals": 2,
    "blobs": 2,
    "gratings": 2,
    "fields": 3,
    "cells": 2,
    "leaves": 2,
    "layers": 2,
    "compositions": 3,
}
#: Their order, in which each family comes back as evenly as it can.
TURNS = [
    name
    for _, name in sorted(
        ((turn + 0.5) / share, name) for name, share in FAMILIES.items() for turn in range(share)
    )
]


class FormulaClass(Protocol):
    """A class: its formula, its parameters, and its own colours if it has any."""

    def picture(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Paint one picture of the class."""
        ...


@dataclass(frozen=True)
class ShapeClass:
    """A shape with fillings, whose background and light are drawn again each time."""

    shape: Shape
    palette: np.ndarray | None

    def picture(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Paint one picture: see :class:`FormulaClass`."""
        mask = self.shape.mask(rng, size)
        if rng.random() < 0.35:  # ink on paper, chalk on a board
            paper, ink = take_colours(self.palette, rng, 2, contrast=0.4)
            return blend(mask, paper, ink)
        ground, fill, ground_to, fill_to = take_colours(self.palette, rng, 4)
        behind = paint_surface(rng, size, np.stack([ground, ground_to]))
        on = paint_surface(rng, size, np.stack([fill, fill_to]))
        if rng.random() < 0.4:  # solid: a bevel of the mask is what is lit
            bevel = gaussian_filter(mask, size * rng.uniform(0.02, 0.06), truncate=2)
            on = on * shade(bevel, rng, relief=0.2)[:, :, None]
        return blend(mask, behind, on)


@dataclass(frozen=True)
class TextureClass:
    """A texture over the whole picture, flat or in relief."""

    texture: Texture
    palette: np.ndarray | None
    relief: float

    def picture(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Paint one picture: see :class:`FormulaClass`."""
        dark, light, between = take_colours(self.palette, rng, 3)
        field = self.texture.field(rng, size)
        picture = np.where(
            field[:, :, None] < 0.5,
            blend(2 * field, dark, between),
            blend(2 * field - 1, between, light),
        )
        if self.relief:
            picture = picture * shade(field, rng, self.relief)[:, :, None]
        return picture


@dataclass(frozen=True)
class Composition:
    """A shape with one texture in front of a background with another."""

    shape: Shape
    on: Texture
    behind: Texture
    palette: np.ndarray | None

    def picture(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Paint one picture: see :class:`FormulaClass`."""
        colours = take_colours(self.palette, rng, 4)
        return blend(
            self.shape.mask(rng, size),
            paint_surface(rng, size, colours[::2], self.behind),
            paint_surface(rng, size, colours[1::2], self.on),
        )


def draw_class(family: str, rng: np.random.Generator) -> FormulaClass:
    """Draw a class of a family."""
    palette = draw_palette(rng)
    if family in _SHAPES:
        return ShapeClass(_SHAPES[family](rng), palette)
    if family in _TEXTURES:
        relief = rng.uniform(0.02, 0.08) if rng.random() < 0.35 else 0.0
        return TextureClass(_TEXTURES[family](rng), palette, relief)
    # Strokes and fractals are too thin to show what they are filled with.
    shape = _SHAPES[("polygons", "blobs")[rng.integers(2)]](rng)
    return Composition(shape, draw_texture(rng), draw_texture(rng), palette)
