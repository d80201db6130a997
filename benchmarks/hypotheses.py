"""The article's three hypotheses, and the mistakes that give 50 %, in the article's own setting.

    python benchmarks/hypotheses.py mnist_6_8.npz vgg16_notop.h5 --cache FOLDER [--only PART ...]

VGG16 with its ImageNet weights, cut at flatten, 224 pixels; 2,000 digits, of which as large a share
are eights as of the article's; 10 stratified folds, shuffled with seed 0; LogisticRegression() on
features as they are, as in the article, and after a StandardScaler, fitted on all images without
their labels, with 1,000 iterations. Features are cached in the folder: an interrupted run
continues. With all 8,200 digits the rows whose labels are wrong would take hours each: the solver
does not converge on them.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import warnings
from pathlib import Path
from typing import Any

import keras_scripts
import numpy as np
from scipy.special import softmax
from sklearn.datasets import load_sample_images
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from sktransfer import VGGFeatureExtractor, make_formula_images

FOLDS = StratifiedKFold(10, shuffle=True, random_state=0)
ARTICLE = LogisticRegression()
N_IMAGES = 2000


def rotate(features: np.ndarray) -> np.ndarray:
    """Turn features into as many as there are images, to which L2 penalties are blind."""
    values, vectors = np.linalg.eigh((features @ features.T).astype(np.float64))
    return vectors * np.sqrt(np.maximum(values, 0))


def score(features: np.ndarray, y: np.ndarray, classifier: Any) -> str:
    """Spell the accuracy of a classifier, mean and standard deviation over folds."""
    # So small a problem takes many threads longer than one.
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")
        scores = cross_val_score(classifier, features, y, cv=FOLDS)
    return f"{scores.mean():.3f} +- {scores.std():.3f}"


def both(features: np.ndarray, y: np.ndarray) -> str:
    """Score features as in the article, and scaled."""
    return score_both(rotate(features), rotate(StandardScaler().fit_transform(features)), y)


def score_both(unscaled: np.ndarray, scaled: np.ndarray, y: np.ndarray) -> str:
    """Score rotated features as in the article, and scaled ones with more iterations."""
    return f"{score(unscaled, y, ARTICLE)}  {score(scaled, y, LogisticRegression(max_iter=1000))}"


def show(name: str, n: int, *columns: str) -> None:
    """Print a row as soon as it is known."""
    print(f"{name:56} {n:>6,}  {'  '.join(columns)}", flush=True)


def show_header(title: str, *columns: str) -> None:
    """Print a title and the names of the columns."""
    names = "".join(f"{column:17}" for column in columns)
    print(f"\n{title}\n{'':56} images  {names.rstrip()}", flush=True)


# -- images


def read_digits(path: str) -> tuple[np.ndarray, np.ndarray]:
    """Read some images in random order, with the share of each digit in all; 8 is 1 and 6 is 0."""
    with np.load(path) as archive:
        y = (archive["digit"] == 8).astype(int)
        rows, _ = train_test_split(
            np.arange(len(y)), train_size=N_IMAGES, stratify=y, random_state=0
        )
        return archive["images"][rows], y[rows]


def to_grey(X: np.ndarray) -> np.ndarray:
    """Weight the channels as television did (ITU-R BT.601)."""
    return np.round(X @ [0.299, 0.587, 0.114]).astype(np.uint8)


def paint(X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Paint each digit in a colour of its own on a ground of another."""
    n = len(X)
    ink, ground = rng.uniform(128, 256, (n, 1, 1, 3)), rng.uniform(0, 100, (n, 1, 1, 3))
    share = X[..., None] / 255
    return (share * ink + (1 - share) * ground).astype(np.uint8)


