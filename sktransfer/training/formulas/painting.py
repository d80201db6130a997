"""Painting of masks and fields as colour images: everything that varies within a class.

Colours, backgrounds, fillings, light, blur and noise. Pictures are float32 arrays of shape `(size,
size, 3)`, red first, from 0 to 1, until :func:`photograph` makes them uint8.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter

from sktransfer.training.formulas.textures import Texture, draw_texture

#: How bright a colour looks (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)

# Each is shared by many classes: it narrows them down, and a shape or texture tells the rest.
_N_PALETTES = 24
_PALETTES_SEED = 24


def draw_colours(rng: np.random.Generator, n: int, contrast: float = 0.2) -> np.ndarray:
    """Draw colours of which the first two differ in brightness."""
    grey = rng.random() < 0.3
    while True:
        colours = rng.random((n, 1 if grey else 3), dtype=np.float32)
        colours = np.broadcast_to(colours, (n, 3))
        if abs((colours[0] - colours[1]) @ _LUMA) >= contrast:
            return colours


@lru_cache(maxsize=1)
def _palettes() -> np.ndarray:
    rng = np.random.default_rng(_PALETTES_SEED)
    palettes = np.stack([draw_colours(rng, 4) for _ in range(_N_PALETTES)])
    # Every other one has a single hue, in four shades.
    hues = rng.uniform(0.3, 1, (_N_PALETTES // 2, 1, 3)) ** 2
    shades = np.array([0.35, 1.15, 0.6, 0.9])[:, None]
    palettes[::2] = np.clip(hues * shades + rng.normal(0, 0.03, (len(hues), 4, 3)), 0, 1)
    return palettes


def draw_palette(rng: np.random.Generator) -> np.ndarray | None:
    """Draw the colours that belong to a class."""
    number = int(rng.integers(_N_PALETTES))
    return _palettes()[number] if rng.random() < 0.6 else None


def take_colours(
    palette: np.ndarray | None, rng: np.random.Generator, n: int, contrast: float = 0.2
) -> np.ndarray:
    """Choose the colours of a picture: slightly changed ones of its class, or any."""
    if palette is None:
        return draw_colours(rng, n, contrast)
    return palette[:n] + rng.normal(0, 0.05, (n, 3)).astype(np.float32)


def blend(amount: np.ndarray, dark: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Blend from one colour or picture to another."""
    return dark + amount[:, :, None] * (light - dark)


def shade(height: np.ndarray, rng: np.random.Generator, relief: float) -> np.ndarray:
    """Light a surface from one side."""
    down, along = np.gradient(height * np.float32(relief * len(height)))
    direction, elevation = rng.uniform(0, 2 * math.pi), rng.uniform(0.4, 1.2)
    flat = math.cos(elevation)
    lit = math.sin(elevation) - flat * (math.cos(direction) * along + math.sin(direction) * down)
    lit = lit / np.sqrt(1 + along**2 + down**2)
    return (0.3 + 0.8 * np.clip(lit, 0, None)).astype(np.float32, copy=False)


def slope(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw a gradient from 0 to 1 in some direction."""
    angle = rng.uniform(0, 2 * math.pi)
    line = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    ramp = math.cos(angle) * line[None, :] + math.sin(angle) * line[:, None]
    return np.clip(0.5 + ramp, 0, 1)


def paint_surface(
    rng: np.random.Generator, size: int, colours: np.ndarray, texture: Texture | None = None
) -> np.ndarray:
    """Paint the background or the surface of a shape."""
    if texture is None:
        kind = rng.random()
        if kind < 0.4:
            return colours[0]
        if kind < 0.6:
            return blend(slope(rng, size), colours[0], colours[1])
        texture = draw_texture(rng)
    field = texture.field(rng, size)
    return blend(field * np.float32(rng.uniform(0.4, 1)), colours[0], colours[1])


def photograph(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change a picture like a photograph: colour of light, blur, noise, contrast.

    Parameters
    ----------
    picture : ndarray of shape (size, size, 3)
        The picture.
    rng : Generator
        What is drawn.

    Returns
    -------
    ndarray of shape (size, size, 3), uint8
        The photograph.
    """
    size = len(picture)
    if rng.random() < 0.3:
        light = 1 - np.float32(rng.uniform(0.2, 0.6)) * slope(rng, size)
        picture = picture * light[:, :, None]
    if rng.random() < 0.2:
        picture = np.repeat((picture @ _LUMA)[:, :, None], 3, axis=2)
    elif rng.random() < 0.4:
        picture = picture * np.exp(rng.normal(0, 0.15, 3)).astype(np.float32)
    if rng.random() < 0.25:
        width = 3 if size < 64 else 5
        picture = uniform_filter(picture, (width, width, 0), mode="nearest")
    elif rng.random() < 0.2:
        picture = _lower_resolution(picture, round(size / rng.uniform(1.5, 4)))
    contrast, brightness = rng.uniform(0.6, 1.15), rng.uniform(-0.1, 0.1)
    picture = np.float32(contrast) * (picture - 0.5) + np.float32(0.5 + brightness)
    if rng.random() < 0.5:
        deviation = np.float32(rng.uniform(0, 0.08))
        picture = picture + deviation * rng.standard_normal(picture.shape, dtype=np.float32)
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def _lower_resolution(picture: np.ndarray, side: int) -> np.ndarray:
    """Reduce the resolution of a picture."""
    size = len(picture)
    image = Image.fromarray(np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8))
    small = image.resize((side, side), Image.Resampling.BOX)
    return np.asarray(small.resize((size, size), Image.Resampling.BICUBIC), np.float32) / 255
