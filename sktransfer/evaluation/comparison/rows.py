"""Rows of a comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sktransfer.evaluation.probing.recalls import Recalls
from sktransfer.evaluation.probing.significance import PairedDifference

#: The row of raw pixels that is compared with the features as in the article.
RAW_AS_IN_ARTICLE = "raw pixels as in the article"


@dataclass
class FewLabels:
    """How well a row does with only a few training images.

    Attributes
    ----------
    n_labels : int
        How many of each class, or in all where there are no classes.
    scores : list of float
        The first metric's value on every fold.
    against_raw : PairedDifference or None
        How much better than the row of raw pixels that is best at so many labels; None for raw
        pixels.
    against_control : PairedDifference or None
        Of trained weights, how much better than the same network with random ones.
    balanced : list of float
        Balanced accuracy on every fold, where the first metric is accuracy and the classes are of
        unequal size; else empty.
    balanced_against_raw, balanced_against_control : PairedDifference or None
        The same differences in balanced accuracy.
    """

    n_labels: int
    scores: list[float]
    against_raw: PairedDifference | None = None
    against_control: PairedDifference | None = None
    balanced: list[float] = field(default_factory=list)
    balanced_against_raw: PairedDifference | None = None
    balanced_against_control: PairedDifference | None = None

    @property
    def mean(self) -> float:
        """The mean over the folds."""
        return float(np.mean(self.scores))


@dataclass
class ComparisonRow(Recalls):
    """One kind of features, and how well a classifier does on them.

    Attributes
    ----------
    name : str
        What the classifier sees.
    kind : {'raw', 'control', 'transfer', 'article'}
        Raw pixels, a network with random weights, one with trained weights, or the latter again
        with the article's classifier.
    n_features : int or None
        Values per image; None where the row could not be computed.
    scores : dict of str to list of float
        Each metric's value on every fold.
    setup_seconds : float
        Time until the first features: the network is built and its weights are read. Close to 0 if
        the process has built it before.
    seconds_per_image : float
        Time from an image to its features, measured without a store.
    feature_seconds : float
        Time that the features of all images took in this run; short if they were cached.
    classifier_seconds : float
        Time to fit and score the classifier on all folds.
    n_not_converged : int
        Folds in which the classifier stopped before it converged.
    against_raw : PairedDifference or None
        How much better than the best row of raw pixels, by the first metric; None for raw pixels.
        For a row as in the article, how much better than raw pixels as in the article.
    against_control : PairedDifference or None
        For trained weights, how much better than the same network with random ones, drawn with
        several seeds.
    balanced_against_raw, balanced_against_control : PairedDifference or None
        The same in balanced accuracy, where the first metric is accuracy and the classes are of
        unequal size.
    few : list of FewLabels
        The same with few labels, the fewest first. Empty for rows as in the article.
    drawn : list of float
        The first metric's mean for each seed of random weights, which the scores are the means of.
        One value where nothing was drawn.
    confusion : list of list of float
        Images by class (rows) and by prediction (columns), in the order of the
        result's `classes`, over all folds; the mean of several draws, and with `sample_weight` the
        sums of weights. Empty where no classes are predicted.
    label_recalls : list of float
        For sets of labels, the share of the test images with each label for which it was predicted;
        else empty.
    control : str or None
        The name of that row.
    unavailable : str or None
        Why the row could not be computed.
    """

    name: str
    kind: str
    n_features: int | None = None
    scores: dict[str, list[float]] = field(default_factory=dict)
    setup_seconds: float = 0.0
    seconds_per_image: float = 0.0
    feature_seconds: float = 0.0
    classifier_seconds: float = 0.0
    n_not_converged: int = 0
    against_raw: PairedDifference | None = None
    against_control: PairedDifference | None = None
    balanced_against_raw: PairedDifference | None = None
    balanced_against_control: PairedDifference | None = None
    few: list[FewLabels] = field(default_factory=list)
    drawn: list[float] = field(default_factory=list)
    confusion: list[list[float]] = field(default_factory=list)
    label_recalls: list[float] = field(default_factory=list)
    control: str | None = None
    unavailable: str | None = None

    @property
    def pays_from(self) -> tuple[int, int, int] | None:
        """How many images give one more correct prediction than with raw pixels.

        The estimate and the ends of its 95 % interval: one over the gain in accuracy. None unless
        accuracy is certainly higher.
        """
        gain = self.against_raw
        if gain is None or gain.finding != "higher" or next(iter(self.scores)) != "accuracy":
            return None
        # One in twenty, give or take rounding, is twenty images and not twenty-one.
        images, fewest, most = (
            math.ceil(round(1 / each, 6)) for each in (gain.mean, gain.high, gain.low)
        )
        return images, fewest, most

    def mean(self, metric: str) -> float:
        """Return the mean of a metric over the folds."""
        return float(np.mean(self.scores[metric]))


def best_of(rows: Sequence[ComparisonRow], metric: str, *kinds: str) -> ComparisonRow | None:
    """Return the row of these kinds with the highest mean."""
    chosen = [row for row in rows if row.kind in kinds and row.unavailable is None]
    return max(chosen, key=lambda row: np.nan_to_num(row.mean(metric), nan=-np.inf), default=None)


def best_raw_at(rows: Sequence[ComparisonRow], position: int) -> ComparisonRow:
    """Return the row of raw pixels that is best at one of the few numbers of labels."""
    return max(
        (row for row in rows if row.kind == "raw"),
        key=lambda row: np.nan_to_num(row.few[position].mean, nan=-np.inf),
    )
