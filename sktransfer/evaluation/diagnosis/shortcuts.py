"""Shortcuts: properties other than the content of images that alone predict their classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from sktransfer.evaluation.diagnosis.evidence import SURE_Z, Evidence
from sktransfer.evaluation.diagnosis.findings import Finding
from sktransfer.evaluation.diagnosis.probes import Probe, is_better, score_probe

#: A property tells as much as the features do if it is no further below them than this.
AS_MUCH = 0.05
#: Part of the way from guessing to perfect that a property must go to be worth looking at.
CLEARLY = 0.4
#: Loss without the property from which it is what the classifier goes by.
LOST = 0.1
#: Part of each side that is cut off to take away frames and corners.
CUT = 0.16


def shortcuts(e: Evidence) -> Iterator[Finding]:
    """Look for a frame, a mark in a corner, or brightness, size or format that tells the class."""
    traces = e.survey.traces
    yield from _in_the_file(e)
    # What shows in the pixels is taken away, and the rest goes through the network once more.
    tried: list[tuple[str, np.ndarray, Callable, str]] = [
        ("shortcut-corner", traces["corners"], _blank_corners, "the corners"),
        ("shortcut-frame", traces["frame"], _cut_frame, "the outermost pixels"),
        ("shortcut-brightness", traces["light"], _level, "brightness and contrast"),
    ]
    for name, values, remove, what in tried:
        probe = _tell(e, values)
        if probe is None or not _is_suspicious(e, probe):
            continue
        rest = e.score(e.recompute(remove))
        lost, p_value = is_better(e.feature_probe, rest, margin=LOST)
        if not lost:
            continue
        yield Finding(
            name,
            "warning",
            f"How the images were made gives away the class: {what} alone do as well as the "
            "features, and without them the features are less accurate. Such a score does not "
            "carry over to images made in another way.",
            {
                f"{probe.metric} on {what}": probe.score,
                f"{probe.metric} on features": e.feature_probe.score,
                f"{probe.metric} on features without it": rest.score,
                "p-value": p_value,
            },
            _REMEDIES[name],
            _extremes(e, values),
        )
        return  # a frame is also bright, and in the corners: the first says it best


_REMEDIES = {
    "shortcut-corner": "# remove what is in the corners: logos, dates, marks; or crop",
    "shortcut-frame": "X = X[:, 2:-2, 2:-2]  # cut the frame off, from the images of all classes",
    "shortcut-brightness": "# take the images of all classes under the same light, or level them: "
    "\nX = X - X.mean(axis=(1, 2), keepdims=True)  # with value_range to match",
    "shortcut-size": "# bring all images to one size and shape before they are classified, or "
    "collect\n# them from the same places",
    "shortcut-format": "# take the images of all classes from the same source, in the same format",
}


def _tell(e: Evidence, values: np.ndarray) -> Probe | None:
    """Score how well a few numbers tell the class."""
    if not np.ptp(values, axis=0).any():
        return None
    assert e.labels is not None and e.folds is not None
    tree = DecisionTreeClassifier(max_leaf_nodes=4 * len(e.labels.classes), random_state=0)
    return score_probe(values, e.labels, e.folds, tree)


def _is_suspicious(e: Evidence, probe: Probe) -> bool:
    way = (probe.balanced.mean() - probe.guessing) / (1 - probe.guessing)
    return probe.z > SURE_Z and way >= CLEARLY and probe.score >= e.feature_probe.score - AS_MUCH


def _in_the_file(e: Evidence) -> Iterator[Finding]:
    """Look at the size of the images and the format of the files."""
    sizes = np.log2(e.survey.sizes)
    values = {"shortcut-size": np.column_stack([sizes, sizes[:, 0] - sizes[:, 1]])}
    formats = _formats(e)
    if formats is not None:
        values["shortcut-format"] = formats
    for name, numbers in values.items():
        probe = _tell(e, numbers)
        if probe is None or not _is_suspicious(e, probe):
            continue
        what = "the size of the images" if name == "shortcut-size" else "the format of the files"
        yield Finding(
            name,
            "warning",
            f"How the images were made gives away the class: {what} alone does as well as the "
            "features. The network sees traces of it in the resized images, such as blur or "
            "compression; such a score does not carry over to images from elsewhere.",
            {
                f"{probe.metric} on {what}": probe.score,
                f"{probe.metric} on features": e.feature_probe.score,
            },
            _REMEDIES[name],
            _extremes(e, numbers),
        )


def _formats(e: Evidence) -> np.ndarray | None:
    """Return a column for each format, of files by their ending, of PIL images as they say."""
    items: list[Any] = getattr(e.images, "items", [])
    names = [
        PurePath(item).suffix.lower() if isinstance(item, str) else getattr(item, "format", None)
        for item in items
    ]
    kinds = sorted({name for name in names if name})
    if len(kinds) < 2:
        return None
    return np.array([[name == kind for kind in kinds] for name in names], dtype=float)


def _extremes(e: Evidence, values: np.ndarray) -> list[int]:
    """Name the images of each class, in turn, that the property sets apart."""
    chosen = [np.flatnonzero(e.codes == code)[:5] for code in range(min(4, e.codes.max() + 1))]
    return e.places(np.concatenate(chosen))


def _cut_frame(values: np.ndarray) -> np.ndarray:
    height, width = values.shape[1:3]
    down, right = (max(1, round(CUT / 2 * side)) for side in (height, width))
    return values[:, down : height - down, right : width - right]


def _blank_corners(values: np.ndarray) -> np.ndarray:
    """Fill each corner with the mean of the image."""
    height, width = values.shape[1:3]
    down, right = (max(1, round(1.5 * CUT * side)) for side in (height, width))
    out = values.copy()
    mean = values.mean(axis=(1, 2))
    for rows in (slice(None, down), slice(height - down, None)):
        for columns in (slice(None, right), slice(width - right, None)):
            out[:, rows, columns] = mean
    return out


def _level(values: np.ndarray) -> np.ndarray:
    """Give an image the mean 128 and the contrast 50, in grey; colours keep their differences."""
    grey = values.mean(axis=3)
    factor = 50 / max(float(grey.std()), 1.0)
    return 128 + (values - grey.mean()) * min(factor, 8.0)
