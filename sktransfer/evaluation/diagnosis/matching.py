"""Matching of given features to images: which row belongs to which image, in what order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.metrics import pairwise_distances

#: How far rows may lie apart and be the same, in parts of the features' spread over images, and of
#: the distance to the nearest other image: more than float16, bfloat16 or int8 change.
SAME_SPREAD, SAME_NEAREST = 0.05, 0.25
#: Share of rows that must fit, as images may have copies.
MOST = 0.9
#: Values of the features that are searched at once, and kept of all.
_BLOCK_VALUES, _SKIMMED_VALUES = 1 << 22, 1 << 24
_MOST_COLUMNS, _LEAST_COLUMNS = 1024, 32
N_PERMUTATIONS = 499


class Given:
    """Features that were computed elsewhere.

    Parameters
    ----------
    array : ndarray of shape (n_images, n_features)
        The features, perhaps a memory map.
    rows : ndarray of shape (n_sampled,)
        The rows that are compared.
    seed : int
        Seed of the columns by which rows are searched.
    """

    def __init__(self, array: np.ndarray, rows: np.ndarray, seed: int) -> None:
        self.array = array
        self.rows = rows
        self.seed = seed

    def take(self, rows: Any) -> np.ndarray:
        """Read some rows."""
        with np.errstate(over="ignore"):  # of what no float32 holds
            return np.asarray(self.array[rows], dtype=np.float32)

    def _blocks(self) -> Iterator[slice]:
        """Give all rows, so many at a time as may be read at once."""
        step = max(1, _BLOCK_VALUES // self.array.shape[1])
        return (slice(start, start + step) for start in range(0, len(self.array), step))

    def find_not_finite(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows and the columns that hold NaN or infinity."""
        rows = np.zeros(len(self.array), dtype=bool)
        columns = np.zeros(self.array.shape[1], dtype=bool)
        for block in self._blocks():
            is_wrong = ~np.isfinite(self.take(block))
            rows[block] = is_wrong.any(axis=1)
            columns |= is_wrong.any(axis=0)
        return np.flatnonzero(rows), np.flatnonzero(columns)

    @cached_property
    def sample(self) -> np.ndarray:
        """The rows that are compared."""
        return self.take(self.rows)

    @cached_property
    def columns(self) -> np.ndarray:
        """The columns by which rows are searched: some of those that differ between images."""
        (varying,) = np.nonzero(np.ptp(self.sample, axis=0))
        n = int(np.clip(_SKIMMED_VALUES // len(self.array), _LEAST_COLUMNS, _MOST_COLUMNS))
        if len(varying) <= n:
            return varying
        return np.sort(np.random.default_rng(self.seed).choice(varying, n, replace=False))

    @cached_property
    def skimmed(self) -> np.ndarray:
        """These columns of all rows, read once."""
        return np.concatenate([self.take(block)[:, self.columns] for block in self._blocks()])


@dataclass(frozen=True)
class Match:
    """Where the features of some images were found.

    Attributes
    ----------
    rows : ndarray of shape (n,)
        The places of the images.
    places : ndarray of shape (n,)
        The rows nearest to their features.
    is_same : ndarray of shape (n,)
        Whether these are their features.
    """

    rows: np.ndarray
    places: np.ndarray
    is_same: np.ndarray

    @property
    def found(self) -> float:
        """Share of the images that have a row."""
        return float(self.is_same.mean())

    @property
    def in_place(self) -> float:
        """Share of the images that have their own."""
        return float((self.is_same & (self.rows == self.places)).mean())


def spread(features: np.ndarray) -> float:
    """Return the root of the mean square distance of rows from their mean."""
    return float(np.sqrt(((features - features.mean(axis=0)) ** 2).sum(axis=1).mean()))


def tolerate(expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Say for each row how far another one may be and be the same: in its place, and elsewhere."""
    distances = pairwise_distances(expected)
    distances[distances <= 1e-6 * max(spread(expected), 1e-30)] = np.inf  # itself and copies
    nearest = distances.min(axis=1)
    nearest[np.isinf(nearest)] = 0
    elsewhere = SAME_NEAREST * nearest
    return np.maximum(SAME_SPREAD * spread(expected), elsewhere), elsewhere


def match_in_place(expected: np.ndarray, given: Given) -> Match:
    """Compare features with the rows of their images."""
    rows = given.rows[: len(expected)]
    apart = np.linalg.norm(expected - given.sample[: len(expected)], axis=1)
    return Match(rows, rows, apart <= tolerate(expected)[0])


def match_anywhere(expected: np.ndarray, given: Given) -> Match:
    """Search features among all rows; of rows that are as near, the image's own counts."""
    rows = given.rows[: len(expected)]
    centre = expected.mean(axis=0)
    wanted = (expected - centre)[:, given.columns]
    nearest = np.full(len(rows), np.inf)
    places = rows.copy()
    step = max(1, _BLOCK_VALUES // max(len(given.columns), 1))
    for start in range(0, len(given.skimmed), step):
        part = given.skimmed[start : start + step] - centre[given.columns]
        distances = pairwise_distances(wanted, part, metric="sqeuclidean")
        best = distances.argmin(axis=1)
        lowest = distances[np.arange(len(rows)), best]
        is_nearer = lowest < nearest
        places[is_nearer] = start + best[is_nearer]
        nearest = np.minimum(nearest, lowest)
    in_place, elsewhere = tolerate(expected)
    is_own = np.linalg.norm(expected - given.sample[: len(rows)], axis=1) <= in_place
    places[is_own] = rows[is_own]
    apart = np.linalg.norm(expected - given.take(places), axis=1)
    return Match(rows, places, is_own | (apart <= elsewhere))


def correlate(first: np.ndarray, second: np.ndarray) -> float:
    """Correlate two tables, each less the means of its columns."""
    return cosine(
        first - first.mean(axis=0, dtype=np.float64), second - second.mean(axis=0, dtype=np.float64)
    )


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Compare the directions of two tables."""
    a, b = a.ravel(), b.ravel()
    return float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-30))


def relate(
    first: np.ndarray, second: np.ndarray, codes: np.ndarray | None, seed: int
) -> tuple[float, float]:
    """Correlate the distances between rows, and test that by permuting rows of equal codes.

    Returns the correlation and the difference from its mean over permutations, in standard
    deviations. Features of the same images are related in this way whatever the network.

    References
    ----------
    N. Mantel, "The detection of disease clustering and a generalized regression approach", 1967.
    """
    upper = np.triu_indices(len(first), 1)
    a, b = pairwise_distances(first), pairwise_distances(second)
    own = correlate(a[upper], b[upper])
    rng = np.random.default_rng(seed)
    permuted = []
    for _ in range(N_PERMUTATIONS):
        order = rng.permutation(len(first))
        if codes is not None:
            shuffled = order[np.argsort(codes[order], kind="stable")]
            order[np.argsort(codes, kind="stable")] = shuffled
        permuted.append(correlate(a[upper], b[order][:, order][upper]))
    return own, (own - float(np.mean(permuted))) / max(float(np.std(permuted)), 1e-12)


@dataclass(frozen=True)
class Order:
    """An order that explains where the features of images stand.

    Attributes
    ----------
    kind : str
        The order, in words.
    remedy : str
        Code that puts the features in order again.
    """

    kind: str
    remedy: str


_RECOMPUTE = "features = extractor.fit_transform(X)  # in the order of X"


def explain_order(
    match: Match, n_images: int, y: np.ndarray | None, paths: list[str] | None
) -> Order:
    """Find the order of rows."""
    rows, places = match.rows[match.is_same], match.places[match.is_same]

    def fits(expected: np.ndarray) -> bool:
        return float((places == expected).mean()) >= MOST

    offsets = (places - rows) % n_images
    values, counts = np.unique(offsets, return_counts=True)
    offset = int(values[counts.argmax()])
    if offset and fits((rows + offset) % n_images):
        signed = offset if offset <= n_images // 2 else offset - n_images
        return Order(f"moved by {signed}", f"features = np.roll(features, {-signed}, axis=0)")
    if fits(n_images - 1 - rows):
        return Order("reversed", "features = features[::-1]")
    keys = {"y": y, "np.asarray(y).astype(str)": None if y is None else y.astype(str)}
    for code, key in (*keys.items(), ("np.asarray(X, dtype=str)", paths)):
        if key is not None and fits(np.argsort(np.argsort(key, kind="stable"))[rows]):
            by = "path" if code.startswith("np.asarray(X") else "label"
            return Order(
                f"sorted by {by}",
                f"order = np.argsort({code}, kind='stable')\n"
                "features = features[np.argsort(order)]",
            )
    moved = _find_break(rows, places)
    if moved is not None:
        start, step = moved
        return Order(
            f"moved by {step} from about row {start} on",
            f"# look at X[{start}]: was an image near it left out, or read twice?\n{_RECOMPUTE}",
        )
    if y is not None and _fits_classes(rows, places, y):
        return Order("sorted by label, and shuffled within each", _RECOMPUTE)
    return Order("shuffled", _RECOMPUTE)


def _find_break(rows: np.ndarray, places: np.ndarray) -> tuple[int, int] | None:
    """Find the row from which all others are moved by one number, those before being in place."""
    is_moved = rows != places
    if is_moved.sum() < 2:
        return None
    start = int(rows[is_moved].min())
    behind = rows >= start
    values, counts = np.unique((places - rows)[behind], return_counts=True)
    step = int(values[counts.argmax()])
    is_explained = counts.max() >= MOST * behind.sum() and step != 0
    return (start, step) if is_explained else None


def _fits_classes(rows: np.ndarray, places: np.ndarray, y: np.ndarray) -> bool:
    """Tell whether features stand where those of their class stand when images are sorted by it."""
    stays = float((y[places] == y[rows]).mean())
    return stays < MOST <= float((np.sort(y)[places] == y[rows]).mean())
