"""Near-duplicates: the same picture saved again, cropped or flipped, in different folds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sktransfer.evaluation.diagnosis.evidence import Evidence
from sktransfer.evaluation.diagnosis.findings import Finding
from sktransfer.evaluation.probing import Labels, make_folds
from sktransfer.evaluation.probing.threads import limit_blas
from sktransfer.features.preprocessing import Resizing, resize, to_255
from sktransfer.inputs.images import ArrayImages

#: Side of the copies that are compared, in pixels.
SIDE = 16
#: Difference of two images, one of them perhaps cropped and flipped, in parts of the contrast of
#: one, within which they may be one picture, and in parts of the difference from its eighth
#: nearest: digits resemble many others equally, and a copy resembles one far more.
ALIKE, APART, RANK = 0.2, 0.3, 8
#: Detail of an image, of 255 and in parts of the usual, below which there is too little to compare.
FAINT, FAINT_PART = 4.0, 0.5
#: Parts of a picture that are taken for its crops, of its side, at as many places along each side.
CROPS, PLACES = (0.92, 0.86, 0.8), 4
#: Share of tested images with a near-duplicate in training from which scores are flattered.
MANY, FEWEST = 0.08, 3
#: The same of near-duplicates that differ half as much at most, which hardly any pictures do.
MANY_CERTAIN, CERTAIN = 0.02, 0.5
# Images that the sample is searched for in: whole or flipped, and cropped.
_SEARCHED, _SEARCHED_CROPS = 20_000, 1_000
_RESIZING = Resizing(SIDE, "stretch", "bilinear", antialias=True)


def near_duplicates(e: Evidence) -> Iterator[Finding]:
    """Look for the same picture twice, in pixels that are not the same."""
    pairs, certain = find_pairs(e)
    if not pairs:
        return
    if e.all_y is None or e.labels is None:
        n_crossing = n_certain = n_tested = 0
    else:
        y = e.all_y
        labels = Labels(y, *np.unique(y, return_counts=True), e.labels.positive)
        folds = make_folds(labels, e.cv, random_state=e.seed, groups=e.groups, who="diagnose")
        asked = np.array(sorted({one for one, _ in pairs}))
        partners = {one: {b for a, b in pairs if a == one} for one in asked.tolist()}
        crossing = [
            one
            for train, test in folds
            for one in asked[np.isin(asked, test)].tolist()
            if np.isin(train, list(partners[one])).any()
        ]
        n_crossing, n_certain = len(crossing), sum(one in certain for one in crossing)
        n_tested = sum(int(np.isin(e.rows, test).sum()) for _, test in folds)
    evidence = {
        "images": len({one for one, _ in pairs}),
        "of": len(e.rows),
        "the first pairs": [list(pair) for pair in pairs[:5]],
    }
    images = list(dict.fromkeys(position for pair in pairs for position in pair))[:20]
    if n_crossing == 0:
        yield Finding(
            "near-duplicates",
            "info",
            "Some images are the same picture as others: saved again, cropped or flipped."
            + ("" if e.all_y is None else " No fold separates them."),
            evidence,
            "# keep one of each",
            images,
        )
        return
    share = n_crossing / n_tested
    is_many = share >= MANY and n_crossing >= FEWEST
    is_many |= n_certain >= max(FEWEST, MANY_CERTAIN * n_tested)
    yield Finding(
        "near-duplicates-across-folds",
        "warning" if is_many else "info",
        "Test images have the same picture in their training set, saved again, cropped or flipped: "
        "scores are too high by up to this share.",
        evidence | {"tested with one in training": n_crossing, "share": share},
        "# give all versions of a picture one group, by their names or by the pairs found:\n"
        "diagnose(pipeline, X, y, groups=groups)  # and StratifiedGroupKFold(5) in your own code",
        images,
    )


def find_pairs(e: Evidence) -> tuple[list[tuple[int, int]], set[int]]:
    """Find images of the sample that are the same picture as another, which comes second.

    Return those that are certain as well.
    """
    images = e.images
    is_all = isinstance(e.all_images, ArrayImages) and len(e.all_images) <= _SEARCHED
    is_all = is_all and e.value_range is not None and len(e.all_images) == e.n_images
    others, positions = (e.all_images, np.arange(e.n_images)) if is_all else (images, e.rows)
    digests = e.copies[0] if is_all else e.survey.digests
    if len(digests) != len(others):
        return [], set()
    candidates = _flatten(_shrink_all(e, others))
    lengths = (candidates**2).sum(axis=1)
    contrast = np.linalg.norm(candidates - candidates.mean(axis=1, keepdims=True), axis=1)
    place = {int(position): i for i, position in enumerate(positions)}
    own = np.array([place[int(row)] for row in e.rows])
    nearest = np.full((len(images), len(others)), np.inf, dtype=np.float32)
    with limit_blas(candidates):
        for variant in _variants(e, with_crops=len(others) <= _SEARCHED_CROPS):
            rows = _flatten(variant)
            squares = (rows**2).sum(axis=1)[:, None] + lengths - 2 * (rows @ candidates.T)
            np.minimum(nearest, squares, out=nearest)
    nearest = np.sqrt(np.maximum(nearest, 0))
    nearest[np.arange(len(own)), own] = np.inf
    detail = _measure_detail(candidates)
    faint = max(FAINT, FAINT_PART * float(np.median(detail)))
    found: list[tuple[int, int]] = []
    certain: set[int] = set()
    for row, distances in enumerate(nearest):
        if detail[own[row]] < faint:
            continue  # clear skies are all alike
        k = min(RANK, len(distances) - 1) - 1
        usual = float(np.partition(distances, k)[k])
        limit = min(ALIKE * float(contrast[own[row]]), APART * usual)
        for other in np.flatnonzero((distances < limit) & (detail >= faint)):
            if digests[other] != digests[own[row]]:  # equal ones are found apart
                found.append((int(e.rows[row]), int(positions[other])))
                if distances[other] < CERTAIN * limit:
                    certain.add(int(e.rows[row]))
    return found, certain


def _shrink_all(e: Evidence, others: object) -> np.ndarray:
    if others is e.images:
        return resize(e.survey.thumbnails, _RESIZING)
    assert isinstance(others, ArrayImages)
    parts = [
        resize(to_255(pixels, own), _RESIZING)
        for pixels, own in others.load(0, len(others), e.value_range)
    ]
    return np.concatenate(parts)


def _variants(e: Evidence, *, with_crops: bool) -> Iterator[np.ndarray]:
    """Give the sample whole, and its crops, each also flipped."""
    copies = e.survey.thumbnails
    side = copies.shape[1]
    windows = [(0, 0, side)]
    for part in CROPS if with_crops else ():
        crop = round(part * side)
        steps = np.unique(np.linspace(0, side - crop, PLACES).round().astype(int)).tolist()
        windows += [(top, left, crop) for top in steps for left in steps if crop < side]
    for top, left, crop in windows:
        small = resize(copies[:, top : top + crop, left : left + crop], _RESIZING)
        yield small
        yield small[:, :, ::-1]


def _flatten(images: np.ndarray) -> np.ndarray:
    """Lay images out as rows of three channels."""
    channels = np.broadcast_to(images, (*images.shape[:3], 3)) if images.shape[3] == 1 else images
    return np.ascontiguousarray(channels, dtype=np.float32).reshape(len(images), -1)


def _measure_detail(rows: np.ndarray) -> np.ndarray:
    """Measure how far the pixels of rows lie from the mean of their neighbours on both sides."""
    images = rows.reshape(len(rows), SIDE, SIDE, 3)
    down = images[:, 1:-1] - (images[:, :-2] + images[:, 2:]) / 2
    across = images[:, :, 1:-1] - (images[:, :, :-2] + images[:, :, 2:]) / 2
    return np.sqrt((down**2).mean(axis=(1, 2, 3)) + (across**2).mean(axis=(1, 2, 3)))
