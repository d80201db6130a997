"""Checks of mixed images: of different value ranges, inverted, or hidden by alpha."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sktransfer.evaluation.diagnosis.evidence import Evidence
from sktransfer.evaluation.diagnosis.findings import Finding
from sktransfer.evaluation.diagnosis.labelling import plain
from sktransfer.evaluation.diagnosis.probes import is_better

#: Ratio of the brightest values of two groups of images from which they have different ranges: dim
#: photographs among bright ones leave no such gap. Dividing by 255, 16 or 256 does.
GAP = 10.0
#: Share of the images that the smaller group needs, and its least number.
SMALL_GROUP, FEWEST = 0.02, 3
#: Ratio of the brightest value of all images of two classes from which their ranges differ, and how
#: many images a class needs for that.
CLASS_GAP, CLASS_IMAGES = 1.9, 10
#: Part of its contrast that an image keeps under its alpha, below which it is hidden.
HIDDEN = 0.1
#: Share of the images from which a fault ruins the result.
MANY = 0.5
#: Share of neighbours that differ by nearly all of the range, of all and of those that differ by
#: half of it, over all images, from which values were wrapped around.
WRAPPED, WRAPPED_EDGES = 0.004, 0.2
#: Correlation of the mean images of two groups, one of them inverted, from which one is the other's
#: negative, and how clearly the groups must be apart, in parts of the distance of their middles.
NEGATIVE, NEGATIVE_CLASS, APART = 0.9, 0.5, 0.2
#: Gain in accuracy from exchanging black and white back that is worth a warning.
GAIN = 0.02


def hidden_by_alpha(e: Evidence) -> Iterator[Finding]:
    """Look for images that their transparency hides."""
    (hidden,) = np.nonzero(e.survey.traces["shown"] < HIDDEN)
    if not len(hidden):
        return
    n = len(e.images)
    yield Finding(
        "hidden-by-alpha",
        "error" if len(hidden) >= MANY * n else "warning",
        "The fourth channel, alpha, makes images nearly transparent: laid over white, as the "
        "network gets them, they are blank. Alpha may be from 0 to 1 beside colours from 0 to 255, "
        "or be something else, such as depth or a mask.",
        {
            "images": len(hidden),
            "of": n,
            "part of the contrast that is left": float(np.median(e.survey.traces["shown"][hidden])),
        },
        "X = X[..., :3]  # the colours alone",
        e.places(hidden),
    )


def wrapped_values(e: Evidence) -> Iterator[Finding]:
    """Look for values that left eight bits and came in again at the other end."""
    wraps, edges = e.survey.traces["wraps"], e.survey.traces["edges"]
    if wraps.mean() < max(WRAPPED, WRAPPED_EDGES * edges.mean()):
        return
    (found,) = np.nonzero(wraps > WRAPPED)
    order = found[np.argsort(-wraps[found], kind="stable")]
    yield Finding(
        "wrapped-values",
        "error",
        "Values were wrapped around: nearly white lies next to nearly black where nothing between "
        "them does. A sum or a product left the range of uint8 before it was stored.",
        {
            "images": len(found),
            "of": len(wraps),
            "neighbours that differ by nearly all of the range": float(wraps.mean()),
            "by half of it and more": float(edges.mean()),
        },
        "X = np.clip(values, 0, 255).astype(np.uint8)  # clip before you convert",
        e.places(order),
    )


def mixed_ranges(e: Evidence) -> Iterator[Finding]:
    """Look for a part of the images, or a class, whose white is another."""
    high = np.maximum(e.survey.high, 0)
    n = len(high)
    if e.labels is not None:
        found = list(_class_in_another_range(e, high))
        if found:
            yield from found
            return
    order = np.argsort(high, kind="stable")
    sorted_high = high[order]
    # Blank images are none of another range.
    is_blank = e.survey.high - e.survey.low <= 0
    n_blank = int(is_blank.sum())
    low_group = [
        k
        for k in range(max(FEWEST, int(SMALL_GROUP * n)), n - n_blank)
        if sorted_high[k] >= GAP * max(sorted_high[k - 1], 1e-6)
    ]
    if not low_group:
        return
    group = order[: low_group[0]]
    group = group[~is_blank[group]]
    if len(group) < max(FEWEST, SMALL_GROUP * n):
        return
    yield Finding(
        "mixed-ranges",
        "error",
        "Some images have another range than the rest, as if only some were divided by 255: to the "
        "network they are nearly black.",
        {
            "images": len(group),
            "of": n,
            "brightest of them, of 255": float(high[group].max()),
            "darkest white of the others": float(np.delete(high, group).min()),
        },
        "# bring all images to one range before they are joined, by where they come from",
        e.places(group),
    )


def _class_in_another_range(e: Evidence, high: np.ndarray) -> Iterator[Finding]:
    assert e.labels is not None
    y, classes = e.labels.y, e.labels.classes
    whites = np.array([high[y == label].max() for label in classes])
    if not len(whites) or whites.max() <= 0:
        return
    dim = [
        label
        for label, white, count in zip(classes, whites, e.labels.counts, strict=True)
        if white > 0 and whites.max() >= CLASS_GAP * white and count >= CLASS_IMAGES
    ]
    rest = ~np.isin(y, dim)
    # The others reach their white as a rule: no single flash tells a range.
    if not dim or np.median(high[rest]) < CLASS_GAP * high[~rest].max():
        return
    yield Finding(
        "class-in-another-range",
        "error",
        "The images of one class have another range than the rest: how they were read gives away "
        "the class, and a score says nothing about what they show.",
        {
            "classes": [plain(label) for label in dim],
            "brightest of them, of 255": float(high[~rest].max()),
            "median white of the others": float(np.median(high[rest])),
        },
        "# read the images of every class in the same way, and to the same range",
        e.places(np.flatnonzero(~rest)),
    )


def mixed_polarity(e: Evidence) -> Iterator[Finding]:
    """Look for images of which some are the negatives of others."""
    if len(e.images) < 20:
        return
    rows = e.survey.grey.reshape(len(e.images), -1) - 127.5
    rows = rows[:, rows.std(axis=0) > 0] if rows.std() else rows
    if not rows.size:
        return
    _, _, axes = np.linalg.svd(rows, full_matrices=False)
    along = rows @ axes[0]
    sign = along > 0
    smaller = sign if sign.sum() * 2 <= len(sign) else ~sign
    if smaller.sum() < max(FEWEST, SMALL_GROUP * len(sign)):
        return
    likeness, gap = _compare_groups(rows, along, smaller)
    evidence: dict[str, Any] = {
        "images": int(smaller.sum()),
        "of": len(sign),
        "likeness of the one group's mean to the other's negative": likeness,
        "width of the gap between them": gap,
    }
    # Classes differ in what they show as well, so that their means are less alike.
    by_class = e.labels is not None and _is_by_class(e, smaller)
    if likeness < (NEGATIVE_CLASS if by_class else NEGATIVE) or gap < APART:
        return
    if by_class:
        yield Finding(
            "class-in-another-range",
            "error",
            "Black and white are exchanged in the images of one class: how they were read gives "
            "away the class, and a score says nothing about what they show.",
            evidence,
            "# read the images of every class in the same way",
            e.places(np.flatnonzero(smaller)),
        )
    else:
        yield _find_inverted(e, smaller, evidence)


def _compare_groups(
    rows: np.ndarray, along: np.ndarray, smaller: np.ndarray
) -> tuple[float, float]:
    """Say how alike the mean of a group is to the negative of the others', and how far apart."""
    one, other = rows[smaller].mean(axis=0), rows[~smaller].mean(axis=0)
    likeness = -float(np.corrcoef(one, other)[0, 1]) if one.std() and other.std() else 0.0
    middles = np.median(along[smaller]), np.median(along[~smaller])
    distance = abs(middles[0] - middles[1])
    # Between two groups there is nothing; one wide group has its most there.
    return likeness, float(np.quantile(np.abs(along), 0.05) / max(distance / 2, 1e-9))


