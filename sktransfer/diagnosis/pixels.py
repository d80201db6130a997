"""Checks of what the pixels are: their range, what was done to them before, channels, size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sktransfer.diagnosis.evidence import Evidence, describe_pixels
from sktransfer.diagnosis.findings import Finding
from sktransfer.diagnosis.survey import roughness
from sktransfer.images import ArrayImages
from sktransfer.preprocessing import CHANNEL_MEANS_BGR

#: A brightest value below this, of 255, is nearly black: photographs and digits reach past 200, and
#: the usual confusions of range (1, 16, 4,095 of 65,535) end at 16.
NEARLY_BLACK = 17.0
#: A brightest value below half of white is what the extractor warns of as well.
DIM = 127.5
#: All values within so few grey levels of 255 are the work of a wrong range, or of one blank image.
NO_CONTRAST = 17.0
#: Beyond so much of the range on either side, images have another range than was said.
FAR_OUTSIDE = 255.0
#: A share of values outside the range that resizing, sharpening or noise do not reach.
OFTEN_OUTSIDE = 0.01
# What Keras' preprocess_input(mode="torch") divides by and subtracts.
_TORCH_MEANS, _TORCH_STDS = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

#: Read in the right order, neighbouring pixels differ a third to a quarter as much as in the wrong
#: one (photographs at 8 to 64 pixels); noise gives 1. Measured the other way: 0.48 to 0.58.
SCRAMBLED = 0.75
#: Channels of a pixel this much more alike than its neighbours are those of a grey image. Planes
#: read as pixels have their neighbour's values for channels, a third as different as those 3 away.
NEARLY_GREY = 0.2

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

#: Resized pixels per pixel of an image from which edges are blurred past the 3 x 3 filters. MNIST's
#: digits lose at 8 (28 to 224 pixels: 0.973 against 0.996 at 32); 4 (8 to 32 pixels) did no harm.
ENLARGED = 6.0
#: Pixels of an image per resized pixel, in each direction, from which 15 of 16 are lost.
SHRUNK = 4.0


def preprocessed_before(e: Evidence) -> Iterator[Finding]:
    """Look for pixels from which means were subtracted, or that were divided."""
    if e.extent is None or e.extent[0] >= 0:
        return
    low, high = e.extent
    s = e.survey
    evidence = {"smallest value": low, "largest value": high, "black and white": e.value_range}
    floors = -np.array(CHANNEL_MEANS_BGR)
    lows, highs = s.raw_low.min(axis=0), s.raw_high.max(axis=0)
    for order, floor in (("BGR", floors), ("RGB", floors[::-1])):
        # Where an image has a black pixel, each channel begins at minus its mean, to the digit.
        if not np.all(np.abs(lows - floor) < 0.6) or np.any(highs > floor + 255.6):
            continue
        evidence |= {"smallest by channel": lows.tolist(), "ImageNet's means": floor.tolist()}
        undo = f"X + np.float32({[round(-f, 3) for f in floor.tolist()]})"
        undo = f"({undo})[..., ::-1]" if order == "BGR" else undo
        if np.all(highs <= floor + 1.6):
            yield Finding(
                "scaled-twice",
                "error",
                "These images were divided by 255 and then had ImageNet's channel means "
                "subtracted, which expects values up to 255: to the network all of them are the "
                "same nearly black square.",
                evidence,
                f"X = {undo}  # values from 0 to 1, RGB; better: the images before all this",
            )
        else:
            yield Finding(
                "preprocessed-before",
                "error",
                f"These images went through preprocess_input already: ImageNet's channel means are "
                f"subtracted, in the order {order}. The extractor does that itself.",
                evidence,
                f"X = {undo}  # better: give the images before preprocess_input",
            )
        return
    if _is_torch(lows, highs):
        yield Finding(
            "preprocessed-before",
            "error",
            "These images were standardised by ImageNet's means and deviations, as torchvision's "
            "and Keras' mode 'torch' do. The extractor subtracts the means itself.",
            evidence | {"smallest by channel": lows.tolist()},
            f"X = X * np.float32({_TORCH_STDS.tolist()}) + np.float32({_TORCH_MEANS.tolist()})",
        )
        return
    chosen = e.value_range
    # A range that the user gave, and that the values keep, is no guess.
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
        "Pixels are seldom negative: something was subtracted from these, perhaps by a scaler. "
        "What is black and what is white was guessed, and is not the same for every pixel if each "
        "column was scaled by itself.",
        evidence,
        "# give the images as they were before scaling, or if one black and one white hold for "
        "all pixels:\nextractor.set_params(value_range=(black, white))",
    )


def _is_torch(lows: np.ndarray, highs: np.ndarray) -> bool:
    bottom, top = -_TORCH_MEANS / _TORCH_STDS, (1 - _TORCH_MEANS) / _TORCH_STDS
    return bool(np.all(np.abs(lows - bottom) < 0.02) and np.all(highs <= top + 0.02))


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
            "Values lie far outside of black and white: the images have another range than the "
            "extractor was told, or saw when it was fitted.",
            evidence,
            "extractor = clone(extractor).set_params(value_range='auto').fit(X)",
        )
    elif s.is_outside.mean() > OFTEN_OUTSIDE:
        yield Finding(
            "range-wrong",
            "warning",
            "Many values lie outside of black and white.",
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
            "Of all grey levels from black to white the images use a few only: to the network they "
            "are nearly one even surface. Black and white are not what was assumed.",
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
        f"The brightest value is nearly black: {cause}. To the network all images look alike.",
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


def channels_scrambled(e: Evidence) -> Iterator[Finding]:
    """Look for colour planes that were read as colour pixels."""
    images = e.images
    if not isinstance(images, ArrayImages) or images.image_shape[2] != 3 or images.channels_first:
        return
    height, width, _ = images.image_shape
    if e.survey.is_grey.all() or min(height, width) < 2:
        return
    (pixels,) = images.arrays
    values = np.asarray(pixels[:50], dtype=np.float32)
    n = len(values)
    planes = values.reshape(n, 3, height, width).transpose(0, 2, 3, 1)
    read, other = roughness(values), roughness(planes)
    if read == 0 or other / read > SCRAMBLED:
        return
    # Nearly grey pixels repeat their value three times, which looks smooth in any order.
    across = float(np.abs(np.diff(values, axis=3)).mean())
    if across < NEARLY_GREY * read:
        return
    as_rows = images.has_columns
    yield Finding(
        "channels-scrambled",
        "error",
        "Read as they are, with the channels last, neighbouring pixels differ far more than if all "
        "red, all green and all blue values follow each other, as in CIFAR's files: the images are "
        "scrambled.",
        {
            "difference of neighbours, channels last": read,
            "difference of neighbours, channels first": other,
            "image shape": list(images.image_shape),
        },
        (
            f"extractor.set_params(image_shape=(3, {height}, {width}))"
            if as_rows
            else f"X = X.reshape(len(X), 3, {height}, {width})"
        ),
    )


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
        # Both kinds must be there: a single one may have another reason.
        if {named[c] for c in shown} == {1, -1} and all(named[c] * v < 0 for c, v in shown.items()):
            yield Finding(
                "channel-order",
                "error",
                "Blue and red seem to be exchanged, as in images from OpenCV: classes with the "
                "name of something red are blue, and the other way round.",
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
            "Perhaps blue and red are exchanged, as in images from OpenCV: these are bluer than "
            "photographs usually are, and redder above than below. It may also be what they show; "
            "look at one of them.",
            {
                "images in colour": int(coloured.sum()),
                "red minus blue": float(means.mean()),
                "its standard errors": z[0],
                "red minus blue, upper less lower half": float(tilt.mean()),
                "their standard errors": z[1],
            },
            swap,
        )


def _colour_of(label: object) -> int:
    words = str(label).lower().replace("-", " ").replace("_", " ").split()
    found = {COLOUR_WORDS[word] for word in words if word in COLOUR_WORDS}
    return found.pop() if len(found) == 1 else 0


def scale(e: Evidence) -> Iterator[Finding]:
    """Look for images that are resized past the scale of what the filters know."""
    size = e.extractor.input_size_
    sides = np.sqrt(e.survey.sizes.prod(axis=1))
    side = float(np.median(sides))
    evidence = {"side of the images, pixels": side, "input_size": size}
    if size / side >= ENLARGED:
        closest = max(32, round(2 * side))
        yield Finding(
            "enlarged",
            "warning",
            "The images are enlarged so much that their edges are wider than the filters of the "
            "early blocks, which look at few pixels. A smaller input is faster, and better for "
            "early and middle layers; deep ones may need the pixels.",
            evidence | {"enlarged by": size / side},
            f"extractor.set_params(input_size={closest})  # compare the scores of both",
        )
    elif side / size >= SHRUNK:
        yield Finding(
            "shrunk",
            "warning",
            "The images are shrunk so much that little of their detail is left"
            + (
                ""
                if e.extractor.antialias
                else ", and without antialiasing most pixels are skipped"
            )
            + ".",
            evidence | {"shrunk by": side / size, "antialias": bool(e.extractor.antialias)},
            f"extractor.set_params(input_size={min(224, round(side / 2))}, antialias=True)",
        )
