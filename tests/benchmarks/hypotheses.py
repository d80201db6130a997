"""The article's three hypotheses, the mistakes that give 50 %, and a case where transfer helps.

    python tests/benchmarks/hypotheses.py mnist_6_8.npz vgg19_blocks1-3_notop.h5 [--only PART ...]

Linear probes (StandardScaler, logistic regression) on 5 stratified folds, shuffled with seed 0.
Trained features are VGG19's block3_pool, each map averaged, unless said otherwise; random ones the
same of a network that nobody trained. Deeper layers, whose weights are not in the file, are drawn
with a seed where they are needed, on top of the trained blocks; it is said where.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_sample_images
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sktransfer import ImageWarning, VGGFeatureExtractor, diagnose
from sktransfer.diagnosis.probes import compact
from sktransfer.networks import plan_cut
from sktransfer.weights import draw_weights, read_weights

FOLDS = StratifiedKFold(5, shuffle=True, random_state=0)


def score(features: np.ndarray, y: np.ndarray, classifier: Any = None) -> str:
    """Spell the accuracy of a classifier, mean and standard deviation over folds."""
    if classifier is None:
        # The same classifier on as many features as there are images, which is faster.
        features, classifier = compact(features), LogisticRegression(max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = cross_val_score(classifier, features, y, cv=FOLDS)
    return f"{scores.mean():.3f} +- {scores.std():.3f}"


def trained(weights: str, layer: str | list[str] = "block3_pool", **params: Any) -> Any:
    """Return the extractor with trained blocks."""
    params = {"pooling": "avg", "input_size": 32} | params
    return VGGFeatureExtractor(layer, architecture="vgg19", weights=weights, **params)


def three_ways(name: str, X: np.ndarray, y: np.ndarray, weights: str, **params: Any) -> None:
    """Print the accuracy of raw pixels, random and trained features."""
    extractor = trained(weights, **params)
    random = clone(extractor).set_params(weights=None, random_state=0)
    print(
        f"{name:34}  {score(X.reshape(len(X), -1) / 255, y)}  "
        f"{score(random.fit_transform(X), y)}  {score(extractor.fit_transform(X), y)}",
        flush=True,
    )


def print_header(title: str) -> None:
    """Print a title and the columns of `three_ways`."""
    print(f"\n{title}\n{'':34}  raw pixels       random weights   trained", flush=True)


# -- images


def read_digits(path: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the first images of each digit, in random order; 8 is 1 and 6 is 0."""
    with np.load(path) as archive:
        y = (archive["digit"] == 8).astype(int)
        rows = np.concatenate([np.flatnonzero(y == c)[: n // 2] for c in (0, 1)])
        rows = np.random.default_rng(0).permutation(rows)
        return archive["images"][rows], y[rows]


def cut_tiles(side: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Cut the two photographs into tiles that do not overlap; the class is one of 12 regions each.

    A region is a third of the height and a quarter of the width. Neighbouring tiles may show parts
    of one object, as tiles of one texture do; no pixel is in two of them.
    """
    tiles, regions = [], []
    for number, photograph in enumerate(load_sample_images().images):
        height, width = photograph.shape[:2]
        for top in range(0, height - side + 1, side):
            for left in range(0, width - side + 1, side):
                tiles.append(photograph[top : top + side, left : left + side])
                row, column = 3 * (top + side // 2) // height, 4 * (left + side // 2) // width
                regions.append(12 * number + 4 * row + column)
    return np.array(tiles), np.array(regions)


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
    share = X.reshape(*X.shape, *[1] * (ground.ndim - 3)) / 255
    return (share * 255 + (1 - share) * ground).astype(np.uint8)


# -- the hypotheses


def colour(data: str, weights: str) -> None:
    """Print whether grey is what spoils transfer."""
    print_header("1. grey against colour, at 32 pixels")
    X, y = read_digits(data, 1000)
    three_ways("1,000 digits, grey", X, y, weights)
    three_ways("1,000 digits, painted", paint(X, np.random.default_rng(0)), y, weights)
    tiles, regions = cut_tiles()
    three_ways(f"{len(tiles)} tiles of photographs, colour", tiles, regions, weights)
    three_ways(f"{len(tiles)} tiles of photographs, grey", to_grey(tiles), regions, weights)


def background(data: str, weights: str) -> None:
    """Print whether it matters what is behind the digits."""
    print_header("2. background and texture, 1,000 digits at 32 pixels")
    X, y = read_digits(data, 1000)
    rng = np.random.default_rng(0)
    side = X.shape[1]
    photographs = [to_grey(photograph) for photograph in load_sample_images().images]
    pieces = np.empty_like(X)
    for i in range(len(X)):
        photograph = photographs[rng.integers(2)]
        top, left = (int(rng.integers(0, n - side)) for n in photograph.shape)
        pieces[i] = photograph[top : top + side, left : left + side]
    grounds = {
        "black": np.zeros_like(X),
        "even grey": np.full_like(X, 110),
        "another grey behind each": np.broadcast_to(rng.uniform(0, 200, (len(X), 1, 1)), X.shape),
        "noise, 0 to 200": rng.uniform(0, 200, X.shape),
        "stripes": 100 + 80 * np.sin(np.arange(side) * 0.9 + rng.uniform(0, 6, (len(X), 1, 1)))
        * np.ones((1, side, 1)),
        "photographs": pieces * 0.8,
    }  # fmt: skip
    for name, ground in grounds.items():
        three_ways(name, put_on(X, ground), y, weights)


def complete(weights: str, path: Path, input_size: int, seed: int) -> Path:
    """Write a file of VGG19 with the trained blocks, and all that is deeper drawn."""
    whole = plan_cut("predictions", "vgg19", None, input_size)
    arrays = draw_weights(whole, seed)
    arrays |= read_weights(weights, plan_cut("block3_pool", "vgg19", "avg", input_size))
    with h5py.File(path, "w") as file:
        for name, (kernel, bias) in arrays.items():
            group = file.create_group(name)
            group["kernel:0"], group["bias:0"] = kernel, bias
            group.attrs["weight_names"] = ["kernel:0", "bias:0"]
    return path


def classes(data: str, weights: str) -> None:
    """Print what the dense layers, which end in 1,000 classes, leave of two."""
    n = 200
    print(
        f"\n3. 1,000 classes against 2: VGG19 at 224 pixels, {n} digits; blocks 1 to 3 trained, "
        "all deeper\n   layers random (the dense layers' trained weights were not to be had)"
    )
    X, y = read_digits(data, n)
    print(f"{'raw pixels':34}  {score(X.reshape(n, -1) / 255, y)}", flush=True)
    dense = ["flatten", "fc1", "fc2", "predictions"]
    with tempfile.TemporaryDirectory() as folder:
        path = complete(weights, Path(folder) / "vgg19.h5", 224, seed=0)
        several = trained(str(path), dense, pooling=None, input_size=224)
        features = several.fit_transform(X)
        diagnosis = diagnose(
            several.set_params(layer="predictions"), X, y, max_images=n, random_state=0
        )
    start = 0
    for name in dense:
        width = plan_cut(name, "vgg19").n_features
        part = features[:, start : start + width]
        start += width
        print(f"{name + f' ({width:,})':34}  {score(part, y)}", flush=True)
    plain = make_pipeline(LogisticRegression(max_iter=1000))
    shares = features[:, -1000:]
    print(f"{'predictions, unscaled':34}  {score(shares, y, plain)}")
    print(f"{'largest share, median over images':34}  {np.median(shares.max(axis=1)):.3f}")
    print(f"{'diagnose on predictions':34}  {_names(diagnosis)}")


# -- the mistakes


def _names(diagnosis: Any) -> str:
    return ", ".join(f"{each.name} ({each.severity})" for each in diagnosis.at_least("warning"))


def mistakes(data: str, weights: str) -> None:
    """Print what each mistake costs, and what `diagnose` says of it."""
    n = 400
    X, y = read_digits(data, n)
    rng = np.random.default_rng(0)
    right = trained(weights)
    colour_digits = np.repeat(X[..., None], 3, axis=3)
    painted = paint(X, np.random.default_rng(0))
    means = np.float32([103.939, 116.779, 123.68])
    batches = np.concatenate([start + rng.permutation(min(32, n - start)) for start in
                              range(0, n, 32)])  # fmt: skip
    half_blank = np.where((np.arange(n) % 2 == 0)[:, None, None], 0, X)
    few = np.sort(np.concatenate([np.flatnonzero(y == c)[:8] for c in (0, 1)]))
    bright = (rng.integers(0, 100, (16, 24, 24)) + 120 * (np.arange(16) % 2)[:, None, None]).astype(
        np.uint8
    )
    no_scaler, article = LogisticRegression(max_iter=1000), LogisticRegression(max_iter=100)
    flat = clone(right).set_params(layer="block2_pool", pooling=None)
    planes = np.ascontiguousarray(painted.transpose(0, 3, 1, 2)).reshape(painted.shape)
    rows: list[tuple[str, Any, Any, Any, Any]] = [
        ("nothing: 0 to 255 as they are", right, X, y, None),
        ("divided by 255 twice", right, X / 255 / 255, y, None),
        ("divided by 255, then preprocess_input", right, colour_digits / 255 - means, y, None),
        ("preprocess_input before", right, colour_digits - means, y, None),
        ("0 to 1 said to be 0 to 255", _set(right, value_range=(0, 255)), X / 255, y, None),
        ("0 to 1 rounded to bytes", right, (X / 255).astype(np.uint8), y, None),
        ("white set to a billion", _set(right, value_range=(0, 1e9)), X, y, None),
        ("BGR, grey digits", right, colour_digits[..., ::-1], y, None),
        ("BGR, painted digits", right, painted[..., ::-1], y, None),
        ("painted digits, channels first", right, planes, y, None),
        ("32 pixels, random weights", _set(right, weights=None, random_state=0), X, y, None),
        ("224 pixels (200 images)", _set(right, input_size=224), X[:200], y[:200], None),
        ("every second image blank", right, half_blank, y, None),
        ("one image repeated", right, np.repeat(X[:1], n, axis=0), y, None),
        ("one blank image repeated", right, np.zeros_like(X), y, None),
        ("labels shuffled", right, X, rng.permutation(y), None),
        ("labels moved by one", right, X, np.roll(y, 1), None),
        ("labels shuffled within batches of 32", right, X, y[batches], None),
        ("labels sorted, images not", right, X, np.sort(y), None),
        ("classifier stopped after 1 step", right, X, y, _scaled(LogisticRegression(max_iter=1))),
        ("SVC(gamma='auto'), no scaler", right, X, y, SVC(gamma="auto")),
        ("no scaler", right, X, y, no_scaler),
        ("no scaler, 16 digits, all of block2_pool", flat, X[few], y[few], no_scaler),
        ("no scaler, 16 bright images, block2_pool", flat, bright, np.arange(16) % 2, no_scaler),
    ]
    print(f"\n4. mistakes: {n} digits 6 and 8 unless said otherwise")
    print(f"{'':40}  with scaler      without          diagnose", flush=True)
    for name, extractor, images, labels, classifier in rows:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImageWarning)
            model = extractor if classifier is None else make_pipeline(extractor, classifier)
            features = clone(extractor).fit_transform(images)
        found = score(features, labels, classifier)
        # As in the article: what is wrong with features, a scaler may make good.
        plain = score(features, labels, article) if classifier is None else f"{'':14}"
        said = _names(diagnose(model, images, labels)) or "nothing"
        print(f"{name:40}  {found}  {plain}  {said}", flush=True)
    pixels = bright.reshape(16, -1)
    fitted = LogisticRegression(max_iter=1000)
    print(
        f"{'no network: 16 bright images, raw':40}  "
        f"{score(pixels, np.arange(16) % 2, fitted)}  converged in "
        f"{fitted.fit(pixels, np.arange(16) % 2).n_iter_[0]} of 1,000 steps"
    )


def _set(extractor: Any, **params: Any) -> Any:
    return clone(extractor).set_params(**params)


def _scaled(classifier: Any) -> Any:
    return make_pipeline(StandardScaler(), classifier)


def helps(data: str, weights: str) -> None:
    """Print a case in which transfer helps."""
    tiles, regions = cut_tiles()
    print_header(f"5. where transfer helps: {len(tiles)} tiles of photographs, 24 regions")
    for layer in ("block1_pool", "block2_pool", "block3_pool"):
        three_ways(f"{layer}, 32 pixels", tiles, regions, weights, layer=layer)
    three_ways("block3_pool, 64 pixels", tiles, regions, weights, input_size=64)


PARTS = {
    "colour": colour,
    "background": background,
    "classes": classes,
    "mistakes": mistakes,
    "helps": helps,
}


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="an .npz with images and their digits, 6 and 8")
    parser.add_argument("weights", help="weights of VGG19, at least blocks 1 to 3")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    args = parser.parse_args()
    for name in args.only:
        PARTS[name](args.data, args.weights)


if __name__ == "__main__":
    main()
