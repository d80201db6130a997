"""Does transfer help? The same classifier and folds on raw pixels and on network features."""

from __future__ import annotations

import csv
import io
import json
import textwrap
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from sktransfer._tables import format_table
from sktransfer.extractor import VGGFeatureExtractor
from sktransfer.images import read_images
from sktransfer.probing import (
    METRICS,
    check_labels,
    make_classifier,
    make_folds,
    make_scorer_of,
    raw_pixels,
    score_folds,
    to_plain,
)


@dataclass
class ComparisonRow:
    """One way to see the images, and how well they were told apart that way.

    Attributes
    ----------
    name : str
        What the classifier was given.
    n_features : int or None
        Values per image; None where the row could not be computed.
    scores : dict of str to list of float
        Each metric's value on every fold.
    feature_seconds : float
        Time to compute the features of all images, once.
    classifier_seconds : float
        Time to fit and score the classifier on all folds.
    n_not_converged : int
        Folds in which the classifier stopped at `max_iter`.
    unavailable : str or None
        Why the row could not be computed.
    """

    name: str
    n_features: int | None = None
    scores: dict[str, list[float]] = field(default_factory=dict)
    feature_seconds: float = 0.0
    classifier_seconds: float = 0.0
    n_not_converged: int = 0
    unavailable: str | None = None


