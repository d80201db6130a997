"""Families of textures: grey fields that fill a whole picture.

As with shapes, a texture's parameters belong to its class, and every :meth:`field` has its own
phase, rotation and zoom. Frequencies are in waves per picture, so that a class looks the same at
any size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw
from scipy import fft
from scipy.spatial import cKDTree


class Texture(Protocol):
    """A class of textures."""

    def field(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Render one of its pictures."""
        ...


#: Of the grid on which a bend is drawn, to go smoothly from one knot to the next.
_KNOTS = 5


def _turned(rng: np.random.Generator, size: int, bend: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw a rotation, zoom, shift and bend, and return the position of every pixel under them."""
    angle, zoom = rng.uniform(-0.25, 0.25), math.exp(rng.uniform(-0.25, 0.25))
    line = (np.arange(size, dtype=np.float32) + 0.5) / size
    cosine, sine = zoom * math.cos(angle), zoom * math.sin(angle)
    x, y = line[None, :], line[:, None]
    places = cosine * x - sine * y + rng.random(), sine * x + cosine * y + rng.random()
    if not bend:
        return places
    knots = rng.normal(0, bend, (2, _KNOTS, _KNOTS)).astype(np.float32)
    across, down = (
        place + np.asarray(Image.fromarray(each).resize((size, size), Image.Resampling.BICUBIC))
        for place, each in zip(places, knots, strict=True)
    )
    return across, down


def _draw_bend(rng: np.random.Generator, most: float) -> float:
    """Draw how far places move, as a share of the picture's side; every other class is straight."""
    return float(rng.choice([0.0, rng.uniform(0.1, 1) * most]))


#: From a phase in waves to a value from 0 to 1.
_WAVES = {
    "sine": lambda phase: 0.5 + 0.5 * np.sin(2 * math.pi * phase),
    "square": lambda phase: np.clip(4 * np.sin(2 * math.pi * phase) + 0.5, 0, 1),
    "pulse": lambda phase: np.clip(4 * np.sin(2 * math.pi * phase) - 2, 0, 1),
    "saw": lambda phase: phase % 1,
}


@dataclass(frozen=True)
class Grating:
    """One to three waves of fixed direction and frequency: stripes, checks, lattices, wood.

    Attributes
    ----------
    waves : tuple of (str, float, float)
        Form, and waves per picture along both axes.
    mixing : {'mean', 'product', 'maximum'}
        How several waves are combined.
    bend : float
        How far its lines leave the straight, as a share of the picture's side.
    """

    waves: tuple[tuple[str, float, float], ...]
    mixing: str
    bend: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Grating:
        """Draw a class."""
        waves = []
        for _ in range(rng.integers(1, 4)):
            angle = rng.uniform(0, math.pi)
            frequency = math.exp(rng.uniform(math.log(1.5), math.log(10)))
            form = str(rng.choice(list(_WAVES)))
            waves.append((form, frequency * math.cos(angle), frequency * math.sin(angle)))
        mixing = str(rng.choice(["mean", "product", "maximum"]))
        return cls(tuple(waves), mixing, _draw_bend(rng, 0.12))

    def field(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Render a picture: see :class:`Texture`."""
        x, y = _turned(rng, size, self.bend)
        parts = [_WAVES[form](along * x + down * y) for form, along, down in self.waves]
        if self.mixing == "mean":
            return sum(parts) / np.float32(len(parts))
        mix = np.multiply if self.mixing == "product" else np.maximum
        return np.clip(mix.reduce(parts), 0, 1).astype(np.float32, copy=False)


@dataclass(frozen=True)
class RandomField:
    """Noise of a fixed spectrum: clouds, grain, fur, ripples, spots.

    Attributes
    ----------
    frequency, bandwidth : float
        Where the spectrum peaks, in waves per picture, and how wide it is in octaves. A frequency
        of 0 stands for a spectrum that falls as a power of the frequency, with `bandwidth` as the
        exponent, as those of photographs do.
    angle, anisotropy : float
        Its direction in radians, and how much it is bound to that.
    form : {'plain', 'spots', 'ridges', 'steps'}
        How its values are transformed.
    """

    frequency: float
    bandwidth: float
    angle: float
    anisotropy: float
    form: str

    @classmethod
    def draw(cls, rng: np.random.Generator) -> RandomField:
        """Draw a class."""
        power = rng.random() < 0.3
        return cls(
            frequency=0.0 if power else math.exp(rng.uniform(math.log(2), math.log(11))),
            bandwidth=rng.uniform(0.7, 2.2) if power else rng.uniform(0.15, 0.7),
            angle=rng.uniform(0, math.pi),
            anisotropy=rng.choice([0.0, rng.uniform(0.5, 4)]),
            form=str(rng.choice(["plain", "spots", "ridges", "steps"], p=[0.4, 0.25, 0.2, 0.15])),
        )

    def field(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Render a picture: see :class:`Texture`."""
        angle = self.angle + rng.uniform(-0.25, 0.25)
        zoom = math.exp(rng.uniform(-0.25, 0.25))
        down = fft.fftfreq(size, 1 / size).astype(np.float32)[:, None]
        along = np.arange(size // 2 + 1, dtype=np.float32)[None, :]
        radius = np.hypot(along, down)
        radius[0, 0] = 1
        if self.frequency:
            octaves = np.log2(radius / np.float32(self.frequency * zoom))
            amplitude = np.exp(-((octaves / np.float32(self.bandwidth)) ** 2) / 2)
        else:
            amplitude = radius ** np.float32(-self.bandwidth)
        if self.anisotropy:
            aligned = (along * math.cos(angle) + down * math.sin(angle)) / radius
            amplitude = amplitude * np.exp(np.float32(2 * self.anisotropy) * (aligned**2 - 1))
        amplitude[0, 0] = 0
        noise = rng.standard_normal((2, *amplitude.shape), dtype=np.float32)
        values = fft.irfft2((noise[0] + 1j * noise[1]) * amplitude, s=(size, size))
        values /= values.std() + np.float32(1e-6)
        if self.form == "spots":
            values = 3 * (values - np.float32(0.8))
        elif self.form == "ridges":
            values = 2 * np.abs(values) - 2
        elif self.form == "steps":
            values = np.round(values)
        return np.clip(0.5 + 0.25 * values, 0, 1).astype(np.float32, copy=False)


@dataclass(frozen=True)
class Cells:
    """Cells around jittered points of a lattice: tiles, bricks, stones, scales, foam.

    Attributes
    ----------
    across, down : float
        Cells per picture, along both axes.
    jitter : float
        How far points leave the lattice, in cells.
    form : {'joints', 'domes', 'patches', 'stones'}
        Lines between cells, heights that fall from their middle, a grey of each cell's own, or
        such greys with lines between them.
    stagger : float
        How far every other row is shifted, in cells.
    bend : float
        How far its rows leave the straight, as a share of the picture's side.
    """

    across: float
    down: float
    jitter: float
    form: str
    stagger: float
    bend: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Cells:
        """Draw a class."""
        down = math.exp(rng.uniform(math.log(2.5), math.log(9)))
        return cls(
            across=max(1.5, down * math.exp(rng.choice([0.0, rng.uniform(-1, 0.3)]))),
            down=down,
            jitter=rng.uniform(0, 0.5),
            form=str(rng.choice(["joints", "domes", "patches", "stones"])),
            stagger=rng.choice([0.0, 0.5]),
            bend=_draw_bend(rng, 0.08),
        )

    def field(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Render a picture: see :class:`Texture`."""
        x, y = _turned(rng, size, self.bend)
        x, y = self.across * x, self.down * y
        left, right = math.floor(x.min()) - 2, math.ceil(x.max()) + 2
        top, bottom = math.floor(y.min()) - 2, math.ceil(y.max()) + 2
        columns, rows = np.meshgrid(np.arange(left, right), np.arange(top, bottom))
        points = np.column_stack([(columns + self.stagger * (rows % 2)).ravel(), rows.ravel()])
        points = points + rng.uniform(-self.jitter, self.jitter, points.shape)
        places = np.column_stack([part.ravel() for part in np.broadcast_arrays(x, y)])
        nearest, owner = cKDTree(points).query(places, k=2)
        if self.form == "domes":
            values = np.clip(1 - 1.4 * nearest[:, 0] ** 2, 0, 1)
        else:
            values = np.ones(len(places))
        if self.form in ("patches", "stones"):
            values = rng.random(len(points))[owner[:, 0]]
        if self.form in ("joints", "stones"):
            values = values * np.clip(6 * (nearest[:, 1] - nearest[:, 0]), 0, 1)
        return values.astype(np.float32).reshape(size, size)


@dataclass(frozen=True)
class Leaves:
    """Leaves that fall on each other: partly hidden edges and corners at all sizes.

    Attributes
    ----------
    corners : int
        Of a leaf; 0 stands for a disk.
    smallest : float
        The least radius, as a share of the picture's side; the largest is 0.35.
    falloff : float
        By which power of the radius larger leaves are rarer.
    length : float
        How long a leaf is, as a multiple of its width.
    angle, spread : float
        Where they point, in radians, and the standard deviation around it.

    References
    ----------
    M. Baradad et al., "Learning to See by Looking at Noise", 2021,
    https://arxiv.org/abs/2106.05963 (dead leaves as training material).
    """

    corners: int
    smallest: float
    falloff: float
    length: float
    angle: float
    spread: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Leaves:
        """Draw a class."""
        return cls(
            corners=int(rng.choice([0, 3, 4, 5])),
            smallest=rng.uniform(0.03, 0.12),
            falloff=rng.uniform(1.2, 3),
            length=math.exp(rng.uniform(0, 2)),
            angle=rng.uniform(0, math.pi),
            spread=rng.choice([3.0, rng.uniform(0.1, 0.6)]),
        )

    def field(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Render a picture: see :class:`Texture`."""
        n, side = 70 if self.smallest > 0.06 else 140, 2 * size
        power = 1 - self.falloff
        low, high = self.smallest**power, 0.35**power
        radii = (low + rng.random(n) * (high - low)) ** (1 / power)
        angles = 2 * math.pi * np.arange(self.corners or 12) / (self.corners or 12)
        outline = np.column_stack([self.length * np.cos(angles), np.sin(angles)])
        outline /= math.sqrt(self.length)
        turns = self.angle + rng.normal(0, self.spread, n)
        cosines, sines = np.cos(turns), np.sin(turns)
        matrices = np.array([[cosines, sines], [-sines, cosines]]).transpose(2, 0, 1)
        leaves = outline @ (matrices * radii[:, None, None]) + rng.random((n, 1, 2))
        greys = rng.integers(0, 256, n + 1).tolist()
        image = Image.new("L", (side, side), greys[-1])
        draw = ImageDraw.Draw(image)
        for corners, grey in zip((leaves * side).reshape(n, -1).tolist(), greys, strict=False):
            draw.polygon(corners, fill=grey)
        return np.asarray(image.reduce(2), dtype=np.float32) / 255


_PLAIN: tuple[Callable[[np.random.Generator], Texture], ...] = (
    RandomField.draw,
    RandomField.draw,
    Grating.draw,
    Cells.draw,
    Leaves.draw,
)


def draw_texture(rng: np.random.Generator) -> Texture:
    """Draw a texture of any family of one layer."""
    return _PLAIN[rng.integers(len(_PLAIN))](rng)


@dataclass(frozen=True)
class Layers:
    """Textures of two scales in one, as most surfaces have them: bricks of grain, patchy grass.

    Attributes
    ----------
    first, second : Texture
        Two textures.
    mask : Texture or None
        Where the second replaces the first; None adds them up.
    share : float
        Of the second in the sum.
    """

    first: Texture
    second: Texture
    mask: Texture | None
    share: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Layers:
        """Draw a class."""
        mask = draw_texture(rng) if rng.random() < 0.5 else None
        return cls(draw_texture(rng), draw_texture(rng), mask, rng.uniform(0.25, 0.5))

    def field(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Render a picture: see :class:`Texture`."""
        first, second = self.first.field(rng, size), self.second.field(rng, size)
        if self.mask is None:
            return first + np.float32(self.share) * (second - first)
        return first + self.mask.field(rng, size) * (second - first)
