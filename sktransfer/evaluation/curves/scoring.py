"""Scores of every row of a curve on the same draws, with the confusion of its classes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sktransfer.evaluation.curves.rows import CurveDraw, CurveRow
from sktransfer.evaluation.probing import Folds, Target, score_folds
from sktransfer.evaluation.probing.metrics import are_unequal, balance
from sktransfer.evaluation.probing.outcomes import Counts, count_folds
from sktransfer.evaluation.probing.probe import FoldScores
from sktransfer.evaluation.probing.scoring import MetricScorer


@dataclass(frozen=True)
class Scoring:
    """The parts that are the same for all rows."""

    target: Target
    draws: Folds
    n_repeats: int
    scorer: MetricScorer
    sample_weight: np.ndarray | None
    verbose: int

    def score(self, row: CurveRow, drawn: Iterable[Any], classifier: Any) -> CurveRow:
        """Put into a row the scores of all draws, and what becomes of each class in the last.

        Parameters
        ----------
        row : CurveRow
            Without scores.
        drawn : iterable of ndarray or images
            What the classifier sees: one, or one for each draw of random weights.
        classifier : estimator
            Not fitted.
        """
        draws: list[CurveDraw] = []
        counts: list[Counts] = []
        for features in drawn:
            found = score_folds(
                features,
                self.target.y,
                self.draws,
                classifier,
                self.scorer,
                sample_weight=self.sample_weight,
                keeps_predictions=True,
                progress=row.name if self.verbose else None,
            )
            row.classifier_seconds += found.seconds
            row.n_not_converged += found.n_not_converged
            whole = self.draws[-self.n_repeats :], found.predicted[-self.n_repeats :]
            counts.append(count_folds(self.target, *whole, self.sample_weight))
            draws.append(self._draw(found, counts[-1]))
            del features  # before the next ones are computed
        row.classifier_seconds /= len(draws)
        row.scores = np.mean([each.scores for each in draws], axis=0).tolist()
        row.balanced = np.mean([each.balanced for each in draws], axis=0).tolist()
        confusion = np.mean([each.confusion for each in counts], axis=0)
        row.confusion = (confusion / self.n_repeats).tolist()
        row.label_recalls = np.mean([each.label_recalls for each in counts], axis=0).tolist()
        row.drawn = draws if len(draws) > 1 else []
        return row

    def _draw(self, found: FoldScores, counts: Counts) -> CurveDraw:
        (scores,) = found.scores.values()
        own = CurveDraw(np.reshape(scores, (-1, self.n_repeats)).tolist())
        if self.scorer.tested == "accuracy" and are_unequal(counts.confusion.sum(axis=1)):
            whole = zip(
                self.draws[-self.n_repeats :], found.predicted[-self.n_repeats :], strict=True
            )
            own.balanced = [
                balance(count_folds(self.target, [draw], [each], self.sample_weight).confusion)
                for draw, each in whole
            ]
        return own


def count_units(tested: np.ndarray, groups: Any, weights: np.ndarray | None) -> int:
    """Count what is independent among the test images: these, or groups of them.

    Weighted ones count as so many of equal weight as would say as much (Kish).
    """
    named = tested if groups is None else np.asarray(groups)[tested]
    units = np.unique(named, return_inverse=True)[1]
    if weights is None:
        return int(units.max()) + 1
    sums = np.bincount(units, weights[tested])
    return max(1, int(sums.sum() ** 2 / (sums**2).sum()))
