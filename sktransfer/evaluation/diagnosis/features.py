"""Checks of the features: whether they differ, and whether the network fits the images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sktransfer.evaluation.diagnosis.evidence import Evidence
from sktransfer.evaluation.diagnosis.findings import Finding

#: Deviation of features over images, in parts of their size, that rounding to float32 may leave.
#: Images divided by 255 twice still give 3e-4, which a scaler partly corrects.
COLLAPSED = 1e-5
#: Share of features that are 0 for every image above which a layer is dead. Trained blocks leave
#: up to two thirds silent on digits, which few of ImageNet's filters are made for.
DEAD = 0.95
#: Share of images whose strongest class takes nearly all from which a softmax is saturated.
SATURATED_IMAGES, SATURATED_VALUE = 0.9, 0.999
#: Features per image from which a classifier can memorise any labels.
WIDE = 10.0


def collapsed_features(e: Evidence) -> Iterator[Finding]:
    """Look for features that are the same for every image."""
    features = e.features
    size = float(np.sqrt(np.mean(features.astype(np.float64) ** 2)))
    deviation = float(np.sqrt(features.var(axis=0, dtype=np.float64).mean()))
    is_dead = ~features.any(axis=0)
    evidence = {
        "features": features.shape[1],
        "always 0": float(is_dead.mean()),
        "deviation over images, parts of their size": deviation / size if size else 0.0,
    }
    if e.survey.n_distinct > 1 and deviation <= COLLAPSED * size:
        yield Finding(
            "collapsed-features",
            "error",
            "Different images have the same features, or almost the same: they differ by no more "
            "than rounding.",
            evidence | {"different images": e.survey.n_distinct},
            "# first fix what was found in the images; if nothing was:\n"
            f"extractor.set_params({e.anatomy.earlier}, value_range='auto')",
        )
    elif is_dead.mean() > DEAD:
        yield Finding(
            "dead-features",
            "warning",
            "Nearly all features are 0 for every image: no filter of this layer responds.",
            evidence,
            f"extractor.set_params({e.anatomy.earlier})  # an earlier layer",
        )


def saturated_features(e: Evidence) -> Iterator[Finding]:
    """Look at what the softmax of a classifier leaves."""
    shares = next(filter(_are_shares, _vectors(e)), None)
    if shares is None:
        return
    top = shares.max(axis=1)
    winners = np.bincount(shares.argmax(axis=1))
    evidence = {
        "images with a class above 0.999": float((top > SATURATED_VALUE).mean()),
        "images with the most frequent class": float(winners.max() / len(top)),
        "median of the largest share": float(np.median(top)),
    }
    is_saturated = (top > SATURATED_VALUE).mean() > SATURATED_IMAGES
    yield Finding(
        "saturated-features",
        "error" if is_saturated and winners.max() > SATURATED_IMAGES * len(top) else "warning",
        f"The features are the probabilities of {shares.shape[1]:,} classes, which add up to 1: "
        "all else about the images is lost, and small probabilities vanish next to large ones.",
        evidence,
        f"extractor.set_params({e.anatomy.unclassified}",
    )


def _vectors(e: Evidence) -> Iterator[np.ndarray]:
    """Give the features of each wanted layer that computes a plain vector."""
    parts = np.split(e.features, np.cumsum(e.cut.widths)[:-1], axis=1)
    for (layer, _), part in zip(e.cut.outputs, parts, strict=True):
        if len(layer.output_shape) == 1 and layer.kind.lower() != "flatten":
            yield part


def _are_shares(values: np.ndarray) -> bool:
    """Tell whether each row holds probabilities, which add up to 1."""
    sums = values.sum(axis=1, dtype=np.float64)
    return values.shape[1] > 1 and bool((values >= 0).all() and np.allclose(sums, 1, atol=1e-3))
