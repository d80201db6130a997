"""Why did it fail? Images, features, labels and classifier examined, with evidence and remedies.

Each check is a function from evidence to findings. Evidence is computed once, and only if a check
asks for it; what may be said, and what needs labels, stands in one table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from sklearn.utils import _safe_indexing

from sktransfer.diagnosis import copies, features, learning, pixels
from sktransfer.diagnosis.evidence import Evidence, read_for
from sktransfer.diagnosis.findings import SEVERITIES, Diagnosis, Finding
from sktransfer.diagnosis.sampling import sample_rows
from sktransfer.diagnosis.subject import read_subject
from sktransfer.images import ArrayImages
from sktransfer.probing import check_labels, make_folds

__all__ = ["CHECKS", "Check", "Diagnosis", "Finding", "diagnose"]


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
    """

    look: Callable[[Evidence], Iterable[Finding]]
    names: tuple[str, ...]
    needs_labels: bool = False


#: In the order in which data flow: the first of equal severity is often the cause of the rest.
CHECKS = (
    Check(pixels.preprocessed_before, ("preprocessed-before", "scaled-twice", "range-ambiguous")),
    Check(pixels.value_range, ("scaled-twice", "range-wrong", "range-ambiguous")),
    Check(pixels.channels_scrambled, ("channels-scrambled",)),
    Check(pixels.channel_order, ("channel-order",)),
    Check(copies.blank_images, ("blank-images",)),
    Check(
        copies.duplicate_images,
        ("identical-images", "duplicate-images", "contrary-labels", "duplicates-across-folds"),
    ),
    Check(pixels.scale, ("enlarged", "shrunk")),
    Check(features.random_weights, ("random-weights",)),
    Check(features.collapsed_features, ("collapsed-features", "dead-features")),
    Check(features.saturated_features, ("saturated-features",)),
    Check(learning.labels_out_of_step, ("labels-out-of-step",), needs_labels=True),
    Check(learning.lost_signal, ("lost-signal",), needs_labels=True),
    Check(learning.cut_depth, ("cut-too-deep", "cut-too-shallow"), needs_labels=True),
    Check(learning.wide_features, ("wide-features",)),
    Check(learning.unscaled_features, ("unscaled-features",), needs_labels=True),
    Check(learning.not_converged, ("not-converged",), needs_labels=True),
    Check(learning.fitted_otherwise, ("fitted-otherwise",), needs_labels=True),
    Check(learning.raw_pixels_win, ("raw-pixels-win",), needs_labels=True),
    Check(features.domain_gap, ("domain-gap",)),
    Check(learning.chance_level, ("chance-level",), needs_labels=True),
)
# Without labels, what these say depends on them.
_ONLY_WITH_LABELS = ("contrary-labels", "duplicates-across-folds")


def diagnose(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    cv: Any = 5,
    max_images: int = 200,
    random_state: int = 0,
) -> Diagnosis:
    """Examine images, features, labels and classifier, and say what is wrong, with evidence.

    Looks for mistakes that are common with pretrained networks and that raise no error: wrong
    ranges, double preprocessing, exchanged channels, copies, labels out of step, unfit sizes and
    layers, unscaled features. Every image of an array is searched for copies and blanks; all else
    is done on a sample, which goes through the network once for its features and once for the
    layers around the cut.

    Parameters
    ----------
    estimator : VGGFeatureExtractor or Pipeline
        What is used, fitted or not. A pipeline holds one extractor, and may hold steps before it,
        and a scaler and a classifier behind it. It is never changed; what is not fitted is fitted
        as a copy.
    X : array-like, DataFrame, or list of paths, PIL images or arrays
        Images as `estimator` takes them.
    y : array-like of shape (n_images,) or None, default=None
        Their labels. Without them, what depends on labels is skipped.
    cv : int or splitter, default=5
        Folds in which the classifier is scored and copies are looked for.
    max_images : int, default=200
        Images that are sampled, of each class in its proportion: no fewer than folds of any.
    random_state : int, default=0
        Seed of sample, folds and permutations.

    Returns
    -------
    Diagnosis
        Findings, the gravest first; printed, it is a report.

    Raises
    ------
    TypeError
        If `estimator` holds no extractor, or several.
    ValueError
        If labels and images do not match, or there are too few of either.
    OSError
        If weights or image files are not to be had.

    See Also
    --------
    compare_transfer : Raw pixels against features, on all images.

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
    _check_parameters(cv, max_images, random_state)
    images = read_for(subject.extractor, X) if not subject.before else None
    n_images = _count(X) if images is None else len(images)
    labels = all_y = None
    n_each = 0
    if y is not None:
        labels = check_labels(y, n_images, who="diagnose")
        all_y = labels.y
        n_each = int(cv) if isinstance(cv, Integral) else cv.get_n_splits()
        if isinstance(cv, Integral):
            make_folds(labels, cv, random_state=random_state, who="diagnose")
    elif n_images < 2:
        raise ValueError("diagnose needs at least two images. Got 1.")

    rows = sample_rows(n_images, all_y, max_images, n_each, random_state)
    sample = _safe_indexing(X, rows.tolist()) if len(rows) < n_images else X
    folds = None
    if all_y is not None:
        labels = check_labels(all_y[rows], len(rows), who="diagnose")
        folds = make_folds(labels, cv, random_state=random_state, who="diagnose")
    shown = subject.show(sample, None if labels is None else labels.y)
    seen = read_for(subject.extractor, shown)
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
    )
    return _run(evidence)


def _run(evidence: Evidence) -> Diagnosis:
    found: list[Finding] = []
    skipped: dict[str, str] = {}
    for check in CHECKS:
        if check.needs_labels and evidence.labels is None:
            skipped |= dict.fromkeys(check.names, "y was not given")
        else:
            found += check.look(evidence)
    if evidence.labels is None:
        skipped |= dict.fromkeys(_ONLY_WITH_LABELS, "y was not given")
    found.sort(key=lambda finding: -SEVERITIES.index(finding.severity))
    names = dict.fromkeys(name for check in CHECKS for name in check.names)
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
