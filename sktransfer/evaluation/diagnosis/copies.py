"""Checks of images that are uniform, or copies of others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sktransfer.evaluation.diagnosis.evidence import N_SHOWN, Evidence
from sktransfer.evaluation.diagnosis.findings import Finding
from sktransfer.evaluation.probing import Labels, make_folds

#: Part of all values' range within which an image is blank: below what 8 bits can show.
BLANK = 1 / 256
#: Share of blank images that is more than an accident, and ruins a class.
MANY_BLANK = 0.5
#: Share of images with a copy from which scores are flattered by more than a hundredth.
MANY_COPIES = 0.01

_UNIQUE = (
    "_, first = np.unique(X.reshape(len(X), -1), axis=0, return_index=True)\n"
    "X, y = X[np.sort(first)], y[np.sort(first)]"
)


def blank_images(e: Evidence) -> Iterator[Finding]:
    """Look for images of one value."""
    _, spreads, _ = e.copies
    (blank,) = np.nonzero(spreads < BLANK)
    if not len(blank):
        return
    share = len(blank) / len(spreads)
    yield Finding(
        "blank-images",
        "error" if share >= MANY_BLANK else "warning",
        "Some images are uniform, as after failed reads, empty crops or wrong masks: their "
        "features are the same whatever their label."
        if share < 1
        else "Every image is uniform: there is nothing to distinguish.",
        {"blank": len(blank), "of": len(spreads)},
        "blank = np.ptp(X.reshape(len(X), -1), axis=1) == 0\nX, y = X[~blank], y[~blank]",
        _places(e, blank),
    )


def duplicate_images(e: Evidence) -> Iterator[Finding]:
    """Look for images that are equal to the last bit."""
    digests, spreads, y = e.copies
    numbers: dict[bytes, int] = {}
    group = np.array([numbers.setdefault(each, len(numbers)) for each in digests])
    counts = np.bincount(group)
    n_copies = len(group) - len(counts)
    if n_copies == 0:
        return
    (shared,) = np.nonzero(counts[group] > 1)
    evidence: dict[str, Any] = {
        "different images": len(counts),
        "of": len(digests),
        "most often one image": int(counts.max()),
    }
    if len(counts) == 1 and len(digests) > 1:
        yield Finding(
            "identical-images",
            "error",
            "All images are the same: one image was repeated, or every read returned the first.",
            evidence,
            "X = np.stack([np.asarray(image) for image in images])  # check how X was filled",
        )
        return
    name, severity, message = "duplicate-images", "info", "A few images are copies of others."
    if counts.max() > len(digests) / 2:
        name, severity = "identical-images", "error"
        message = "More than half of the images are identical."
    elif n_copies >= MANY_COPIES * len(digests):
        severity = "warning"
        message = "Many images are copies of others: there are fewer than it seems."
    side_by_side = shared[np.argsort(group[shared], kind="stable")]
    yield Finding(name, severity, message, evidence, _UNIQUE, _places(e, side_by_side))
    if y is not None:
        yield from _labels_of_copies(e, group, spreads, y)


def _labels_of_copies(
    e: Evidence, group: np.ndarray, spreads: np.ndarray, y: np.ndarray
) -> Iterator[Finding]:
    """Look for equal images whose labels differ, and for those that folds separate."""
    assert e.labels is not None
    codes = np.searchsorted(e.labels.classes, y)
    lowest = np.full(group.max() + 1, len(e.labels.classes))
    highest = np.full(group.max() + 1, -1)
    np.minimum.at(lowest, group, codes)
    np.maximum.at(highest, group, codes)
    (contrary,) = np.nonzero((lowest < highest)[group] & (spreads >= BLANK))
    if len(contrary):
        share = len(contrary) / len(y)
        yield Finding(
            "contrary-labels",
            "error" if share >= MANY_BLANK else "warning",
            "Equal images have different labels: at least one label is wrong.",
            {"images": len(contrary), "of": len(y)},
            f"look_at = {_places(e, contrary)[:5]}  # X[look_at], y[look_at]",
            _places(e, contrary),
        )
    labels = Labels(y, *np.unique(y, return_counts=True), e.labels.positive)
    folds = make_folds(labels, e.cv, random_state=e.seed, groups=e.groups, who="diagnose")
    n_leaked = sum(int(np.isin(group[test], group[train]).sum()) for train, test in folds)
    n_tested = sum(len(test) for _, test in folds)
    if n_leaked == 0:
        return
    share = n_leaked / n_tested
    yield Finding(
        "duplicates-across-folds",
        "warning" if share >= MANY_COPIES else "info",
        "Test images have copies in their training set: scores are too high by up to this share.",
        {"tested with an equal image in training": n_leaked, "of": n_tested, "share": share},
        "rows = np.ascontiguousarray(X.reshape(len(X), -1))\n"
        "_, groups = np.unique(rows, axis=0, return_inverse=True)\n"
        "cross_val_score(pipeline, X, y, groups=groups, cv=StratifiedGroupKFold(5))",
    )


def _places(e: Evidence, found: np.ndarray) -> list[int]:
    """Name the first few by their place among the images given."""
    is_sample = len(e.copies[0]) == len(e.rows)
    return [int(e.rows[i] if is_sample else i) for i in found[:N_SHOWN]]
