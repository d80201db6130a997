"""Families of textures: what fills a whole picture, as a field of grey.

As with shapes, a texture's numbers belong to its class, and every :meth:`field` has its own phase,
turn and zoom. Frequencies are in waves per picture, so that a class looks the same at any size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw
from scipy import fft
from scipy.spatial import cKDTree


class Texture(Protocol):
    """A class of textures."""

    def field(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Render one of its pictures.

        Parameters
        ----------
        rng : Generator
            What this picture's own variation is drawn from.
        size : int
            Side in pixels.

        Returns
        -------
        ndarray of shape (size, size), float32
            Values from 0 to 1.
        """
        ...


def _turned(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a turn, a zoom and a shift, and return every pixel's place under them."""
    angle, zoom = rng.uniform(-0.25, 0.25), math.exp(rng.uniform(-0.25, 0.25))
    line = (np.arange(size, dtype=np.float32) + 0.5) / size
    cosine, sine = zoom * math.cos(angle), zoom * math.sin(angle)
    x, y = line[None, :], line[:, None]
    return cosine * x - sine * y + rng.random(), sine * x + cosine * y + rng.random()


#: From a phase in waves to a value from 0 to 1.
_WAVES = {
    "sine": lambda phase: 0.5 + 0.5 * np.sin(2 * math.pi * phase),
    "square": lambda phase: np.clip(4 * np.sin(2 * math.pi * phase) + 0.5, 0, 1),
    "pulse": lambda phase: np.clip(4 * np.sin(2 * math.pi * phase) - 2, 0, 1),
    "saw": lambda phase: phase % 1,
}


@dataclass(frozen=True)
class Grating:
    """One to three waves of fixed direction and frequency: stripes, checks, lattices.

    Attributes
    ----------
    waves : tuple of (str, float, float)
        Form, and waves per picture along both axes.
    mixing : {'mean', 'product', 'maximum'}
        How several become one.
    """

    waves: tuple[tuple[str, float, float], ...]
    mixing: str

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Grating:
        """Draw a class."""
        waves = []
        for _ in range(rng.integers(1, 4)):
            angle = rng.uniform(0, math.pi)
            frequency = math.exp(rng.uniform(math.log(1.5), math.log(10)))
            form = str(rng.choice(list(_WAVES)))
            waves.append((form, frequency * math.cos(angle), frequency * math.sin(angle)))
        return cls(tuple(waves), str(rng.choice(["mean", "product", "maximum"])))

    def field(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Render a picture: see :class:`Texture`."""
        x, y = _turned(rng, size)
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
        What is made of its values.
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
    """Cells around jittered points of a lattice: tiles, stones, scales, foam.

    Attributes
    ----------
    across : float
        Cells per picture.
    jitter : float
        How far points leave the lattice, in cells.
    form : {'joints', 'domes', 'patches'}
        Lines between cells, heights that fall from their middle, or a grey of each cell's own.
    stagger : float
        How far every other row is shifted, in cells.
    """

    across: float
    jitter: float
    form: str
    stagger: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Cells:
        """Draw a class."""
        return cls(
            across=rng.uniform(2.5, 8),
            jitter=rng.uniform(0, 0.5),
            form=str(rng.choice(["joints", "domes", "patches"])),
            stagger=rng.choice([0.0, 0.5]),
        )

    def field(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Render a picture: see :class:`Texture`."""
        x, y = (self.across * places for places in _turned(rng, size))
        left, right = math.floor(x.min()) - 2, math.ceil(x.max()) + 2
        top, bottom = math.floor(y.min()) - 2, math.ceil(y.max()) + 2
        columns, rows = np.meshgrid(np.arange(left, right), np.arange(top, bottom))
        points = np.column_stack([(columns + self.stagger * (rows % 2)).ravel(), rows.ravel()])
        points = points + rng.uniform(-self.jitter, self.jitter, points.shape)
        places = np.column_stack([part.ravel() for part in np.broadcast_arrays(x, y)])
        nearest, owner = cKDTree(points).query(places, k=2)
        if self.form == "joints":
            values = np.clip(6 * (nearest[:, 1] - nearest[:, 0]), 0, 1)
        elif self.form == "domes":
            values = np.clip(1 - 1.4 * nearest[:, 0] ** 2, 0, 1)
        else:
            values = rng.random(len(points))[owner[:, 0]]
        return values.astype(np.float32).reshape(size, size)


@dataclass(frozen=True)
class Leaves:
    """Leaves that fall upon one another: edges and corners that are hidden in part, at all sizes.

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

    References
    ----------
    M. Baradad et al., "Learning to See by Looking at Noise", 2021,
    https://arxiv.org/abs/2106.05963 (dead leaves as training material).
    """

    corners: int
    smallest: float
    falloff: float
    length: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Leaves:
        """Draw a class."""
        return cls(
            corners=int(rng.choice([0, 3, 4, 5])),
            smallest=rng.uniform(0.03, 0.12),
            falloff=rng.uniform(1.2, 3),
            length=math.exp(rng.uniform(0, 1.2)),
        )

    def field(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Render a picture: see :class:`Texture`."""
        n, side = 70, 2 * size
        power = 1 - self.falloff
        low, high = self.smallest**power, 0.35**power
        radii = (low + rng.random(n) * (high - low)) ** (1 / power)
        angles = 2 * math.pi * np.arange(self.corners or 12) / (self.corners or 12)
        outline = np.column_stack([self.length * np.cos(angles), np.sin(angles)])
        outline /= math.sqrt(self.length)
        turns = rng.uniform(0, 2 * math.pi, n)
        cosines, sines = np.cos(turns), np.sin(turns)
        matrices = np.array([[cosines, sines], [-sines, cosines]]).transpose(2, 0, 1)
        leaves = outline @ (matrices * radii[:, None, None]) + rng.random((n, 1, 2))
        greys = rng.integers(0, 256, n + 1).tolist()
        image = Image.new("L", (side, side), greys[-1])
        draw = ImageDraw.Draw(image)
        for corners, grey in zip((leaves * side).reshape(n, -1).tolist(), greys, strict=False):
            draw.polygon(corners, fill=grey)
        return np.asarray(image.reduce(2), dtype=np.float32) / 255
