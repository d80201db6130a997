"""Healthy images that no decision about `diagnose` had seen when it looked at them the third time.

Three checks were changed after that, so that these images are no longer untouched.

Most are other classes of the sources of `untouched_second.py`, whose folder holds them, with two
more packages in it:

    apt-get download fonts-sil-ezra && dpkg-deb -x fonts-sil-ezra_*.deb FOLDER
    npm pack emoji-datasource-google
    tar -xzf emoji-datasource-google-*.tgz --one-top-level=FOLDER/emoji-datasource-google

The others are drawn. Sets whose files are missing are left out, and named.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fault_sets import N_FRESH, SIDE, N, Set, shuffle, split
from PIL import Image, ImageDraw
from untouched_first import balance, list_emoji, make_sets, read_pictures
from untouched_second import (
    CIFAR,
    CLIP_ART,
    FASHION,
    PHOTOGRAPHS,
    draw_letters,
    read_cifar,
    read_clip_art,
    read_fashion,
    read_plasma,
)

EMOJI = Path("emoji-datasource-google/package")
FONTS = Path("usr/share/fonts/truetype/ezra")


def third_sets(folder: Path | None) -> tuple[list[Set], list[str]]:
    """Return the sets whose files are there, and why others are left out."""
    sets, missing = make_sets(
        folder,
        (FASHION, _fashion),
        (CIFAR, _animals),
        (CLIP_ART, _clip_art),
        (PHOTOGRAPHS, _photographs),
        (FONTS, _letters),
        (EMOJI, _emoji),
    )
    sets += [_dice(), _patterns(), _clocks(), _lights()]
    return shuffle(sets, 50), missing


def _fashion(folder: Path) -> Set:
    kinds = {"pullover": 2, "dress": 3, "sneaker": 7, "boot": 9}
    return read_fashion(folder, kinds, 51, "third")


def _animals(folder: Path) -> Set:
    return read_cifar(folder, {"car": 1, "bird": 2, "dog": 5, "frog": 6}, 52, "third")


def _clip_art(folder: Path) -> Set:
    return read_clip_art(folder, ("people", "recreation", "signs_and_symbols"), 53, "third")


def _photographs(folder: Path) -> Set:
    return read_plasma(folder, ("ColdRipple", "DarkestHour", "Grey", "Path"), 54, "third")


def _letters(folder: Path) -> Set:
    letters = {"alef": "\u05d0", "bet": "\u05d1", "he": "\u05d4", "mem": "\u05de"}
    return draw_letters("Hebrew letters", letters, sorted(folder.glob("*.ttf")), 55, "third")


def _emoji(folder: Path) -> Set:
    kinds = list_emoji(folder, "google", ("Smileys & Emotion", "People & Body", "Flags"))
    return balance("faces, people and flags", read_pictures(kinds, 56), "third")


def _draw(
    name: str,
    kinds: tuple[str, ...],
    draw: Callable[[ImageDraw.ImageDraw, str, np.random.Generator, tuple[int, ...]], None],
    seed: int,
    *traits: str,
) -> Set:
    """Draw on light grounds of any colour, turned a little, with noise."""
    rng = np.random.default_rng(seed)
    y = np.array(kinds)[np.arange(N // len(kinds) * len(kinds) + N_FRESH) % len(kinds)]
    images = np.empty((len(y), SIDE, SIDE, 3), dtype=np.uint8)
    for image, label in zip(images, y, strict=True):
        ground = tuple(map(int, rng.integers(170, 256, 3)))
        picture = Image.new("RGB", (128, 128), ground)
        draw(ImageDraw.Draw(picture), str(label), rng, tuple(map(int, rng.integers(0, 110, 3))))
        shift = tuple(map(int, rng.integers(-8, 9, 2)))
        angle = rng.uniform(-8, 8)
        picture = picture.rotate(
            angle, Image.Resampling.BILINEAR, translate=shift, fillcolor=ground
        )
        small = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=float)
        image[:] = np.clip(small + rng.normal(0, 6, small.shape), 0, 255)
    n = N // len(kinds) * len(kinds)
    return split(name, images, y, "third", "colour", "large", *traits, n=n)


def _dice() -> Set:
    """One to four pips on a die."""
    places = {
        "1": [(64, 64)],
        "2": [(44, 44), (84, 84)],
        "3": [(40, 40), (64, 64), (88, 88)],
        "4": [(44, 44), (84, 84), (44, 84), (84, 44)],
    }

    def draw(pen: ImageDraw.ImageDraw, label: str, rng: np.random.Generator, ink: Any) -> None:
        pen.rounded_rectangle((22, 22, 106, 106), 14, outline=ink, width=int(rng.integers(2, 6)))
        radius = rng.uniform(5, 9)
        for place in places[label]:
            pen.circle(place, radius, fill=ink)

    return _draw("dice", tuple(places), draw, 57)


def _patterns() -> Set:
    """Checks, stripes and dots."""

    def draw(pen: ImageDraw.ImageDraw, label: str, rng: np.random.Generator, ink: Any) -> None:
        step = int(rng.integers(14, 28))
        for i in range(-1, 128 // step + 1):
            if label == "stripes":
                pen.rectangle((0, i * step, 128, i * step + step // 2), fill=ink)
                continue
            for j in range(-1, 128 // step + 1):
                corner = (j * step, i * step)
                if label == "dots":
                    pen.circle((corner[0] + step / 2, corner[1] + step / 2), step / 3.5, fill=ink)
                elif (i + j) % 2:
                    pen.rectangle((*corner, corner[0] + step, corner[1] + step), fill=ink)

    return _draw("patterns", ("checks", "stripes", "dots"), draw, 58)


def _clocks() -> Set:
    """Clocks of which the short hand is in one of four quarters."""

    def draw(pen: ImageDraw.ImageDraw, label: str, rng: np.random.Generator, ink: Any) -> None:
        pen.circle((64, 64), 50, outline=ink, width=4)
        hour = np.pi / 2 * (int(label) + rng.uniform(0.15, 0.85))
        for angle, length, width in ((hour, 24, 9), (rng.uniform(0, 2 * np.pi), 44, 3)):
            end = (64 + length * np.sin(angle), 64 - length * np.cos(angle))
            pen.line((64, 64, *end), fill=ink, width=width)

    return _draw("clocks", ("0", "1", "2", "3"), draw, 59, "hard")


def _lights() -> Set:
    """Traffic lights: one of three lamps is on."""
    lamps = {"stop": (230, 40, 30), "wait": (240, 190, 30), "go": (40, 200, 70)}

    def draw(pen: ImageDraw.ImageDraw, label: str, rng: np.random.Generator, ink: Any) -> None:
        pen.rounded_rectangle((42, 12, 86, 116), 10, fill=ink)
        for place, (lamp, colour) in enumerate(lamps.items()):
            is_on = lamp == label
            fill = tuple(int(each * (1 if is_on else 0.25)) for each in colour)
            pen.circle((64, 30 + 34 * place), 13 + rng.uniform(-1, 1), fill=fill)

    return _draw("traffic lights", tuple(lamps), draw, 60, "upright")
