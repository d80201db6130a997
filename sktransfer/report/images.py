"""Images and predictions for a report: examples of each class, and a classifier's mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer.evaluation.probing import split_estimator
from sktransfer.features.fitted import compute_features, read_fitted
from sktransfer.features.preprocessing import Resizing, resize, to_255

_N_FOLDS = 5
_N_CLASSES, _N_EXAMPLES = 10, 6  # rows and columns of the examples
_N_WRONG, _N_COLUMNS = 12, 4
_N_FOUND = 12  # images of a finding
_SIDE = 64  # pixels of a picture
_WIDTH = 5.0  # inches


@dataclass(frozen=True)
class Mistake:
    """An image that a classifier takes for another class."""

    picture: np.ndarray
    label: str
    predicted: str
    probability: float


@dataclass(frozen=True)
class LookedAt:
    """Examples of each class, and predictions of images that the classifier was not fitted on.

    Attributes
    ----------
    names : list of str
        The classes.
    examples : list of list of ndarray
        Pictures of each class, from black as 0 to white as 255.
    counts : ndarray of shape (n_classes, n_classes)
        How many images of a class (row) were predicted as each (column).
    mistakes : list of Mistake
        Those that the classifier is surest of.
    n_folds : int
        Folds by which the predictions were made.
    """

    names: list[str]
    examples: list[list[np.ndarray]]
    counts: np.ndarray
    mistakes: list[Mistake]
    n_folds: int

    @property
    def accuracy(self) -> float:
        """The share of images predicted right."""
        return float(np.trace(self.counts) / self.counts.sum())


@dataclass(frozen=True)
class Found:
    """Images on which a finding rests, by their positions."""

    name: str
    pictures: dict[int, np.ndarray]


def look_at(estimator: Any, X: Any, y: Any, who: str) -> LookedAt:
    """Predict every image by a classifier that was fitted on others, and pick what to show."""
    extractor, classifier = split_estimator(estimator, who=who)
    if classifier is None:
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    fitted = clone(extractor).fit(X)
    y = np.asarray(y)
    labels, codes, sizes = np.unique(y, return_inverse=True, return_counts=True)
    folds = StratifiedKFold(min(_N_FOLDS, int(sizes.min())), shuffle=True, random_state=0)
    found = cross_val_predict(
        classifier, compute_features(fitted, X), codes, cv=folds, method="predict_proba"
    )
    predicted = found.argmax(axis=1)
    surest = np.argsort(-found.max(axis=1), kind="stable")
    wrong = surest[predicted[surest] != codes[surest]][:_N_WRONG]
    examples = [np.flatnonzero(codes == code)[:_N_EXAMPLES] for code in range(len(labels))]

    show = _reader_of(fitted, X)
    names = [str(label) for label in labels]
    return LookedAt(
        names,
        [[show(int(i)) for i in rows] for rows in examples[:_N_CLASSES]],
        confusion_matrix(codes, predicted, labels=np.arange(len(labels))),
        [
            Mistake(show(int(i)), names[codes[i]], names[predicted[i]], float(found[i].max()))
            for i in wrong
        ],
        folds.n_splits,
    )


def show_found(estimator: Any, X: Any, findings: Sequence[Any], who: str) -> list[Found]:
    """Show the images on which findings rest, the clearest of each."""
    extractor, _ = split_estimator(estimator, who=who)
    show = _reader_of(clone(extractor).fit(X), X)
    return [
        Found(each.name, {i: show(i) for i in each.images[:_N_FOUND]})
        for each in findings
        if each.images
    ]


def _reader_of(fitted: Any, X: Any) -> Callable[[int], np.ndarray]:
    """Return what gives the picture of an image by its number."""
    images, value_range = read_fitted(fitted, X)
    resizing = Resizing(_SIDE, "pad", "nearest", antialias=False)

    def show(i: int) -> np.ndarray:
        ((pixels, own),) = images.load(i, i + 1, value_range)
        picture = np.clip(np.rint(resize(to_255(pixels, own), resizing)[0]), 0, 255)
        return picture.astype(np.uint8)

    return show


@dataclass
class Drawn:
    """A figure, as displays have it."""

    figure_: Any


def draw_examples(seen: LookedAt) -> Callable[[], Drawn]:
    """Return what draws a row of examples for each class."""

    def draw() -> Drawn:
        figure, axes = _grid(len(seen.examples), _N_EXAMPLES)
        for row, name, pictures in zip(axes, seen.names, seen.examples, strict=False):
            row[0].set_ylabel(name, rotation=0, ha="right", va="center", parse_math=False)
            for ax, picture in zip(row, pictures, strict=False):
                _show(ax, picture)
        return Drawn(figure)

    return draw


def draw_mistakes(seen: LookedAt) -> Callable[[], Drawn]:
    """Return what draws the most confident wrong predictions."""

    def draw() -> Drawn:
        n_rows = -(-len(seen.mistakes) // _N_COLUMNS)
        figure, axes = _grid(n_rows, _N_COLUMNS, title=0.3)
        for ax, mistake in zip(axes.ravel(), seen.mistakes, strict=False):
            _show(ax, mistake.picture)
            title = f"{mistake.label}, predicted {mistake.predicted}\n({mistake.probability:.0%})"
            ax.set_title(title, fontsize=7, parse_math=False)
        return Drawn(figure)

    return draw


def draw_found(found: Found) -> Callable[[], Drawn]:
    """Return what draws the images of a finding."""

    def draw() -> Drawn:
        figure, axes = _grid(-(-len(found.pictures) // _N_EXAMPLES), _N_EXAMPLES, title=0.2)
        for ax, (i, picture) in zip(axes.ravel(), found.pictures.items(), strict=False):
            _show(ax, picture)
            ax.set_title(f"{i:,}", fontsize=7)
        return Drawn(figure)

    return draw


def draw_confusion(seen: LookedAt) -> Callable[[], Drawn]:
    """Return what draws the confusion matrix."""

    def draw() -> Drawn:
        import matplotlib.pyplot as plt

        n = len(seen.names)
        figure, ax = plt.subplots(figsize=(_WIDTH, _WIDTH), layout="constrained")
        shares = seen.counts / seen.counts.sum(axis=1, keepdims=True)
        ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        if n <= 2 * _N_CLASSES:
            for i, j in np.ndindex(n, n):
                ink = "#f5f7f9" if shares[i, j] > 0.5 else "#1a1d21"
                ax.text(j, i, f"{seen.counts[i, j]:,}", ha="center", va="center", color=ink, size=7)
        ax.set_xticks(range(n), seen.names, rotation=90, fontsize=7, parse_math=False)
        ax.set_yticks(range(n), seen.names, fontsize=7, parse_math=False)
        ax.set_xlabel("predicted")
        ax.set_ylabel("class")
        return Drawn(figure)

    return draw


def _grid(n_rows: int, n_columns: int, title: float = 0.0) -> tuple[Any, np.ndarray]:
    import matplotlib.pyplot as plt

    height = n_rows * (0.7 * _WIDTH / n_columns + title)
    figure, axes = plt.subplots(
        n_rows, n_columns, figsize=(_WIDTH, height), layout="constrained", squeeze=False
    )
    for ax in axes.ravel():
        ax.set_xticks([])
        ax.set_yticks([])
        ax.spines[:].set_visible(False)
    return figure, axes


def _show(ax: Any, picture: np.ndarray) -> None:
    grey = {"cmap": "gray", "vmin": 0, "vmax": 255} if picture.shape[2] == 1 else {}
    ax.imshow(picture[..., 0] if grey else picture, interpolation="nearest", **grey)
