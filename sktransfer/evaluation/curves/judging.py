"""Judging of curves: means, slopes and laws of each row, the best rows, and labels saved.

Any row may turn out best by any criterion. So the differences of all pairs of rows, by all
criteria, are tested as one family: the chance that any lead is called real where there is none is
5 %.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
    measure,
    resample,
    slope_terms,
)
from sktransfer.evaluation.curves.power_law import MIN_SIZES, fit_power_law
from sktransfer.evaluation.curves.rows import Criterion, CurveRow, Lead, Saving
from sktransfer.evaluation.probing.significance import (
    PairedDifference,
    PairedTest,
    count_tests,
    judge_together,
)

_TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)


@dataclass(frozen=True)
class Judgement:
    """What comparing the rows of a curve finds.

    Attributes
    ----------
    criteria : list of Criterion
        The best rows.
    savings : list of Saving
        Labels for equal scores.
    n_comparisons : int
        Differences that were tested together for the leads of all criteria.
    """

    criteria: list[Criterion]
    savings: list[Saving]
    n_comparisons: int


def judge(rows: Sequence[CurveRow], design: Design, seed: int) -> Judgement:
    """Fill in what the scores of each row say, and compare the rows."""
    rows = [row for row in rows if row.unavailable is None]
    curves = [np.array([each.scores for each in row.drawn] or [row.scores]) for row in rows]
    resampled = resample(curves, design, seed)
    asymptotes = {}
    for row, scores, means in zip(rows, curves, resampled, strict=True):
        row.means = [estimate(_at(scores, i, design), design) for i in range(len(design.sizes))]
        row.slope = estimate(slope_terms(scores, design.sizes), design)
        mean, n_repeats = scores.mean(axis=(0, 2)), scores.shape[2]
        if are_fractions(scores):
            reduction = _error_reduction(mean, design, n_repeats)
            ends = np.quantile(_error_reduction(means, design, n_repeats), _TAILS).tolist()
            row.error_reduction = Estimate(float(reduction), *ends)
        if len(design.sizes) < MIN_SIZES:
            row.no_law = f"it needs at least {MIN_SIZES} numbers of labels"
        elif not are_fractions(scores):
            row.no_law = "it is for scores from 0 to 1"
        else:
            row.law, asymptotes[row.name] = fit_power_law(
                design.sizes, mean, _errors(scores, design), means
            )
    rankings = [*_rank_scores(rows, curves, design), _rank_asymptotes(rows, asymptotes)]
    if rows and all(row.balanced for row in rows):
        rankings.append(_rank_balanced(rows, design))
    tests = [test for ranking in rankings for test in ranking.tests]
    found = iter(judge_together(tests))
    criteria = [each.name_best(list(itertools.islice(found, len(each.tests)))) for each in rankings]
    savings = _find_savings(rows, curves, resampled, design)
    return Judgement(criteria, savings, count_tests(tests))


@dataclass(frozen=True)
class _Ranking:
    """The rows by one criterion, with a test of each pair; those of the best row come first."""

    criterion: str
    names: list[str]
    values: list[float]
    tests: list[PairedTest]
    left_out: dict[str, str]

    def name_best(self, found: Sequence[PairedDifference]) -> Criterion:
        """Say which row is best, and how far it leads."""
        if not self.names:
            return Criterion(self.criterion, left_out=self.left_out)
        best = int(np.argmax(self.values))
        others = [name for i, name in enumerate(self.names) if i != best]
        leads = [_lead(name, each) for name, each in zip(others, found, strict=False)]
        return Criterion(self.criterion, self.names[best], self.values[best], leads, self.left_out)


def _rank(
    criterion: str,
    names: list[str],
    values: list[float],
    test: Callable[[int, int], PairedTest],
    left_out: dict[str, str] | None = None,
) -> _Ranking:
    best = int(np.argmax(values))
    others = [i for i in range(len(values)) if i != best]
    pairs = [*((best, i) for i in others), *itertools.combinations(others, 2)]
    return _Ranking(criterion, names, values, [test(*pair) for pair in pairs], left_out or {})


def _rank_scores(
    rows: Sequence[CurveRow], curves: Sequence[np.ndarray], design: Design
) -> list[_Ranking]:
    """Rank rows by the scores at both ends of the curves, and by the slopes."""
    last = len(design.sizes) - 1
    terms: dict[str, Callable[[np.ndarray, float], list[Term]]] = {
        "start": lambda scores, sign: _at(scores, 0, design, sign),
        "slope": lambda scores, sign: slope_terms(scores, design.sizes, sign),
        "all labels": lambda scores, sign: _at(scores, last, design, sign),
    }
    return [_rank_terms(name, rows, curves, each, design) for name, each in terms.items()]


def _rank_balanced(rows: Sequence[CurveRow], design: Design) -> _Ranking:
    """Rank rows by balanced accuracy with all labels."""
    balanced = [np.array([each.balanced for each in row.drawn] or [row.balanced]) for row in rows]
    n_labels = int(design.sizes[-1])
    name = "balanced accuracy"
    return _rank_terms(name, rows, balanced, lambda s, sign: [(sign, s, n_labels)], design)


def _rank_terms(
    criterion: str,
    rows: Sequence[CurveRow],
    curves: Sequence[np.ndarray],
    terms: Callable[[np.ndarray, float], list[Term]],
    design: Design,
) -> _Ranking:
    def test(one: int, other: int) -> PairedTest:
        return measure([*terms(curves[one], 1.0), *terms(curves[other], -1.0)], design)

    values = [measure(terms(scores, 1.0), design).mean for scores in curves]
    return _rank(criterion, [row.name for row in rows], values, test)


def _rank_asymptotes(rows: Sequence[CurveRow], asymptotes: dict[str, np.ndarray]) -> _Ranking:
    left_out = {row.name: row.doubt for row in rows if row.doubt is not None}
    laws = {row.name: row.law for row in rows if row.law is not None and row.doubt is None}
    names, values = list(laws), [law.asymptote for law in laws.values()]
    if len(laws) < 2:
        return _Ranking("asymptote", [], [], [], left_out)

    def test(one: int, other: int) -> PairedTest:
        # Resamples are too few for the tails of many comparisons: the longer half of their 95 %
        # interval is taken for that of a normal distribution.
        value = values[one] - values[other]
        ends = np.quantile(asymptotes[names[one]] - asymptotes[names[other]], _TAILS)
        error = float(np.abs(ends - value).max() / stats.norm.ppf(_TAILS[1]))
        return PairedTest(value, error**2, np.inf)

    return _rank("asymptote", names, values, test, left_out)


def _at(scores: np.ndarray, position: int, design: Design, sign: float = 1.0) -> list[Term]:
    return [(sign, scores[..., position, :], int(design.sizes[position]))]


def _errors(scores: np.ndarray, design: Design) -> np.ndarray:
    """Return the standard errors of the means; never less than a test image in one repeat."""
    least = 1 / design.n_test / scores.shape[-1]
    tests = [measure(_at(scores, i, design), design) for i in range(len(design.sizes))]
    return np.maximum([np.sqrt(test.variance) for test in tests], least)


def _error_reduction(means: np.ndarray, design: Design, n_repeats: int) -> np.ndarray:
    """Return which part of the error each doubling of labels removes at first."""
    end = first_part(design.sizes)
    # Where there is no error, half a test image of one repeat is counted as wrong.
    error = np.maximum(1 - means[..., [0, end]], 0.5 / design.n_test / n_repeats)
    n_doublings = np.log2(design.sizes[end] / design.sizes[0])
    return 1 - (error[..., 1] / error[..., 0]) ** (1 / n_doublings)


def _lead(over: str, found: PairedDifference) -> Lead:
    # Of all labels and a fixed test set there is one draw, and the difference is what it is.
    ends = (found.mean, found.mean) if np.isnan(found.low) else (found.low, found.high)
    return Lead(over, Estimate(found.mean, *ends), is_noise=ends[0] <= 0 <= ends[1])


def _find_savings(
    rows: Sequence[CurveRow],
    curves: Sequence[np.ndarray],
    resampled: np.ndarray,
    design: Design,
) -> list[Saving]:
    """Compare all with the better raw pixels, and trained weights with their control."""
    raw = [i for i, row in enumerate(rows) if row.kind == "raw"]
    better = max(raw, key=lambda i: float(curves[i].mean()))
    pairs = [(i, better) for i in range(len(rows)) if i not in raw]
    position = {row.name: i for i, row in enumerate(rows)}
    pairs += [(i, position[row.control]) for i, row in enumerate(rows) if row.control]
    rising = [isotonic_regression(scores.mean(axis=(0, 2))) for scores in curves]
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
