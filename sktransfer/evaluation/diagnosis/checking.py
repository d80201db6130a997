"""Diagnosis: check images, features, labels and classifier, with evidence and remedies.

Each check is a function from evidence to findings. Evidence is computed once, and only if a check
asks for it. One table lists the checks, their findings, and whether they need labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from sktransfer.base import _safe_indexing
from sktransfer.evaluation.diagnosis import (
    classifying,
    copies,
    damage,
    features as _features,
    labelling,
    layout,
    learning,
    lookalikes,
    mixtures,
    network,
    origin,
    pixels,
    shortcuts,
)
from sktransfer.evaluation.diagnosis.anatomy import VGGAnatomy
from sktransfer.evaluation.diagnosis.evidence import Evidence
from sktransfer.evaluation.diagnosis.findings import SEVERITIES, Diagnosis, Finding
from sktransfer.evaluation.diagnosis.given import check_features, open_features
from sktransfer.evaluation.diagnosis.sampling import sample_rows
from sktransfer.evaluation.diagnosis.subject import read_subject
from sktransfer.evaluation.probing import check_labels, make_folds
from sktransfer.evaluation.probing.folding import check_groups
from sktransfer.features.fitted import read_as
from sktransfer.inputs.images import ArrayImages, ImageList


@dataclass(frozen=True)
class Check:
    """A function that looks for something.

    Attributes
    ----------
    look : callable
        From evidence to findings.
    names : tuple of str
        What the findings may be called.
    needs_labels : bool
        Whether it is skipped without `y`.
    needs_features : bool
        Whether it is left out without `features`.
    of_vgg : bool
        Whether it knows VGG alone.
    """

    look: Callable[[Evidence], Iterable[Finding]]
    names: tuple[str, ...]
    needs_labels: bool = False
    needs_features: bool = False
    of_vgg: bool = False

    def reason_against(self, evidence: Evidence) -> str:
        """Say why it cannot be made; empty if it can."""
        if self.needs_labels and evidence.labels is None:
            return "y was not given"
        if self.of_vgg and not isinstance(evidence.anatomy, VGGAnatomy):
            return "only VGG's kernels are known to these checks"
        return ""


#: In the order in which data flow: the first of equal severity is often the cause of the rest.
CHECKS = (
    Check(mixtures.hidden_by_alpha, ("hidden-by-alpha",)),
    Check(pixels.preprocessed_before, ("preprocessed-before", "scaled-twice", "range-ambiguous")),
    Check(pixels.value_range, ("scaled-twice", "range-wrong", "range-ambiguous")),
    Check(mixtures.mixed_ranges, ("mixed-ranges", "class-in-another-range")),
    Check(mixtures.mixed_polarity, ("mixed-polarity", "class-in-another-range")),
    Check(mixtures.wrapped_values, ("wrapped-values",)),
    Check(layout.scrambled, ("channels-scrambled", "sides-exchanged")),
    Check(pixels.channel_order, ("channel-order",)),
    Check(copies.blank_images, ("blank-images",)),
    Check(damage.nearly_blank, ("nearly-blank-images",)),
    Check(damage.half_read, ("half-read-images",)),
    Check(damage.heavy_compression, ("heavy-compression",)),
    Check(damage.turned_images, ("turned-images",)),
    Check(
        copies.duplicate_images,
        ("identical-images", "duplicate-images", "contrary-labels", "duplicates-across-folds"),
    ),
    Check(lookalikes.near_duplicates, ("near-duplicates", "near-duplicates-across-folds")),
    Check(layout.scale, ("enlarged", "shrunk", "stretched")),
    Check(network.preprocessing, ("other-preprocessing", "scaled-twice")),
    Check(network.undrawn, ("random-weights",)),
    Check(network.random_layers, ("random-weights", "random-deep-layers"), of_vgg=True),
    Check(network.kernels_flipped, ("kernels-flipped",), of_vgg=True),
    Check(_features.collapsed_features, ("collapsed-features", "dead-features")),
    Check(_features.saturated_features, ("saturated-features",)),
    Check(origin.given_features, origin.NAMES, needs_features=True),
    Check(labelling.spelled_alike, ("labels-spelled-alike",), needs_labels=True),
    Check(learning.labels_out_of_step, ("labels-out-of-step",), needs_labels=True),
    Check(labelling.wrong_labels, ("wrong-labels",), needs_labels=True),
    Check(
        shortcuts.shortcuts,
        (
            "shortcut-size",
            "shortcut-format",
            "shortcut-corner",
            "shortcut-frame",
            "shortcut-brightness",
        ),
        needs_labels=True,
    ),
    Check(learning.lost_signal, ("lost-signal",), needs_labels=True),
    Check(learning.cut_depth, ("cut-too-deep", "cut-too-shallow"), needs_labels=True),
    Check(learning.wide_features, ("wide-features",)),
    Check(classifying.unscaled_features, ("unscaled-features",), needs_labels=True),
    Check(classifying.not_converged, ("not-converged",), needs_labels=True),
    Check(classifying.weak_classifier, ("weak-classifier",), needs_labels=True),
    Check(
        classifying.fitted_otherwise,
        ("fitted-otherwise", "scored-on-training"),
        needs_labels=True,
    ),
    Check(learning.raw_pixels_win, ("raw-pixels-win",), needs_labels=True),
    Check(classifying.chance_level, ("chance-level",), needs_labels=True),
)
# Without labels, what these say depends on them.
_ONLY_WITH_LABELS = (
    "contrary-labels",
    "duplicates-across-folds",
    "near-duplicates-across-folds",
    "class-in-another-range",
)


def diagnose(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    features: Any = None,
    groups: Any = None,
    cv: Any = 5,
    max_images: int = 200,
    random_state: int = 0,
) -> Diagnosis:
    """Find mistakes in images, features, labels and classifier, with evidence and remedies.

    The checks look for common mistakes with pretrained networks that raise no error: wrong value
    ranges, double preprocessing, swapped channels, copies, shuffled labels, unsuitable sizes and
    layers, unscaled features. All images of an array are searched for copies and blank images.
    All other checks use a sample, which goes through the network once for its features and once
    for the layers around the cut.

    Parameters
    ----------
    estimator : VGGFeatureExtractor, ImageFeatureExtractor or Pipeline
        The estimator to check, fitted or not. A pipeline contains one extractor, and may contain
        steps before it, and a scaler and a classifier after it. The estimator is never changed;
        parts that are not fitted are copied and fitted. Checks that cannot be made for its network
        are listed in `skipped`, with the reason.
    X : array-like, DataFrame, or list of paths, PIL images or arrays
        Images in the form that `estimator` accepts.
    y : array-like of shape (n_images,) or None, default=None
        Their labels. Without them, checks that need labels are skipped.
    features : array-like of shape (n_images, n_features), path-like or None, default=None
        Features that were computed elsewhere, or the ``.npy`` file that holds them, which is
        read in pieces. All must be finite. Rows of a sample are compared with what `estimator`
        computes: are they of these images, in this order, of this layer, size, value range and
        channel order? All other checks look at what `estimator` computes.
    groups : array-like of shape (n_images,) or None, default=None
        A group for each image, such as the person or the film that it is of. Folds keep groups
        together, in all scores and in the search for copies.
    cv : int or splitter, default=5
        Folds in which the classifier is scored and copies are searched for.
    max_images : int, default=200
        Size of the stratified sample, with at least as many images of each class as folds.
    random_state : int, default=0
        Seed of sample, folds and permutations.

    Returns
    -------
    Diagnosis
        The findings, the most severe first. ``print`` shows a report.

    Raises
    ------
    TypeError
        If `estimator` holds no extractor, or several.
    ValueError
        If labels or features and images do not match, or there are too few of either.
    OSError
        If weights or image files are unavailable.

    See Also
    --------
    compare_transfer : Compare raw pixels with features, on all images.

    Examples
    --------
    >>> from sktransfer import VGGFeatureExtractor, diagnose, load_digit_pair
    >>> X, y = load_digit_pair((8, 6), return_X_y=True)
    >>> extractor = VGGFeatureExtractor(
    ...     "block1_pool", weights=None, pooling="avg", input_size=32, random_state=0
    ... )
    >>> diagnosis = diagnose(extractor, X / 16 / 255, y, max_images=40)  # scaled once too often
    >>> diagnosis.findings[0].name
    'scaled-twice'
    >>> print(diagnosis.findings[0].remedy)
    X = X * 255
    """
    subject = read_subject(estimator)
    given = None if features is None else open_features(features)
    _check_parameters(cv, max_images, random_state)
    images = read_as(subject.extractor, X, who="diagnose") if not subject.before else None
    n_images = _count(X) if images is None else len(images)
    groups = _check_groups(groups, n_images, y)
    labels = all_y = None
    n_each = 0
    if y is not None:
        labels = check_labels(y, n_images, who="diagnose")
        all_y = labels.y
        n_each = int(cv) if isinstance(cv, Integral) else cv.get_n_splits()
        if isinstance(cv, Integral):
            make_folds(labels, cv, random_state=random_state, groups=groups, who="diagnose")
    elif n_images < 2:
        raise ValueError("diagnose needs at least two images. Got 1.")

    rows = sample_rows(n_images, all_y, max_images, n_each, random_state)
    sample = _safe_indexing(X, rows.tolist()) if len(rows) < n_images else X
    folds = None
    if all_y is not None:
        labels = check_labels(all_y[rows], len(rows), who="diagnose")
        own = None if groups is None else groups[rows]
        folds = make_folds(labels, cv, random_state=random_state, groups=own, who="diagnose")
    shown = subject.show(sample, None if labels is None else labels.y)
    seen = read_as(subject.extractor, shown, who="diagnose")
    paths = None
    if isinstance(images, ImageList) and all(isinstance(each, str) for each in images.items):
        paths = list(images.items)
    if not isinstance(images, ArrayImages):
        images = seen  # what would have to be decoded or computed is looked at in the sample only
    extractor = subject.fit_extractor(X if images is not seen else shown)
    evidence = Evidence(
        subject=subject,
        extractor=extractor,
        X=shown,
        images=seen,
        all_images=images,
        rows=rows,
        n_images=n_images,
        labels=labels,
        all_y=all_y,
        folds=folds,
        cv=cv,
        seed=random_state,
        given=given,
        paths=paths,
        groups=groups,
    )
    if given is not None:
        check_features(given, n_images, evidence.anatomy)
    return _run(evidence)


def _run(evidence: Evidence) -> Diagnosis:
    found: list[Finding] = []
    skipped: dict[str, str] = {}
    made: set[str] = set()
    checks = [each for each in CHECKS if evidence.given is not None or not each.needs_features]
    for check in checks:
        if reason := check.reason_against(evidence):
            skipped |= dict.fromkeys(check.names, reason)
        else:
            found += check.look(evidence)
            made.update(check.names)
    skipped = {name: reason for name, reason in skipped.items() if name not in made}
    skipped |= evidence.left_out
    if evidence.labels is None:
        skipped |= dict.fromkeys(_ONLY_WITH_LABELS, "y was not given")
    found.sort(key=lambda finding: -SEVERITIES.index(finding.severity))
    names = dict.fromkeys(name for check in checks for name in check.names)
    return Diagnosis(
        findings=found,
        n_images=evidence.n_images,
        n_sampled=len(evidence.rows),
        checks=[name for name in names if name not in skipped],
        skipped=skipped,
    )


def _count(X: Any) -> int:
    try:
        return int(X.shape[0]) if hasattr(X, "shape") else len(X)
    except TypeError as error:
        raise TypeError(
            f"diagnose needs images that can be counted. Got {type(X).__name__}: pass a list or an "
            "array."
        ) from error


def _check_groups(groups: Any, n_images: int, y: Any) -> np.ndarray | None:
    if groups is None:
        return None
    if y is None:
        raise ValueError("diagnose needs labels where there are groups. Got groups and y=None.")
    return check_groups(groups, n_images, who="diagnose")


def _check_parameters(cv: Any, max_images: Any, random_state: Any) -> None:
    if not isinstance(cv, Integral) and not (hasattr(cv, "split") and hasattr(cv, "get_n_splits")):
        raise TypeError(
            "The 'cv' parameter of diagnose must be a whole number of folds or a splitter of "
            f"scikit-learn, as it splits a sample. Got {cv!r} instead."
        )
    for name, value, lowest in (("max_images", max_images, 10), ("random_state", random_state, 0)):
        if not isinstance(value, Integral) or value < lowest:
            raise ValueError(
                f"The {name!r} parameter of diagnose must be a whole number from {lowest} up. Got "
                f"{value!r} instead."
            )
