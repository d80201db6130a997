"""Judging of curves: means, slopes and laws of each row, the best rows, and labels saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats
from sklearn.isotonic import isotonic_regression

from sktransfer.evaluation.curves.estimates import (
    CONFIDENCE,
    Design,
    Estimate,
    Term,
    are_fractions,
    estimate,
    first_part,
    labels_for,
    resample,
    slope_terms,
    standard_error,
)
from sktransfer.evaluation.curves.power_law import MIN_SIZES, fit_power_law
from sktransfer.evaluation.curves.rows import Criterion, CurveRow, Lead, Saving
from sktransfer.evaluation.probing.selection import count_pairs

_TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)


def judge(
    rows: Sequence[CurveRow], design: Design, seed: int
) -> tuple[list[Criterion], list[Saving]]:
    """Fill in what the scores of each row say, and compare the rows."""
    rows = [row for row in rows if row.unavailable is None]
    curves = np.array([row.scores for row in rows])
    resampled = resample(curves, design, seed)
    asymptotes = {}
    for row, scores, means in zip(rows, curves, resampled, strict=True):
        row.means = [estimate(_at(scores, i, design), design) for i in range(len(design.sizes))]
        row.slope = estimate(slope_terms(scores, design.sizes), design)
        if are_fractions(scores):
            reduction = _error_reduction(scores.mean(axis=1), design, scores.shape[1])
            ends = np.quantile(_error_reduction(means, design, scores.shape[1]), _TAILS).tolist()
            row.error_reduction = Estimate(float(reduction), *ends)
        if len(design.sizes) < MIN_SIZES:
            row.no_law = f"it needs at least {MIN_SIZES} numbers of labels"
        elif not are_fractions(scores):
            row.no_law = "it is for scores from 0 to 1"
        else:
            row.law, asymptotes[row.name] = fit_power_law(
                design.sizes, scores.mean(axis=1), _errors(scores, design), means
            )
    last = len(design.sizes) - 1
    criteria = [
        _compare("start", rows, curves, lambda s, sign: _at(s, 0, design, sign), design),
        _compare("slope", rows, curves, lambda s, sign: slope_terms(s, design.sizes, sign), design),
        _compare("all labels", rows, curves, lambda s, sign: _at(s, last, design, sign), design),
        _compare_asymptotes(rows, asymptotes),
    ]
    if rows and all(row.balanced for row in rows):
        balanced = np.array([[row.balanced] for row in rows])
        n_labels = int(design.sizes[last])
        terms = lambda s, sign: [(sign, s[0], n_labels)]  # noqa: E731
        criteria.append(_compare("balanced accuracy", rows, balanced, terms, design))
    return criteria, _find_savings(rows, curves, resampled, design)


def _at(scores: np.ndarray, position: int, design: Design, sign: float = 1.0) -> list[Term]:
    return [(sign, scores[position], int(design.sizes[position]))]


def _errors(scores: np.ndarray, design: Design) -> np.ndarray:
    """Return the standard errors of the means; never less than a test image in one repeat."""
    least = 1 / design.n_test / scores.shape[1]
    errors = [standard_error(_at(scores, i, design), design) for i in range(len(scores))]
    return np.maximum(errors, least)


def _error_reduction(means: np.ndarray, design: Design, n_repeats: int) -> np.ndarray:
    """Return which part of the error each doubling of labels removes at first."""
    end = first_part(design.sizes)
    # Where there is no error, half a test image of one repeat is counted as wrong.
    error = np.maximum(1 - means[..., [0, end]], 0.5 / design.n_test / n_repeats)
    n_doublings = np.log2(design.sizes[end] / design.sizes[0])
    return 1 - (error[..., 1] / error[..., 0]) ** (1 / n_doublings)


def _compare(
    name: str,
    rows: Sequence[CurveRow],
    curves: np.ndarray,
    terms: Callable[[np.ndarray, float], list[Term]],
    design: Design,
) -> Criterion:
    values = [estimate(terms(scores, 1.0), design).value for scores in curves]
    best = int(np.argmax(values))
    leads = []
    for i, row in enumerate(rows):
        if i != best:
            pair = [*terms(curves[best], 1.0), *terms(curves[i], -1.0)]
            difference = estimate(pair, design, n_comparisons=count_pairs(len(rows)))
            leads.append(_lead(row.name, difference))
    return Criterion(name, rows[best].name, values[best], leads)


def _compare_asymptotes(rows: Sequence[CurveRow], asymptotes: dict[str, np.ndarray]) -> Criterion:
    left_out = {row.name: row.doubt for row in rows if row.doubt is not None}
    laws = {row.name: row.law for row in rows if row.law is not None and row.doubt is None}
    if len(laws) < 2:
        return Criterion("asymptote", left_out=left_out)
    best = max(laws, key=lambda name: laws[name].asymptote)
    # Resamples are too few for the tails of many comparisons: their interval is widened.
    tails = stats.norm.ppf([1 - _TAILS[0] / count_pairs(len(laws)), 1 - _TAILS[0]])
    widening = tails[0] / tails[1]
    leads = []
    for name, law in laws.items():
        if name != best:
            value = laws[best].asymptote - law.asymptote
            ends = np.quantile(asymptotes[best] - asymptotes[name], _TAILS)
            low, high = (value + widening * (ends - value)).tolist()
            leads.append(_lead(name, Estimate(value, low, high)))
    return Criterion("asymptote", best, laws[best].asymptote, leads, left_out)


def _lead(over: str, difference: Estimate) -> Lead:
    return Lead(over, difference, is_noise=difference.low <= 0 <= difference.high)


def _find_savings(
    rows: Sequence[CurveRow], curves: np.ndarray, resampled: np.ndarray, design: Design
) -> list[Saving]:
    """Compare all with the better raw pixels, and trained weights with their control."""
    raw = [i for i, row in enumerate(rows) if row.kind == "raw"]
    better = max(raw, key=lambda i: float(curves[i].mean()))
    pairs = [(i, better) for i in range(len(rows)) if i not in raw]
    position = {row.name: i for i, row in enumerate(rows)}
    pairs += [(i, position[row.control]) for i, row in enumerate(rows) if row.control]
    rising = [isotonic_regression(scores.mean(axis=1)) for scores in curves]
    others = np.apply_along_axis(isotonic_regression, 2, resampled)
    savings = []
    for i, than in pairs:
        needed = labels_for(rising[than], design.sizes, rising[i])
        both = zip(others[than], others[i], strict=True)
        drawn = [labels_for(reach, design.sizes, curve) for reach, curve in both]
        # No mean of two numbers: one of them may be infinite.
        low = np.quantile(drawn, _TAILS[0], axis=0, method="lower")
        high = np.quantile(drawn, _TAILS[1], axis=0, method="higher")
        for k, n in enumerate(design.sizes):
            ends = [float(v) if np.isfinite(v) else None for v in (needed[k], low[k], high[k])]
            saving = Saving(rows[i].name, rows[than].name, int(n), float(rising[than][k]), *ends)
            savings.append(saving)
    return savings
