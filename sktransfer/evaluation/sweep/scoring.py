"""Scores of the rows of a sweep, on the same folds, and how they compare with the best one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sktransfer.evaluation.probing import (
    Folds,
    Target,
    check_classifier,
    check_target,
    make_folds,
    make_scorer_of,
    score_folds,
)
from sktransfer.evaluation.probing.metrics import are_unequal, balance
from sktransfer.evaluation.probing.outcomes import (
    Counts,
    count_folds,
    rate_folds,
    weigh_images,
    weigh_recalls,
)
from sktransfer.evaluation.probing.probe import FoldScores
from sktransfer.evaluation.probing.scoring import MetricScorer
from sktransfer.evaluation.probing.selection import compare_with_best
from sktransfer.evaluation.probing.weighting import check_sample_weight, check_takes_weights
from sktransfer.evaluation.sweep.shared import ScoredRow


@dataclass(frozen=True)
class SweepScoring:
    """The parts that are the same for all rows.

    Attributes
    ----------
    target : Labels, Numbers or LabelSets
        What is predicted.
    folds : list of tuple of ndarray
        Training and test images.
    groups : array-like or None
        Images of one group are one unit of the tests.
    classifier : estimator
        Not fitted.
    scorer : MetricScorer
        The metrics.
    sample_weight : ndarray or None
        How much each image counts.
    """

    target: Target
    folds: Folds
    groups: Any
    classifier: Any
    scorer: MetricScorer
    sample_weight: np.ndarray | None

    @classmethod
    def check(
        cls,
        y: Any,
        n_images: int,
        *,
        classifier: Any,
        cv: Any,
        groups: Any,
        scoring: Any,
        positive: Any,
        sample_weight: Any,
        random_state: Any,
        who: str,
    ) -> SweepScoring:
        """Check everything that rows are scored by."""
        target = check_target(y, n_images, positive=positive, predictor=classifier, who=who)
        folds = make_folds(target, cv, random_state=random_state, groups=groups, who=who)
        weights = check_sample_weight(sample_weight, folds, n_images, who=who)
        classifier = check_classifier(classifier, kind=target.kind, who=who)
        is_weighted = weights is not None
        if is_weighted:
            check_takes_weights(classifier, "classifier", who=who)
        scorer = make_scorer_of(target, scoring, classifier, is_weighted=is_weighted, who=who)
        return cls(target, folds, groups, classifier, scorer, weights)

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
        self, rows: Sequence[ScoredRow], metric: str, rated: Sequence[np.ndarray], best: int
    ) -> None:
        """Put into every row how it compares with the best one, counting all pairs of rows.

        Parameters
        ----------
        rows : sequence of ScoredRow
            With scores.
        metric : str
            The one that rows are ranked by.
        rated : sequence of ndarray of shape (n_tested,)
            How well each row predicted every test image.
        best : int
            The position of the best row.
        """
        y, kind = self.target.y, self.target.kind
        scores = np.array([row.scores[metric] for row in rows])
        images = weigh_images(
            self.scorer.tested,
            y,
            self.folds,
            self.groups,
            kind=kind,
            sample_weight=self.sample_weight,
        )
        judged = compare_with_best(scores, rated, best, self.folds, images)
        for position, (difference, error) in enumerate(judged):
            if position != best:
                rows[position].to_best, rows[position].error = difference, error
        counts = [sum(each) for each in rows[best].confusion]
        if self.scorer.tested == "accuracy" and are_unequal(counts):
            images = weigh_recalls(y, self.folds, self.groups, self.sample_weight)
            top = int(np.argmax([balance(row.confusion) for row in rows]))
            judged = compare_with_best(scores, rated, top, self.folds, images)
            for position, (difference, _) in enumerate(judged):
                if position != top:
                    rows[position].balanced_to_best = difference
