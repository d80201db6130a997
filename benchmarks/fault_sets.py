"""Healthy images in which faults are planted: one half sets thresholds, the other half reports.

No image and no source is in both halves, and the modules `untouched_...` bring further ones. Each
set brings further images of its source, on which what is said of it can be checked. All are uint8
of at most 40 pixels, drawn or cut the same way each time. MNIST is read from a file, and
scikit-image brings textures, faces and photographs; where one of them is missing its sets are left
out.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from probing_tasks import charts
from sklearn.datasets import load_digits, load_sample_images

SIDE = 32
N = 160
#: Further images of each source, where it has so many.
N_FRESH = 1000


@dataclass(frozen=True)
class Set:
    """Labelled images without a fault.

    Attributes
    ----------
    name : str
        What it is called.
    images : ndarray of shape (n_images, height, width) or (n_images, height, width, 3)
        uint8.
    y : ndarray of shape (n_images,)
        The classes.
    half : {'set', 'report', 'first', 'second', 'third'}
        Whether thresholds are set on it, what they find is reported, or no decision had seen it
        when it was first looked at, and in which of three looks.
    traits : frozenset of str
        'colour'; 'upright' where a turned image looks wrong; 'large' where sides are 25 pixels or
        more; 'hard' where classifiers err often; 'deep' where a block behind the first classifies
        at least a tenth more of the further images rightly.
    fresh_images, fresh_y : ndarray
        Further images of the same source and their classes.
    """

    name: str
    images: np.ndarray
    y: np.ndarray
    half: str
    traits: frozenset[str]
    fresh_images: np.ndarray
    fresh_y: np.ndarray


def split(name: str, images: np.ndarray, y: np.ndarray, half: str, *traits: str, n: int = N) -> Set:
    """Make a set of the first images, and keep the others."""
    return Set(name, images[:n], y[:n], half, frozenset(traits), images[n:], y[n:])


def base_sets() -> list[Set]:
    """Return the sets in which faults are planted."""
    makers: list[Callable[[], Set | None]] = [
        *(_digits, _charts, _stripes, _photograph_pieces, _drawn_faces, _shapes),
        *(_mnist, _letters, _skimage_photographs, _skimage_textures, _skimage_faces, _kinds),
    ]
    return shuffle([each for each in (make() for make in makers) if each is not None], 10)


def shuffle(sets: list[Set], seed: int) -> list[Set]:
    """Bring the images of each set into another order."""
    rng = np.random.default_rng(seed)
    return [_take(each, rng.permutation(len(each.y))) for each in sets]


def _take(one: Set, rows: np.ndarray) -> Set:
    return replace(one, images=one.images[rows], y=one.y[rows])


def healthy_sets(sets: list[Set] | None = None) -> list[Set]:
    """Return sets, the base sets by default, and variants of them, none with a fault."""
    sets = base_sets() if sets is None else sets
    out = list(sets)
    rng, other = np.random.default_rng(11), np.random.default_rng(12)
    for i, one in enumerate(sets):
        pair = _first_two(one)
        variants = {
            "60 images": _take(pair, np.sort(rng.permutation(len(pair.y))[:60])),
            "five to one": _make_unequal(pair, rng, other),
            "softened, hard": replace(
                pair,
                images=soften(pair.images, rng),
                fresh_images=soften(pair.fresh_images, other),
                traits=pair.traits | {"hard"},
            ),
            "dim": replace(one, images=_dim(one.images), fresh_images=_dim(one.fresh_images)),
        }
        names = list(variants)
        for name in (names[i % 4], names[(i + 2) % 4]):
            out.append(replace(variants[name], name=f"{one.name}, {name}"))
    return out


def _first_two(one: Set) -> Set:
    """Keep two classes."""
    classes = np.unique(one.y)[:2]
    rows, fresh = np.isin(one.y, classes), np.isin(one.fresh_y, classes)
    return replace(
        _take(one, rows), fresh_images=one.fresh_images[fresh], fresh_y=one.fresh_y[fresh]
    )


def _make_unequal(pair: Set, rng: np.random.Generator, other: np.random.Generator) -> Set:
    rows = _unequal(pair.fresh_y, other)
    return replace(
        _take(pair, _unequal(pair.y, rng)),
        fresh_images=pair.fresh_images[rows],
        fresh_y=pair.fresh_y[rows],
    )


def _dim(images: np.ndarray) -> np.ndarray:
    return (images * 0.6 + 20).astype(np.uint8)


def _unequal(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    first, second = (np.flatnonzero(y == label) for label in np.unique(y)[:2])
    return np.sort(np.concatenate([first, rng.permutation(second)[: max(8, len(first) // 5)]]))


def soften(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lay noise over images, so that classifiers err."""
    noise = rng.normal(0, 70, images.shape)
    return np.clip(0.35 * images + 80 + noise, 0, 255).astype(np.uint8)


