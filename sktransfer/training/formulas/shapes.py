"""Families of shapes: masks in front of a background.

A shape is a class of pictures: its parameters are drawn once, from the seed of the class. Every
:meth:`mask` then moves, rotates, stretches and bends it a little, so that no two pictures of a
class are the same.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw
from scipy.spatial import cKDTree


class Shape(Protocol):
    """A class of shapes."""

    def mask(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Render one of its pictures."""
        ...


def _pose(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the pose of a shape from -1 to 1 in a picture from 0 to 1: a matrix and a shift."""
    angle = rng.uniform(-0.4, 0.4)  # radians: a 6 may lean, and does not become a 9
    scale = rng.uniform(0.22, 0.5)
    stretch, shear = rng.normal(0, 0.12, 2)
    bend = np.array([[math.exp(stretch), shear], [0, math.exp(-stretch)]])
    matrix = scale * _rotation(angle) @ bend
    room = max(0.05, 0.5 - scale)
    return matrix.T, 0.5 + rng.uniform(-room, room, 2)


@lru_cache(maxsize=16)
def _pixels(size: int) -> np.ndarray:
    """Return the centre of every pixel, row by row."""
    line = np.arange(size) + 0.5
    pixels = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    pixels.flags.writeable = False
    return pixels


def _canvas(size: int) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    """Return a canvas of finer pixels, as Pillow draws without antialiasing."""
    factor = 4 if size <= 48 else 2
    image = Image.new("L", (size * factor, size * factor))
    return image, ImageDraw.Draw(image), factor


def _coverage(image: Image.Image, factor: int) -> np.ndarray:
    return np.asarray(image.reduce(factor), dtype=np.float32) / 255


def _vertices(points: np.ndarray) -> list[tuple[float, float]]:
    return list(map(tuple, points.tolist()))


#: The cubic Bernstein polynomials at 40 places.
_PLACES = np.linspace(0, 1, 40)[:, None]
_BERNSTEIN = np.hstack(
    [math.comb(3, power) * _PLACES**power * (1 - _PLACES) ** (3 - power) for power in range(4)]
)


@dataclass(frozen=True)
class Strokes:
    """One to five cubic Bezier curves drawn with one pen.

    Attributes
    ----------
    curves : ndarray of shape (n_curves, 4, 2)
        Control points from -1 to 1.
    width : float
        Of the pen, as a share of the picture's side.
    """

    curves: np.ndarray
    width: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Strokes:
        """Draw a class."""
        curves = rng.uniform(-1, 1, (rng.integers(1, 6), 4, 2))
        # Most strokes start where the one before ends, as in writing.
        for before, after in itertools.pairwise(curves):
            if rng.random() < 0.6:
                after[0] = before[3]
        return cls(curves, math.exp(rng.uniform(math.log(0.05), math.log(0.2))))

    def mask(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Render a picture: see :class:`Shape`."""
        matrix, shift = _pose(rng)
        curves = self.curves + rng.normal(0, 0.07, self.curves.shape)
        points = (_BERNSTEIN @ curves) @ matrix + shift
        radius = max(0.6, self.width * rng.uniform(0.35, 0.7) * size)  # in pixels
        tree = cKDTree(points.reshape(-1, 2) * size)
        distance, _ = tree.query(_pixels(size), distance_upper_bound=radius + 1)
        return np.clip(radius + 0.5 - distance, 0, 1).astype(np.float32).reshape(size, size)


@dataclass(frozen=True)
class Polygon:
    """A polygon around its centre: filled, with a hole, or only its outline.

    Attributes
    ----------
    outer, inner : ndarray of shape (n_vertices, 2)
        Vertices from -1 to 1; no hole where `inner` is empty.
    width : float
        Of the outline, as a share of the side; 0 where it is full.
    """

    outer: np.ndarray
    inner: np.ndarray
    width: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Polygon:
        """Draw a class."""
        style = rng.choice(["full", "hole", "outline"], p=[0.45, 0.25, 0.3])
        inner = cls._ring(rng) * rng.uniform(0.35, 0.6) if style == "hole" else np.empty((0, 2))
        return cls(cls._ring(rng), inner, rng.uniform(0.04, 0.1) * (style == "outline"))

    @staticmethod
    def _ring(rng: np.random.Generator) -> np.ndarray:
        n = rng.integers(3, 10)
        angles = 2 * math.pi * (np.arange(n) + rng.uniform(-0.3, 0.3, n)) / n
        if rng.random() < 0.4:  # a star
            radii = np.where(np.arange(n) % 2, rng.uniform(0.3, 0.7), 1.0)
        else:
            radii = rng.uniform(0.5, 1, n)
        return radii[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])

    def mask(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Render a picture: see :class:`Shape`."""
        matrix, shift = _pose(rng)
        image, draw, factor = _canvas(size)
        side = size * factor
        outer = self.outer + rng.normal(0, 0.05, self.outer.shape)
        corners = _vertices((outer @ matrix + shift) * side)
        if self.width:
            pen = max(factor, round(self.width * rng.uniform(0.7, 1.4) * side))
            draw.line([*corners, corners[0], corners[1]], fill=255, width=pen, joint="curve")
        else:
            draw.polygon(corners, fill=255)
        if len(self.inner):
            draw.polygon(_vertices((self.inner @ matrix + shift) * side), fill=0)
        return _coverage(image, factor)


@dataclass(frozen=True)
class Fractal:
    """The attractor of an iterated function system.

    Attributes
    ----------
    maps : ndarray of shape (n_maps, 3, 2)
        Affine maps: the matrix, and below it the shift.
    chances : ndarray of shape (n_maps,)
        How often each is taken, by its area.

    References
    ----------
    H. Kataoka et al., "Pre-training without Natural Images", 2020, https://arxiv.org/abs/2101.08515
    (fractals as classes); C. Anderson, R. Farrell, "Improving Fractal Pre-training", 2021,
    https://arxiv.org/abs/2110.03091 (maps drawn by their singular values).
    """

    maps: np.ndarray
    chances: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Fractal:
        """Draw a class."""
        n = rng.integers(2, 6)
        matrices = np.empty((n, 2, 2))
        for matrix in matrices:
            first, second = rng.uniform(0, 2 * math.pi, 2)
            large = rng.uniform(0.45, 0.85)
            values = np.diag([large, large * rng.uniform(0.25, 1) * rng.choice([-1, 1])])
            matrix[:] = _rotation(first) @ values @ _rotation(second)
        maps = np.concatenate([matrices, rng.uniform(-1, 1, (n, 1, 2))], axis=1)
        areas = np.abs(np.linalg.det(matrices)) + 0.05
        return cls(maps, areas / areas.sum())

    def mask(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Render a picture: see :class:`Shape`."""
        maps = (self.maps * rng.normal(1, 0.06, self.maps.shape)).reshape(-1, 6).T
        bounds = np.cumsum(self.chances)[:-1]
        # A few points find the attractor, then each step doubles them.
        counts = [size] * 10 + [size << doubling for doubling in range(1, 7)]
        chosen = np.searchsorted(bounds, rng.random(sum(counts)))
        x = y = np.zeros(size)
        for n, which in zip(counts, np.split(chosen, np.cumsum(counts)[:-1]), strict=True):
            if n > len(x):
                x, y = np.concatenate([x, x]), np.concatenate([y, y])
            xx, xy, yx, yy, along, down = maps[:, which]
            x, y = x * xx + y * yx + along, x * xy + y * yy + down
        points = np.column_stack([x, y])
        matrix, shift = _pose(rng)
        centre, spread = points.mean(axis=0), points.std(axis=0)
        points = (points - centre) / (2 * spread.max()) @ matrix + shift
        places = np.floor(points * size).astype(np.intp)
        places = places[((places >= 0) & (places < size)).all(axis=1)]
        hits = np.bincount(places[:, 1] * size + places[:, 0], minlength=size * size)
        return (1 - np.exp(-0.7 * hits)).astype(np.float32).reshape(size, size)


def _rotation(angle: float) -> np.ndarray:
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


@dataclass(frozen=True)
class Blobs:
    """A few soft ellipses that merge into each other.

    Attributes
    ----------
    centres : ndarray of shape (n_blobs, 2)
        From -1 to 1.
    forms : ndarray of shape (n_blobs, 2, 2)
        What a place relative to the centre is multiplied with before its length is taken.
    """

    centres: np.ndarray
    forms: np.ndarray = field(repr=False)

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Blobs:
        """Draw a class."""
        n = rng.integers(1, 7)
        forms = np.empty((n, 2, 2))
        for form in forms:
            radius = rng.uniform(0.2, 0.8 if n < 3 else 0.5)
            form[:] = _rotation(rng.uniform(0, math.pi)) / [radius, radius * rng.uniform(0.3, 1)]
        return cls(rng.uniform(-0.8, 0.8, (n, 2)), forms)

    def mask(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Render a picture: see :class:`Shape`."""
        matrix, shift = _pose(rng)
        places = (_pixels(size) / size - shift) @ np.linalg.inv(matrix)
        heights = np.zeros(len(places))
        jitter = rng.normal(0, 0.05, self.centres.shape)
        for centre, form in zip(self.centres + jitter, self.forms, strict=True):
            heights += np.exp(-(((places - centre) @ form) ** 2).sum(axis=1))
        edge = np.clip((heights - 0.4) * rng.uniform(4, 12) + 0.5, 0, 1)
        return edge.astype(np.float32).reshape(size, size)
