"""Probing settings that all rows share: target, folds, classifier and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from sktransfer.evaluation.probing.folding import Folds, make_folds
from sktransfer.evaluation.probing.outcomes import ImageWeights, weigh_images
from sktransfer.evaluation.probing.probe import check_classifier
from sktransfer.evaluation.probing.scoring import MetricScorer, make_scorer_of
from sktransfer.evaluation.probing.targets import Target, check_target
from sktransfer.evaluation.probing.weighting import check_sample_weight, check_takes_weights
from sktransfer.results.result import to_plain


@dataclass(frozen=True)
class Probing:
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
    ) -> Self:
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

    def describe(self) -> dict[str, Any]:
        """Return what a result says of images, target and folds."""
        return {
            "n_images": len(self.target.y),
            "n_folds": len(self.folds),
            "classes": [to_plain(label) for label in self.target.classes],
            "positive": to_plain(self.target.positive),
            "target": self.target.kind,
            "is_weighted": self.sample_weight is not None,
        }

    def weigh(self, metric: str | None, folds: Folds) -> ImageWeights | None:
        """Return how much each test image counts in a metric; None if it is no sum over images."""
        return weigh_images(
            metric,
            self.target.y,
            folds,
            self.groups,
            kind=self.target.kind,
            sample_weight=self.sample_weight,
        )