# -- on which thresholds are set


@cache
def _digits() -> Set:
    X, y = load_digits(return_X_y=True)
    of_each = [np.flatnonzero(y == digit) for digit in (0, 3, 4, 9)]
    parts = [np.sort(np.concatenate([rows[part] for rows in of_each])) for part in
             (slice(None, 40), slice(40, None))]  # fmt: skip
    rows = np.concatenate(parts)
    images = np.round(X[rows].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    return split("embedded digits", images, y[rows], "set", "upright", "deep")


@cache
def _charts() -> Set:
    task, more = charts(40), charts(140)
    rows = np.flatnonzero(task.y < 4)
    rows = np.random.default_rng(0).permutation(rows)
    fresh = np.flatnonzero((more.y < 4) & (np.arange(len(more.y)) % 140 >= 40))
    images = np.concatenate([task.images[rows], more.images[fresh]])
    y = np.concatenate([task.y[rows], more.y[fresh]])
    return split("charts", images, y, "set", "colour", "large", "deep")


@cache
def _stripes() -> Set:
    rng = np.random.default_rng(1)
    y = np.arange(N + N_FRESH) % 2
    down, across = np.mgrid[:SIDE, :SIDE]
    images = np.empty((len(y), SIDE, SIDE), dtype=np.uint8)
    for image, label in zip(images, y, strict=True):
        angle = np.pi * (0.15 + 0.5 * label) + rng.normal(0, 0.1)
        along = np.cos(angle) * across + np.sin(angle) * down
        wave = np.sin(along * rng.uniform(0.6, 1) + rng.uniform(0, 6.3))
        noise = rng.normal(0, 10, wave.shape)
        image[:] = np.clip(128 + rng.uniform(40, 100) * wave + noise, 0, 255)
    return split("stripes", images, y, "set", "large")


def cut_pieces(
    photographs: list[np.ndarray], n: int, seed: int, side: int = SIDE
) -> tuple[np.ndarray, np.ndarray]:
    """Cut pieces that do not overlap, with something to see in each; the class is from which."""
    rng = np.random.default_rng(seed)
    images, y = [], []
    others: list[tuple[np.ndarray, int]] = []
    for label, photograph in enumerate(photographs):
        cells = np.array(list(np.ndindex(photograph.shape[0] // side, photograph.shape[1] // side)))
        own: list[np.ndarray] = []
        for top, left in side * rng.permutation(cells):
            piece = photograph[top : top + side, left : left + side]
            if np.ptp(piece) >= 40:
                own.append(piece)
        wanted = n // len(photographs)
        images += own[:wanted]
        y += [label] * len(own[:wanted])
        others += [(piece, label) for piece in own[wanted : wanted + N_FRESH // len(photographs)]]
    order = rng.permutation(len(y))
    images = [images[i] for i in order] + [piece for piece, _ in others]
    y = [y[i] for i in order] + [label for _, label in others]
    return np.array(images), np.array(y)


@cache
def _photograph_pieces() -> Set:
    X, y = cut_pieces(load_sample_images().images, N, 2)
    return split("pieces of photographs", X, y, "set", "colour", "large")


@cache
def _drawn_faces(side: int = 40) -> Set:
    rng = np.random.default_rng(3)
    y = np.arange(N + N_FRESH) % 2
    down, across = np.mgrid[:side, :side] / side
    images = np.empty((len(y), side, side), dtype=np.uint8)
    for i in range(len(y)):
        dy, dx = rng.uniform(-0.08, 0.08, 2)
        image = 40 + 20 * rng.random((side, side))
        wide, high = rng.uniform(0.24, 0.34), rng.uniform(0.34, 0.44)
        inside = ((down - 0.5 - dy) / high) ** 2 + ((across - 0.5 - dx) / wide) ** 2 < 1
        image[inside] = rng.uniform(140, 230)
        size, apart = rng.uniform(0.03, 0.07), rng.uniform(0.08, 0.15)
        for eye in (0.5 - apart, 0.5 + apart):
            image[((down - 0.4 - dy) / size) ** 2 + ((across - eye - dx) / size) ** 2 < 1] = 30
        curve = 0.7 + dy + (1 if y[i] else -1) * rng.uniform(2, 4) * (across - 0.5 - dx) ** 2
        image[(np.abs(down - curve) < 0.03) & (np.abs(across - 0.5 - dx) < 0.15)] = 60
        images[i] = np.clip(image + rng.normal(0, 8, image.shape), 0, 255)
    return split("drawn faces", images, y, "set", "upright", "large", "deep")


@cache
def _shapes(side: int = 40) -> Set:
    rng = np.random.default_rng(4)
    y = np.arange(N + N_FRESH) % 2
    images = np.empty((len(y), side, side, 3), dtype=np.uint8)
    for i in range(len(y)):
        ground = rng.integers(120, 256, 3)
        picture = Image.new("RGB", (4 * side, 4 * side), tuple(map(int, ground)))
        centre, radius = 2 * side + rng.uniform(-30, 30, 2), rng.uniform(30, 55)
        colour = tuple(map(int, rng.integers(0, 110, 3)))
        angle = rng.uniform(0, 360)
        pen = ImageDraw.Draw(picture)
        if y[i]:
            pen.circle(tuple(centre), radius, fill=colour)
        else:
            pen.regular_polygon((*centre, radius), 4, rotation=angle, fill=colour)
        image = np.asarray(picture.resize((side, side), Image.Resampling.BOX), dtype=float)
        images[i] = np.clip(image + rng.normal(0, 4, image.shape), 0, 255)
    return split("discs and squares", images, y, "set", "colour", "large", "deep")


# -- on which what is found is reported


@cache
def _mnist() -> Set | None:
    folder = Path(os.environ.get("SKTRANSFER_TEST_DATA", "../shared"))
    path = folder / "data" / "mnist_6_8.npz"
    if not path.exists():
        return None
    with np.load(path) as archive:
        images, digit = (archive[name][: N + N_FRESH] for name in ("images", "digit"))
    return split("MNIST, 6 and 8", images, digit, "report", "upright", "large")


_FONTS = ["DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "cmr10"]


@cache
def _letters() -> Set:
    import matplotlib as mpl

    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    rng = np.random.default_rng(5)
    y = np.array(list("AGKR"))[np.arange(N + N_FRESH) % 4]
    images = np.empty((len(y), SIDE, SIDE), dtype=np.uint8)
    for image, letter in zip(images, y, strict=True):
        font = ImageFont.truetype(str(folder / f"{rng.choice(_FONTS)}.ttf"), rng.integers(52, 80))
        ground, ink = int(rng.integers(166, 256)), int(rng.integers(0, 90))
        picture = Image.new("L", (96, 96), ground)
        place = tuple(48 + rng.uniform(-9, 9, 2))
        ImageDraw.Draw(picture).text(place, letter, fill=ink, font=font, anchor="mm")
        angle = rng.uniform(-10, 10)
        picture = picture.rotate(angle, Image.Resampling.BILINEAR, fillcolor=ground)
        image[:] = picture.resize((SIDE, SIDE), Image.Resampling.BOX)
    return split("letters", images, y, "report", "upright", "large")


def _skimage() -> Path | None:
    spec = find_spec("skimage")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / "data"


@cache
def _skimage_photographs() -> Set | None:
    folder = _skimage()
    if folder is None:
        return None
    names = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")
    X, y = cut_pieces(
        [np.asarray(Image.open(folder / name).convert("RGB")) for name in names], N, 6
    )
    return split("pieces of other photographs", X, y, "report", "colour", "large")


@cache
def _skimage_textures() -> Set | None:
    folder = _skimage()
    if folder is None:
        return None
    names = ("brick.png", "grass.png", "gravel.png")
    X, y = cut_pieces([np.asarray(Image.open(folder / name).convert("L")) for name in names], N, 7)
    return split("brick, grass, gravel", X, y, "report", "large", n=N // 3 * 3)


@cache
def _skimage_faces() -> Set | None:
    folder = _skimage()
    if folder is None:
        return None
    values = np.load(folder / "lfw_subset.npy")
    rows = np.random.default_rng(8).permutation(200)
    y = np.array(["face", "other"])[(rows >= 100).astype(int)]
    X = np.round(255 * values[rows]).astype(np.uint8)
    return split("faces and others", X, y, "report", "upright", "large")


@cache
def _kinds() -> Set:
    """Draw houses, trees and boats on a coloured ground."""
    rng = np.random.default_rng(9)
    y = np.array(["house", "tree", "boat"])[np.arange(N + N_FRESH) % 3]
    images = np.empty((len(y), SIDE, SIDE, 3), dtype=np.uint8)
    for image, label in zip(images, y, strict=True):
        sky = tuple(map(int, rng.integers((90, 120, 160), (180, 210, 256))))
        picture = Image.new("RGB", (128, 128), sky)
        pen = ImageDraw.Draw(picture)
        earth = tuple(map(int, rng.integers((20, 50, 10), (120, 120, 90))))
        pen.rectangle((0, 95 + rng.integers(-8, 8), 128, 128), fill=earth)
        x, base, size = 64 + rng.integers(-22, 22), 100 + rng.integers(-6, 6), rng.integers(22, 34)
        one = tuple(map(int, rng.integers(0, 256, 3)))
        other = tuple(map(int, rng.integers(0, 256, 3)))
        if label == "house":
            pen.rectangle((x - size, base - 1.2 * size, x + size, base), fill=one)
            roof = [(x - 1.2 * size, base - 1.2 * size), (x, base - 2.2 * size)]
            pen.polygon([*roof, (x + 1.2 * size, base - 1.2 * size)], fill=other)
            pen.rectangle((x - 6, base - 18, x + 6, base), fill=sky)
        elif label == "tree":
            pen.rectangle((x - 5, base - size, x + 5, base), fill=one)
            pen.circle((x, base - 1.6 * size), 0.9 * size, fill=other)
        else:
            hull = [(x - 1.3 * size, base - 16), (x + 1.3 * size, base - 16)]
            pen.polygon([*hull, (x + 0.8 * size, base), (x - 0.8 * size, base)], fill=one)
            sail = [(x, base - 18), (x, base - 2.4 * size), (x + size, base - 20)]
            pen.polygon(sail, fill=other)
        small = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=float)
        image[:] = np.clip(small + rng.normal(0, 5, small.shape), 0, 255)
    traits = ("colour", "upright", "large", "deep")
    return split("houses, trees, boats", images, y, "report", *traits)
