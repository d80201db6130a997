"""The numbers of learning curves: means with intervals, slopes, and labels for equal scores.

All of it works on scores of shape `(n_sizes, n_repeats)`, or `(n_draws, n_sizes, n_repeats)` of
networks that were drawn with several seeds. In a repeat all curves meet the same images, so that
differences are taken repeat by repeat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from sktransfer.evaluation.probing.outcomes import widen
from sktransfer.evaluation.probing.significance import ROUNDING, PairedTest

#: Of all intervals.
CONFIDENCE = 0.95
_N_RESAMPLED = 500

#: Weight, scores of every repeat, or of every draw and repeat, and number of labels.
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
    found = measure(terms, design)
    return Estimate(found.mean, *found.interval((1 - CONFIDENCE) / n_comparisons))


def measure(terms: Sequence[Term], design: Design) -> PairedTest:
    """Take a weighted sum of mean scores, and its variance with other images of the same kind.

    Repeats share images, so that the mean is less certain than its spread divided by the root of
    their number says. Where the weights of a network were drawn with several seeds, their spread
    adds to the variance: other seeds would have given other scores.
    """
    drawn = np.zeros((1, 1))
    for weight, scores, _ in terms:
        drawn = drawn + weight * np.atleast_2d(scores)
    values = drawn.mean(axis=0)
    mean, n_repeats = float(values.mean()), len(values)
    if design.is_test_fixed:
        variance, correlation = _vary(values), 0.0
    else:
        variance, correlation = correlate(terms, design)
    test = PairedTest(
        mean=mean if abs(mean) > ROUNDING else 0.0,
        variance=variance * (1 / n_repeats + correlation / (1 - correlation)),
        dof=n_repeats - 1,
    )
    return widen(test, drawn / n_repeats)


def correlate(terms: Sequence[Term], design: Design) -> tuple[float, float]:
    """Return the variance of a weighted sum of scores in one repeat, and the correlation of two.

    Between two repeats, scores correlate by the part of the images that they share: of the test
    images for what varies with these, of the training images for the rest. With all images drawn
    and nothing but the test images to vary, this is the correction of Nadeau and Bengio. What can
    vary with the test images is bounded by the variance of a hit or a miss; scores that do not lie
    from 0 to 1 have no such bound, and the larger part counts for all.
    """
    values = np.sum([weight * _mean_of_draws(scores) for weight, scores, _ in terms], axis=0)
    variance = _vary(values)
    n_train = max(n for *_, n in terms)
    shared_train, shared_test = n_train / design.n_images, design.n_test / design.n_images
    correlation = max(shared_train, shared_test)
    n_units = design.n_units or design.n_test
    if all(are_fractions(scores) for _, scores, _ in terms):
        means = [(abs(weight), float(scores.mean())) for weight, scores, _ in terms]
        spread = sum(weight * np.sqrt(mean * (1 - mean)) for weight, mean in means)
        part = min(1.0, spread**2 / n_units / max(variance, ROUNDING**2))
        if variance == 0:
            # Zero spread is luck: where no image was missed, half an image could have been.
            share = (min(1.0, abs(values.mean())) * design.n_images + 0.5) / (design.n_images + 1)
            variance, part = share * (1 - share) / n_units, 1.0
        correlation = part * shared_test + (1 - part) * shared_train
    return variance, correlation


def _vary(values: np.ndarray) -> float:
    """Return the variance of scores, of which those that differ by rounding only are the same."""
    variance = float(np.var(values, ddof=1))
    return variance if variance > ROUNDING**2 else 0.0


def _mean_of_draws(scores: np.ndarray) -> np.ndarray:
    return np.atleast_2d(scores).mean(axis=0)


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
    return [
        (weight, scores[..., end, :], int(sizes[end])),
        (-weight, scores[..., 0, :], int(sizes[0])),
    ]


def resample(curves: Sequence[np.ndarray], design: Design, seed: int) -> np.ndarray:
    """Draw mean curves that other images of the same kind might have given.

    The means are of shape `(n_curves, n_resampled, n_sizes)`. Repeats are drawn with replacement,
    the same for all curves; the deviations of their means are widened to the intervals of
    :func:`estimate`.
    """
    flat = np.stack([c.reshape(-1, *c.shape[-2:]).mean(axis=0) for c in curves])
    n_repeats = flat.shape[2]
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, n_repeats, (_N_RESAMPLED, n_repeats))
    means = flat.mean(axis=2)
    deviations = np.stack([c[:, drawn].mean(axis=2).T for c in flat]) - means[:, None]
    plain = flat.std(axis=2) / np.sqrt(n_repeats)  # what resampling alone gives
    tail = (1 + CONFIDENCE) / 2
    errors = np.zeros_like(means)
    for k, scores in enumerate(curves):
        for i, n in enumerate(design.sizes):
            found = measure([(1.0, scores[..., i, :], int(n))], design)
            student = stats.t.ppf(tail, found.dof) / stats.norm.ppf(tail)
            errors[k, i] = student * np.sqrt(found.variance)
    has_spread = plain > ROUNDING
    widening = np.divide(errors, plain, out=np.ones_like(errors), where=has_spread)
    luck = rng.normal(size=deviations.shape) * errors[:, None]
    deviations = np.where(has_spread[:, None], deviations * widening[:, None], luck)
    return means[:, None] + deviations


def labels_for(scores: np.ndarray, sizes: np.ndarray, rising: np.ndarray) -> np.ndarray:
    """Find how many labels a curve needs for given scores.

    Between its sizes the curve is read on a logarithmic axis of labels.
    """
    after = np.searchsorted(rising, np.asarray(scores) - ROUNDING)
    out = np.full(len(after), np.inf)
    out[after == 0] = sizes[0]
    logs = np.log2(np.asarray(sizes, dtype=float))
    between = (after > 0) & (after < len(sizes))
    i = after[between]
    share = (np.asarray(scores)[between] - rising[i - 1]) / (rising[i] - rising[i - 1])
    out[between] = 2.0 ** (logs[i - 1] + np.minimum(share, 1.0) * (logs[i] - logs[i - 1]))
    return out
