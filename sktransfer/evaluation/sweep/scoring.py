"""Scores of the rows of a sweep, on the same folds, and how they compare with the best one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sktransfer.evaluation.probing import score_folds
from sktransfer.evaluation.probing.metrics import are_unequal, balance
from sktransfer.evaluation.probing.outcomes import (
    Counts,
    ImageWeights,
    count_folds,
    rate_folds,
    weigh_recalls,
)
from sktransfer.evaluation.probing.probe import FoldScores
from sktransfer.evaluation.probing.selection import compare_with_best
from sktransfer.evaluation.probing.shared import Probing
from sktransfer.evaluation.sweep.shared import TestedRow


@dataclass(frozen=True)
class SweepScoring(Probing):
    """Scores rows of a sweep, and compares them with the best one."""

    def score(self, features: np.ndarray, bar: str | None) -> tuple[FoldScores, Counts, np.ndarray]:
        """Return scores, what became of each class, and how well every image was predicted."""
        found = score_folds(
            features,
            self.target.y,
            self.folds,
            self.classifier,
            self.scorer,
            sample_weight=self.sample_weight,
            keeps_predictions=True,
            progress=bar,
        )
        counts = count_folds(self.target, self.folds, found.predicted, self.sample_weight)
        rated = rate_folds(self.target, self.scorer.tested, self.folds, found.predicted)
        return found, counts, rated

    def judge(
        self, rows: Sequence[TestedRow], metric: str, rated: Sequence[np.ndarray], best: int
    ) -> None:
        """Put into every row how it compares with the best one, counting all pairs of rows.

        Where classes are of unequal size, balanced accuracy is compared too, in the same family.

        Parameters
        ----------
        rows : sequence of TestedRow
            With scores.
        metric : str
            The one that rows are ranked by.
        rated : sequence of ndarray of shape (n_tested,)
            How well each row predicted every test image.
        best : int
            The position of the best row.
        """
        scores = np.array([row.scores[metric] for row in rows])
        images = self.weigh(self.scorer.tested, self.folds)
        balanced = self._weigh_balanced(rows[best])
        others = [] if balanced is None else [balanced]
        judged = compare_with_best(scores, rated, best, self.folds, images, others=others)
        for position, (difference, error) in enumerate(judged):
            if position != best:
                rows[position].to_best, rows[position].error = difference, error
        if balanced is not None and images is not None:
            top = int(np.argmax([balance(row.confusion) for row in rows]))
            judged = compare_with_best(scores, rated, top, self.folds, balanced, others=[images])
            for position, (difference, _) in enumerate(judged):
                if position != top:
                    rows[position].balanced_to_best = difference

    def _weigh_balanced(self, row: TestedRow) -> ImageWeights | None:
        """Return what images count in balanced accuracy, if it is to be compared too."""
        counts = [sum(each) for each in row.confusion]
        if self.scorer.tested != "accuracy" or not are_unequal(counts):
            return None
        return weigh_recalls(self.target.y, self.folds, self.groups, self.sample_weight)
