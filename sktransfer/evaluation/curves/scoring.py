"""Scores of every row of a curve on the same draws, with the confusion of its classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sktransfer.evaluation.curves.rows import CurveRow
from sktransfer.evaluation.probing import Folds, Target, score_folds
from sktransfer.evaluation.probing.metrics import are_unequal, balance
from sktransfer.evaluation.probing.outcomes import count_folds
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

    def score(self, row: CurveRow, features: Any, classifier: Any) -> CurveRow:
        """Put the scores of all draws into a row, and what becomes of each class in the last."""
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
        (scores,) = found.scores.values()
        row.scores = np.reshape(scores, (-1, self.n_repeats)).tolist()
        row.classifier_seconds = found.seconds
        row.n_not_converged = found.n_not_converged
        whole = self.draws[-self.n_repeats :], found.predicted[-self.n_repeats :]
        counts = count_folds(self.target, *whole, self.sample_weight)
        row.confusion = (counts.confusion / self.n_repeats).tolist()
        row.label_recalls = counts.label_recalls.tolist()
        if self.scorer.tested == "accuracy" and are_unequal([sum(each) for each in row.confusion]):
            row.balanced = [
                balance(count_folds(self.target, [draw], [each], self.sample_weight).confusion)
                for draw, each in zip(*whole, strict=True)
            ]
        return row


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
