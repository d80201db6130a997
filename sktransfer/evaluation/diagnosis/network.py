"""Checks of the network: its preprocessing, untrained weights, flipped kernels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sktransfer.evaluation.diagnosis.anatomy import NetworkAnatomy, VGGAnatomy
from sktransfer.evaluation.diagnosis.evidence import Evidence
from sktransfer.evaluation.diagnosis.findings import Finding
from sktransfer.features.fitted import get_runner

#: Correlation of neighbouring values in the kernels of a convolution. Those of VGG16 and VGG19 have
#: 0.50 to 0.81 in every layer, drawn ones 0.00 with a deviation of 0.03 in the first layer and less
#: in later ones.
SMOOTH = 0.2
#: Difference of black and white below which a network sees neither. The usual ways of scaling give
#: 1 to 255, and any of them done twice 0.004 to 0.02.
SPAN = 0.1
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


def preprocessing(e: Evidence) -> Iterator[Finding]:
    """Look for pixels that are scaled twice, or otherwise than the network's makers say."""
    network = e.anatomy
    if isinstance(network, VGGAnatomy):
        return  # its preprocessing cannot be set
    own, makers = get_runner(e.extractor).scaling, network.makers_scaling
    span = network.span()
    remedy = "extractor.set_params(preprocessing='auto')"
    if span < SPAN:
        yield Finding(
            "scaled-twice",
            "error",
            "Where the network begins to compute, black and white are nearly the same: pixels are "
            "scaled twice, by the parameter 'preprocessing' and by layers of the network, or by a "
            "factor that is too small.",
            {"from black to white": span, "preprocessing": str(own)},
            remedy if makers else f"extractor.set_params(preprocessing={{'order': {own.order!r}}})",
        )
    elif makers is not None and own != makers:
        yield Finding(
            "other-preprocessing",
            "warning",
            "Pixels are scaled differently than when the network was trained: the parameter "
            "'preprocessing' differs from the preprocessing of its makers.",
            {"preprocessing": str(own), "its makers'": str(makers)},
            remedy,
        )


def undrawn(e: Evidence) -> Iterator[Finding]:
    """Look for a network that nobody trained, by its parameters and by what training changes."""
    if e.extractor.weights is None:
        yield Finding(
            "random-weights",
            "warning",
            "The weights are random (weights=None): a control, which has learned nothing.",
            {"seed": e.extractor.random_seed_},
            f"extractor.set_params({e.anatomy.trained})",
        )
    elif isinstance(e.anatomy, NetworkAnatomy) and e.anatomy.is_untrained():
        yield Finding(
            "random-weights",
            "warning",
            "The network seems to hold random weights: all its biases, gains, means and variances "
            "have the values that a new network starts with, which training changes.",
            {"network": e.anatomy.name},
            "# load the trained weights into the network before it is given to the extractor",
        )


def random_layers(e: Evidence) -> Iterator[Finding]:
    """Look for layers of VGG that nobody trained."""
    assert isinstance(e.anatomy, VGGAnatomy)
    # 3 x 3 kernels for small images are not smooth.
    if e.extractor.weights is None or e.anatomy.is_trained_on_formulas:
        return
    found = {
        name: smoothness(kernel)
        for name, kernel in e.anatomy.kernels.items()
        if min(kernel.shape[:2]) >= 3
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
    assert isinstance(e.anatomy, VGGAnatomy)
    known = FIRST_FILTERS.get(e.anatomy.cut.architecture)
    kernel = next(iter(e.anatomy.kernels.values()), None)
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
