"""Faults to plant: each makes, of healthy images, what `diagnose` is given and should find.

A fault is a function of a set of images, an extractor, a random generator and a folder for files.
It returns the estimator, the images and the labels, and may return parameters of `diagnose`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fault_sets import Set, soften
from PIL import Image
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, StandardScaler
from sklearn.svm import SVC

from sktransfer import VGGFeatureExtractor
from sktransfer.networks import plan_cut
from sktransfer.weights import locate_weights, read_weights

Given = tuple[Any, Any, Any]


@dataclass(frozen=True)
class Case:
    """What a fault is planted in."""

    X: np.ndarray
    y: np.ndarray
    extractor: VGGFeatureExtractor
    rng: np.random.Generator
    folder: Path

    @property
    def colour(self) -> np.ndarray:
        """The images with three channels."""
        return self.X if self.X.ndim == 4 else np.repeat(self.X[..., None], 3, axis=3)

    def at(self, **params: Any) -> VGGFeatureExtractor:
        """Return the extractor with other parameters."""
        return clone(self.extractor).set_params(**params)

    def tenth(self) -> np.ndarray:
        """Draw every tenth image."""
        return self.rng.permutation(len(self.y))[: len(self.y) // 10]


@dataclass(frozen=True)
class Fault:
    """A fault, the finding wanted and its severity, and the traits of images that it needs."""

    name: str
    finding: str
    severity: str
    needs: frozenset[str]
    make: Callable[[Case], Given]


FAULTS: list[Fault] = []


def _fault(name: str, finding: str, severity: str, *needs: str) -> Callable:
    def add(make: Callable[[Case], Given]) -> Callable[[Case], Given]:
        FAULTS.append(Fault(name, finding, severity, frozenset(needs), make))
        return make

    return add


def plant(fault: Fault, one: Set, extractor: VGGFeatureExtractor, folder: Path) -> Given:
    """Plant a fault in healthy images."""
    seed = sum(map(ord, fault.name + one.name))
    rng = np.random.default_rng(seed)
    return fault.make(Case(one.images.copy(), one.y.copy(), clone(extractor), rng, folder))


# -- ranges


@_fault("divided by 255 twice", "scaled-twice", "error")
def _(c: Case) -> Given:
    return c.extractor, _with_ends(c.X) / 255 / 255, c.y


@_fault("divided by 255, then preprocess_input", "scaled-twice", "error")
def _(c: Case) -> Given:
    return c.extractor, _caffe(_with_ends(c.colour) / 255), c.y


@_fault("preprocess_input before", "preprocessed-before", "error")
def _(c: Case) -> Given:
    return c.extractor, _caffe(_with_ends(c.colour)), c.y


@_fault("standardised as for torchvision", "preprocessed-before", "error")
def _(c: Case) -> Given:
    means, deviations = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    return c.extractor, (_with_ends(c.colour) / 255 - means) / deviations, c.y


@_fault("a StandardScaler before the network", "preprocessed-before", "warning")
def _(c: Case) -> Given:
    shape = c.X.shape[1:]
    extractor = c.at(image_shape=shape)
    model = make_pipeline(StandardScaler(), extractor, LogisticRegression(max_iter=1000))
    return model, c.X.reshape(len(c.X), -1).astype(float), c.y


@_fault("0 to 1 read as 0 to 255", "range-wrong", "error")
def _(c: Case) -> Given:
    return c.at(value_range=(0, 255)), c.X / 255, c.y


@_fault("0 to 16 in bytes", "range-wrong", "error")
def _(c: Case) -> Given:
    return c.extractor, np.round(_with_ends(c.X) / 255 * 16).astype(np.uint8), c.y


@_fault("12 bits in 16", "range-wrong", "error")
def _(c: Case) -> Given:
    return c.extractor, c.X.astype(np.uint16) * 16, c.y


@_fault("fitted on 0 to 1, used on 0 to 255", "range-wrong", "error")
def _(c: Case) -> Given:
    return clone(c.extractor).fit(_with_ends(c.X) / 255), _with_ends(c.X).astype(float), c.y


@_fault("a few grey levels", "range-wrong", "error")
def _(c: Case) -> Given:
    return c.extractor, (200 + c.X // 32).astype(np.uint8), c.y


@_fault("a third of the range", "range-ambiguous", "info")
def _(c: Case) -> Given:
    return c.extractor, c.X // 3, c.y


@_fault("half of the images divided by 255", "mixed-ranges", "error")
def _(c: Case) -> Given:
    X = c.X.astype(float)
    X[c.rng.permutation(len(X))[: len(X) // 2]] /= 255
    return c.extractor, X, c.y


@_fault("one class from 0 to 1", "class-in-another-range", "error")
def _(c: Case) -> Given:
    X = c.X.astype(float)
    X[c.y == c.y[0]] /= 255
    return c.extractor, X, c.y


@_fault("one class at half of the range", "class-in-another-range", "error")
def _(c: Case) -> Given:
    X = _with_ends(c.X)
    X[c.y == c.y[0]] //= 2
    return c.extractor, X, c.y


@_fault("half of the images inverted", "mixed-polarity", "info")
def _(c: Case) -> Given:
    X = c.X
    half = c.rng.permutation(len(X))[: len(X) // 2]
    X[half] = 255 - X[half]
    return c.extractor, X, c.y


@_fault("one class inverted", "class-in-another-range", "error")
def _(c: Case) -> Given:
    X = c.X
    own = c.y == c.y[0]
    X[own] = 255 - X[own]
    return c.extractor, X, c.y


@_fault("alpha from 0 to 1 beside bytes", "hidden-by-alpha", "error")
def _(c: Case) -> Given:
    return c.extractor, np.concatenate([c.colour, np.ones_like(c.colour[..., :1])], axis=3), c.y


@_fault("brightened until bytes wrap around", "wrapped-values", "error")
def _(c: Case) -> Given:
    # All images, by a factor that takes their usual white past the end.
    return (
        c.extractor,
        (c.X * (1.4 * 255 / max(np.median(c.X.max(axis=(1, 2))), 1)))
        .astype(np.int64)
        .astype(np.uint8),
        c.y,
    )


def _with_ends(X: np.ndarray) -> np.ndarray:
    """Give each image one black and one white pixel."""
    X = X.copy()
    X[:, 0, 0], X[:, 0, 1] = 0, 255
    return X


def _caffe(X: np.ndarray) -> np.ndarray:
    return np.float32(X[..., ::-1]) - np.float32([103.939, 116.779, 123.68])


# -- channels, sides, shape


@_fault("rows of colour planes, channels taken for last", "channels-scrambled", "error", "colour")
def _(c: Case) -> Given:
    rows = c.X.transpose(0, 3, 1, 2).reshape(len(c.X), -1)
    return c.at(image_shape=c.X.shape[1:]), rows, c.y


@_fault("rows of pixels, channels taken for first", "channels-scrambled", "error", "colour")
def _(c: Case) -> Given:
    _, height, width, _ = c.X.shape
    return c.at(image_shape=(3, height, width)), c.X.reshape(len(c.X), -1), c.y


@_fault("colour planes reshaped to pixels", "channels-scrambled", "error", "colour")
def _(c: Case) -> Given:
    return c.extractor, np.ascontiguousarray(c.X.transpose(0, 3, 1, 2)).reshape(c.X.shape), c.y


@_fault("height and width exchanged", "sides-exchanged", "error")
def _(c: Case) -> Given:
    part = np.ascontiguousarray(c.X[:, : c.X.shape[1] * 3 // 4])
    n, height, width = part.shape[:3]
    return c.extractor, part.reshape(n, width, height, *part.shape[3:]), c.y


@_fault("strips stretched to squares", "stretched", "warning")
def _(c: Case) -> Given:
    return c.extractor, np.concatenate([c.X, c.X[:, :, ::-1], c.X, c.X[:, :, ::-1]], axis=2), c.y


@_fault("BGR, classes named after colours", "channel-order", "error")
def _(c: Case) -> Given:
    y = np.array(["red ball", "blue ball"])[np.arange(len(c.y)) % 2]
    colour = np.where((np.arange(len(y)) % 2 == 0)[:, None], [200, 60, 40], [40, 60, 200])
    weight = c.colour.astype(float) / 255
    X = weight * (colour + c.rng.integers(-30, 30, colour.shape))[:, None, None]
    return c.extractor, np.clip(X, 0, 255).astype(np.uint8)[..., ::-1], y


@_fault("enlarged seven times", "enlarged", "info")
def _(c: Case) -> Given:
    size = 7 * c.X.shape[1]
    return c.at(layer="block1_pool", input_size=size), c.X[:48], c.y[:48]


@_fault("shrunk five times", "shrunk", "warning")
def _(c: Case) -> Given:
    return c.extractor, np.stack([_enlarge(image, 160) for image in c.X]), c.y


def _enlarge(image: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


# -- single images


@_fault("a tenth half read", "half-read-images", "warning")
def _(c: Case) -> Given:
    for row in c.tenth():
        c.X[row, int(c.rng.uniform(0.3, 0.6) * c.X.shape[1]) :] = 128
    return c.extractor, c.X, c.y


@_fault("a tenth nearly blank", "nearly-blank-images", "warning")
def _(c: Case) -> Given:
    for row in c.tenth():
        c.X[row] = 20 + np.clip(c.rng.normal(0, 1, c.X[row].shape), -2, 2).round()
    return c.extractor, c.X, c.y


@_fault("a tenth turned by 90 degrees", "turned-images", "warning", "upright")
def _(c: Case) -> Given:
    for row in c.tenth():
        c.X[row] = np.rot90(c.X[row])
    return c.extractor, c.X, c.y


@_fault("a tenth on their head", "turned-images", "warning", "upright")
def _(c: Case) -> Given:
    for row in c.tenth():
        c.X[row] = np.rot90(c.X[row], 2)
    return c.extractor, c.X, c.y


@_fault("JPEG of the lowest quality", "heavy-compression", "warning", "large")
def _(c: Case) -> Given:
    return c.extractor, np.stack([_compress(image, 1) for image in c.X]), c.y


def _compress(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


@_fault("one image in ten is blank", "blank-images", "warning")
def _(c: Case) -> Given:
    c.X[c.tenth()] = 0
    return c.extractor, c.X, c.y


@_fault("every image is blank", "blank-images", "error")
def _(c: Case) -> Given:
    grey = np.linspace(100, 250, len(c.X)).astype(np.uint8)
    return c.extractor, np.ones_like(c.X) * grey.reshape(-1, *[1] * (c.X.ndim - 1)), c.y


@_fault("one image repeated", "identical-images", "error")
def _(c: Case) -> Given:
    return c.extractor, np.repeat(c.X[:1], len(c.X), axis=0), c.y


@_fault("one image in twenty twice", "duplicate-images", "warning")
def _(c: Case) -> Given:
    rows = np.arange(0, len(c.X), 20)
    return c.extractor, np.concatenate([c.X, c.X[rows]]), np.concatenate([c.y, c.y[rows]])


@_fault("all images twice, in other folds", "duplicates-across-folds", "warning")
def _(c: Case) -> Given:
    return c.extractor, np.concatenate([c.X[:80]] * 2), np.concatenate([c.y[:80]] * 2)


@_fault("copies with another label", "contrary-labels", "warning")
def _(c: Case) -> Given:
    other = np.roll(np.unique(c.y), 1)[np.searchsorted(np.unique(c.y), c.y[:10])]
    return c.extractor, np.concatenate([c.X, c.X[:10]]), np.concatenate([c.y, other])


def _with_copies(c: Case, change: Callable[[np.ndarray], np.ndarray]) -> Given:
    rows = c.rng.permutation(len(c.X))[: len(c.X) // 4]
    copies = np.stack([change(image) for image in c.X[rows]])
    return c.extractor, np.concatenate([c.X, copies]), np.concatenate([c.y, c.y[rows]])


@_fault("copies saved again", "near-duplicates-across-folds", "warning")
def _(c: Case) -> Given:
    return _with_copies(c, lambda image: _compress(image, 80))


@_fault("copies cropped", "near-duplicates-across-folds", "warning", "large")
def _(c: Case) -> Given:
    def crop(image: np.ndarray) -> np.ndarray:
        side = len(image)
        smaller = round(side * c.rng.uniform(0.8, 0.92))
        top, left = c.rng.integers(0, side - smaller + 1, 2)
        part = Image.fromarray(image[top : top + smaller, left : left + smaller])
        return np.asarray(part.resize((side, side), Image.Resampling.BILINEAR))

    return _with_copies(c, crop)


@_fault("copies flipped", "near-duplicates-across-folds", "warning")
def _(c: Case) -> Given:
    return _with_copies(c, lambda image: image[:, ::-1])


# -- the network


@_fault("random weights", "random-weights", "warning")
def _(c: Case) -> Given:
    return c.at(weights=None, random_state=0), c.X, c.y


@_fault("weights of a file that is random", "random-weights", "warning")
def _(c: Case) -> Given:
    return _change(c, lambda name, kernel: c.rng.normal(0, kernel.std(), kernel.shape)), c.X, c.y


@_fault("deep blocks left random", "random-deep-layers", "error")
def _(c: Case) -> Given:
    def change(name: str, kernel: np.ndarray) -> np.ndarray:
        is_deep = name.startswith("block3")
        return c.rng.normal(0, kernel.std(), kernel.shape) if is_deep else kernel

    return _change(c, change), c.X, c.y


@_fault("kernels turned by 180 degrees", "kernels-flipped", "error")
def _(c: Case) -> Given:
    return _change(c, lambda name, kernel: kernel[::-1, ::-1]), c.X, c.y


@_fault("kernels transposed", "kernels-flipped", "error")
def _(c: Case) -> Given:
    return _change(c, lambda name, kernel: kernel.swapaxes(0, 1)), c.X, c.y


@_fault("a layer whose weights are 0", "collapsed-features", "error")
def _(c: Case) -> Given:
    return _change(c, lambda name, kernel: kernel * (name != "block2_conv1")), c.X, c.y


@_fault("signal lost between pixels and features", "lost-signal", "error")
def _(c: Case) -> Given:
    return _change(c, lambda name, kernel: kernel * (name != "block2_conv1")), c.X, c.y


@_fault("nearly all filters dead", "dead-features", "warning")
def _(c: Case) -> Given:
    extractor = _change(c, lambda name, kernel: kernel)
    kernel, bias = extractor.weights["block3_conv3"]
    bias = np.where(np.arange(len(bias)) < 5, bias, -1e6).astype(np.float32)
    weights = {**extractor.weights, "block3_conv3": [kernel, bias]}
    return extractor.set_params(weights=weights), c.X, c.y


def _change(c: Case, change: Callable[[str, np.ndarray], np.ndarray]) -> VGGFeatureExtractor:
    cut = plan_cut("block3_pool", "vgg16", None, 32)
    weights = read_weights(locate_weights(c.extractor.weights, cut), cut)
    changed = {
        name: [np.ascontiguousarray(change(name, kernel), dtype=np.float32), bias]
        for name, (kernel, bias) in weights.items()
    }
    return c.at(weights=changed, layer="block3_pool")


def _tint(c: Case) -> tuple[np.ndarray, np.ndarray]:
    """Give images a trace of red or of blue, which later layers forget, for a class."""
    y = _random_classes(c)
    grey = c.colour.mean(axis=3, keepdims=True) * 0.6 + 50
    tint = np.where(y, 3.0, -3.0)[:, None, None, None] * [1, 0, -1]
    return np.round(grey + tint).astype(np.uint8), y


@_fault("cut too deep", "cut-too-deep", "warning")
def _(c: Case) -> Given:
    return c.at(layer="block5_pool"), *_tint(c)


@_fault("cut too deep, 60 images", "cut-too-deep", "warning")
def _(c: Case) -> Given:
    X, y = _tint(c)
    return c.at(layer="block5_pool"), X[:60], y[:60]


@_fault("cut too shallow by two blocks and more", "cut-too-shallow", "warning", "deep")
def _(c: Case) -> Given:
    return c.at(layer="block1_pool"), c.X, c.y


# -- labels


@_fault("labels shuffled", "labels-out-of-step", "warning")
def _(c: Case) -> Given:
    return c.extractor, c.X, c.rng.permutation(c.y)


@_fault("labels shuffled: the score", "chance-level", "error")
def _(c: Case) -> Given:
    return c.extractor, c.X, c.rng.permutation(c.y)


@_fault("labels moved by three", "labels-out-of-step", "error")
def _(c: Case) -> Given:
    return c.extractor, c.X, np.roll(c.y, 3)


@_fault("labels of the second half moved by one", "labels-out-of-step", "error")
def _(c: Case) -> Given:
    half = len(c.y) // 2
    return c.extractor, c.X, np.concatenate([c.y[:half], np.roll(c.y[half:], 1)])


@_fault("labels in another order than the folders", "labels-out-of-step", "error")
def _(c: Case) -> Given:
    paths = []
    for i, (image, label) in enumerate(zip(c.X, c.y, strict=True)):
        path = c.folder / str(label) / f"{i:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
        paths.append(str(path))
    return c.extractor, sorted(paths), c.y


def _mislabel(c: Case, share: float) -> Given:
    classes = np.unique(c.y)
    y = c.y.copy()
    for row in c.rng.permutation(len(y))[: round(share * len(y))]:
        y[row] = c.rng.choice(classes[classes != y[row]])
    return c.extractor, c.X, y


@_fault("one label in ten wrong", "wrong-labels", "warning")
def _(c: Case) -> Given:
    return _mislabel(c, 0.1)


@_fault("one label in five wrong", "wrong-labels", "warning")
def _(c: Case) -> Given:
    return _mislabel(c, 0.2)


@_fault("'ant' and 'ant '", "labels-spelled-alike", "error")
def _(c: Case) -> Given:
    names = np.array([f"kind {label}" for label in c.y], dtype=object)
    return (
        c.extractor,
        c.X,
        np.where(c.rng.random(len(names)) < 0.3, names + " ", names).astype(str),
    )


# -- the classifier


@_fault("few images, all values of a layer", "wide-features", "info")
def _(c: Case) -> Given:
    return c.at(layer="block1_pool", pooling=None), c.X[:60], c.y[:60]


@_fault("few images, overfitted", "wide-features", "warning")
def _(c: Case) -> Given:
    few = slice(None, 60)
    return c.at(layer="block1_pool", pooling=None), soften(c.X[few], c.rng), c.y[few]


@_fault("an SVC for features of one scale", "unscaled-features", "error")
def _(c: Case) -> Given:
    return make_pipeline(c.extractor, SVC(gamma="auto")), c.X, c.y


@_fault("a classifier that stops after two steps", "not-converged", "warning")
def _(c: Case) -> Given:
    model = make_pipeline(c.extractor, StandardScaler(), LogisticRegression(max_iter=2))
    return model, c.X, c.y


def _three_to_one(c: Case) -> tuple[np.ndarray, np.ndarray]:
    """Select two classes of unequal size, so that a classifier that learns nothing answers one."""
    first, second = (np.flatnonzero(c.y == label) for label in np.unique(c.y)[:2])
    rows = np.sort(np.concatenate([first, second[: len(first) // 3]]))
    return c.X[rows], c.y[rows]


@_fault("C=1e-8, three images to one", "weak-classifier", "error")
def _(c: Case) -> Given:
    model = make_pipeline(c.extractor, StandardScaler(), LogisticRegression(C=1e-8))
    return model, *_three_to_one(c)


@_fault("a gamma that cannot work", "weak-classifier", "error")
def _(c: Case) -> Given:
    return make_pipeline(c.extractor, StandardScaler(), SVC(gamma=100)), c.X, c.y


@_fault("a Normalizer before an SVC with gamma, three to one", "weak-classifier", "error")
def _(c: Case) -> Given:
    model = make_pipeline(c.extractor, Normalizer("l1"), SVC(gamma="auto"))
    return model, *_three_to_one(c)


@_fault("softmax shares before a plain classifier, three to one", "weak-classifier", "error")
def _(c: Case) -> Given:
    model = make_pipeline(c.extractor, FunctionTransformer(_diffuse_shares), LogisticRegression())
    return model, *_three_to_one(c)


def _diffuse_shares(features: np.ndarray) -> np.ndarray:
    scores = features / (np.abs(features).max() + 1e-9)
    shares = np.exp(scores)
    return shares / shares.sum(axis=1, keepdims=True)


@_fault("fitted on other names of the classes", "fitted-otherwise", "error")
def _(c: Case) -> Given:
    return _fit(c, c.X, np.array([f"class {label}" for label in c.y])), c.X, c.y.astype(str)


@_fault("fitted with labels exchanged", "fitted-otherwise", "error")
def _(c: Case) -> Given:
    classes = np.unique(c.y)
    return _fit(c, c.X, np.roll(classes, 1)[np.searchsorted(classes, c.y)]), c.X, c.y


@_fault("scored on its training images", "scored-on-training", "warning")
def _(c: Case) -> Given:
    X = soften(c.X, c.rng)
    model = make_pipeline(c.extractor, RandomForestClassifier(50, random_state=0))
    return model.fit(X, c.y), X, c.y


def _fit(c: Case, X: np.ndarray, y: np.ndarray) -> Any:
    model = make_pipeline(c.extractor, StandardScaler(), LogisticRegression(max_iter=1000))
    return model.fit(X, y)


@_fault("a place that averaging forgets", "raw-pixels-win", "warning")
def _(c: Case) -> Given:
    y = np.arange(len(c.X)) % 2
    X = c.rng.integers(0, 40, (len(c.X), 32, 32)).astype(np.uint8)
    for image, label in zip(X, y, strict=True):
        top, left = c.rng.integers(4, 24), c.rng.integers(4, 10) + (12 if label else 0)
        image[top : top + 6, left : left + 6] = 220
    return c.at(layer="block1_pool"), X, y


@_fault("a step before the network that shuffles", "labels-out-of-step", "warning")
def _(c: Case) -> Given:
    order = c.rng.permutation(len(c.X))
    shuffle = FunctionTransformer(lambda images: images[order])
    return make_pipeline(shuffle, c.extractor, LogisticRegression(max_iter=1000)), c.X, c.y


# -- shortcuts: nothing else tells the class


def _random_classes(c: Case) -> np.ndarray:
    return c.rng.permutation(np.arange(len(c.X)) % 2)


@_fault("a frame of one pixel", "shortcut-frame", "warning")
def _(c: Case) -> Given:
    y, X = _random_classes(c), c.X
    value = 200 if X[:, 0].mean() < 128 else 30
    X[y == 1, 0] = X[y == 1, -1] = value
    X[y == 1, :, 0] = X[y == 1, :, -1] = value
    return c.extractor, X, y


@_fault("a mark in a corner", "shortcut-corner", "warning")
def _(c: Case) -> Given:
    y, X = _random_classes(c), c.X
    side = max(1, X.shape[1] // 8)
    X[y == 1, :side, :side] = 255 if X[:, :side, :side].mean() < 128 else 0
    return c.extractor, X, y


@_fault("brightness", "shortcut-brightness", "warning")
def _(c: Case) -> Given:
    y = _random_classes(c)
    factor = np.where(y == 1, 0.55, 0.95).reshape(-1, *[1] * (c.X.ndim - 1))
    X = c.X * 0.5 + 60
    return c.extractor, np.clip(X * factor, 0, 255).astype(np.uint8), y


@_fault("image size", "shortcut-size", "warning")
def _(c: Case) -> Given:
    y = _random_classes(c)
    sides = np.where(y == 1, 24, 60)
    return (
        c.extractor,
        [
            Image.fromarray(image).resize((side, side))
            for image, side in zip(c.X, sides, strict=True)
        ],
        y,
    )


@_fault("file format", "shortcut-format", "warning")
def _(c: Case) -> Given:
    y, paths = _random_classes(c), []
    for i, (image, label) in enumerate(zip(c.X, y, strict=True)):
        path = c.folder / f"{i:03}.{'jpg' if label else 'png'}"
        Image.fromarray(image).save(path, **({"quality": 40} if label else {}))
        paths.append(str(path))
    return c.extractor, paths, y
