"""Checks of the pixels: value range, earlier preprocessing, channels, size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sktransfer.evaluation.diagnosis.evidence import Evidence, describe_pixels
from sktransfer.evaluation.diagnosis.findings import Finding
from sktransfer.features.fitted import get_runner
from sktransfer.features.preprocessing import CHANNEL_MEANS_BGR
from sktransfer.inputs.images import ArrayImages
from sktransfer.inputs.scale import is_per_channel
from sktransfer.networks.pixels import TF, PixelScaling

#: A brightest value below this, of 255, is nearly black: photographs and digits reach past 200, and
#: the usual confusions of range (1, 16, 4,095 of 65,535) end at 16.
NEARLY_BLACK = 17.0
#: A brightest value below half of white is what the extractor warns of as well.
DIM = 127.5
#: All values within so few grey levels of 255 are the work of a wrong range, or of one blank image.
NO_CONTRAST = 17.0
#: Beyond this share of the range on either side, images have another range than assumed.
FAR_OUTSIDE = 255.0
#: A share of values outside the range that resizing, sharpening or noise do not reach.
OFTEN_OUTSIDE = 0.01
# What Keras' preprocess_input(mode="torch") divides by and subtracts.
_TORCH_MEANS, _TORCH_STDS = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

#: Colour images from which a statistic of their channels is asked for.
MIN_COLOURED = 20
#: Standard errors from which a statistic of channels counts; images of one set resemble each other,
#: so that what they say is worth less than their number.
COLOUR_Z = 4.0
#: Words that name a colour: 1 for more red than blue, -1 for more blue than red.
COLOUR_WORDS = {
    "red": 1, "orange": 1, "yellow": 1, "brown": 1, "fire": 1, "flame": 1, "tomato": 1,
    "strawberry": 1, "banana": 1, "lemon": 1, "skin": 1, "face": 1, "desert": 1, "sand": 1,
    "blue": -1, "sky": -1, "sea": -1, "ocean": -1, "water": -1,
}  # fmt: skip


def preprocessed_before(e: Evidence) -> Iterator[Finding]:
    """Look for pixels from which means were subtracted, or that were divided."""
    if e.extent is None or e.extent[0] >= 0 or is_per_channel(e.exact_range):
        return
    low, high = e.extent
    evidence = {"smallest value": low, "largest value": high, "black and white": e.value_range}
    lows, highs = e.survey.raw_low.min(axis=0), e.survey.raw_high.max(axis=0)
    for look in (_less_means, _standardised, _scaled_for_the_network):
        found = look(e, lows, highs, evidence)
        if found is not None:
            yield found
            return
    yield from _negative(e, low, high, evidence)


def _less_means(
    _: Evidence, lows: np.ndarray, highs: np.ndarray, evidence: dict[str, Any]
) -> Finding | None:
    """Look for ImageNet's channel means, subtracted in either order."""
    floors = -np.array(CHANNEL_MEANS_BGR)
    for order, floor in (("BGR", floors), ("RGB", floors[::-1])):
        # Where an image has a black pixel, each channel begins at minus its mean, to the digit.
        if not np.all(np.abs(lows - floor) < 0.6) or np.any(highs > floor + 255.6):
            continue
        evidence |= {"smallest by channel": lows.tolist(), "ImageNet's means": floor.tolist()}
        undo = f"X + np.float32({[round(-f, 3) for f in floor.tolist()]})"
        undo = f"({undo})[..., ::-1]" if order == "BGR" else undo
        if np.all(highs <= floor + 1.6):
            return Finding(
                "scaled-twice",
                "error",
                "These images were divided by 255 and then had ImageNet's channel means "
                "subtracted, which expects values up to 255: to the network all of them are the "
                "same nearly black square.",
                evidence,
                f"X = {undo}  # values from 0 to 1, RGB; better: the images before all this",
            )
        return Finding(
            "preprocessed-before",
            "error",
            f"These images went through preprocess_input already: ImageNet's channel means are "
            f"subtracted, in the order {order}. The extractor does that itself.",
            evidence,
            f"X = {undo}  # better: pass the images before preprocess_input",
        )
    return None


def _standardised(
    _: Evidence, lows: np.ndarray, highs: np.ndarray, evidence: dict[str, Any]
) -> Finding | None:
    """Look for values that ImageNet's means and deviations standardised."""
    if not _is_torch(lows, highs):
        return None
    return Finding(
        "preprocessed-before",
        "error",
        "These images were standardised by ImageNet's means and deviations, as torchvision's "
        "and Keras' mode 'torch' do. The extractor preprocesses images itself.",
        evidence | {"smallest by channel": lows.tolist()},
        f"X = X * np.float32({_TORCH_STDS.tolist()}) + np.float32({_TORCH_MEANS.tolist()})",
    )


