"""Healthy images that no decision about `diagnose` had seen when it first looked at them.

Two checks were changed after that, and `wrong-labels` once more, with these images among others:
`untouched_second.py` and `untouched_third.py` have those of later looks. All but the notes, which
are drawn, are read from a folder in which packages were unpacked:

    apt-get download tuxpaint-stamps-default mate-backgrounds oxygen-icon-theme
    npm pack emoji-datasource-twitter
    for each in *.deb; do dpkg-deb -x "$each" FOLDER; done
    tar -xzf emoji-datasource-twitter-*.tgz -C FOLDER

and from a file of MNIST's 70,000 images, an .npz of `images` and `digit`. Sets whose files are
missing are left out, and named.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from fault_sets import N_FRESH, SIDE, N, Set, cut_pieces, shuffle, split
from PIL import Image, ImageDraw

#: Digits that are in no other set.
DIGITS = (1, 2, 5, 7)
#: The least difference of two values in an image that shows something.
SEEN = 40
STAMPS = Path("usr/share/tuxpaint/stamps")
ICONS = Path("usr/share/icons/oxygen/base/32x32")
PHOTOGRAPHS = Path("usr/share/backgrounds/mate/nature")
EMOJI = Path("package")


def first_sets(folder: Path | None, mnist: Path | None) -> tuple[list[Set], list[str]]:
    """Return the sets whose files are there, and why others are left out."""
    sets, missing = [], []
    if mnist is not None and mnist.is_file():
        sets.append(_digits(mnist))
    else:
        missing.append("MNIST's other digits: left out, as --mnist names no file")
    more, without = make_sets(
        folder, (STAMPS, _stamps), (EMOJI, _emoji), (PHOTOGRAPHS, _photographs), (ICONS, _icons)
    )
    sets, missing = sets + more, missing + without
    sets.append(_notes())
    return shuffle(sets, 13), missing


def make_sets(
    folder: Path | None, *makers: tuple[Path, Callable[[Path], Set]]
) -> tuple[list[Set], list[str]]:
    """Make the sets whose files are in a folder, and say why others are left out."""
    sets, missing = [], []
    for needed, make in makers:
        if folder is not None and (folder / needed).is_dir():
            sets.append(make(folder / needed))
        else:
            missing.append(f"{needed}: left out, as it is not in the folder that --images names")
    return sets, missing


def _digits(path: Path) -> Set:
    with np.load(path) as archive:
        images, digit = archive["images"], archive["digit"]
    rows = np.flatnonzero(np.isin(digit, DIGITS))[: N + N_FRESH]
    name = "MNIST, 1, 2, 5, 7"
    return split(name, images[rows], digit[rows], "first", "upright", "large", "deep")


def _stamps(folder: Path) -> Set:
    """Photographs of animals, and of things, cut out."""
    things = ("clothes", "food", "hobbies", "household", "plants", "sports", "town", "vehicles")
    kinds = {
        kind: [
            path
            for name in names
            for path in (folder / name).rglob("*.png")
            if "cartoon" not in path.parts
        ]
        for kind, names in {"animal": ("animals",), "thing": things}.items()
    }
    return _pictures("stamps", kinds, 14)


def _emoji(folder: Path) -> Set:
    """Drawn animals and plants, food, and objects."""
    kinds = list_emoji(folder, "twitter", ("Animals & Nature", "Food & Drink", "Objects"))
    return _pictures("emoji", kinds, 15, "hard", "deep")


def list_emoji(folder: Path, vendor: str, categories: tuple[str, ...]) -> dict[str, list[Path]]:
    """List the files of a vendor's emoji of some categories."""
    kinds: dict[str, list[Path]] = {category: [] for category in categories}
    for each in json.loads((folder / "emoji.json").read_text(encoding="utf-8")):
        if each["category"] in kinds and each[f"has_img_{vendor}"]:
            kinds[each["category"]].append(folder / "img" / vendor / "64" / each["image"])
    return kinds


def _icons(folder: Path) -> Set:
    """Icons of actions, and of applications, devices and places."""
    kinds = {
        kind: [
            path
            for name in names
            for path in (folder / name).glob("*.png")
            if not path.is_symlink()
        ]
        for kind, names in {"action": ("actions",), "thing": ("apps", "devices", "places")}.items()
    }
    return _pictures("icons", kinds, 16, "hard")


