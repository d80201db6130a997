"""Checks of shape: channels, height and width in the right places, size and aspect."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sktransfer.evaluation.diagnosis.evidence import Evidence
from sktransfer.evaluation.diagnosis.findings import Finding
from sktransfer.evaluation.diagnosis.probes import is_better
from sktransfer.evaluation.diagnosis.survey import roughness
from sktransfer.features.fitted import get_runner
from sktransfer.inputs.images import ArrayImages
from sktransfer.networks import MIN_SIZE
from sktransfer.networks.outputs import as_shape, spell_size

#: Read in the right order, neighbouring pixels differ a third to a quarter as much as in the wrong
#: one (photographs at 8 to 64 pixels); noise gives 1. Measured the other way: 0.48 to 0.58.
SCRAMBLED = 0.75
#: Channels of a pixel this much more alike than its neighbours are those of a grey image. Planes
#: read as pixels have their neighbour's values for channels, a third as different as those 3 away.
NEARLY_GREY = 0.2

#: Resized pixels per pixel of an image from which edges are blurred past the 3 x 3 filters. Whether
#: that does harm is measured.
ENLARGED = 6.0
#: Gain at a smaller size that is worth a warning.
SMALLER_WINS = 0.02
#: Pixels of an image per resized pixel, in each direction, from which 15 of 16 are lost.
SHRUNK = 4.0
#: Longer side per shorter side from which stretching to a square leaves no shape as it was.
STRIP = 3.0


def scrambled(e: Evidence) -> Iterator[Finding]:
    """Look for rows that were cut into images in another order than they hold."""
    images = e.images
    if not isinstance(images, ArrayImages):
        return
    height, width, n_channels = images.image_shape
    if min(height, width) < 2:
        return
    values = np.asarray(images.arrays[0][:50], dtype=np.float32)
    if n_channels == 3 and not e.survey.is_grey.all():
        yield from _channels_scrambled(images, values)
    if height != width:
        yield from _sides_exchanged(images, values)


def _channels_scrambled(images: ArrayImages, values: np.ndarray) -> Iterator[Finding]:
    n, height, width, _ = values.shape
    first = images.channels_first
    if first:  # back to what each row holds, read as pixels of three channels
        other_way = values.transpose(0, 3, 1, 2).reshape(n, height, width, 3)
    else:
        other_way = values.reshape(n, 3, height, width).transpose(0, 2, 3, 1)
    read, other = roughness(values), roughness(other_way)
    if read == 0 or other / read > SCRAMBLED:
        return
    # Nearly grey pixels repeat their value three times, which looks smooth in any order.
    pixels = other_way if first else values
    across = float(np.abs(np.diff(pixels, axis=3)).mean())
    if not first and across < NEARLY_GREY * read:
        return
    here, there = ("first", "last") if first else ("last", "first")
    shape = (height, width, 3) if first else (3, height, width)
    kept = "" if first else ", as in CIFAR's files"
    order = "the three values of each pixel" if first else "all red, all green and all blue values"
    yield Finding(
        "channels-scrambled",
        "error",
        f"Read as they are, with the channels {here}, neighbouring pixels differ far more than if "
        f"{order} follow each other{kept}: the images are scrambled.",
        {
            f"difference of neighbours, channels {here}": read,
            f"difference of neighbours, channels {there}": other,
            "image shape": list(images.image_shape),
        },
        _reshape(images, shape),
    )


def _sides_exchanged(images: ArrayImages, values: np.ndarray) -> Iterator[Finding]:
    n, height, width, n_channels = values.shape
    if images.channels_first:
        planes = values.transpose(0, 3, 1, 2).reshape(n, n_channels, width, height)
        other_way = planes.transpose(0, 2, 3, 1)
    else:
        other_way = values.reshape(n, width, height, n_channels)
    read, other = roughness(values), roughness(other_way)
    if read == 0 or other / read > SCRAMBLED:
        return
    shape = (width, height) if n_channels == 1 else (width, height, n_channels)
    if images.channels_first:
        shape = (n_channels, width, height)
    yield Finding(
        "sides-exchanged",
        "error",
        "Height and width are exchanged: cut into rows of the other length, neighbouring pixels "
        "differ far less. As they are, the images are sheared past recognition.",
        {
            "difference of neighbours": read,
            "with height and width exchanged": other,
            "height and width": [height, width],
        },
        _reshape(images, shape),
    )


def _reshape(images: ArrayImages, shape: tuple[int, ...]) -> str:
    """Write the line of code that reads the images in another shape."""
    if images.has_columns:
        return f"extractor.set_params(image_shape={shape})"
    return f"X = X.reshape(len(X), {', '.join(map(str, shape))})"


def scale(e: Evidence) -> Iterator[Finding]:
    """Look for images that are resized past the scale or the shape of what the filters know."""
    resizing = get_runner(e.extractor).resizing
    size = float(np.sqrt(np.prod(as_shape(e.cut.input_size))))
    sides = np.sqrt(e.survey.sizes.prod(axis=1))
    side = float(np.median(sides))
    evidence = {"side of the images, pixels": side, "input_size": e.cut.input_size}
    if size / side >= ENLARGED:
        yield from _enlarged(e, side, evidence | {"enlarged by": size / side})
    elif side / size >= SHRUNK:
        yield Finding(
            "shrunk",
            "warning",
            "The images are shrunk so much that little of their detail is left"
            + ("" if resizing.antialias else ", and without antialiasing most pixels are skipped")
            + ".",
            evidence | {"shrunk by": side / size, "antialias": resizing.antialias},
            f"extractor.set_params(input_size={min(224, round(side / 2))}, antialias=True)",
        )
    height, width = as_shape(e.cut.input_size)
    shapes = e.survey.sizes[:, 0] / e.survey.sizes[:, 1] * (width / height)
    ratios = np.maximum(shapes, 1 / shapes)
    if resizing.aspect == "stretch" and np.median(ratios) >= STRIP:
        (strips,) = np.nonzero(ratios >= STRIP)
        yield Finding(
            "stretched",
            "warning",
            "The images are strips, and are stretched to squares: shapes are more distorted than "
            "anything the filters were trained on.",
            {"longer side over shorter one": float(np.median(ratios)), "images": len(strips)},
            "extractor.set_params(aspect='pad')  # or cut each strip into squares",
            e.places(strips),
        )


def _enlarged(e: Evidence, side: float, evidence: dict) -> Iterator[Finding]:
    """Measure what a smaller input would give, where the layer exists at that size."""
    if e.labels is None:
        return  # nothing can be measured
    smaller = max(MIN_SIZE, round(2 * side))
    features = e.resized(smaller)
    if features is None:
        e.leave_out(["enlarged"], "the network takes no smaller images")
        return
    probe = e.score(features)
    better, p_value = is_better(probe, e.feature_probe, margin=SMALLER_WINS)
    evidence |= {
        f"{probe.metric} at {spell_size(e.cut.input_size)}": e.feature_probe.score,
        f"{probe.metric} at {smaller}": probe.score,
        "p-value": p_value,
    }
    if better:
        yield Finding(
            "enlarged",
            "warning",
            "The images are enlarged so much that their edges are wider than the filters, which "
            "look at few pixels: on these images and at this layer, a smaller input classifies "
            "better, and is faster.",
            evidence,
            f"extractor.set_params(input_size={smaller})",
        )
    elif probe.score >= e.feature_probe.score - SMALLER_WINS / 2:
        yield Finding(
            "enlarged",
            "info",
            "The images are enlarged so much that their edges are wider than the filters of the "
            "first layers. At this layer that does no measurable harm; a smaller input does as "
            "well on these images, and is faster.",
            evidence,
            f"extractor.set_params(input_size={smaller})",
        )
