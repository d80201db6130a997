"""Tests of a comparison: every row against raw pixels, and trained weights against random ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sktransfer.evaluation.comparison.rows import (
    RAW_AS_IN_ARTICLE,
    ComparisonRow,
    FewLabels,
    best_of,
    best_raw_at,
)
from sktransfer.evaluation.comparison.scoring import RowScores, ScoredRow, Scoring
from sktransfer.evaluation.probing import Folds
from sktransfer.evaluation.probing.outcomes import (
    ImageWeights,
    by_images,
    variance_within,
    weigh_images,
    widen,
)
from sktransfer.evaluation.probing.significance import (
    PairedTest,
    by_draws,
    by_folds,
    count_tests,
    judge_together,
)


@dataclass
class _Asked:
    """A test, and where its finding goes."""

    place: ComparisonRow | FewLabels
    attribute: str
    test: PairedTest


def judge_rows(
    rows: Sequence[ComparisonRow], scored: Sequence[ScoredRow], scoring: Scoring, groups: Any
) -> int:
    """Put into every row how it compares with raw pixels and its control; return the tests.

    All tests, with all labels and with few, are one family: of the chance of any false finding
    among them, 5 % are left.
    """
    by_name = {each.row.name: each for each in scored}
    metric = next(iter(rows[0].scores))
    y = scoring.labels.y
    asked = []
    for n, folds in ((None, scoring.folds), *scoring.draws.items()):
        images = weigh_images(metric, y, folds, groups)
        raw = _best_raw(rows, metric, n, list(scoring.draws))
        for own in scored:
            if n is not None and n not in own.few:
                continue
            for attribute, name in _references(own.row, raw).items():
                reference = by_name[name]
                place = own.row if n is None else own.row.few[list(scoring.draws).index(n)]
                if n is None:
                    test = compare_pair(own.whole, reference.whole, folds, images)
                else:
                    test = _test_few(own.few[n], reference.few[n], folds, images)
                asked.append(_Asked(place, attribute, test))
    found = judge_together([each.test for each in asked])
    for each, difference in zip(asked, found, strict=True):
        setattr(each.place, each.attribute, difference)
    return count_tests([each.test for each in asked])


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


def compare_pair(
    own: RowScores, reference: RowScores, folds: Folds, images: ImageWeights | None
) -> PairedTest:
    """Test a difference image by image where the metric is a mean over images, else by folds."""
    if images is not None:
        return by_images(own.correct, reference.correct, images)
    return _widen_by_draws(by_folds(own.mean, reference.mean, folds), own, reference)


def _test_few(
    own: RowScores, reference: RowScores, draws: Folds, images: ImageWeights | None
) -> PairedTest:
    within = 0.0 if images is None else variance_within(own.correct, reference.correct, images)
    test = by_draws(own.mean, reference.mean, draws, within=within)
    return _widen_by_draws(test, own, reference)


def _widen_by_draws(test: PairedTest, *rows: RowScores) -> PairedTest:
    for row in rows:
        test = widen(test, np.stack(row.scores) / len(row.scores[0]))
    return test
