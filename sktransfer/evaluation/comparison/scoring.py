"""Scores of every row of a comparison, and how well each predicts every image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sktransfer.evaluation.comparison.rows import ComparisonRow, FewLabels
from sktransfer.evaluation.probing import Folds, Labels, score_folds
from sktransfer.evaluation.probing.outcomes import Counts, count_folds, rate_folds
from sktransfer.evaluation.probing.probe import FoldScores
from sktransfer.evaluation.probing.scoring import MetricScorer
from sktransfer.evaluation.probing.shared import Probing


@dataclass
class RowScores:
    """What the first metric and the images say of one row, for each of its draws.

    Attributes
    ----------
    scores : list of ndarray of shape (n_folds,)
        The first metric's value on every fold. A row has several draws where its network is random
        and was drawn with several seeds, else one.
    correct : list of ndarray of shape (n_tested,)
        How well each test image was predicted, fold after fold: of classes, whether it was right.
    """

    scores: list[np.ndarray] = field(default_factory=list)
    correct: list[np.ndarray] = field(default_factory=list)

    @property
    def mean(self) -> np.ndarray:
        """The mean of the draws, of shape `(n_folds,)`."""
        return np.mean(self.scores, axis=0)


@dataclass
class ScoredRow:
    """A row with what its tests need: its scores with all labels, and with few, by their number."""

    row: ComparisonRow
    whole: RowScores
    few: dict[int, RowScores]


@dataclass(frozen=True)
class Scoring(Probing):
    """Scores rows of a comparison, with all labels and with few.

    Attributes
    ----------
    draws : dict of int to list of tuple of ndarray
        The folds with so few labels.
    verbose : int
        Above 0, progress bars.
    """

    draws: dict[int, Folds] = field(default_factory=dict)
    verbose: int = 0

    @property
    def is_by_images(self) -> bool:
        """Whether the first metric is tested image by image."""
        return self.weigh(self.scorer.tested, self.folds) is not None

    def score(self, row: ComparisonRow, drawn: Iterable[np.ndarray], classifier: Any) -> ScoredRow:
        """Return the row with its scores, the means of all draws of its features.

        Parameters
        ----------
        row : ComparisonRow
            Without scores.
        drawn : iterable of ndarray of shape (n_images, n_features)
            The features of each draw.
        classifier : estimator
            Not fitted.
        """
        whole, with_few = RowScores(), {n: RowScores() for n in self.draws}
        scores: dict[str, list[list[float]]] = {}
        counts: list[Counts] = []
        seconds, n_stopped, n_features = 0.0, 0, 0
        for features in drawn:
            n_features = features.shape[1]
            found = self._score(features, self.folds, self.scorer, classifier, row.name, whole)
            for metric, values in found.scores.items():
                scores.setdefault(metric, []).append(values)
            seconds += found.seconds
            n_stopped += found.n_not_converged
            counts.append(count_folds(self.target, self.folds, found.predicted, self.sample_weight))
            for n, own in with_few.items():
                self._score_few(features, n, classifier, own)
            del features  # before the next ones are computed
        metric = next(iter(scores))
        return ScoredRow(
            replace(
                row,
                n_features=n_features,
                scores={name: np.mean(each, axis=0).tolist() for name, each in scores.items()},
                drawn=[float(each.mean()) for each in whole.scores],
                confusion=np.mean([each.confusion for each in counts], axis=0).tolist(),
                label_recalls=np.mean([each.label_recalls for each in counts], axis=0).tolist(),
                classifier_seconds=seconds / len(scores[metric]),
                n_not_converged=n_stopped,
                few=[FewLabels(n, own.mean.tolist()) for n, own in with_few.items()],
            ),
            whole,
            with_few,
        )

    def _score(
        self,
        features: np.ndarray,
        folds: Folds,
        scorer: MetricScorer,
        classifier: Any,
        name: str,
        own: RowScores,
    ) -> FoldScores:
        y = self.target.y
        found = score_folds(
            features,
            y,
            folds,
            classifier,
            scorer,
            sample_weight=self.sample_weight,
            keeps_predictions=True,
            progress=name if self.verbose else None,
        )
        own.scores.append(np.array(next(iter(found.scores.values()))))
        own.correct.append(rate_folds(self.target, scorer.tested, folds, found.predicted))
        return found

    def _score_few(
        self, features: np.ndarray, n_labels: int, classifier: Any, own: RowScores
    ) -> None:
        # Raw pixels come first, so that this error occurs before any network runs.
        name = f"{n_labels} labels"
        try:
            draws, scorer = self.draws[n_labels], self.scorer.first()
            self._score(features, draws, scorer, classifier, name, own)
        except ValueError as error:
            few = f"{n_labels} labels of each class"
            if not isinstance(self.target, Labels):
                few = f"{n_labels} images"
            raise ValueError(
                f"The classifier of compare_transfer cannot be fitted on {few}: {error}. Set "
                "'few_labels' higher, or pass another classifier."
            ) from error


def one(features: np.ndarray) -> Iterator[np.ndarray]:
    """Yield features that are drawn once, and hold on to them no longer."""
    yield features