def _find_inverted(e: Evidence, inverted: np.ndarray, evidence: dict[str, Any]) -> Finding:
    """Measure what exchanging black and white back would give, where there are labels."""
    severity, harm = "info", "."
    if e.labels is not None:
        exchange = iter(inverted)
        anew = e.score(e.recompute(lambda values: 255 - values if next(exchange) else values))
        better, p_value = is_better(anew, e.feature_probe, margin=GAIN)
        evidence |= {
            anew.metric: e.feature_probe.score,
            f"{anew.metric} with them exchanged back": anew.score,
            "p-value": p_value,
        }
        harm = ", which does no measurable harm here."
        if better:
            severity, harm = "warning", ", and exchanged back they are classified better."
    places = e.places(np.flatnonzero(inverted))
    return Finding(
        "mixed-polarity",
        severity,
        f"Some images are like the negatives of others: black and white are exchanged{harm}",
        evidence,
        f"X[inverted] = white - X[inverted]  # these begin them: {places[:5]}",
        places,
    )


def _is_by_class(e: Evidence, group: np.ndarray) -> bool:
    """Tell whether a group of images is, all but exactly, one class or some."""
    assert e.labels is not None
    table = np.zeros((len(e.labels.classes), 2))
    np.add.at(table, (e.codes, group.astype(int)), 1)
    return bool(table.min(axis=1).sum() <= 0.02 * len(group))
