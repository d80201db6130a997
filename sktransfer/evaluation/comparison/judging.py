"""Tests of a comparison: every row against raw pixels, and trained weights against random ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sktransfer.evaluation.comparison.rows import (
    RAW_AS_IN_ARTICLE,
    ComparisonRow,
    FewLabels,
    best_of,
    best_raw_at,
)
from sktransfer.evaluation.comparison.scoring import RowScores, ScoredRow, Scoring
from sktransfer.evaluation.probing import Folds, Labels
from sktransfer.evaluation.probing.metrics import are_unequal
from sktransfer.evaluation.probing.outcomes import (
    ImageWeights,
    by_images,
    variance_within,
    weigh_recalls,
    widen,
)
from sktransfer.evaluation.probing.significance import (
    PairedTest,
    by_draws,
    by_folds,
    count_tests,
    judge_together,
)

# Where the finding goes, under which name, and the two rows that are compared.
_Pair = tuple[ComparisonRow | FewLabels, str, RowScores, RowScores]


@dataclass
class _Asked:
    """A test, and where its finding goes."""

    place: ComparisonRow | FewLabels
    attribute: str
    test: PairedTest


def judge_rows(rows: Sequence[ComparisonRow], scored: Sequence[ScoredRow], scoring: Scoring) -> int:
    """Put into every row how it compares with raw pixels and its control; return the tests.

    All tests, with all labels and with few, are one family: of the chance of any false finding
    among them, 5 % are left.
    """
    metric, numbers = next(iter(rows[0].scores)), list(scoring.draws)
    is_balanced = scoring.scorer.tested == "accuracy" and are_unequal(_count_classes(scoring))
    asked = []
    for n, folds in ((None, scoring.folds), *scoring.draws.items()):
        raw = _best_raw(rows, metric, n, numbers)
        pairs = list(_pair(scored, raw, n))
        images = scoring.weigh(scoring.scorer.tested, folds)
        for place, attribute, own, reference in pairs:
            asked.append(_Asked(place, attribute, _test(own, reference, folds, images, n)))
        if is_balanced:
            asked += _ask_balanced(pairs, scored, scoring, n, folds)
    found = judge_together([each.test for each in asked])
    for each, difference in zip(asked, found, strict=True):
        setattr(each.place, each.attribute, difference)
    return count_tests([each.test for each in asked])


def _count_classes(scoring: Scoring) -> np.ndarray:
    """Count the images of each class, as much as each counts; nothing without classes."""
    if not isinstance(scoring.target, Labels):
        return np.empty(0)
    of_class = np.searchsorted(scoring.target.classes, scoring.target.y)
    return np.bincount(of_class, scoring.sample_weight)


def _ask_balanced(
    pairs: Sequence[_Pair],
    scored: Sequence[ScoredRow],
    scoring: Scoring,
    n_labels: int | None,
    folds: Folds,
) -> list[_Asked]:
    """Test balanced accuracy between the same rows as accuracy, with all labels or few."""
    if n_labels is None:
        images = weigh_recalls(scoring.target.y, folds, scoring.groups, scoring.sample_weight)
        return [
            _Asked(row, f"balanced_{attribute}", by_images(own.correct, other.correct, images))
            for row, attribute, own, other in pairs
        ]
    balanced = scoring.weigh("balanced_accuracy", folds)
    assert balanced is not None
    position = list(scoring.draws).index(n_labels)
    for each in scored:
        scores = _balance(each.few[n_labels], balanced)
        each.row.few[position].balanced = scores.mean.tolist()
    return [
        _Asked(
            few,
            f"balanced_{attribute}",
            _test(_balance(own, balanced), _balance(other, balanced), folds, balanced, n_labels),
        )
        for few, attribute, own, other in pairs
    ]


def _balance(own: RowScores, images: ImageWeights) -> RowScores:
    """Return balanced accuracy on every fold in the place of accuracy."""
    n_folds = int(images.fold.max()) + 1
    scores = [np.bincount(images.fold, n_folds * images.weights * each) for each in own.correct]
    return RowScores(scores, own.correct)


def _pair(scored: Sequence[ScoredRow], raw: ComparisonRow, n_labels: int | None) -> Iterator[_Pair]:
    """Yield what each row is compared with, and where the finding goes."""
    by_name = {each.row.name: each for each in scored}
    for own in scored:
        for attribute, name in _references(own.row, raw).items():
            other = by_name[name]
            if n_labels is None:
                yield own.row, attribute, own.whole, other.whole
            else:
                place = own.row.few[list(own.few).index(n_labels)]
                yield place, attribute, own.few[n_labels], other.few[n_labels]


def _best_raw(
    rows: Sequence[ComparisonRow], metric: str, n_labels: int | None, numbers: list[int]
) -> ComparisonRow:
    if n_labels is not None:
        return best_raw_at(rows, numbers.index(n_labels))
    raw = best_of(rows, metric, "raw")
    assert raw is not None  # every comparison has some
    return raw


def _references(row: ComparisonRow, raw: ComparisonRow) -> dict[str, str]:
    """Name the rows with which one is compared: the best raw one or its like, and its control."""
    if row.kind == "raw":
        return {}
    references = {"against_raw": RAW_AS_IN_ARTICLE if row.kind == "article" else raw.name}
    if row.control is not None:
        references["against_control"] = row.control
    return references


def _test(
    own: RowScores,
    reference: RowScores,
    folds: Folds,
    images: ImageWeights | None,
    n_labels: int | None,
) -> PairedTest:
    if n_labels is None:
        return compare_pair(own, reference, folds, images)
    within = 0.0 if images is None else variance_within(own.correct, reference.correct, images)
    test = by_draws(own.mean, reference.mean, folds, within=within)
    return _widen_by_draws(test, own, reference)


def compare_pair(
    own: RowScores, reference: RowScores, folds: Folds, images: ImageWeights | None
) -> PairedTest:
    """Test a difference image by image where the metric is a sum over images, else by folds."""
    if images is not None:
        return by_images(own.correct, reference.correct, images)
    return _widen_by_draws(by_folds(own.mean, reference.mean, folds), own, reference)


def _widen_by_draws(test: PairedTest, *rows: RowScores) -> PairedTest:
    for row in rows:
        test = widen(test, np.stack(row.scores) / len(row.scores[0]))
    return test
