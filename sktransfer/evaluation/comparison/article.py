"""The article's comparison: unscaled logistic regression, without and with transfer."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sktransfer.evaluation.comparison.compare import AS_IN_ARTICLE
from sktransfer.evaluation.comparison.judging import judge_rows
from sktransfer.evaluation.comparison.result import TransferComparison
from sktransfer.evaluation.comparison.rows import ComparisonRow
from sktransfer.evaluation.comparison.scoring import Scoring
from sktransfer.evaluation.comparison.verdict import say_seconds
from sktransfer.evaluation.probing import (
    check_labels,
    make_folds,
    make_scorer_of,
    raw_pixels,
    time_features,
)
from sktransfer.features.estimator import FeatureExtractor
from sktransfer.features.fitted import compute_features, read_as


def compare_as_in_article(
    X: Any,
    y: Any,
    *,
    extractors: Mapping[str, FeatureExtractor],
    cv: int,
    positive: Any,
    target_names: Sequence[str] | None,
    random_state: int,
    verbose: int,
) -> TransferComparison:
    """Compare raw pixels with features, both unscaled, without controls: each takes hours.

    With `verbose`, the expected time of all rows is printed before the first is computed.
    """
    who = "sktransfer article"
    first = next(iter(extractors.values()))
    images = read_as(first, X, who=who)
    labels = check_labels(y, len(images), positive=positive, who=who)
    folds = make_folds(labels, cv, random_state=random_state, who=who)
    scorer = make_scorer_of(labels, None, AS_IN_ARTICLE, who=who)
    scoring = Scoring(labels, folds, None, AS_IN_ARTICLE, scorer, None, verbose=verbose)

    fitted = {name: each.fit(X) for name, each in extractors.items()}
    planned = []
    for name, extractor in fitted.items():
        setup, per_image = time_features(extractor, X, len(images))
        row = ComparisonRow(name, "transfer", setup_seconds=setup, seconds_per_image=per_image)
        planned.append(row)
        if verbose:
            print(_expect(row, extractor, len(images)), file=sys.stderr)

    start = time.perf_counter()
    pixels, _ = raw_pixels(images, first.value_range, is_said=True)
    seconds = time.perf_counter() - start
    raw = ComparisonRow("raw pixels", "raw", seconds_per_image=seconds / len(images))
    scored = [scoring.score(replace(raw, feature_seconds=seconds), [pixels], AS_IN_ARTICLE)]
    for row in planned:
        start = time.perf_counter()
        features = compute_features(fitted[row.name], X)
        row = replace(row, feature_seconds=time.perf_counter() - start)
        scored.append(scoring.score(row, [features], AS_IN_ARTICLE))
        del features  # 100 kB an image
    rows = [each.row for each in scored]
    n_tests = judge_rows(rows, scored, scoring)
    return TransferComparison(
        **scoring.describe(),
        target_names=[str(name) for name in (target_names or labels.classes)],
        metrics=list(rows[0].scores),
        classifier="LogisticRegression() on unscaled values",
        rows=rows,
        n_tests=n_tests,
    )


def _expect(row: ComparisonRow, extractor: FeatureExtractor, n_images: int) -> str:
    return (
        f"{row.name} ({extractor.engine_}): about {say_seconds(row.seconds_per_image * n_images)} "
        f"for the features of {n_images:,} images, less if some are cached"
    )
