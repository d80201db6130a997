"""Labelled images on which features help or not, the same each time.

Five kinds: digits, letters and drawn charts, which are shapes; photographs and textures; faces. All
come with a library or are drawn here, but for MNIST, which is read from a file. Where images could
look alike because they come from one place, train and test images are of different places: of
different fonts, or of parts of a photograph that share no pixel.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_digits, load_sample_images

SIZE = 32
#: The most labels of each class that are asked for.
MOST = 50


@dataclass(frozen=True)
class Task:
    """Images to tell apart.

    Attributes
    ----------
    name : str
        What it is called.
    images : ndarray of shape (n_images, height, width) or (n_images, height, width, 3)
        uint8.
    y : ndarray of shape (n_images,)
        The classes.
    is_test : ndarray of shape (n_images,) or None
        Which images are only tested on; None where each draw may choose.
    is_texture : bool
        Whether it does not matter where in the image something is.
    """

    name: str
    images: np.ndarray
    y: np.ndarray
    is_test: np.ndarray | None = None
    is_texture: bool = False

    def draws(
        self, n: int, n_test: int, most: int = MOST
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Draw training images, `most` of each class one after the other, and test images.

        Yields
        ------
        train : ndarray of shape (n_classes, most)
            Positions; the first k columns are the draw of k labels.
        test : ndarray
            Positions, as many of each class as there are, and `n_test` in all at most.
        """
        classes = np.unique(self.y)
        for draw in range(n):
            rng = np.random.default_rng([zlib.crc32(self.name.encode()), draw])
            train, test = [], []
            for label in classes:
                rows = rng.permutation(np.flatnonzero(self.y == label))
                if self.is_test is None:
                    first, rest = rows[:most], rows[most:]
                else:
                    first, rest = rows[~self.is_test[rows]][:most], rows[self.is_test[rows]]
                train.append(first)
                test.append(rest[: n_test // len(classes)])
            yield np.array(train), np.concatenate(test)


def make_tasks(mnist: Path | None) -> tuple[list[Task], list[str]]:
    """Return the tasks that can be made here, and why others cannot.

    Parameters
    ----------
    mnist : path or None
        An .npz with images and the digits on them, 6 and 8 or all ten.

    Returns
    -------
    tasks : list of Task
        The embedded digits first.
    missing : list of str
        A sentence for each that is left out.
    """
    tasks, missing = [embedded_digits()], []
    if mnist is None or not mnist.is_file():
        missing.append("MNIST, both sets: left out, as --mnist names no file")
    elif has_ten_digits(mnist):
        tasks += [mnist_pair(mnist), mnist_digits(mnist)]
    else:
        tasks.append(mnist_pair(mnist))
        missing.append("MNIST, ten digits: left out, as --mnist names a file of fewer")
    tasks += [letters(), charts(), photographs(is_grey=False), photographs(is_grey=True)]
    spec = find_spec("skimage")
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parent / "data"
        tasks += [textures(folder), faces(folder)]
    else:
        missing.append("textures, faces: left out, as scikit-image is not installed")
    return tasks, missing


# -- shapes


def embedded_digits() -> Task:
    """Return 100 of each of the ten digits of scikit-learn, 8 x 8 pixels, of 17 values."""
    X, y = load_digits(return_X_y=True)
    images = np.round(X.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    rows = np.concatenate([np.flatnonzero(y == digit)[:100] for digit in range(10)])
    return Task("embedded digits", images[rows], y[rows])


def mnist_pair(path: Path) -> Task:
    """Return 300 of MNIST's 6 and of its 8."""
    return _mnist("MNIST, 6 against 8", path, (6, 8))


def mnist_digits(path: Path) -> Task:
    """Return 300 of each of MNIST's ten digits."""
    return _mnist("MNIST, ten digits", path, range(10))


def has_ten_digits(path: Path) -> bool:
    """Tell whether a file is all of MNIST, and not a part of it."""
    with np.load(path) as archive:
        return len(np.unique(archive["digit"])) == 10


def _mnist(name: str, path: Path, of: Sequence[int], n: int = 300) -> Task:
    """Return the first images of each of these digits."""
    with np.load(path) as archive:
        digits, images = archive["digit"], archive["images"]
    rows = np.concatenate([np.flatnonzero(digits == digit)[:n] for digit in of])
    return Task(name, images[rows], digits[rows])


# Letters are learned in the first fonts and read in the others.
_LEARNED = [
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono"),
    *("DejaVuSansMono-BoldOblique", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic"),
]
_READ = [
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    *("cmr10", "cmb10", "cmss10", "cmtt10", "cmti10"),
]


def letters(n_train: int = 56, n_test: int = 27) -> Task:
    """Draw the letters A to M in the fonts that matplotlib bundles, shifted, turned and scaled."""
    import matplotlib as mpl

    folder = Path(mpl.get_data_path()) / "fonts" / "ttf"
    rng = np.random.default_rng(1)
    images, y, is_test = [], [], []
    for fonts, n in ((_LEARNED, n_train), (_READ, n_test)):
        for label, letter in enumerate("ABCDEFGHIJKLM"):
            for i in range(n):
                font = ImageFont.truetype(
                    str(folder / f"{fonts[i % len(fonts)]}.ttf"), int(rng.integers(52, 80))
                )
                images.append(_letter(letter, font, rng))
                y.append(label)
                is_test.append(fonts is _READ)
    return Task("letters, other fonts", np.array(images), np.array(y), np.array(is_test))


def _letter(letter: str, font: ImageFont.FreeTypeFont, rng: np.random.Generator) -> np.ndarray:
    ground, ink = _two_greys(rng)
    picture = Image.new("L", (96, 96), ground)
    place = tuple(48 + rng.uniform(-9, 9, 2))
    ImageDraw.Draw(picture).text(place, letter, fill=ink, font=font, anchor="mm")
    picture = picture.rotate(rng.uniform(-10, 10), Image.Resampling.BILINEAR, fillcolor=ground)
    return np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BOX))


def _two_greys(rng: np.random.Generator) -> tuple[int, int]:
    dark, light = int(rng.integers(0, 90)), int(rng.integers(166, 256))
    return (dark, light) if rng.random() < 0.5 else (light, dark)


def charts(n: int = 90, size: int = SIZE) -> Task:
    """Draw eight kinds of charts, of random numbers in random colours."""
    rng = np.random.default_rng(2)
    kinds: list[Callable[..., None]] = [
        *(_columns, _bars, _line, _points),
        *(_pie, _ring, _area, _boxes),
    ]
    images = []
    for draw in kinds:
        for _ in range(n):
            light = rng.random() < 0.7
            ground = rng.integers(200, 256, 3) if light else rng.integers(0, 60, 3)
            picture = Image.new("RGB", (96, 96), tuple(map(int, ground)))
            draw(ImageDraw.Draw(picture), rng, light)
            images.append(np.asarray(picture.resize((size, size), Image.Resampling.BOX)))
    return Task("charts", np.array(images), np.repeat(np.arange(len(kinds)), n))


def _colour(rng: np.random.Generator, light: bool) -> tuple[int, ...]:
    return tuple(map(int, rng.integers(0, 170, 3) if light else rng.integers(90, 256, 3)))


def _columns(pen: ImageDraw.ImageDraw, rng: np.random.Generator, light: bool) -> None:
    n, colour = int(rng.integers(3, 8)), _colour(rng, light)
    for i in range(n):
        left = 6 + 84 * i / n
        pen.rectangle((left, 90 - rng.uniform(10, 80), left + 84 / n * 0.7, 90), fill=colour)


def _bars(pen: ImageDraw.ImageDraw, rng: np.random.Generator, light: bool) -> None:
    n, colour = int(rng.integers(3, 8)), _colour(rng, light)
    for i in range(n):
        top = 6 + 84 * i / n
        pen.rectangle((6, top, 6 + rng.uniform(10, 80), top + 84 / n * 0.7), fill=colour)


def _walk(rng: np.random.Generator) -> list[tuple[float, float]]:
    n = int(rng.integers(5, 14))
    heights = np.cumsum(rng.normal(size=n))
    heights = 15 + 66 * (heights - heights.min()) / np.ptp(heights)
    return list(zip(np.linspace(6, 90, n), heights, strict=True))


def _line(pen: ImageDraw.ImageDraw, rng: np.random.Generator, light: bool) -> None:
    for _ in range(int(rng.integers(1, 3))):
        pen.line(_walk(rng), fill=_colour(rng, light), width=int(rng.integers(3, 6)))


def _area(pen: ImageDraw.ImageDraw, rng: np.random.Generator, light: bool) -> None:
    pen.polygon([(6, 90), *_walk(rng), (90, 90)], fill=_colour(rng, light))


def _points(pen: ImageDraw.ImageDraw, rng: np.random.Generator, light: bool) -> None:
    x = rng.uniform(8, 88, int(rng.integers(12, 40)))
    y = np.clip(48 + rng.uniform(-1, 1) * (x - 48) + rng.normal(0, 14, len(x)), 6, 90)
    radius, colour = rng.uniform(1.5, 3), _colour(rng, light)
    for centre in zip(x, y, strict=True):
        pen.circle(centre, radius, fill=colour)


def _pie(pen: ImageDraw.ImageDraw, rng: np.random.Generator, light: bool, hole: float = 0) -> None:
    radius, centre = rng.uniform(28, 42), 48 + rng.uniform(-5, 5, 2)
    box = (*(centre - radius), *(centre + radius))
    shares = rng.dirichlet(np.full(int(rng.integers(3, 6)), 4.0))
    start = rng.uniform(0, 360)
    for share in shares:
        pen.pieslice(box, start, start + 360 * share, fill=_colour(rng, light))
        start += 360 * share
    if hole:
        ground = pen.im.getpixel((0, 0))
        pen.circle(tuple(centre), hole * radius, fill=ground)


def _ring(pen: ImageDraw.ImageDraw, rng: np.random.Generator, light: bool) -> None:
    _pie(pen, rng, light, hole=rng.uniform(0.45, 0.65))


def _boxes(pen: ImageDraw.ImageDraw, rng: np.random.Generator, light: bool) -> None:
    n, colour = int(rng.integers(2, 6)), _colour(rng, light)
    for i in range(n):
        x, half = 6 + 84 * (i + 0.5) / n, 84 / n * 0.3
        low, first, third, high = np.sort(rng.uniform(6, 90, 4))
        pen.line((x, low, x, high), fill=colour, width=3)
        pen.rectangle((x - half, first, x + half, third), fill=colour)


# -- photographs

# Mean slope of brightness, in values per pixel, below which there is nothing to see in a region.
_FLAT = 3.0


def photographs(is_grey: bool, n_train: int = 56, n_test: int = 40, size: int = SIZE) -> Task:
    """Cut patches from scikit-learn's two photographs; the class is from which region.

    Six regions of each photograph, less those that are as flat as the sky. Of the four quarters of
    a region, two opposite ones are learned and the other two tested. In colour, each patch has a
    brightness and contrast of its own, as light would give it; grey ones all have the same.
    """
    rng = np.random.default_rng(3)
    images, y, is_test = [], [], []
    for photograph in load_sample_images().images:
        height, width = photograph.shape[0] // 4, photograph.shape[1] // 6
        for row, column in np.ndindex(2, 3):
            tops = slice(2 * row * height, (2 * row + 2) * height)
            lefts = slice(2 * column * width, (2 * column + 2) * width)
            region = photograph[tops, lefts].astype(float)
            if np.hypot(*np.gradient(region.mean(axis=2))).mean() < _FLAT:
                continue
            label = 1 + max(y, default=-1)
            for tested, n in ((False, n_train), (True, n_test)):
                for i in range(n):
                    # Quarters 0, 3 are on one diagonal, and 1, 2 on the other.
                    down, right = i % 2, (i % 2) ^ tested
                    top = down * height + rng.integers(height - size + 1)
                    left = right * width + rng.integers(width - size + 1)
                    patch = region[top : top + size, left : left + size]
                    patch = patch[:, :: rng.choice([-1, 1])]
                    if is_grey:
                        images.append(_equalise(patch.mean(axis=2)))
                    else:
                        light = (patch - 128) * rng.uniform(0.6, 1.4) + rng.uniform(88, 168)
                        images.append(np.clip(np.round(light), 0, 255).astype(np.uint8))
                    y.append(label)
                    is_test.append(tested)
    name = f"photographs, {'grey' if is_grey else 'colour'}"
    return Task(name, np.array(images), np.array(y), np.array(is_test), is_texture=True)


def _equalise(patch: np.ndarray) -> np.ndarray:
    """Give a grey patch the mean and contrast of all others."""
    patch = 128 + 45 * (patch - patch.mean()) / (patch.std() + 1)
    return np.clip(np.round(patch), 0, 255).astype(np.uint8)


def textures(folder: Path, n: int = 80, size: int = SIZE) -> Task:
    """Cut patches from scikit-image's brick, grass and gravel, all of one mean and contrast.

    The upper half of each photograph is learned, and the lower one tested.
    """
    rng = np.random.default_rng(4)
    images, y, is_test = [], [], []
    for label, name in enumerate(("brick", "grass", "gravel")):
        photograph = np.asarray(Image.open(folder / f"{name}.png").convert("L"), dtype=float)
        height, width = photograph.shape[0] // 2, photograph.shape[1]
        for tested in (False, True):
            for _ in range(n):
                top = tested * height + rng.integers(height - size + 1)
                left = rng.integers(width - size + 1)
                patch = photograph[top : top + size, left : left + size]
                # Turned and mirrored at random, as brick is known by its joints alone otherwise.
                patch = np.rot90(patch, rng.integers(4))[:: rng.choice([-1, 1])]
                images.append(_equalise(patch))
                y.append(label)
                is_test.append(tested)
    return Task("textures", np.array(images), np.array(y), np.array(is_test), is_texture=True)


def faces(folder: Path) -> Task:
    """Return scikit-image's 100 faces and 100 other pieces of photographs, 25 x 25 pixels."""
    values = np.load(folder / "lfw_subset.npy")
    images = np.round(255 * values).astype(np.uint8)
    return Task("faces against others", images, np.repeat([1, 0], 100))
