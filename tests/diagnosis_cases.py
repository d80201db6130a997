"""Healthy images and planted faults: what `diagnose` is tested and measured on.

Every case is a function from an extractor, and a folder for files, to what `diagnose` is given.
The extractor is cut early at 32 pixels; cases change its parameters where the fault lies there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits, load_sample_images
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

from sktransfer import VGGFeatureExtractor, load_digit_pair

Given = tuple[Any, Any, Any]
Make = Callable[[VGGFeatureExtractor, Path], Given]

HEALTHY: dict[str, Make] = {}


@dataclass(frozen=True)
class Fault:
    """A planted fault and what must be found."""

    finding: str
    severity: str
    make: Make


FAULTS: dict[str, Fault] = {}


def _healthy(name: str) -> Callable[[Make], Make]:
    def add(make: Make) -> Make:
        HEALTHY[name] = make
        return make

    return add


def _fault(name: str, finding: str, severity: str) -> Callable[[Make], Make]:
    def add(make: Make) -> Make:
        FAULTS[name] = Fault(finding, severity, make)
        return make

    return add


def _with(extractor: VGGFeatureExtractor, **params: Any) -> VGGFeatureExtractor:
    return clone(extractor).set_params(**params)


# -- images


@cache
def _pair(n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    return X[:n].reshape(-1, 8, 8), y[:n]


@cache
def patches(n: int = 120, side: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Cut pieces of two photographs, a temple and a flower: which of them is the label.

    Small ones do not overlap, or they would be near-duplicates.
    """
    rng = np.random.default_rng(0)
    photographs = load_sample_images().images
    X, y = np.empty((n, side, side, 3), dtype=np.uint8), np.arange(n) % 2
    cells = [side * row for row in rng.permutation(list(np.ndindex(427 // side, 640 // side)))]
    for i in range(n):
        top, left = rng.integers(0, 427 - side), rng.integers(0, 640 - side)
        if n // 2 <= len(cells):
            top, left = cells[i // 2]
        X[i] = photographs[y[i]][top : top + side, left : left + side]
    return X, y


@cache
def _textures(n: int = 120, side: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Stripes of any phase and contrast, steep or flat."""
    rng = np.random.default_rng(1)
    y = np.arange(n) % 2
    down, across = np.mgrid[:side, :side]
    X = np.empty((n, side, side), dtype=np.uint8)
    for i in range(n):
        angle = np.pi * (0.15 + 0.5 * y[i]) + rng.normal(0, 0.1)
        wave = np.sin((np.cos(angle) * across + np.sin(angle) * down) * 0.8 + rng.uniform(0, 6.3))
        X[i] = 128 + rng.uniform(40, 100) * wave + rng.normal(0, 10, wave.shape)
    return X, y


@cache
def _blobs(n: int = 120, side: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Blurred spots of one of two colours, named."""
    rng = np.random.default_rng(2)
    y = np.array(["red ball", "blue ball"])[np.arange(n) % 2]
    down, across = np.mgrid[:side, :side] / side
    X = np.empty((n, side, side, 3), dtype=np.uint8)
    for i in range(n):
        centre, size = rng.uniform(0.3, 0.7, 2), rng.uniform(0.1, 0.25)
        spot = np.exp(-((down - centre[0]) ** 2 + (across - centre[1]) ** 2) / (2 * size**2))
        colour = np.array([200, 60, 40] if i % 2 == 0 else [40, 60, 200]) + rng.integers(-30, 30, 3)
        X[i] = np.clip(spot[..., None] * colour + rng.uniform(0, 30, (side, side, 1)), 0, 255)
    return X, y


@cache
def _faces(n: int = 120, side: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Drawn faces with a light or a dark mouth, open or closed eyes."""
    rng = np.random.default_rng(3)
    y = np.arange(n) % 2
    down, across = np.mgrid[:side, :side] / side
    X = np.empty((n, side, side), dtype=np.uint8)
    for i in range(n):
        dy, dx = rng.uniform(-0.05, 0.05, 2)
        image = 40 + 20 * rng.random((side, side))
        image[((down - 0.5 - dy) / 0.4) ** 2 + ((across - 0.5 - dx) / 0.3) ** 2 < 1] = 190
        for eye in (0.38, 0.62):
            image[((down - 0.4 - dy) / 0.05) ** 2 + ((across - eye - dx) / 0.05) ** 2 < 1] = 30
        curve = 0.7 + dy + (1 if y[i] else -1) * 3 * (across - 0.5 - dx) ** 2
        image[(np.abs(down - curve) < 0.03) & (np.abs(across - 0.5 - dx) < 0.15)] = 60
        X[i] = np.clip(image + rng.normal(0, 8, image.shape), 0, 255)
    return X, y


@cache
def _shapes(n: int = 120, side: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Black and white: discs and squares."""
    rng = np.random.default_rng(4)
    y = np.arange(n) % 2
    down, across = np.mgrid[:side, :side]
    X = np.empty((n, side, side), dtype=bool)
    for i in range(n):
        top, left = rng.uniform(16, 32, 2)
        size = rng.uniform(8, 14)
        d, a = np.abs(down - top), np.abs(across - left)
        X[i] = (d**2 + a**2 < size**2) if y[i] else np.maximum(d, a) < size * 0.88
    return X, y


def _write(X: np.ndarray, y: Any, folder: Path, n: int = 60) -> tuple[list[str], np.ndarray]:
    paths = []
    for i, (image, label) in enumerate(zip(X[:n], y[:n], strict=True)):
        path = folder / str(label) / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
        paths.append(str(path))
    return paths, np.asarray(y[:n])


# -- healthy


@_healthy("digits 6 and 8")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    return extractor, *_pair()


@_healthy("ten digits")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = load_digits(return_X_y=True)
    return extractor, X[:300], y[:300]


@_healthy("digits, 0 to 1")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    return extractor, X / 16, y


@_healthy("digits, -1 to 1, said so")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    return _with(extractor, value_range=(-1, 1)), X / 8 - 1, y


@_healthy("digits, black on white")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    return extractor, 16 - X, y


@_healthy("digits, RGB copies")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    return extractor, np.repeat((X * 255 / 16).astype(np.uint8)[..., None], 3, axis=3), y


@_healthy("digits, 16 bits")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    return extractor, (X * 65535 / 16).astype(np.uint16), y


@_healthy("digits, a frame with a fitted pipeline")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    import pandas

    X, y = _pair()
    frame = pandas.DataFrame(X.reshape(len(X), -1), columns=[f"pixel{i}" for i in range(64)])
    model = make_pipeline(extractor, StandardScaler(), LogisticRegression(max_iter=1000))
    return model.fit(frame, y), frame, y


@_healthy("digits, nine to one")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    rows = np.sort(np.concatenate([np.flatnonzero(y == 0)[:135], np.flatnonzero(y == 1)[:15]]))
    return extractor, X[rows], y[rows]


@_healthy("pieces of photographs")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    return extractor, *patches()


@_healthy("pieces of photographs, 64 pixels, rows of colour planes")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = patches(side=64)
    rows = X.transpose(0, 3, 1, 2).reshape(len(X), -1)
    return _with(extractor, image_shape=(3, 64, 64)), rows, y


@_healthy("pieces of photographs, files")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    return extractor, *_write(*patches(), folder)


@_healthy("pieces of photographs, PIL images of several sizes")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = patches(side=64)
    return extractor, [Image.fromarray(X[i, : 40 + i % 24]) for i in range(80)], y[:80]


@_healthy("textures")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    return extractor, *_textures()


@_healthy("noise, all but grey")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    return _with(extractor, layer="block1_pool"), *_tints()


@_healthy("spots of named colours")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    return extractor, *_blobs()


@_healthy("drawn faces")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    return extractor, *_faces()


@_healthy("discs and squares, bool")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    return extractor, *_shapes()


@_healthy("pieces of photographs, without labels")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    return extractor, patches()[0], None


# -- faults in the values


@_fault("0 to 1 divided by 255", "scaled-twice", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    return extractor, X / 16 / 255, y


@_fault("divided by 255, then preprocess_input", "scaled-twice", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = patches()
    return extractor, _caffe(_with_black(X) / 255), y


@_fault("preprocess_input before", "preprocessed-before", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = patches()
    return extractor, _caffe(_with_black(X)), y


@_fault("standardised as for torchvision", "preprocessed-before", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = patches()
    means, deviations = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    return extractor, (_with_black(X) / 255 - means) / deviations, y


@_fault("a StandardScaler before the network", "preprocessed-before", "warning")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    model = make_pipeline(StandardScaler(), extractor, LogisticRegression(max_iter=1000))
    return model, X.reshape(len(X), -1), y


@_fault("0 to 1 read as 0 to 255", "range-wrong", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    return _with(extractor, value_range=(0, 255)), X / 16, y


@_fault("0 to 16 in bytes", "range-wrong", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    return extractor, X.astype(np.uint8), y


@_fault("12 bits in 16", "range-wrong", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = patches()
    return extractor, X.mean(axis=3).astype(np.uint16) * 16, y


@_fault("fitted on 0 to 1, used on 0 to 255", "range-wrong", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = patches()
    return clone(extractor).fit(X / 255), X.astype(float), y


@_fault("a few grey levels", "range-wrong", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = patches()
    return extractor, (200 + X // 32).astype(np.uint8), y


@_fault("a third of the range", "range-ambiguous", "info")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = patches()
    return extractor, X // 3, y


def _with_black(X: np.ndarray) -> np.ndarray:
    X = X.copy()
    X[:, 0, 0] = 0
    return X


def _caffe(X: np.ndarray) -> np.ndarray:
    return np.float32(X[..., ::-1]) - np.float32([103.939, 116.779, 123.68])


# -- faults in the channels


@_fault("rows of colour planes, channels taken for last", "channels-scrambled", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = patches()
    rows = X.transpose(0, 3, 1, 2).reshape(len(X), -1)
    return _with(extractor, image_shape=(32, 32, 3)), rows, y


@_fault("colour planes reshaped to pixels", "channels-scrambled", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = patches()
    return extractor, np.ascontiguousarray(X.transpose(0, 3, 1, 2)).reshape(X.shape), y


@_fault("BGR, classes named after colours", "channel-order", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _blobs()
    return extractor, X[..., ::-1], y


@_fault("BGR, outdoor scenes", "channel-order", "info")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _scenes()
    return extractor, X[..., ::-1], y


@cache
def _scenes(n: int = 120, side: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Upright pieces of the temple, as high as the photograph, its sky above and earth below."""
    rng = np.random.default_rng(5)
    photograph = load_sample_images().images[0]
    X = np.empty((n, side, side, 3), dtype=np.uint8)
    for i in range(n):
        left = int(rng.integers(0, 220)) + 220 * (i % 2)
        piece = Image.fromarray(photograph[:, left : left + 200]).resize((side, side))
        X[i] = np.asarray(piece) * rng.uniform(0.8, 1)
    return X, np.arange(n) % 2


# -- faults in single images


@_fault("one image in ten is blank", "blank-images", "warning")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    X = X.copy()
    X[::10] = 0
    return extractor, X, y


@_fault("every image is blank", "blank-images", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    return extractor, np.full_like(X, 16) * np.linspace(0.5, 1, len(X))[:, None, None], y


@_fault("one image repeated", "identical-images", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    return extractor, np.repeat(X[:1], len(X), axis=0), y


@_fault("one image in twenty twice", "duplicate-images", "warning")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    rows = np.arange(0, len(X), 20)
    return extractor, np.concatenate([X, X[rows]]), np.concatenate([y, y[rows]])


@_fault("all images twice, in other folds", "duplicates-across-folds", "warning")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair(80)
    return extractor, np.concatenate([X, X]), np.concatenate([y, y])


@_fault("copies with another label", "contrary-labels", "warning")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    return extractor, np.concatenate([X, X[:10]]), np.concatenate([y, 1 - y[:10]])


# -- faults in size and network


@_fault("28 pixels enlarged to 224", "enlarged", "info")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = patches(n=30, side=28)
    return _with(extractor, layer="block1_pool", input_size=224), X, y


@_fault("a photograph shrunk to 32", "shrunk", "warning")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = patches(n=30, side=200)
    return extractor, X, y


@_fault("random weights", "random-weights", "warning")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    return _with(extractor, weights=None, random_state=0), *_pair()


@_fault("a file of random weights", "random-weights", "warning")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    rng = np.random.default_rng(0)
    path = write_weights(folder / "random.h5", lambda shape: rng.normal(0, 0.1, shape))
    return _with(extractor, layer="block1_pool", architecture="vgg16", weights=path), *_pair()


@_fault("a layer whose weights are 0", "collapsed-features", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    path = write_weights(folder / "zero.h5", np.zeros)
    return _with(extractor, layer="block1_pool", architecture="vgg16", weights=path), *_pair()


@_fault("nearly all filters dead", "dead-features", "warning")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    rng = np.random.default_rng(0)

    def draw(shape: tuple[int, ...]) -> np.ndarray:
        values = rng.normal(0, 0.1, shape)
        if len(shape) == 1:
            values[1:] = -1e6
        return values

    path = write_weights(folder / "dead.h5", draw)
    return _with(extractor, layer="block1_conv1", architecture="vgg16", weights=path), *_pair()


def write_weights(path: Path, draw: Callable[[tuple[int, ...]], np.ndarray]) -> Path:
    """Write the first block of VGG16 as Keras lays out its files."""
    import h5py

    with h5py.File(path, "w") as file:
        for name, n_in in (("block1_conv1", 3), ("block1_conv2", 64)):
            group = file.create_group(name)
            group["kernel:0"] = draw((3, 3, n_in, 64)).astype(np.float32)
            group["bias:0"] = draw((64,)).astype(np.float32)
            group.attrs["weight_names"] = ["kernel:0", "bias:0"]
    return path


@_fault("cut too deep for these classes", "cut-too-deep", "warning")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    return extractor, *_tints()


@cache
def _tints(n: int = 120, side: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Draw grey noise with a trace of red or blue, which deeper layers forget."""
    rng = np.random.default_rng(6)
    y = np.arange(n) % 2
    tint = np.where(y, 0.15, -0.15)[:, None, None, None] * [1, 0, -1]
    X = 128 + 40 * rng.normal(0, 1, (n, side, side, 1)) + tint
    return np.clip(X, 0, 255).astype(np.uint8), y


@_fault("cut too shallow for these classes", "cut-too-shallow", "warning")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pairs_of_dots()
    return _with(extractor, layer="block1_pool"), X, y


@cache
def _pairs_of_dots(
    n: int = 120, side: int = 32, distance: int = 6
) -> tuple[np.ndarray, np.ndarray]:
    """Draw dots in pairs, below or beside each other, farther apart than the first block sees."""
    rng = np.random.default_rng(7)
    y = np.arange(n) % 2
    X = rng.normal(0, 8, (n, side, side))
    for image, label in zip(X, y, strict=True):
        for top, left in rng.integers(0, side - distance, (14, 2)):
            image[top, left] = 255
            image[(top + distance, left) if label else (top, left + distance)] = 255
    return np.clip(X, 0, 255).astype(np.uint8), y


# -- faults in labels and classifier


@_fault("labels shuffled", "labels-out-of-step", "warning")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    return extractor, X, np.random.default_rng(0).permutation(y)


@_fault("labels shuffled: the score", "chance-level", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    return extractor, X, np.random.default_rng(0).permutation(y)


@_fault("labels moved by three", "labels-out-of-step", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    return extractor, X, np.roll(y, 3)


@_fault("labels of the second half moved by one", "labels-out-of-step", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    half = len(y) // 2
    return extractor, X, np.concatenate([y[:half], np.roll(y[half:], 1)])


@_fault("labels in another order than the folders", "labels-out-of-step", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    paths, y = _write(*patches(), folder)
    return extractor, sorted(paths), y


@_fault("signal lost between pixels and features", "lost-signal", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    path = write_weights(folder / "zero.h5", np.zeros)
    return _with(extractor, layer="block1_pool", architecture="vgg16", weights=path), X, y


@_fault("few images, all values of a layer", "wide-features", "info")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair(60)
    return _with(extractor, layer="block1_pool", pooling=None), X, y


@_fault("few images, overfitted", "wide-features", "warning")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _noise()
    return _with(extractor, layer="block1_pool", pooling=None), X, y


@cache
def _noise(n: int = 120, side: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Draw noise whose strength is the label, and hardly differs."""
    rng = np.random.default_rng(10)
    y = np.arange(n) % 2
    X = 128 + rng.normal(0, 1, (n, side, side)) * np.where(y, 32, 30)[:, None, None]
    return np.clip(X, 0, 255).astype(np.uint8), y


@_fault("a classifier for features of one scale", "unscaled-features", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    return make_pipeline(extractor, SVC(gamma="auto")), *_pair()


@_fault("a classifier that stops after two steps", "not-converged", "warning")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    return make_pipeline(extractor, StandardScaler(), LogisticRegression(max_iter=2)), *_pair()


@_fault("fitted on other labels", "fitted-otherwise", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    model = make_pipeline(extractor, StandardScaler(), LogisticRegression(max_iter=1000))
    return model.fit(X, np.where(y, "8", "6")), X, np.where(y, "eight", "six")


@_fault("fitted with labels exchanged", "fitted-otherwise", "error")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    model = make_pipeline(extractor, StandardScaler(), LogisticRegression(max_iter=1000))
    return model.fit(X, 1 - y), X, y


@_fault("a place that averaging forgets", "raw-pixels-win", "warning")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    rng = np.random.default_rng(9)
    y = np.arange(160) % 2
    X = rng.integers(0, 40, (160, 32, 32)).astype(np.uint8)
    for image, label in zip(X, y, strict=True):
        top, left = rng.integers(4, 24), rng.integers(4, 10) + (12 if label else 0)
        image[top : top + 6, left : left + 6] = 220
    return _with(extractor, layer="block1_pool", pooling="avg"), X, y


@_fault("a step before the network that shuffles", "labels-out-of-step", "warning")
def _(extractor: VGGFeatureExtractor, folder: Path) -> Given:
    X, y = _pair()
    order = np.random.default_rng(1).permutation(len(X))
    shuffle = FunctionTransformer(lambda images: images[order])
    return make_pipeline(shuffle, extractor, LogisticRegression(max_iter=1000)), X, y