def _scaled_for_the_network(
    e: Evidence, lows: np.ndarray, highs: np.ndarray, evidence: dict[str, Any]
) -> Finding | None:
    """Look for black and white where the network's own preprocessing puts them."""
    scaling = get_runner(e.extractor).scaling
    if scaling in (TF, PixelScaling()) or not _is_scaled(scaling, lows, highs):
        return None
    turned = "[..., ::-1]" if scaling.order == "BGR" else ""
    return Finding(
        "preprocessed-before",
        "error",
        "These images were preprocessed for the network already: black and white are where its "
        "preprocessing puts them. The extractor does that itself.",
        evidence | {"smallest by channel": lows.tolist(), "preprocessing": str(scaling)},
        f"X = ((X * np.float32({list(scaling.std)}) + np.float32({list(scaling.mean)})) "
        f"/ {scaling.scale:g}){turned}  # better: pass the images before",
    )


def _negative(e: Evidence, low: float, high: float, evidence: dict[str, Any]) -> Iterator[Finding]:
    """Judge negative values that no known preprocessing explains."""
    chosen = e.value_range
    # A range given by the user, within which all values lie, is not a guess.
    given = not isinstance(e.extractor.value_range, str)
    if given and chosen is not None and low >= min(chosen) and high <= max(chosen):
        return
    if chosen == (-1.0, 1.0):
        yield Finding(
            "range-ambiguous",
            "info",
            "Negative values were taken to run from -1 for black to 1 for white.",
            evidence,
            "extractor.set_params(value_range=(-1, 1))",
        )
        return
    yield Finding(
        "preprocessed-before",
        "warning",
        "Pixels are rarely negative: something was subtracted from these, perhaps by a scaler. "
        "The values of black and white were guessed, and differ from pixel to pixel if each column "
        "was scaled separately.",
        evidence,
        "# give the images as they were before scaling, or if one black and one white hold for "
        "all pixels:\nextractor.set_params(value_range=(black, white))",
    )


def _is_torch(lows: np.ndarray, highs: np.ndarray) -> bool:
    bottom, top = -_TORCH_MEANS / _TORCH_STDS, (1 - _TORCH_MEANS) / _TORCH_STDS
    return bool(np.all(np.abs(lows - bottom) < 0.02) and np.all(highs <= top + 0.02))


def _is_scaled(scaling: PixelScaling, lows: np.ndarray, highs: np.ndarray) -> bool:
    """Tell whether pixels begin where a scaling puts black, and end no later than white."""
    mean, std = np.array(scaling.mean), np.array(scaling.std)
    black, white = -mean / std, (255 * scaling.scale - mean) / std
    near = 0.005 * (white - black)
    return bool(np.all(np.abs(lows - black) < near) and np.all(highs <= white + near))


def value_range(e: Evidence) -> Iterator[Finding]:
    """Look for black and white that are not those of the images."""
    s = e.survey
    top, bottom = float(s.high.max()), float(s.low.min())
    evidence = {
        "darkest, of 255": bottom,
        "brightest, of 255": top,
        "black and white": e.value_range,
        "pixels": describe_pixels(e.all_images),
    }
    if e.extent is not None:
        evidence |= {"smallest value": e.extent[0], "largest value": e.extent[1]}
    if top > 255 + FAR_OUTSIDE or bottom < -FAR_OUTSIDE:
        yield Finding(
            "range-wrong",
            "error",
            "Values lie far outside black and white: the images have another range than the "
            "extractor was given, or saw when it was fitted.",
            evidence,
            "extractor = clone(extractor).set_params(value_range='auto').fit(X)",
        )
    elif s.is_outside.mean() > OFTEN_OUTSIDE:
        yield Finding(
            "range-wrong",
            "warning",
            "Many values lie outside black and white.",
            evidence | {"share outside": float(s.is_outside.mean())},
            "extractor = clone(extractor).set_params(value_range='auto').fit(X)",
        )
    if top <= 0:
        return  # all black, which blank images say better
    if top < NEARLY_BLACK:
        yield from _too_dark(e, evidence)
    elif top - bottom < NO_CONTRAST and s.n_distinct > 1:
        yield Finding(
            "range-wrong",
            "error",
            "The images use only a few of the grey levels from black to white: to the network they "
            "are nearly uniform. Their black and white are not those that were assumed.",
            evidence,
            _set_range(e),
        )
    elif top < DIM and bottom >= 0 and (e.extent is None or e.extent[0] >= 0):
        yield Finding(
            "range-ambiguous",
            "info",
            "No value reaches half of white. Either the images are dark, or white is less than was "
            "assumed.",
            evidence,
            _set_range(e) + "  # if these are not dark images",
        )