def put_on(X: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """Put white digits on a ground."""
    share = X / 255
    return (share * 255 + (1 - share) * ground).astype(np.uint8)


def make_grounds(X: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Make what may lie behind the digits."""
    side = X.shape[1]
    photographs = [to_grey(photograph) for photograph in load_sample_images().images]
    pieces = np.empty_like(X)
    for i in range(len(X)):
        photograph = photographs[rng.integers(2)]
        top, left = (int(rng.integers(0, n - side)) for n in photograph.shape)
        pieces[i] = photograph[top : top + side, left : left + side]
    return {
        "another grey behind each": np.broadcast_to(rng.uniform(0, 200, (len(X), 1, 1)), X.shape),
        "noise, 0 to 200": rng.uniform(0, 200, X.shape),
        "photographs": pieces * 0.8,
    }


# -- the hypotheses


def colour(data: str, vgg: VGGFeatureExtractor) -> None:
    """Print whether grey is what spoils transfer."""
    show_header("1. grey against colour", "raw pixels", "unscaled", "scaled")
    X, y = read_digits(data)
    for name, images in [("grey", X), ("painted", paint(X, np.random.default_rng(0)))]:
        raw = images.reshape(len(images), -1).astype(float)
        columns = both(vgg.fit_transform(images), y)
        show(f"digits, {name}", len(images), score(raw, y, ARTICLE), columns)


def background(data: str, vgg: VGGFeatureExtractor) -> None:
    """Print whether it matters what is behind the digits."""
    show_header("2. background and texture", "raw pixels", "unscaled", "scaled")
    X, y = read_digits(data)
    grounds = {"black": np.zeros_like(X)} | make_grounds(X, np.random.default_rng(0))
    for name, ground in grounds.items():
        images = put_on(X, ground)
        raw = images.reshape(len(images), -1).astype(float)
        columns = both(vgg.fit_transform(images), y)
        show(name, len(images), score(raw, y, ARTICLE), columns)


def classes(data: str, vgg: VGGFeatureExtractor, n_classes: int = 1000) -> None:
    """Print what a softmax over classes of other images leaves of two digits.

    The dense layers' trained weights are not at hand. In their place stands a softmax over classes
    of two formula images each, fitted on their real flatten features, with more and less penalty:
    the less, the surer it is of the digits, too.
    """
    X, y = read_digits(data)
    show_header(
        f"3. {n_classes:,} classes against 2: a softmax over formula images, on flatten",
        "top share", "unscaled", "scaled",
    )  # fmt: skip
    others = make_formula_images(2 * n_classes, n_classes=n_classes, size=224, random_state=0)
    features = vgg.fit_transform(X)
    show("flatten itself", len(X), f"{'-':15}", both(features, y))
    known = vgg.fit(others.images).transform(others.images)
    gram = (known @ known.T).astype(np.float64)
    values, vectors = np.linalg.eigh(gram)
    kept = values > 1e-9 * values.max()
    axes = vectors[:, kept] / np.sqrt(values[kept])
    scale = 1 / np.sqrt(values.mean())
    inside, outside = gram @ axes * scale, (features @ known.T).astype(np.float64) @ axes * scale
    for penalty in (1e-2, 1, 10, 100, 1000):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            head = LogisticRegression(C=penalty, max_iter=300).fit(inside, others.target)
        shares = softmax(head.decision_function(outside), axis=1).astype(np.float32)
        right = head.score(inside, others.target)
        top = f"{np.median(shares.max(axis=1)):.4f}{'':9}"
        scaled = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        columns = f"{score(shares, y, ARTICLE)}  {score(shares, y, scaled)}"
        show(f"softmax, C={penalty:g}, {right:.3f} of its own images right", len(X), top, columns)


# -- the mistakes


def scripts(data: str, vgg: VGGFeatureExtractor) -> None:
    """Print what everyday ways of writing the script give."""
    show_header("4. everyday scripts, run against Keras", "unscaled", "scaled")
    X, y = read_digits(data)
    frame = keras_scripts.make_frame(X, y)
    # All but one return the same images, in some order.
    place = {image.tobytes(): i for i, image in enumerate(X)}
    features = vgg.fit_transform(X)
    unscaled, scaled = rotate(features), rotate(StandardScaler().fit_transform(features))
    with tempfile.TemporaryDirectory() as folder:
        keras_scripts.save_files(frame, Path(folder))
        for name, script in (keras_scripts.IN_STEP | keras_scripts.OUT_OF_STEP).items():
            with contextlib.redirect_stdout(None):  # Keras says how many files it found
                rows, labels = script(frame, Path(folder))
            images = np.round(rows).astype(np.uint8).reshape(-1, *X.shape[1:])
            y_taken = np.asarray(labels, int)
            if all(image.tobytes() in place for image in images):
                order = [place[image.tobytes()] for image in images]
                show(name, len(rows), score_both(unscaled[order], scaled[order], y_taken))
            else:
                show(name, len(rows), both(vgg.transform(images), y_taken))


def mistakes(data: str, vgg: VGGFeatureExtractor) -> None:
    """Print what other mistakes cost."""
    show_header("5. other mistakes: pixels", "unscaled", "scaled")
    X, y = read_digits(data)
    said = {"value_range": (0, 255)}
    for name, images, params in [
        ("nothing: 0 to 255 as they are", X, {}),
        ("np.resize(X, (n, 224, 224, 3))", np.resize(X, (N_IMAGES, 224, 224, 3)), {}),
        ("divided by 255 once, then predict", X / 255, said),
        ("(X / 255).astype(np.uint8)", (X / 255).astype(np.uint8), {}),
    ]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            features = vgg.set_params(**({"value_range": "auto"} | params)).fit_transform(images)
        show(name, N_IMAGES, both(features, y))
    vgg.set_params(value_range="auto")

    show_header("6. other mistakes: labels", "unscaled", "scaled")
    X, y = read_digits(data)
    features = vgg.fit_transform(X)
    unscaled, scaled = rotate(features), rotate(StandardScaler().fit_transform(features))
    rng = np.random.default_rng(0)
    batches = [
        start + rng.permutation(min(32, N_IMAGES - start)) for start in range(0, N_IMAGES, 32)
    ]
    for name, labels in [
        ("nothing", y),
        ("moved by one", np.roll(y, 1)),
        ("shuffled within batches of 32", y[np.concatenate(batches)]),
        ("sorted, images not", np.sort(y)),
        ("a tenth wrong", np.where(rng.random(N_IMAGES) < 0.1, 1 - y, y)),
    ]:
        show(name, N_IMAGES, score_both(unscaled, scaled, labels))

    show_header("7. other mistakes: classifiers, unscaled", "accuracy")
    for name, classifier in [
        ("LogisticRegression()", ARTICLE),
        ("max_iter=1", LogisticRegression(max_iter=1)),
        ("C=1e-6", LogisticRegression(C=1e-6)),
        ("C=1e-8", LogisticRegression(C=1e-8)),
        ("C=1e-9", LogisticRegression(C=1e-9)),
        ("SVC(gamma='auto')", SVC(gamma=1 / features.shape[1])),
        ("SVC()", SVC(gamma=1 / (features.shape[1] * features.var()))),
    ]:
        show(name, N_IMAGES, score(unscaled, y, classifier))


PARTS = {
    "colour": colour,
    "background": background,
    "classes": classes,
    "scripts": scripts,
    "mistakes": mistakes,
}


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="an .npz with images and their digits, 6 and 8")
    parser.add_argument("weights", help="weights of VGG16 up to flatten")
    parser.add_argument("--cache", required=True, help="a folder that keeps the features")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    args = parser.parse_args()
    vgg = VGGFeatureExtractor(
        "flatten", weights=args.weights, precision=args.precision, cache=args.cache, input_size=224
    )
    print(f"VGG16, flatten, 224 pixels, {args.precision}, 10 folds")
    for name in args.only:
        PARTS[name](args.data, vgg)


if __name__ == "__main__":
    main()
