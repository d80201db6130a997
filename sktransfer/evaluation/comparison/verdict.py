"""The verdict of a comparison, in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sktransfer.evaluation.comparison.rows import (
    RAW_AS_IN_ARTICLE,
    ComparisonRow,
    FewLabels,
    best_of,
    best_raw_at,
)
from sktransfer.evaluation.probing.metrics import METRICS, are_unequal
from sktransfer.evaluation.probing.significance import ALPHA, PairedDifference

# Difference in accuracy from which it is said that smaller ones could not be proved.
_COARSE = 0.1


def word_verdict(
    rows: Sequence[ComparisonRow], metric: str, *, few: str = "label{s} of each class"
) -> str:
    """Say in plain words whether transfer helped, what pretraining adds, and what it costs."""
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
            _balance(row, raw, control),
            _payment(row),
            *(_with_few(row, rows, position, metric, few) for position in range(len(row.few))),
        ]
        name = f"{row.name}. " if len(trained) > 1 else ""
        paragraphs.append(name + " ".join(word for word in words if word))
    paragraphs += [
        _alike(row, by_name[RAW_AS_IN_ARTICLE], metric, few)
        for row in rows
        if row.kind == "article"
    ]
    if trained:
        return "\n\n".join(paragraphs)
    control = best_of(rows, metric, "control")
    if control is None:
        return "Only raw pixels were scored, so the comparison cannot say whether transfer helps."
    return (
        "Without trained weights, the comparison cannot say whether transfer helps. The "
        f"architecture alone: {control.name} has {_against_raw(control, raw, metric)} "
        f"{_room(control, raw, metric)}"
    ).rstrip() + f" {_balance(control, raw, None)}".rstrip()


def say_resolution(rows: Sequence[ComparisonRow], n_images: int, n_tests: int) -> str:
    """Say which differences so few images could prove at all, where nothing was proved."""
    undecided = any(
        row.kind == "transfer"
        and row.against_raw is not None
        and row.against_raw.finding in ("equal", "within noise")
        for row in rows
    )
    # Images that all turn one way have p = 1/2 to the power of their number, times the tests.
    smallest = math.ceil(math.log2(max(n_tests, 1) / ALPHA)) / n_images
    if not undecided or smallest < _COARSE:
        return ""
    return (
        f"With only {n_images} images, a difference below about {min(smallest, 1):.2f} cannot be "
        "detected."
    )


def _headline(gain: PairedDifference | None, trained: PairedDifference | None) -> str:
    assert gain is not None
    if gain.finding == "higher":
        training = trained.finding if trained else "higher"
        return {
            "higher": "Transfer helped",
            "lower": "The features helped, but random weights would have helped more",
            "unclear": "The features helped, but whether pretraining did is unclear",
        }.get(training, "The features helped, but pretraining made no measurable difference")
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
        f"{metric} {row.mean(metric):.3f} against {raw.mean(metric):.3f} for the best raw row "
        f"({raw.name}), {how}."
    )


def _alike(row: ComparisonRow, raw: ComparisonRow, metric: str, few: str) -> str:
    """Say how features do where both sides are classified as in the article."""
    assert row.against_raw is not None
    words = (
        f"{row.name}: {metric} {row.mean(metric):.3f} against {raw.mean(metric):.3f} of "
        f"{raw.name}, {say_difference(row.against_raw)}"
    )
    if row.balanced_against_raw is not None:
        words += (
            f"; balanced accuracy {row.balanced_accuracy:.3f} against "
            f"{raw.balanced_accuracy:.3f}, {say_difference(row.balanced_against_raw)}"
        )
    for own, other in zip(row.few, raw.few, strict=True):
        assert own.against_raw is not None
        words += (
            f"; with {_say_labels(own, few)} {own.mean:.3f} against {other.mean:.3f}, "
            f"{say_difference(own.against_raw)}"
        )
        if own.balanced_against_raw is not None:
            words += f", in balanced accuracy {say_difference(own.balanced_against_raw)}"
    return f"{words}."


def _say_labels(own: FewLabels, few: str) -> str:
    return f"{own.n_labels} {few.format(s='s' * (own.n_labels > 1))}"


def _with_few(
    row: ComparisonRow, rows: Sequence[ComparisonRow], position: int, metric: str, few: str
) -> str:
    """Say of one of the few numbers of labels what is said of all."""
    own, raw = row.few[position], best_raw_at(rows, position)
    assert own.against_raw is not None
    headline = _headline(own.against_raw, own.against_control)
    words = (
        f"With {_say_labels(own, few)}, {headline[0].lower()}{headline[1:]}: "
        f"{metric} {own.mean:.3f} against {raw.few[position].mean:.3f} for {raw.name}, "
        f"{say_difference(own.against_raw)}"
    )
    if own.against_control is not None:
        words += f"; compared with random weights {say_difference(own.against_control)}"
    if own.balanced_against_raw is not None:
        words += (
            f"; balanced accuracy {np.mean(own.balanced):.3f} against "
            f"{np.mean(raw.few[position].balanced):.3f}, {say_difference(own.balanced_against_raw)}"
        )
        if own.balanced_against_control is not None:
            difference = say_difference(own.balanced_against_control)
            words += f", and compared with random weights {difference}"
    return f"{words}."


def say_difference(difference: PairedDifference) -> str:
    """Spell a difference with its interval and p-value."""
    if difference.finding == "equal":
        return "0 in every fold"
    if math.isnan(difference.mean):
        return "unknown size, because some scores are undefined"
    if difference.finding == "unclear":
        return (
            f"{difference.mean:+.3f}, identical in every fold, so no test is possible without more "
            "folds or images"
        )
    return (
        f"{difference.mean:+.3f} (95 % interval {difference.low:+.3f} to {difference.high:+.3f}, "
        f"{say_p(difference.p_value)})"
    )


def say_p(p_value: float) -> str:
    """Spell a p-value."""
    if p_value < 0.001:
        return "p < 0.001"
    # Rounded, the number would contradict the words next to it.
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
        return "Raw pixels leave nothing to gain: only a harder task or fewer labels can show more."
    return f"Raw pixels leave {left:.3f} to gain."


def _training(row: ComparisonRow, control: ComparisonRow | None) -> str:
    """Split the gain into what the architecture gives by itself and what pretraining adds."""
    gain, trained = row.against_raw, row.against_control
    if control is None or trained is None or gain is None or control.against_raw is None:
        return ""
    if gain.finding != "higher":
        how = say_difference(trained)
        return f"The difference to the same network with random weights is {how}."
    architecture = control.against_raw.mean
    if architecture <= 0:
        split = (
            f"Random weights gain nothing ({architecture:+.3f}{_spread(control)}): the whole gain "
            "is due to pretraining"
        )
    elif trained.mean <= 0:
        split = (
            f"Random weights gain {architecture:+.3f}{_spread(control)}: none of the gain is due "
            "to pretraining"
        )
    else:
        share = 100 * trained.mean / gain.mean
        split = (
            f"Random weights alone gain {architecture:+.3f}{_spread(control)}, which is due to the "
            f"architecture; pretraining adds {trained.mean:+.3f}, {share:.0f} % of the gain"
        )
    if trained.finding == "within noise":
        return f"{split}, which is within noise: {say_difference(trained)}."
    if trained.finding in ("higher", "lower"):
        return f"{split} ({say_p(trained.p_value)})."
    return f"{split}."


def _spread(control: ComparisonRow) -> str:
    """Say between which scores the draws of random weights lie, if there are several."""
    if len(control.drawn) < 2:
        return ""
    low, high = min(control.drawn), max(control.drawn)
    return f", the mean of {len(control.drawn)} draws that score {low:.3f} to {high:.3f}"


def _balance(row: ComparisonRow, raw: ComparisonRow, control: ComparisonRow | None) -> str:
    """Say how all classes fare alike, where accuracy is mostly about the larger ones."""
    if not are_unequal([sum(each) for each in row.confusion]):
        return ""
    words = (
        "The classes are of unequal size: balanced accuracy, the mean of their recalls, is "
        f"{row.balanced_accuracy:.3f} against {raw.balanced_accuracy:.3f} for {raw.name}"
    )
    if row.balanced_against_raw is not None:
        words += f", {say_difference(row.balanced_against_raw)}"
    if control is not None and control.confusion:
        words += f", and {control.balanced_accuracy:.3f} for random weights"
        if row.balanced_against_control is not None:
            words += f", {say_difference(row.balanced_against_control)}"
    return f"{words}."


def _payment(row: ComparisonRow) -> str:
    cost = f"Features take {say_seconds(row.seconds_per_image)} per image"
    if row.pays_from is None:
        return f"{cost}."
    images, fewest, most = row.pays_from
    interval = "" if images == most else f" (95 % interval {fewest:,} to {most:,})"
    return (
        f"Over raw pixels, features give about one more correct prediction per {images:,} images"
        f"{interval}. {cost}, {say_seconds(images * row.seconds_per_image)} for these {images:,}."
    )


def say_seconds(seconds: float) -> str:
    """Spell a time in the unit that suits it."""
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