def _too_dark(e: Evidence, evidence: dict) -> Iterator[Finding]:
    assert e.value_range is not None or e.extent is None
    white = 255.0 if e.value_range is None else max(e.value_range)
    high = 0.0 if e.extent is None else e.extent[1]
    # 255 divided by 255 twice is 1 / 255.
    if white == 1 and high <= 1.001 / 255:
        yield Finding(
            "scaled-twice",
            "error",
            "No value reaches 1/255 of white: the images were divided by 255 twice, and are all "
            "nearly black.",
            evidence,
            "X = X * 255",
        )
        return
    cause = "white is less than was assumed"
    if high <= 1 < white:
        cause = "these look like values from 0 to 1"
    elif high <= 16 and white == 255:
        cause = "these look like values from 0 to 16"
    elif high <= 4095 and white == 65535:
        cause = "these look like 12 bits in 16"
    yield Finding(
        "range-wrong",
        "error",
        f"The brightest value is nearly black: {cause}. To the network all images look the same.",
        evidence,
        _set_range(e),
    )


def _set_range(e: Evidence) -> str:
    if e.extent is None:
        return "extractor.set_params(value_range=(0, 255))  # the black and white of these files"
    usual = [w for w in (1, 16, 255, 1023, 4095, 65535) if w >= e.extent[1]]
    white = usual[0] if e.extent[0] >= 0 and usual else e.extent[1]
    black = 0 if e.extent[0] >= 0 else e.extent[0]
    if isinstance(e.images, ArrayImages) and e.extent[1] - e.extent[0] < (white - black) / 8:
        black, white = e.extent
    return f"extractor.set_params(value_range=({black:g}, {white:g}))"


def channel_order(e: Evidence) -> Iterator[Finding]:
    """Look for signs that blue stands where red is expected; only names of colours prove it."""
    s = e.survey
    # Files and PIL images say which channel is which.
    is_array = isinstance(e.images, ArrayImages) or len(e.images.arrays) == len(e.images)
    coloured = ~s.is_grey
    if not is_array or coloured.sum() < MIN_COLOURED:
        return
    warm = s.colour[:, 0] - s.colour[:, 2]
    swap = "X = X[..., ::-1]  # blue, green, red to red, green, blue"
    if e.labels is not None:
        named = {c: _colour_of(c) for c in e.labels.classes.tolist() if _colour_of(c)}
        shown = {c: float(warm[(e.labels.y == c) & coloured].mean()) for c in named}
        shown = {c: value for c, value in shown.items() if np.isfinite(value)}
        # Both kinds must occur: a single one may have another reason.
        if {named[c] for c in shown} == {1, -1} and all(named[c] * v < 0 for c, v in shown.items()):
            yield Finding(
                "channel-order",
                "error",
                "Blue and red seem to be swapped, as in images from OpenCV: classes named after "
                "something red are blue, and vice versa.",
                {f"red minus blue of {c!r}": value for c, value in shown.items()},
                swap,
            )
            return
        if shown and all(named[c] * v > 0 for c, v in shown.items()):
            return
    # Sky above and earth below; light is warm, and red the brightest channel of ImageNet on
    # average. Neither must hold of any one set of images: it takes both, and proves nothing.
    means = warm[coloured]
    tilt = (s.warmth[:, 0] - s.warmth[:, 1])[coloured]
    z = [float(x.mean() / max(x.std() / np.sqrt(len(x)), 1e-9)) for x in (means, tilt)]
    if z[0] < -COLOUR_Z and z[1] > COLOUR_Z:
        yield Finding(
            "channel-order",
            "info",
            "Blue and red may be swapped, as in images from OpenCV: these are bluer than "
            "photographs usually are, and redder at the top than at the bottom. Their subjects may "
            "also have these colours: look at one of them.",
            {
                "images in colour": int(coloured.sum()),
                "red minus blue": float(means.mean()),
                "its standard errors": z[0],
                "red minus blue, upper minus lower half": float(tilt.mean()),
                "their standard errors": z[1],
            },
            swap,
        )


def _colour_of(label: object) -> int:
    words = str(label).lower().replace("-", " ").replace("_", " ").split()
    found = {COLOUR_WORDS[word] for word in words if word in COLOUR_WORDS}
    return found.pop() if len(found) == 1 else 0