@dataclass
class TransferComparison:
    """The scores of raw pixels and of features on the same folds; printed, they are tables.

    Attributes
    ----------
    n_images : int
        Images compared on.
    n_folds : int
        Folds of the stratified cross-validation.
    classes : list
        The labels.
    positive : object or None
        The label that precision, recall and F1 are about; None with more than two classes, whose
        scores are macro averages.
    target_names : list of str
        What the labels stand for, in the order of `classes`.
    rows : list of ComparisonRow
        Raw pixels first.
    """

    n_images: int
    n_folds: int
    classes: list[Any]
    positive: Any
    target_names: list[str]
    rows: list[ComparisonRow]

    def to_json(self) -> str:
        """Return everything as JSON.

        Returns
        -------
        str
            One object whose keys are the attributes.
        """
        return json.dumps(asdict(self), indent=2, default=to_plain)

    def to_csv(self) -> str:
        """Return one line for each row and fold.

        Returns
        -------
        str
            With the columns ``features``, ``fold`` (from 1), one per metric, ``positive`` (the
            name of the class that they are about, empty for macro averages), ``n_features``,
            ``feature_seconds``, ``classifier_seconds`` and ``unavailable``.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        ends = ("n_features", "feature_seconds", "classifier_seconds", "unavailable")
        writer.writerow(["features", "fold", *METRICS, "positive", *ends])
        positive = self._positive_name()
        for row in self.rows:
            tail = [positive, *(getattr(row, name) for name in ends)]
            if row.unavailable:
                writer.writerow([row.name, "", *[""] * len(METRICS), *tail])
                continue
            folds = zip(*(row.scores[metric] for metric in METRICS), strict=True)
            for fold, scores in enumerate(folds, start=1):
                writer.writerow([row.name, fold, *scores, *tail])
        return text.getvalue()

    def _positive_name(self) -> str | None:
        if self.positive is None:
            return None
        return self.target_names[self.classes.index(self.positive)]

    def __str__(self) -> str:
        """Lay out a table of folds for each row, then all rows side by side."""
        done = [row for row in self.rows if row.unavailable is None]
        if self.positive is None:
            what = f"{len(self.classes)} classes, precision, recall and F1 as macro averages"
        else:
            what = f"classes {' and '.join(self.target_names)}, {self._positive_name()} is positive"
        parts = [
            f"{self.n_images:,} images, {what}; logistic regression, the same "
            f"{self.n_folds} folds for every row"
        ]
        for row in done:
            body = [
                [str(fold), *(f"{row.scores[metric][fold - 1]:.3f}" for metric in METRICS)]
                for fold in range(1, self.n_folds + 1)
            ]
            mean = ["mean", *(_mean_and_spread(row, metric) for metric in METRICS)]
            parts.append(f"{row.name}\n" + format_table(["fold", *METRICS], [*body, mean]))
        summary = [
            [
                row.name + ("*" if row.n_not_converged else ""),
                f"{row.n_features:,}",
                _mean_and_spread(row, "accuracy"),
                *(f"{np.mean(row.scores[metric]):.3f}" for metric in METRICS[1:]),
                f"{row.feature_seconds:.1f}",
                f"{row.classifier_seconds:.1f}",
            ]
            for row in done
        ]
        header = ["all rows", "width", *METRICS, "features, s", "classifier, s"]
        parts.append(format_table(header, summary))
        notes = ["mean ± standard deviation over the folds"]
        if any(row.n_not_converged for row in done):
            notes.append("* the classifier reached max_iter before it converged")
        notes += [
            textwrap.fill(
                f"{row.name}: not shown. {row.unavailable}",
                100,
                break_long_words=False,
                break_on_hyphens=False,
            )
            for row in self.rows
            if row not in done
        ]
        return "\n\n".join([*parts, "\n".join(notes)])


def compare_transfer(
    X: Any,
    y: Any,
    *,
    extractors: Mapping[str, VGGFeatureExtractor],
    positive: Any = None,
    target_names: Sequence[str] | None = None,
    optional: Collection[str] = (),
    cv: Any = 10,
    random_state: int | None = 0,
    verbose: int = 0,
) -> TransferComparison:
    """Compare raw pixels with network features: same images, folds, scaling and classifier.

    The classifier is ``LogisticRegression(max_iter=1000)`` behind a ``StandardScaler``. Two more
    rows of raw pixels have no such scaler: "as in the article", the values as they are and 100
    iterations, and "from 0 to 1", which is often the best way to use raw pixels. Features are
    computed once per image, before the folds: the network was not trained on these images, so
    nothing leaks from one fold into another.

    Parameters
    ----------
    X : array-like, DataFrame, or list of paths, PIL images or arrays
        Images in any form that :class:`VGGFeatureExtractor` takes. The rows of raw pixels see them
        as the first extractor does: with its `image_shape` and `value_range`.
    y : array-like of shape (n_images,)
        Labels of at least two classes, each with at least as many images as folds.
    extractors : mapping of str to VGGFeatureExtractor
        A row for each, under its name.
    positive : object, default=None
        Of two classes, the one that precision, recall and F1 are about; None takes the second in
        sorted order, as scikit-learn does.
    target_names : sequence of str or None, default=None
        What the labels stand for, in their sorted order; None spells the labels themselves.
    optional : collection of str, default=()
        Names of the extractors whose row may be missing where their weights cannot be had. The
        reason is then shown in their place.
    cv : int, splitter or iterable, default=10
        A number of stratified folds, shuffled by `random_state`; or a splitter of scikit-learn, or
        pairs of training and test indices.
    random_state : int or None, default=0
        Seed of the shuffling.
    verbose : int, default=0
        Above 0, progress bars.

    Returns
    -------
    TransferComparison
        Scores of every row on every fold.

    Raises
    ------
    ValueError
        If labels and images do not match, or there are too few of either.
    OSError
        If weights that are not optional, or image files, are not to be had.

    Examples
    --------
    >>> from sktransfer import VGGFeatureExtractor, compare_transfer, load_digit_pair
    >>> X, y = load_digit_pair(return_X_y=True)
    >>> random = VGGFeatureExtractor(
    ...     "block1_pool", weights=None, pooling="max", input_size=32, random_state=0
    ... )
    >>> result = compare_transfer(X[:40], y[:40], extractors={"random": random}, cv=2)
    >>> [row.name for row in result.rows]
    ['raw pixels as in the article', 'raw pixels from 0 to 1', 'raw pixels', 'random']
    """
    who = "compare_transfer"
    _check_extractors(extractors, who)
    first = next(iter(extractors.values()), VGGFeatureExtractor())
    images = read_images(X, image_shape=first.image_shape, value_range=first.value_range, who=who)
    labels = check_labels(y, len(images), positive=positive, who=who)
    if target_names is not None and len(target_names) != len(labels.classes):
        raise ValueError(
            f"The 'target_names' parameter of {who} must name each of the {len(labels.classes)} "
            f"classes {labels.classes.tolist()}. Got {list(target_names)} instead."
        )
    folds = make_folds(labels, cv, random_state=random_state, who=who)

    # Weights are found, and parameters checked, before the first row takes its time.
    fitted, missing = {}, {}
    for name, extractor in extractors.items():
        try:
            fitted[name] = clone(extractor).set_params(verbose=verbose).fit(X)
        except OSError as error:
            if name not in optional:
                raise
            missing[name] = str(error)

    plain, scaled = LogisticRegression(max_iter=1000), make_classifier()
    scorer = make_scorer_of(labels, None, scaled, who=who)
    start = time.perf_counter()
    pixels, unit_pixels = raw_pixels(images, first.value_range, is_said=bool(fitted))
    seconds = time.perf_counter() - start

    def score(name: str, features: np.ndarray, seconds: float, classifier: Any) -> ComparisonRow:
        progress = name if verbose else None
        found = score_folds(features, labels.y, folds, classifier, scorer, progress=progress)
        return ComparisonRow(
            name,
            features.shape[1],
            found.scores,
            feature_seconds=seconds,
            classifier_seconds=found.seconds,
            n_not_converged=found.n_not_converged,
        )

    rows = [
        score("raw pixels as in the article", pixels, seconds, LogisticRegression(max_iter=100)),
        score("raw pixels from 0 to 1", unit_pixels, seconds, plain),
        score("raw pixels", pixels, seconds, scaled),
    ]
    for name in extractors:
        if name in missing:
            rows.append(ComparisonRow(name, unavailable=missing[name]))
            continue
        start = time.perf_counter()
        features = fitted[name].transform(X)
        rows.append(score(name, features, time.perf_counter() - start, scaled))
        del features  # as wide as 800,000 values per image: not two at a time
    return TransferComparison(
        n_images=len(labels.y),
        n_folds=len(folds),
        classes=[to_plain(label) for label in labels.classes],
        positive=to_plain(labels.positive),
        target_names=[str(name) for name in (target_names or labels.classes)],
        rows=rows,
    )


def _check_extractors(extractors: Any, who: str) -> None:
    if not (
        isinstance(extractors, Mapping)
        and all(isinstance(each, VGGFeatureExtractor) for each in extractors.values())
    ):
        raise TypeError(
            f"The 'extractors' parameter of {who} must map names to instances of "
            f"VGGFeatureExtractor, as in {{'VGG16': VGGFeatureExtractor()}}. Got {extractors!r} "
            "instead."
        )


def _mean_and_spread(row: ComparisonRow, metric: str) -> str:
    return f"{np.mean(row.scores[metric]):.3f} ± {np.std(row.scores[metric]):.3f}"
