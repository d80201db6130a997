"""Checks of features that were computed elsewhere: of which images, and in what order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from sktransfer.evaluation.diagnosis.alternatives import AGAIN, N_TRIED, Alternative, Alternatives
from sktransfer.evaluation.diagnosis.evidence import N_COMPARED, Evidence
from sktransfer.evaluation.diagnosis.features import COLLAPSED
from sktransfer.evaluation.diagnosis.findings import Finding
from sktransfer.evaluation.diagnosis.matching import (
    MOST,
    Given,
    Match,
    correlate,
    cosine,
    explain_order,
    match_anywhere,
    match_in_place,
    relate,
    spread,
    tolerate,
)

#: Share of rows that are found from which the rest is the exception.
FOUND = 0.5
#: Distance, in parts of what is the same, within which alternatives are all alike.
ROUNDING = 0.01
#: Share of images without a row that another order may leave, and the reverse.
FEW = 0.1
#: Share of rows beside their own label from which another order does not change the score.
SAME_LABELS = 0.98
#: Correlation of each column with what is expected from which features were only scaled.
SCALED = 0.99
#: Standard deviations over permutations from which features are of these images, in this order.
RELATED = 4.0
#: Correlation from which features differ by less than another network would make them.
NEARLY = 0.9

#: What the findings may be called.
NAMES = (
    "features-not-finite",
    "features-in-another-order",
    "features-of-other-images",
    "identical-features",
    "features-of-another-flattening",
    "features-of-another-range",
    "features-of-another-channel-order",
    "features-of-another-resizing",
    "features-of-another-layer",
    "features-of-another-pooling",
    "features-of-another-size",
    "features-scaled",
    "features-of-other-weights",
    "features-differ",
)
_HARMFUL = ("features-of-another-range",)
_HARMLESS = ("features-of-another-resizing",)


def given_features(e: Evidence) -> Iterator[Finding]:
    """Compare given features with those of a few images, and explain the difference."""
    assert e.given is not None
    positions = np.random.default_rng(e.seed).permutation(len(e.rows))[:N_COMPARED]
    expected = e.features[positions]
    given = Given(e.given, e.rows[positions], e.seed)
    rows, columns = given.find_not_finite()
    if len(rows):
        e.leave_out(NAMES[1:], "the given features are not all finite")
        yield _say_not_finite(rows, columns, e.given.shape)
        return
    if match_in_place(expected, given).found == 1 or _is_alike(expected):
        return
    evidence = {
        "rows compared": len(positions),
        "correlation with what is expected": correlate(expected, given.sample),
    }
    if _is_alike(given.sample):
        yield Finding(
            "identical-features",
            "error",
            "The given features are the same for every image: they were computed from images "
            "that were all black, as after a division before np.uint8, or were never filled in.",
            evidence | {"largest value": float(np.abs(given.sample).max())},
            AGAIN,
        )
        return
    match = match_anywhere(expected, given)
    if match.found >= FOUND and not _is_near(expected, given, match):
        yield from _say_places(e, given, match, expected, evidence)
        return
    tried = Alternatives(e, positions[:N_TRIED])
    explained = _explain(tried, given)
    if explained:
        alternative, match, others = explained
        yield _say_alternative(alternative, match, given, evidence, others)
        if match.in_place < MOST:
            yield from _say_places(e, given, match, alternative.features, {})
        return
    yield _say_unexplained(e, expected, given, positions, evidence)


def _say_not_finite(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, ...]) -> Finding:
    return Finding(
        "features-not-finite",
        "error",
        f"The given features hold NaN or infinity, in {len(rows):,} of {shape[0]:,} rows and "
        f"{len(columns):,} of {shape[1]:,} columns: rows were never filled in, or something was "
        "divided by zero or became too large. They are compared with nothing.",
        {
            "such rows": len(rows),
            "such columns": len(columns),
            "the first rows are": rows[:5].tolist(),
            "the first columns are": columns[:5].tolist(),
        },
        AGAIN,
        rows[:20].tolist(),
    )


def _is_alike(features: np.ndarray) -> bool:
    size = float(np.sqrt((features.astype(np.float64) ** 2).sum(axis=1).mean()))
    return spread(features) <= COLLAPSED * size


def _is_near(expected: np.ndarray, given: Given, match: Match) -> bool:
    """Tell whether rows that are not the same are still in place, but for small differences."""
    is_lost, centre = ~match.is_same, expected.mean(axis=0)
    likeness = cosine((expected - centre)[is_lost], (given.sample - centre)[is_lost])
    return match.in_place == match.found and likeness >= NEARLY


def _say_places(
    e: Evidence, given: Given, match: Match, expected: np.ndarray, evidence: dict[str, Any]
) -> Iterator[Finding]:
    """Say where the rows of images are, and which are nowhere."""
    is_moved = match.is_same & (match.rows != match.places)
    if is_moved.sum() <= FEW * (~match.is_same).sum():  # like another image by chance
        is_moved, match = np.zeros_like(is_moved), replace(match, is_same=match.is_same & ~is_moved)
    lost = np.sort(match.rows[~match.is_same])
    if is_moved.any():
        order = explain_order(match, e.n_images, e.all_y, e.paths)
        first = np.flatnonzero(is_moved)[np.argsort(match.rows[is_moved])][:5]
        found: dict[str, Any] = {
            "order": order.kind,
            "images": match.rows[first].tolist(),
            "are in rows": match.places[first].tolist(),
            "rows in their place": match.in_place,
            "correlation in this order": correlate(
                expected[match.is_same], given.take(match.places[match.is_same])
            ),
        }
        if len(lost):
            found["images without a row"] = lost[:5].tolist()
        severity = "error"
        if e.all_y is not None:
            agreeing = e.all_y[match.places[match.is_same]] == e.all_y[match.rows[match.is_same]]
            found["rows beside their own label"] = float(agreeing.mean())
            severity = "warning" if agreeing.mean() >= SAME_LABELS else "error"
        yield Finding(
            "features-in-another-order",
            severity,
            f"The given features are of these images, but in another order: {order.kind}. Each "
            "row stands beside the label of another image.",
            evidence | found,
            order.remedy,
        )
    # Where one row is missing, others are moved, and its image has none.
    if len(lost) > (FEW * len(match.rows) if is_moved.any() else 0):
        yield Finding(
            "features-of-other-images",
            "error",
            "Some rows of the given features match no image here: they are of other images, of "
            "images that have changed since, or were never filled in.",
            evidence
            | {
                "such rows": float((~match.is_same).mean()),
                "the first are": lost[:5].tolist(),
                "rows of zeros": float((~given.take(lost).any(axis=1)).mean()),
            },
            AGAIN,
        )


def _explain(
    alternatives: Alternatives, given: Given
) -> tuple[Alternative, Match, list[Alternative]] | None:
    """Find the alternative that gives these features, and others that give them as well."""
    for stage in alternatives.stages():
        found = []
        for each in stage:
            match = match_in_place(each.features, given)
            if match.found < MOST:
                match = match_anywhere(each.features, given)
            if match.found >= MOST:
                apart = np.linalg.norm(each.features - given.take(match.places), axis=1)
                found.append((float(np.median(apart / tolerate(each.features)[0])), each, match))
        if found:
            # What is as near, up to rounding to float16, cannot be told from it.
            found.sort(key=lambda each: max(each[0], ROUNDING))
            (least, best, match), *rest = found
            others = [each for apart, each, _ in rest if apart <= 2 * max(least, ROUNDING)]
            return best, match, others
    return None


def _say_alternative(
    alternative: Alternative,
    match: Match,
    given: Given,
    evidence: dict[str, Any],
    others: list[Alternative],
) -> Finding:
    severity = "warning"
    if alternative.name in _HARMFUL:
        severity = "error"
    elif alternative.name in _HARMLESS:
        severity = "info"
    found = given.take(match.places)
    explained: dict[str, Any] = {
        "rows explained": match.found,
        "correlation with what it gives": correlate(alternative.features, found),
    }
    if others:
        explained["as likely"] = [each.what for each in others]
    return Finding(
        alternative.name,
        severity,
        f"The given features are not what the extractor computes: {alternative.what}.",
        evidence | explained,
        alternative.remedy,
    )


def _say_unexplained(
    e: Evidence,
    expected: np.ndarray,
    given: Given,
    positions: np.ndarray,
    evidence: dict[str, Any],
) -> Finding:
    """Say whether features that nothing explains are at least of these images in this order."""
    columns = _correlate_columns(expected, given.sample)
    if len(columns) and np.quantile(columns, 0.1) >= SCALED:
        return Finding(
            "features-scaled",
            "info",
            "The given features were scaled after they were computed, each column separately, as "
            "by a StandardScaler. If it was fitted on all images, it has seen the test sets.",
            evidence | {"median correlation of columns": float(np.median(columns))},
            "pipeline = make_pipeline(extractor, StandardScaler(), LogisticRegression())",
        )
    codes = None if e.labels is None else e.codes[positions]
    likeness, z = relate(expected, given.sample, codes, e.seed)
    evidence = evidence | {
        "correlation of distances between rows": likeness,
        "standard deviations above other orders": z,
    }
    if z < RELATED:
        return Finding(
            "features-of-other-images",
            "error",
            "No given row matches a sampled image, and similar images have dissimilar rows: the "
            "features are of other images, or of another network and in another order.",
            evidence,
            AGAIN,
        )
    if evidence["correlation with what is expected"] >= NEARLY:
        return Finding(
            "features-differ",
            "info",
            "The given features are of these images in this order, and differ by more than "
            "rounding: images may have been decoded or resized by other code.",
            evidence,
            AGAIN,
        )
    return Finding(
        "features-of-other-weights",
        "warning",
        "The given features are of these images in this order, but neither this network nor a "
        "common mistake with it explains them: they come from other weights or another network, "
        "the images were changed (flipped, cropped, turned), or several mistakes were made.",
        evidence,
        f"# name the weights that were used: extractor.set_params(weights=...), or\n{AGAIN}",
    )


def _correlate_columns(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Correlate each column that differs between images with the same one of another table."""
    a = first - first.mean(axis=0, dtype=np.float64)
    b = second - second.mean(axis=0, dtype=np.float64)
    norms = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    varies = (np.ptp(first, axis=0) > 0) & (np.ptp(second, axis=0) > 0)
    return (a * b).sum(axis=0)[varies] / norms[varies]
