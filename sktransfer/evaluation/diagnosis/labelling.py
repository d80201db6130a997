"""Checks of the labels themselves: wrong ones, listed, and one class spelled in several ways."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sktransfer.evaluation.diagnosis.evidence import Evidence
from sktransfer.evaluation.diagnosis.findings import Finding
from sktransfer.evaluation.probing import make_classifier
from sktransfer.evaluation.probing.threads import limit_blas

#: Share of an image's neighbours with its own label, at most, and probability of its own label, at
#: most, from which the label is doubtful: both must hold.
NEIGHBOURS, CONFIDENCE = 0.2, 0.3
#: Probability of its own label, at most, at which a doubtful label counts as contradicted: hard
#: images are doubted, too, but seldom so clearly.
CONTRADICTED = 0.05
#: Share of contradicted labels from which they are worth a warning, and the fewest.
SHARE, FEWEST = 0.04, 4
#: How many there must be, in parts of the errors among all images that are not doubtful; and the
#: mean share of their neighbours that have the label which the classifier gives them.
OF_ERRORS, LOOKS_LIKE = 0.9, 0.6
#: Share of the other images that must be classified rightly: otherwise the classes are hard to tell
#: apart, and doubtful labels say nothing.
NEARLY_ALL = 0.85
#: Times that doubtful labels are left out before more are looked for: they mislead a classifier.
N_ROUNDS = 3


def spelled_alike(e: Evidence) -> Iterator[Finding]:
    """Look for classes whose names differ in spaces, case or accents' encoding only."""
    assert e.labels is not None
    names = [label for label in e.labels.classes.tolist() if isinstance(label, str)]
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(_simplify(name), []).append(name)
    alike = [each for each in kinds.values() if len(each) > 1]
    if not alike:
        return
    concerned = np.isin(e.labels.y, [name for each in alike for name in each[1:]])
    yield Finding(
        "labels-spelled-alike",
        "error",
        "Classes differ only by how their name is spelled: spaces, capitals, or hyphens. They are "
        "treated as different classes, which no classifier can tell apart.",
        {"spellings": alike[:5], "classes": len(e.labels.classes)},
        "y = np.array([str(label).strip().lower() for label in y])",
        e.places(np.flatnonzero(concerned)),
    )


def _simplify(name: str) -> str:
    text = unicodedata.normalize("NFKC", name)
    # Of single letters, capitals are other classes.
    text = text.casefold() if len(text.strip()) > 1 else text
    return " ".join(text.replace("_", " ").replace("-", " ").split())


def wrong_labels(e: Evidence) -> Iterator[Finding]:
    """List images that look like another class to their neighbours and to the classifier."""
    assert e.labels is not None
    if not e.is_explained:
        return
    doubtful = np.zeros(len(e.codes), dtype=bool)
    fewest = max(FEWEST, SHARE * len(doubtful))
    for _ in range(N_ROUNDS):
        shares, rest = learn_without(e, doubtful)
        own = shares[np.arange(len(e.codes)), e.codes]
        agreeing = _agreeing(e, e.codes, doubtful)
        more = ~doubtful & (own <= CONFIDENCE) & (agreeing <= NEIGHBOURS)
        doubtful |= more
        if doubtful.sum() < fewest:
            return
        if not more.any():
            break
    # Hard images lie at all distances from the border between classes, and few of them far behind
    # it: where those are few beside the errors, they are hard images, and not wrong labels.
    n_clear = (doubtful & (own <= CONTRADICTED)).sum()
    if rest < NEARLY_ALL or n_clear < fewest or n_clear <= OF_ERRORS * (1 - rest) * len(own):
        return
    (found,) = np.nonzero(doubtful)
    found = found[np.argsort(own[found], kind="stable")]
    alike = shares.argmax(axis=1)
    if _agreeing(e, alike, doubtful)[found].mean() < LOOKS_LIKE:
        return
    places = e.places(found, len(found))
    yield Finding(
        "wrong-labels",
        "warning",
        "Some images look like another class, both by their nearest neighbours and to a classifier "
        "that has not seen them, while nearly all others look like their own class: their labels "
        "are wrong, or one class holds images like those of another.",
        {
            "images": len(found),
            "of": len(own),
            "accuracy on the others": rest,
            "median probability of their own label": float(np.median(own[found])),
            "they look like": [plain(e.labels.classes[k]) for k in alike[found[:5]]],
        },
        f"look_at = {places}  # X[look_at], y[look_at], the most doubtful first",
        places,
    )


def learn_without(e: Evidence, doubtful: np.ndarray) -> tuple[np.ndarray, float]:
    """Return probabilities from folds without some images, and the accuracy on all others."""
    assert e.folds is not None
    values = e.features.astype(np.float64)
    shares = np.full((len(e.codes), e.codes.max() + 1), np.nan)
    for train, test in e.folds:
        learned = train[~doubtful[train]]
        if len(np.unique(e.codes[learned])) < 2:
            continue
        with limit_blas(values), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            # Scaled by the images that are learned from, as all that is cross-validated.
            probe = make_classifier().fit(values[learned], e.codes[learned])
        shares[test] = 0
        shares[np.ix_(test, probe.classes_)] = probe.predict_proba(values[test])
    known = ~doubtful & np.isfinite(shares[:, 0])
    rest = shares[known].argmax(axis=1) == e.codes[known]
    return np.nan_to_num(shares, nan=1.0), float(rest.mean()) if known.any() else 0.0


def _agreeing(e: Evidence, codes: np.ndarray, doubtful: np.ndarray) -> np.ndarray:
    """Return the share of each image's neighbours, but doubtful ones, that have some label."""
    neighbours = e.feature_neighbours
    is_known = ~doubtful[neighbours]
    is_same = (e.codes[neighbours] == codes[:, None]) & is_known
    return is_same.sum(axis=1) / np.maximum(is_known.sum(axis=1), 1)


def plain(label: Any) -> Any:
    """Return a label as Python's own type, which JSON takes."""
    return label.item() if hasattr(label, "item") else label
