"""The numbers of learning curves: means with intervals, slopes, and labels for equal scores.

All of it works on scores of shape `(n_sizes, n_repeats)`. In a repeat all curves meet the same
images, so that differences are taken repeat by repeat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

#: Of all intervals.
CONFIDENCE = 0.95
_N_RESAMPLED = 500
# Scores that differ by rounding only are the same.
_ROUNDING = 1e-12

#: Weight, scores of every repeat, number of labels.
Term = tuple[float, np.ndarray, int]


@dataclass(frozen=True)
class Design:
    """How images were drawn, which decides how much the repeats tell.

    Attributes
    ----------
    sizes : ndarray of shape (n_sizes,)
        Numbers of labels, rising.
    n_images : int
        Images there are.
    n_test : int
        How many of them each repeat was scored on.
    is_test_fixed : bool
        Whether these were the same in all repeats.
    n_units : int or None
        Groups among the test images, which are independent of each other; None: each image.
    """

    sizes: np.ndarray
    n_images: int
    n_test: int
    is_test_fixed: bool
    n_units: int | None = None


@dataclass
class Estimate:
    """A number with its interval.

    Attributes
    ----------
    value : float
        The estimate.
    low, high : float
        Ends of the 95 % interval.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Show three decimals."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def estimate(terms: Sequence[Term], design: Design, *, n_comparisons: int = 1) -> Estimate:
    """Estimate a weighted sum of mean scores; all intervals of several comparisons hold at once."""
    values = np.sum([weight * scores for weight, scores, _ in terms], axis=0)
    tail = (1 - CONFIDENCE) / 2 / n_comparisons
    half = stats.t.ppf(1 - tail, len(values) - 1) * standard_error(terms, design)
    value = float(values.mean())
    return Estimate(value, value - half, value + half)


def standard_error(terms: Sequence[Term], design: Design) -> float:
    """Estimate how far a mean over repeats would move with other images of the same kind.

    Repeats share images, so that the mean is less certain than its spread divided by the root of
    their number says. Between two repeats, scores correlate by the part of the images that they
    share: of the test images for what varies with these, of the training images for the rest. With
    all images drawn and nothing but the test images to vary, this is the correction of Nadeau and
    Bengio. What can vary with the test images is bounded by the variance of a hit or a miss; scores
    that do not lie from 0 to 1 have no such bound, and the larger part counts for all.
    """
    values = np.sum([weight * scores for weight, scores, _ in terms], axis=0)
    variance, n_repeats = float(np.var(values, ddof=1)), len(values)
    if design.is_test_fixed:
        return float(np.sqrt(variance / n_repeats))
    n_train = max(n for *_, n in terms)
    shared_train, shared_test = n_train / design.n_images, design.n_test / design.n_images
    correlation = max(shared_train, shared_test)
    n_units = design.n_units or design.n_test
    if all(are_fractions(scores) for _, scores, _ in terms):
        means = [(abs(weight), float(scores.mean())) for weight, scores, _ in terms]
        spread = sum(weight * np.sqrt(mean * (1 - mean)) for weight, mean in means)
        part = min(1.0, spread**2 / n_units / max(variance, _ROUNDING**2))
        if variance < _ROUNDING**2:
            # Zero spread is luck: where no image was missed, half an image could have been.
            share = (min(1.0, abs(values.mean())) * design.n_images + 0.5) / (design.n_images + 1)
            variance, part = share * (1 - share) / n_units, 1.0
        correlation = part * shared_test + (1 - part) * shared_train
    return float(np.sqrt(variance * (1 / n_repeats + correlation / (1 - correlation))))


def are_fractions(scores: np.ndarray) -> bool:
    """Tell whether scores lie from 0 to 1."""
    return bool(np.min(scores) >= 0 and np.max(scores) <= 1)


def first_part(sizes: Sequence[int] | np.ndarray) -> int:
    """Find where the first part of a curve ends: half of the doublings from first to last size."""
    middle = np.sqrt(float(sizes[0]) * float(sizes[-1])) * (1 + 1e-9)
    return max(1, int(np.searchsorted(sizes, middle, side="right")) - 1)


def slope_terms(scores: np.ndarray, sizes: np.ndarray, sign: float = 1.0) -> list[Term]:
    """Write the slope as a weighted sum: the gain per doubling of labels over the first part."""
    end = first_part(sizes)
    weight = sign / float(np.log2(sizes[end] / sizes[0]))
    return [(weight, scores[end], int(sizes[end])), (-weight, scores[0], int(sizes[0]))]


def resample(curves: np.ndarray, design: Design, seed: int) -> np.ndarray:
    """Draw mean curves that other images of the same kind might have given.

    Scores are of shape `(n_curves, n_sizes, n_repeats)`, means `(n_curves, n_resampled, n_sizes)`.
    Repeats are drawn with replacement, the same for all curves; the deviations of their means are
    widened to the intervals of :func:`estimate`.
    """
    n_repeats = curves.shape[2]
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, n_repeats, (_N_RESAMPLED, n_repeats))
    means = curves.mean(axis=2)
    deviations = np.stack([c[:, drawn].mean(axis=2).T for c in curves]) - means[:, None]
    plain = curves.std(axis=2) / np.sqrt(n_repeats)  # what resampling alone gives
    errors = np.array(
        [
            [standard_error([(1.0, c[i], int(n))], design) for i, n in enumerate(design.sizes)]
            for c in curves
        ]
    )
    tail = (1 + CONFIDENCE) / 2
    errors *= stats.t.ppf(tail, n_repeats - 1) / stats.norm.ppf(tail)
    has_spread = plain > _ROUNDING
    widening = np.divide(errors, plain, out=np.ones_like(errors), where=has_spread)
    luck = rng.normal(size=deviations.shape) * errors[:, None]
    deviations = np.where(has_spread[:, None], deviations * widening[:, None], luck)
    return means[:, None] + deviations


def labels_for(scores: np.ndarray, sizes: np.ndarray, rising: np.ndarray) -> np.ndarray:
    """Find how many labels a curve needs for given scores.

    Between its sizes the curve is read on a logarithmic axis of labels.
    """
    after = np.searchsorted(rising, np.asarray(scores) - _ROUNDING)
    out = np.full(len(after), np.inf)
    out[after == 0] = sizes[0]
    logs = np.log2(np.asarray(sizes, dtype=float))
    between = (after > 0) & (after < len(sizes))
    i = after[between]
    share = (np.asarray(scores)[between] - rising[i - 1]) / (rising[i] - rising[i - 1])
    out[between] = 2.0 ** (logs[i - 1] + np.minimum(share, 1.0) * (logs[i] - logs[i - 1]))
    return out
