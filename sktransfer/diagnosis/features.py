"""Checks of the features: whether they differ, and whether the network fits the images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sktransfer.diagnosis.evidence import Evidence
from sktransfer.diagnosis.findings import Finding

#: Deviation of features over images, in parts of their size, that rounding to float32 may leave.
#: Images divided by 255 twice still give 3e-4, which a scaler makes good to some extent.
COLLAPSED = 1e-5
#: Share of features that are 0 for every image above which a layer is dead. Trained blocks leave
#: up to two thirds silent on digits, which few of ImageNet's filters are made for.
DEAD = 0.95
#: Share of images whose strongest class takes nearly all from which a softmax is saturated.
SATURATED_IMAGES, SATURATED_VALUE = 0.9, 0.999
#: Correlation of neighbouring values in the kernels of the first convolution. VGG's trained ones
#: have 0.55, drawn ones 0.00 with a deviation of 0.03.
SMOOTH = 0.2
#: Features per image from which a classifier can learn any labels by heart.
WIDE = 10.0
#: Median distance of channel means from those of photographs, in their deviations.
FAR_FROM_PHOTOGRAPHS = 1.0


def random_weights(e: Evidence) -> Iterator[Finding]:
    """Look for a network that nobody trained."""
    kernel = e.first_kernel
    if e.is_trained_on_formulas:  # 3 x 3 kernels for small images are not smooth
        return
    if kernel is None:
        yield Finding(
            "random-weights",
            "warning",
            "The weights are random (weights=None): a control, which has learned nothing.",
            {"seed": e.extractor.random_seed_},
            "extractor.set_params(weights='imagenet')",
        )
        return
    power = float((kernel**2).mean())
    products = [(kernel[1:] * kernel[:-1]).mean(), (kernel[:, 1:] * kernel[:, :-1]).mean()]
    smoothness = float(np.mean(products)) / max(power, 1e-30)
    if smoothness < SMOOTH:
        yield Finding(
            "random-weights",
            "warning",
            "The weights file seems to hold random weights: neighbouring values in the kernels of "
            "its first convolution have nothing in common, as they have in every trained one.",
            {"correlation of neighbours in block1_conv1": smoothness, "trained on ImageNet": 0.55},
            "extractor.set_params(weights='imagenet')",
        )


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
            "Different images have the same features, or all but the same: what is left to tell "
            "them apart is no more than rounding.",
            evidence | {"different images": e.survey.n_distinct},
            "# cure what is found in the images first; if nothing is:\n"
            "extractor.set_params(layer='block3_pool', value_range='auto')",
        )
    elif is_dead.mean() > DEAD:
        yield Finding(
            "dead-features",
            "warning",
            "Nearly all features are 0 for every image: no filter of this layer answers.",
            evidence,
            "extractor.set_params(layer='block3_pool')  # an earlier layer",
        )


def saturated_features(e: Evidence) -> Iterator[Finding]:
    """Look at what the softmax of ``predictions`` leaves."""
    names = [layer.name for layer in e.cut.layers]
    if "predictions" not in names:
        return
    start = int(np.cumsum((0, *e.cut.widths))[names.index("predictions")])
    shares = e.features[:, start : start + e.cut.widths[names.index("predictions")]]
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
        "The features are the shares of ImageNet's 1,000 classes, which sum up to 1: what the "
        "images have beyond these classes is lost, and small shares vanish beside large ones.",
        evidence,
        "extractor.set_params(layer='fc1')  # or 'block5_pool' with pooling='avg'",
    )


def domain_gap(e: Evidence) -> Iterator[Finding]:
    """Compare what the first blocks answer with their answer to photographs."""
    if e.is_trained_on_formulas:  # no photograph was among what they were trained on
        return
    layer, distances = e.photograph_gap
    gap = float(np.median(np.abs(distances)))
    if gap <= FAR_FROM_PHOTOGRAPHS:
        return
    yield Finding(
        "domain-gap",
        "info",
        "The early features of these images are far from those of photographs, which the network "
        "was trained on. Transfer may work all the same; late layers suffer first.",
        {
            f"median distance of the channels of {layer}, deviations over photographs": gap,
            "grey images": float(e.survey.is_grey.mean()),
            "channels beyond 3 deviations": float((np.abs(distances) > 3).mean()),
        },
        "sweep_layers(X, y)  # compare early and middle layers, and random weights as the control",
    )
