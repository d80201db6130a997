"""Checks of single images that are damaged: half read, nearly blank, turned, compressed too far."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sktransfer.evaluation.diagnosis.evidence import Evidence
from sktransfer.evaluation.diagnosis.findings import Finding
from sktransfer.evaluation.probing.threads import limit_blas
from sktransfer.features.preprocessing import Resizing, resize

#: The fewest images, and their share, from which damage is reported.
FEWEST, SHARE = 3, 0.02
#: Share of an image's rows that are one value from the bottom up, beyond what is usual among the
#: others, from which the rest of it was not read; and the share of the pixels above them which are
#: this value, up to which it is not the ground on which something lies.
HALF_READ, GROUND = 0.25, 0.1
#: Difference of an image's values, of 255 and in parts of what is usual, below which it is nearly
#: blank.
FAINT, FAINT_PART = 6.0, 0.1
#: Waves in JPEG's blocks, in parts of those in blocks across their borders, up to which detail is
#: gone, and the fewest in either. Pixels that were enlarged 8 times have none in their own blocks.
COARSE, FEWEST_WAVES, FEWEST_ACROSS = 0.5, 0.1, 1.0
#: Distance from the images that are nearest, turned, in parts of that as it is, from which an image
#: is turned; and the share of images that are nearer when turned, from which the set has no up.
TURNED, NO_UP, N_NEAREST = 0.62, 0.25, 3
#: Mean share of those nearest images that are of their own class, from which they are reported.
OWN_CLASS = 0.5
_SMALL = Resizing(12, "stretch", "bilinear", antialias=True)


def _is_reported(found: np.ndarray, n: int) -> bool:
    return len(found) >= max(FEWEST, SHARE * n)


def half_read(e: Evidence) -> Iterator[Finding]:
    """Look for images that end before their bottom."""
    below, ground = e.survey.traces["flat_below"], e.survey.traces["ground"]
    usual = float(np.quantile(below, 0.5))
    contrast = e.survey.high - e.survey.low
    is_half = (below >= usual + HALF_READ) & (below < 1) & (ground <= GROUND)
    (found,) = np.nonzero(is_half & (contrast > FAINT))
    if not _is_reported(found, len(below)) or len(found) > len(below) / 2:
        return
    yield Finding(
        "half-read-images",
        "warning",
        "The lower part of some images is one value, unlike that of the others: their files are "
        "cut off, or they were only half read.",
        {
            "images": len(found),
            "of": len(below),
            "part of them that is empty": float(below[found].mean()),
            "usual": usual,
        },
        "# get these files again; PIL.ImageFile.LOAD_TRUNCATED_IMAGES = False makes them an error",
        e.places(found[np.argsort(-below[found], kind="stable")]),
    )


def nearly_blank(e: Evidence) -> Iterator[Finding]:
    """Look for images with next to nothing on them."""
    contrast = e.survey.high - e.survey.low
    usual = float(np.median(contrast))
    limit = min(FAINT, FAINT_PART * usual)
    (found,) = np.nonzero((contrast < limit) & (contrast >= 1))
    if not _is_reported(found, len(contrast)):
        return
    yield Finding(
        "nearly-blank-images",
        "warning",
        "Some images are nearly uniform: a shutter that was closed, a lens that was covered, or "
        "a mask that left nothing.",
        {
            "images": len(found),
            "of": len(contrast),
            "difference of their values, of 255": float(np.median(contrast[found])),
            "usual": usual,
        },
        "# look at them, and leave out those that show nothing",
        e.places(found),
    )


def heavy_compression(e: Evidence) -> Iterator[Finding]:
    """Look for the blocks that JPEG leaves where it dropped nearly all detail."""
    waves = e.survey.traces["waves"]
    inside, across = waves.mean(axis=0).tolist()
    if inside < FEWEST_WAVES or across < FEWEST_ACROSS or inside > COARSE * across:
        return
    own = waves[:, 0] / np.maximum(waves[:, 1], FEWEST_ACROSS)
    (found,) = np.nonzero(own <= COARSE)
    yield Finding(
        "heavy-compression",
        "warning",
        "Images fall into blocks of 8 x 8 pixels: JPEG at its lowest quality dropped most of their "
        "detail.",
        {
            "images": len(found),
            "of": len(waves),
            "waves in a block": inside,
            "in blocks across their borders": across,
        },
        "# take the images from before they were compressed: no setting brings detail back",
        e.places(found[np.argsort(own[found], kind="stable")]),
    )


def turned_images(e: Evidence) -> Iterator[Finding]:
    """Look for images that are far more like the others when they are turned."""
    n = len(e.images)
    if n < 40:
        return
    small = resize(e.survey.grey[..., None], _SMALL)[..., 0]
    upright = _unit(small)
    likeness, is_own = np.empty((n, 4)), np.ones((n, 4))
    with limit_blas(upright):
        for turn in range(4):
            products = _unit(np.rot90(small, turn, axes=(1, 2))) @ upright.T
            np.fill_diagonal(products, -1)
            nearest = np.argsort(products, axis=1)[:, -N_NEAREST:]
            likeness[:, turn] = np.take_along_axis(products, nearest, axis=1).mean(axis=1)
            if e.labels is not None:
                is_own[:, turn] = (e.codes[nearest] == e.codes[:, None]).mean(axis=1)
    ways = likeness.argmax(axis=1)
    ratio = (1 - likeness.max(axis=1)) / np.maximum(1 - likeness[:, 0], 1e-9)
    # Turned, it must be as near to the others as they usually are to each other.
    is_near = likeness.max(axis=1) >= np.median(likeness[:, 0])
    (found,) = np.nonzero((ratio < TURNED) & is_near)
    if (ratio < 1).mean() > NO_UP or not _is_reported(found, n):
        return
    # Turned back, they must be like their own class: turned, a 6 is like a 9, and healthy.
    if is_own[found, ways[found]].mean() < OWN_CLASS:
        return
    order = found[np.argsort(ratio[found], kind="stable")]
    yield Finding(
        "turned-images",
        "warning",
        "Some images seem to be rotated by 90, 180 or 270 degrees: turned back, they are far more "
        "like the others. Perhaps the EXIF orientation was lost.",
        {
            "images": len(found),
            "of": n,
            "to be turned back by degrees": [int(90 * way) for way in ways[order[:5]]],
            "distance from the nearest when turned, in parts": float(np.median(ratio[found])),
        },
        "# turn them back; for files, PIL.ImageOps.exif_transpose(image) before np.asarray(image)",
        e.places(order),
    )


def _unit(images: np.ndarray) -> np.ndarray:
    """Bring images to mean 0 and length 1, blank ones to 0, so that products are correlations."""
    rows = images.reshape(len(images), -1)
    rows = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 1)
