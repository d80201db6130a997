"""Rows of a comparison, and what can be said of them in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sktransfer.probing.scoring import METRICS
from sktransfer.probing.significance import ALPHA, PairedDifference


@dataclass
class FewLabels:
    """How well a row does where only few images of each class are learned from.

    Attributes
    ----------
    n_labels : int
        How many of each class.
    scores : list of float
        The first metric's value on every fold.
    against_raw : PairedDifference or None
        How much better than the row of raw pixels that is best at so many labels; None for that.
    against_control : PairedDifference or None
        Of trained weights, how much better than the same network with random ones.
    """

    n_labels: int
    scores: list[float]
    against_raw: PairedDifference | None = None
    against_control: PairedDifference | None = None

    @property
    def mean(self) -> float:
        """The mean over the folds."""
        return float(np.mean(self.scores))


@dataclass
class ComparisonRow:
    """One way to see the images, and how well they were told apart that way.

    Attributes
    ----------
    name : str
        What the classifier was given.
    kind : {'raw', 'control', 'transfer'}
        Raw pixels, a network with random weights, or one with trained weights.
    n_features : int or None
        Values per image; None where the row could not be computed.
    scores : dict of str to list of float
        Each metric's value on every fold.
    setup_seconds : float
        Until the first features are there: the network is built and its weights are read. Next to
        nothing where the process has it ready.
    seconds_per_image : float
        Time from an image to its features, measured where none are kept.
    feature_seconds : float
        Time that the features of all images took in this run; little where they were kept.
    classifier_seconds : float
        Time to fit and score the classifier on all folds.
    n_not_converged : int
        Folds in which the classifier stopped before it converged.
    against_raw : PairedDifference or None
        How much better than the best row of raw pixels, by the first metric; None for that row.
    against_control : PairedDifference or None
        Of trained weights, how much better than the same network with random ones.
    few : list of FewLabels
        The same with few labels, the fewest first.
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
    few: list[FewLabels] = field(default_factory=list)
    control: str | None = None
    unavailable: str | None = None

    @property
    def pays_from(self) -> tuple[int, int, int] | None:
        """From how many images on there is one mistake less than with raw pixels.

        The estimate and the ends of its 95 % interval: one over the gain in accuracy. None where
        no gain in accuracy is certain.
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
    """Return the row of these kinds with the highest mean.

    Parameters
    ----------
    rows : sequence of ComparisonRow
        All rows.
    metric : str
        What is averaged.
    *kinds : str
        Which rows count.

    Returns
    -------
    ComparisonRow or None
        The first of the best; None where none of these kinds was computed.
    """
    chosen = [row for row in rows if row.kind in kinds and row.unavailable is None]
    return max(chosen, key=lambda row: np.nan_to_num(row.mean(metric), nan=-np.inf), default=None)


def word_verdict(rows: Sequence[ComparisonRow], metric: str) -> str:
    """Say in plain words whether transfer helped, what of it is owed to training, and its cost.

    Parameters
    ----------
    rows : sequence of ComparisonRow
        All rows, compared already.
    metric : str
        The metric that decides.

    Returns
    -------
    str
        One paragraph for each row of trained weights, or one that says why there is none.
    """
    by_name = {row.name: row for row in rows}
    raw = best_of(rows, metric, "raw")
    assert raw is not None  # every comparison has some
    trained = [row for row in rows if row.kind == "transfer" and row.unavailable is None]
    paragraphs = []
    for row in trained:
        control = by_name.get(row.control or "")
        words = [
            f"{_headline(row.against_raw, row.against_control)}: {_against_raw(row, raw, metric)}",
            _room(row, raw, metric),
            _training(row, control),
            _payment(row),
            *(_with_few(row, rows, position, metric) for position in range(len(row.few))),
        ]
        name = f"{row.name}. " if len(trained) > 1 else ""
        paragraphs.append(name + " ".join(word for word in words if word))
    if trained:
        return "\n\n".join(paragraphs)
    control = best_of(rows, metric, "control")
    if control is None:
        return "Only raw pixels were scored: whether transfer helps cannot be said."
    return (
        "Without trained weights, whether transfer helps cannot be said. What the architecture "
        f"alone does: {control.name} has {_against_raw(control, raw, metric)} "
        f"{_room(control, raw, metric)}"
    ).rstrip()


def _headline(gain: PairedDifference | None, trained: PairedDifference | None) -> str:
    assert gain is not None
    if gain.finding == "higher":
        training = trained.finding if trained else "higher"
        return {
            "higher": "Transfer helped",
            "lower": "The features helped, but random weights would have helped more",
            "unclear": "The features helped, but whether their training did is unclear",
        }.get(training, "The features helped, but their training not measurably")
    return {
        "lower": "Transfer hurt",
        "equal": "Transfer made no difference",
        "within noise": "Transfer made no difference beyond noise",
        "unclear": "Transfer cannot be judged",
    }[gain.finding]


def _against_raw(row: ComparisonRow, raw: ComparisonRow, metric: str) -> str:
    assert row.against_raw is not None
    if row.against_raw.finding == "equal":
        how = "the same in every fold"
    else:
        how = f"a difference of {say_difference(row.against_raw)}"
    return (
        f"{metric} {row.mean(metric):.3f} against {raw.mean(metric):.3f} of the best raw row "
        f"({raw.name}), {how}."
    )


def best_raw_at(rows: Sequence[ComparisonRow], position: int) -> ComparisonRow:
    """Return the row of raw pixels that is best at one of the few numbers of labels.

    Parameters
    ----------
    rows : sequence of ComparisonRow
        All rows.
    position : int
        Which number of labels, counted from 0.

    Returns
    -------
    ComparisonRow
        The first of the best.
    """
    return max(
        (row for row in rows if row.kind == "raw"),
        key=lambda row: np.nan_to_num(row.few[position].mean, nan=-np.inf),
    )


def _with_few(row: ComparisonRow, rows: Sequence[ComparisonRow], position: int, metric: str) -> str:
    """Say of one of the few numbers of labels what is said of all."""
    own, raw = row.few[position], best_raw_at(rows, position)
    assert own.against_raw is not None
    headline = _headline(own.against_raw, own.against_control)
    words = (
        f"With {_count(own.n_labels)} of each class, {headline[0].lower()}{headline[1:]}: {metric} "
        f"{own.mean:.3f} against {raw.few[position].mean:.3f} of {raw.name}, "
        f"{say_difference(own.against_raw)}"
    )
    if own.against_control is not None:
        words += f"; to random weights {say_difference(own.against_control)}"
    return f"{words}."


def _count(n_labels: int) -> str:
    return "1 label" if n_labels == 1 else f"{n_labels} labels"


def say_difference(difference: PairedDifference) -> str:
    """Spell a difference with its interval and p-value.

    Parameters
    ----------
    difference : PairedDifference
        Any.

    Returns
    -------
    str
        Such as ``+0.010 (95 % interval +0.006 to +0.014, p < 0.001)``.
    """
    if difference.finding == "equal":
        return "0 in every fold"
    if math.isnan(difference.mean):
        return "nothing that can be told, as scores are undefined"
    if difference.finding == "unclear":
        return (
            f"{difference.mean:+.3f} in every fold alike, which leaves the test no spread to judge "
            "by: more folds or images would"
        )
    return (
        f"{difference.mean:+.3f} (95 % interval {difference.low:+.3f} to {difference.high:+.3f}, "
        f"{say_p(difference.p_value)})"
    )


def say_p(p_value: float) -> str:
    """Spell a p-value.

    Parameters
    ----------
    p_value : float
        From 0 to 1.

    Returns
    -------
    str
        Such as ``p = 0.042``, or ``p < 0.001``.
    """
    if p_value < 0.001:
        return "p < 0.001"
    # Rounded, it would look like noise beside words that call it more.
    if p_value < ALPHA and f"{p_value:.3f}" == f"{ALPHA:.3f}":
        return f"p just below {ALPHA}"
    return f"p = {p_value:.3f}"


def _room(row: ComparisonRow, raw: ComparisonRow, metric: str) -> str:
    """Say how much there was to gain, where nothing was gained."""
    assert row.against_raw is not None
    left = 1 - raw.mean(metric)
    if metric not in METRICS or row.against_raw.finding in ("higher", "lower", "unclear"):
        return ""
    if left < 5e-4:
        return (
            "Raw pixels leave nothing to gain here: only a harder task, or fewer labels, can tell."
        )
    return f"Raw pixels leave {left:.3f} to gain."


def _training(row: ComparisonRow, control: ComparisonRow | None) -> str:
    """Say what is owed to the trained weights, and what the architecture gives by itself."""
    gain, trained = row.against_raw, row.against_control
    if control is None or trained is None or gain is None or control.against_raw is None:
        return ""
    if gain.finding != "higher":
        how = say_difference(trained)
        return f"Against the same network with random weights the difference is {how}."
    architecture = control.against_raw.mean
    if architecture <= 0:
        owed = f"Random weights gain nothing ({architecture:+.3f}): all is owed to the training"
    elif trained.mean <= 0:
        owed = f"Random weights gain {architecture:+.3f}: nothing is owed to the training"
    else:
        share = 100 * trained.mean / gain.mean
        owed = (
            f"Of this, {architecture:+.3f} comes with random weights already and is owed to the "
            f"architecture; {trained.mean:+.3f} ({share:.0f} %) to the training"
        )
    if trained.finding == "within noise":
        return f"{owed}, which is within noise: {say_difference(trained)}."
    if trained.finding in ("higher", "lower"):
        return f"{owed} ({say_p(trained.p_value)})."
    return f"{owed}."


def _payment(row: ComparisonRow) -> str:
    cost = f"Features take {_say_seconds(row.seconds_per_image)} an image"
    if row.pays_from is None:
        return f"{cost}."
    images, fewest, most = row.pays_from
    interval = "" if images == most else f" ({fewest:,} to {most:,})"
    return (
        f"It pays from about {images:,} images on{interval}: of so many, one more is classified "
        f"right. {cost}, {_say_seconds(images * row.seconds_per_image)} for these {images:,}."
    )


def _say_seconds(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
