"""Checks of the network itself: weights that nobody trained, in part or whole, or turned round."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sktransfer.evaluation.diagnosis.evidence import Evidence
from sktransfer.evaluation.diagnosis.findings import Finding

#: Correlation of neighbouring values in the kernels of a convolution. Those of VGG16 and VGG19 have
#: 0.50 to 0.81 in every layer, drawn ones 0.00 with a deviation of 0.03 in the first layer and less
#: in later ones.
SMOOTH = 0.2
#: The first filter of the first convolution on red, as published (Simonyan and Zisserman, 2015).
FIRST_FILTERS = {
    "vgg16": [
        [0.4295, 0.3735, -0.0614],
        [0.2748, 0.0387, -0.3672],
        [-0.0575, -0.2622, -0.3501],
    ],
    "vgg19": [
        [0.3412, 0.3400, -0.0448],
        [0.2322, 0.0898, -0.3033],
        [-0.0726, -0.2467, -0.3368],
    ],
}
_TURNS = {
    "turned by 180 degrees": lambda k: k[::-1, ::-1],
    "mirrored, left and right exchanged": lambda k: k[:, ::-1],
    "mirrored, top and bottom exchanged": lambda k: k[::-1],
    "transposed, rows and columns exchanged": lambda k: k.swapaxes(0, 1),
    "transposed and turned": lambda k: k[::-1, ::-1].swapaxes(0, 1),
}


def random_weights(e: Evidence) -> Iterator[Finding]:
    """Look for layers that nobody trained."""
    if e.is_trained_on_formulas:  # 3 x 3 kernels for small images are not smooth
        return
    if e.extractor.weights is None:
        yield Finding(
            "random-weights",
            "warning",
            "The weights are random (weights=None): a control, which has learned nothing.",
            {"seed": e.extractor.random_seed_},
            "extractor.set_params(weights='imagenet')",
        )
        return
    found = {
        name: smoothness(kernel) for name, kernel in e.kernels.items() if min(kernel.shape[:2]) >= 3
    }
    random = [name for name, value in found.items() if value < SMOOTH]
    if not random:
        return
    first = next(iter(found))
    evidence = {f"correlation of neighbours in {name}": found[name] for name in random[:3]}
    evidence |= {"trained on ImageNet": 0.55, "layers like this": len(random), "of": len(found)}
    if first in random:
        yield Finding(
            "random-weights",
            "warning",
            "The weights file seems to hold random weights: neighbouring values in the kernels of "
            "its first convolution are uncorrelated, unlike those of every trained network.",
            evidence,
            "extractor.set_params(weights='imagenet')",
        )
        return
    yield Finding(
        "random-deep-layers",
        "error",
        "The first layers are trained, but later ones hold random values, as when a file was "
        "loaded by name and some layers were not in it. Their output says little about the images.",
        evidence,
        f"extractor.set_params(weights='imagenet')  # or cut before {random[0]}",
    )


def smoothness(kernel: np.ndarray) -> float:
    """Correlate neighbouring values in the kernels of a convolution."""
    power = float((kernel**2).mean())
    products = [(kernel[1:] * kernel[:-1]).mean(), (kernel[:, 1:] * kernel[:, :-1]).mean()]
    return float(np.mean(products)) / max(power, 1e-30)


def kernels_flipped(e: Evidence) -> Iterator[Finding]:
    """Look for ImageNet's own kernels in another orientation."""
    known = FIRST_FILTERS.get(e.extractor.architecture)
    kernel = next(iter(e.kernels.values()), None)
    if known is None or kernel is None or kernel.shape[:2] != (3, 3):
        return
    own = kernel[:, :, :, 0]
    if any(np.allclose(own[:, :, i], known, atol=1e-3) for i in (0, 2)):
        return
    for how, turn in _TURNS.items():
        if any(np.allclose(turn(own)[:, :, i], known, atol=1e-3) for i in (0, 2)):
            yield Finding(
                "kernels-flipped",
                "error",
                f"These are ImageNet's kernels, {how}: they were converted from a library that "
                "convolves or lays out kernels differently. To the network every image is turned "
                "in this way.",
                {"first filter": own[:, :, 0].round(4).tolist(), "as published": known},
                "extractor.set_params(weights='imagenet')  # or turn the kernels of the file back",
            )
            return