def _pictures(name: str, kinds: dict[str, list[Path]], seed: int, *traits: str) -> Set:
    """Read as many pictures of each kind, no two of them equal."""
    return balance(name, read_pictures(kinds, seed), "first", *traits)


def read_pictures(kinds: dict[str, list[Path]], seed: int) -> dict[str, list[np.ndarray]]:
    """Read the pictures of each kind, in another order, no two of them equal."""
    rng = np.random.default_rng(seed)
    known: set[bytes] = set()
    drawn: dict[str, list[np.ndarray]] = {}
    for kind, paths in kinds.items():
        drawn[kind] = []
        for path in rng.permutation(sorted(map(str, paths))):
            image = lay_on_white(Image.open(path))
            if np.ptp(image) >= SEEN and image.tobytes() not in known:
                known.add(image.tobytes())
                drawn[kind].append(image)
    return drawn


def balance(name: str, drawn: dict[str, list[np.ndarray]], half: str, *traits: str) -> Set:
    """Make a set of as many pictures of each kind."""
    fewest = min(map(len, drawn.values()))
    n = min(N // len(drawn), fewest)
    n_all = min(n + N_FRESH // len(drawn), fewest)
    parts = [
        (kind, image)
        for part in (slice(n), slice(n, n_all))
        for kind, images in drawn.items()
        for image in images[part]
    ]
    images, y = np.stack([image for _, image in parts]), np.array([kind for kind, _ in parts])
    return split(name, images, y, half, "colour", "large", *traits, n=n * len(drawn))


def lay_on_white(picture: Image.Image) -> np.ndarray:
    """Scale a picture to fit into a white square."""
    picture = picture.convert("RGBA")
    side = max(picture.size)
    square = Image.new("RGBA", (side, side), "white")
    square.alpha_composite(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return np.asarray(square.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX))


def _photographs(folder: Path) -> Set:
    photographs = []
    for name in ("Dune", "Garden", "GreenMeadow", "YellowFlower"):
        picture = Image.open(folder / f"{name}.jpg").convert("RGB")
        picture.thumbnail((800, 800))
        photographs.append(np.asarray(picture))
    X, y = cut_pieces(photographs, N, 17)
    return split("pieces of MATE's photographs", X, y, "first", "colour", "large")


def _notes() -> Set:
    """Draw half, quarter and eighth notes on a staff."""
    rng = np.random.default_rng(18)
    y = np.array(["half", "quarter", "eighth"])[np.arange(N // 3 * 3 + N_FRESH) % 3]
    images = np.empty((len(y), SIDE, SIDE), dtype=np.uint8)
    for image, label in zip(images, y, strict=True):
        ground, ink = int(rng.integers(180, 256)), int(rng.integers(0, 80))
        picture = Image.new("L", (128, 128), ground)
        pen = ImageDraw.Draw(picture)
        top, gap = 44 + rng.integers(-8, 9), int(rng.integers(10, 14))
        for line in range(5):
            pen.line((0, top + line * gap, 128, top + line * gap), fill=ink, width=2)
        x, middle = 56 + rng.integers(-24, 25), top + gap * rng.integers(4, 9) / 2
        head = (x - 0.7 * gap, middle - 0.5 * gap, x + 0.7 * gap, middle + 0.5 * gap)
        if label == "half":
            pen.ellipse(head, fill=ground, outline=ink, width=3)
        else:
            pen.ellipse(head, fill=ink)
        stem, tip = x + 0.65 * gap, middle - 3.4 * gap
        pen.line((stem, middle, stem, tip), fill=ink, width=3)
        if label == "eighth":
            flag = [(stem, tip), (stem + 1.2 * gap, tip + 1.6 * gap), (stem, tip + gap)]
            pen.polygon(flag, fill=ink)
        picture = picture.rotate(rng.uniform(-5, 5), Image.Resampling.BILINEAR, fillcolor=ground)
        small = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=float)
        image[:] = np.clip(small + rng.normal(0, 5, small.shape), 0, 255)
    traits = ("upright", "large", "deep")
    return split("notes", images, y, "first", *traits, n=N // 3 * 3)
