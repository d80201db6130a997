"""Rows of a curve, and the results of comparing them."""

from __future__ import annotations

from dataclasses import dataclass, field

from sktransfer.evaluation.curves.estimates import Estimate
from sktransfer.evaluation.curves.power_law import PowerLaw
from sktransfer.evaluation.probing.recalls import Recalls


@dataclass
class CurveDraw:
    """The scores of one draw of random weights.

    Attributes
    ----------
    scores : list of list of float
        For each number of labels the score of every repeat.
    balanced : list of float
        As for :class:`CurveRow`.
    """

    scores: list[list[float]]
    balanced: list[float] = field(default_factory=list)


@dataclass
class CurveRow(Recalls):
    """One kind of features, or an estimator, and its scores by the number of labels.

    Attributes
    ----------
    name : str
        What the classifier was given.
    kind : {'raw', 'control', 'transfer', 'estimator'}
        Raw pixels, features of a network with random weights, features of a trained one, or an
        estimator that took the images themselves.
    n_features : int or None
        Values per image; None where an estimator took images.
    scores : list of list of float
        For each number of labels the score of every repeat; the mean of all draws of random
        weights, where there are several.
    means : list of Estimate
        Their means, with 95 % intervals.
    slope : Estimate or None
        Mean gain per doubling of labels over the first part of the curve.
    error_reduction : Estimate or None
        Part of the error, which is 1 minus the score, that each doubling of labels removes there;
        unlike the slope, it is not smaller for a curve that starts higher. None for scores beyond
        0 to 1.
    law : PowerLaw or None
        The power law that the means follow.
    no_law : str or None
        Why there is none.
    feature_seconds : float
        Time to compute the features of all images, once.
    classifier_seconds : float
        Time to fit and score on all draws of labels; the mean over the draws of random weights.
    n_not_converged : int
        Fits in which the classifier stopped at `max_iter`, over all draws.
    confusion : list of list of float
        With all labels, images by class (rows) and by prediction (columns), in the
        order of the result's `classes`: the mean of all repeats, and with `sample_weight` of sums
        of weights. Empty where no classes are predicted.
    label_recalls : list of float
        For sets of labels, with all labels, the share of the test images with each label for which
        it was predicted; else empty.
    balanced : list of float
        With all labels, the balanced accuracy of every repeat, where the metric is accuracy and the
        classes are of unequal size; else empty.
    drawn : list of CurveDraw
        Of a control whose random weights were drawn with several seeds, the scores of each; else
        empty.
    control : str or None
        For trained weights, the name of the row with random ones.
    unavailable : str or None
        Why the row could not be computed.
    """

    name: str
    kind: str
    n_features: int | None = None
    scores: list[list[float]] = field(default_factory=list)
    means: list[Estimate] = field(default_factory=list)
    slope: Estimate | None = None
    error_reduction: Estimate | None = None
    law: PowerLaw | None = None
    no_law: str | None = None
    feature_seconds: float = 0.0
    classifier_seconds: float = 0.0
    n_not_converged: int = 0
    confusion: list[list[float]] = field(default_factory=list)
    label_recalls: list[float] = field(default_factory=list)
    balanced: list[float] = field(default_factory=list)
    drawn: list[CurveDraw] = field(default_factory=list)
    control: str | None = None
    unavailable: str | None = None

    @property
    def doubt(self) -> str | None:
        """Why the asymptote is not known, or None where it is."""
        return self.no_law if self.law is None else self.law.doubt


@dataclass
class Lead:
    """How far the best row of a criterion is ahead of another one.

    Attributes
    ----------
    over : str
        The other row.
    difference : Estimate
        By how much, repeat by repeat. The 95 % interval counts all pairs of rows and all criteria,
        as any row might have been the best by any: it has the level at which it was tested.
    is_noise : bool
        Whether the interval holds zero.
    """

    over: str
    difference: Estimate
    is_noise: bool


@dataclass
class Criterion:
    """The best row by one criterion.

    Attributes
    ----------
    name : {'start', 'slope', 'all labels', 'asymptote', 'balanced accuracy'}
        What is compared; the last one with all labels, where classes are of unequal size.
    best : str or None
        The row with the highest value; None where fewer than two can be compared.
    value : float or None
        Its value.
    leads : list of Lead
        The best against every other row that can be compared.
    left_out : dict of str to str
        Rows that cannot be, with the reason.
    """

    name: str
    best: str | None = None
    value: float | None = None
    leads: list[Lead] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass
class Saving:
    """How many labels one row needs for what another one reaches.

    Attributes
    ----------
    name, than : str
        The row, and the one that it is compared with.
    n_labels : int
        Labels of the latter.
    score : float
        What it reaches with them.
    needed : float or None
        Labels that the row needs for the same score, read between its sizes. The fewest measured,
        where these do already: it may be fewer. None, where all labels do not.
    low, high : float or None
        Ends of the 95 % interval of `needed`, of the same meaning.
    """

    name: str
    than: str
    n_labels: int
    score: float
    needed: float | None
    low: float | None
    high: float | None
