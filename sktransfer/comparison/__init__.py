"""Does transfer help? The same classifier and folds on raw pixels and on network features."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from sktransfer.comparison.few import draw_few
from sktransfer.comparison.result import TransferComparison
from sktransfer.comparison.rows import ComparisonRow, FewLabels, best_of, best_raw_at
from sktransfer.extractor import VGGFeatureExtractor
from sktransfer.images import Images, read_images
from sktransfer.probing import (
    Folds,
    Scorer,
    check_classifier,
    check_labels,
    make_folds,
    make_scorer_of,
    raw_pixels,
    score_folds,
    time_features,
    to_plain,
)
from sktransfer.probing.planning import check_extractors, plan_networks
from sktransfer.probing.significance import compare_draws, compare_scores


def compare_transfer(
    X: Any,
    y: Any,
    *,
    extractors: Mapping[str, VGGFeatureExtractor],
    classifier: Any = None,
    cv: Any = 10,
    scoring: Any = None,
    groups: Any = None,
    few_labels: str | Sequence[int] = (),
    positive: Any = None,
    target_names: Sequence[str] | None = None,
    optional: Collection[str] = (),
    random_state: int | None = 0,
    verbose: int = 0,
) -> TransferComparison:
    """Compare raw pixels with network features: same images, folds and classifier.

    Beside each extractor with trained weights stands a control, the same network with random
    weights: what the control reaches is not owed to the training. Differences are taken fold by
    fold, to the best row of raw pixels and to the control, and tested by the corrected resampled
    t-test; the verdict says in words what they amount to.

    Without `classifier` it is ``LogisticRegression(max_iter=1000)`` behind a ``StandardScaler``,
    and there are three rows of raw pixels: "as in the article", the values as they are, unscaled,
    and 100 iterations; "from 0 to 1", unscaled and 1,000 iterations, which is often the best way
    to use them; and the same classifier as for features. With a classifier of your own there are
    two: the values as they are, and from 0 to 1.

    Features are computed once per image, before the folds: the network was not trained on these
    images, so nothing leaks from one fold into another.

    Parameters
    ----------
    X : array-like, DataFrame, or list of paths, PIL images or arrays
        Images in any form that :class:`VGGFeatureExtractor` takes. The rows of raw pixels see them
        as the first extractor does: with its `image_shape` and `value_range`.
    y : array-like of shape (n_images,)
        Labels of at least two classes, each with at least as many images as folds.
    extractors : mapping of str to VGGFeatureExtractor
        A row for each, under its name, and one for the control of each different configuration,
        unless it stands among them: an extractor with ``weights=None`` and all else alike.
    classifier : estimator or None, default=None
        What classifies pixels and features; a pipeline if they are to be scaled.
    cv : int, splitter or iterable, default=10
        A number of stratified folds, shuffled by `random_state`; or a splitter of scikit-learn, or
        pairs of training and test indices.
    scoring : str, callable, list, tuple, dict or None, default=None
        None takes accuracy, precision, recall, F1 and ROC AUC; else what scikit-learn's
        ``cross_validate`` takes. The first metric decides and is tested.
    groups : array-like of shape (n_images,) or None, default=None
        Images of one group, such as those of one patient, stay in one fold.
    few_labels : 'auto' or sequence of int, default=()
        Numbers of labels per class at which all rows are scored as well, by the first metric. So
        many images of each class are drawn from the training images of every fold, fewer as parts
        of more, the same for every row. ``'auto'`` takes 3 and 10, as far as every class has twice
        as many to learn from in every fold.
    positive : object, default=None
        Of two classes, the one that precision, recall, F1 and ROC AUC are about; None takes the
        second in sorted order, as scikit-learn does.
    target_names : sequence of str or None, default=None
        What the labels stand for, in their sorted order; None spells the labels themselves.
    optional : collection of str, default=()
        Names of the extractors that are shown only if their weights are on this machine: nothing is
        downloaded for them. Where they are not, the reason is shown in their place.
    random_state : int or None, default=0
        Seed of the shuffling and of the controls' weights.
    verbose : int, default=0
        Above 0, progress bars.

    Returns
    -------
    TransferComparison
        Scores of every row on every fold, differences, seconds and verdict. Printed, it is tables;
        ``to_frame``, ``to_markdown``, ``to_json`` and ``to_csv`` give it in other forms.

    Raises
    ------
    ValueError
        If labels, folds and images do not fit together, or the classifier cannot be scored so.
    TypeError
        If an extractor or the classifier is none.
    OSError
        If weights that are not optional, or image files, are not to be had.

    See Also
    --------
    TransferComparisonDisplay : The same as a drawing.

    References
    ----------
    C. Nadeau, Y. Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003,
    https://doi.org/10.1023/A:1024068626366 (the test).

    Examples
    --------
    >>> from sktransfer import VGGFeatureExtractor, compare_transfer, load_digit_pair
    >>> X, y = load_digit_pair(return_X_y=True)
    >>> random = VGGFeatureExtractor(
    ...     "block1_pool", weights=None, pooling="max", input_size=32, random_state=0
    ... )
    >>> result = compare_transfer(X[:40], y[:40], extractors={"random": random}, cv=2)
    >>> [row.name for row in result.rows]
    ['raw pixels as in the article', 'raw pixels from 0 to 1', 'raw pixels', 'random']
    """
    who = "compare_transfer"
    check_extractors(extractors, who=who)
    first = next(iter(extractors.values()), VGGFeatureExtractor())
    images = read_images(X, image_shape=first.image_shape, value_range=first.value_range, who=who)
    labels = check_labels(y, len(images), positive=positive, who=who)
    if target_names is not None and len(target_names) != len(labels.classes):
        raise ValueError(
            f"The 'target_names' parameter of {who} must name each of the {len(labels.classes)} "
            f"classes {labels.classes.tolist()}. Got {list(target_names)} instead."
        )
    folds = make_folds(labels, cv, random_state=random_state, groups=groups, who=who)
    draws = draw_few(labels, folds, few_labels, random_state=random_state, who=who)
    probe = check_classifier(classifier, who=who)
    scorer = make_scorer_of(labels, scoring, probe, who=who)

    # Weights are found, and parameters checked, before the first row takes its time.
    planned = plan_networks(
        X, extractors, optional=optional, random_state=random_state, verbose=verbose
    )
    scoring_of = _Scoring(labels.y, folds, draws, scorer, verbose)
    is_said = any(plan.extractor is not None for plan in planned)
    rows = _score_raw_pixels(images, first.value_range, is_said, classifier, probe, scoring_of)
    for plan in planned:
        row = ComparisonRow(
            plan.name, plan.kind, control=plan.control, unavailable=plan.unavailable
        )
        if plan.extractor is None:
            rows.append(row)
            continue
        setup, per_image = time_features(plan.extractor, X, len(images))
        start = time.perf_counter()
        features = plan.extractor.transform(X)
        seconds = time.perf_counter() - start
        row = replace(row, setup_seconds=setup, seconds_per_image=per_image)
        rows.append(scoring_of.score(replace(row, feature_seconds=seconds), features, probe))
        del features  # as wide as 800,000 values per image: not two at a time
    metrics = list(rows[0].scores)
    _compare_rows(rows, metrics[0], folds)
    for position, some in enumerate(draws.values()):
        _compare_few(rows, position, some, n_numbers=len(draws))
    return TransferComparison(
        n_images=len(labels.y),
        n_folds=len(folds),
        classes=[to_plain(label) for label in labels.classes],
        positive=to_plain(labels.positive),
        target_names=[str(name) for name in (target_names or labels.classes)],
        metrics=metrics,
        classifier="logistic regression" if classifier is None else " ".join(repr(probe).split()),
        rows=rows,
    )


@dataclass
class _Scoring:
    """What is the same for all rows."""

    y: np.ndarray
    folds: Folds
    draws: dict[int, Folds]
    scorer: Scorer
    verbose: int

    def score(self, row: ComparisonRow, features: np.ndarray, classifier: Any) -> ComparisonRow:
        """Return the row with its scores."""
        progress = row.name if self.verbose else None
        found = score_folds(
            features, self.y, self.folds, classifier, self.scorer, progress=progress
        )
        metric = next(iter(found.scores))
        few = [
            FewLabels(n, self._score_draws(features, n, draws, classifier)[metric])
            for n, draws in self.draws.items()
        ]
        return replace(
            row,
            n_features=features.shape[1],
            scores=found.scores,
            classifier_seconds=found.seconds,
            n_not_converged=found.n_not_converged,
            few=few,
        )

    def _score_draws(
        self, features: np.ndarray, n_labels: int, draws: Folds, classifier: Any
    ) -> dict[str, list[float]]:
        # Raw pixels come first, so that this is found out before any network runs.
        try:
            return score_folds(features, self.y, draws, classifier, self.scorer).scores
        except ValueError as error:
            raise ValueError(
                f"The classifier of compare_transfer cannot be fitted on {n_labels} labels of each "
                f"class: {error}. Set 'few_labels' higher, or pass another classifier."
            ) from error


def _score_raw_pixels(
    images: Images,
    value_range: Any,
    is_said: bool,
    classifier: Any,
    probe: Any,
    scoring_of: _Scoring,
) -> list[ComparisonRow]:
    start = time.perf_counter()
    pixels, unit_pixels = raw_pixels(images, value_range, is_said=is_said)
    seconds = time.perf_counter() - start
    unit_probe = probe
    ways = [("raw pixels", pixels, probe)]
    if classifier is None:
        unit_probe = LogisticRegression(max_iter=1000)
        article = LogisticRegression(max_iter=100)
        ways.insert(0, ("raw pixels as in the article", pixels, article))
    ways.insert(-1, ("raw pixels from 0 to 1", unit_pixels, unit_probe))
    rows = []
    for name, values, each in ways:
        row = ComparisonRow(name, "raw", seconds_per_image=seconds / len(images))
        rows.append(scoring_of.score(replace(row, feature_seconds=seconds), values, each))
    return rows


def _compare_rows(rows: list[ComparisonRow], metric: str, folds: Folds) -> None:
    """Put into every row how it compares with the best raw row, and with its control."""
    computed = {row.name: row for row in rows if row.unavailable is None}
    raw = best_of(rows, metric, "raw")
    assert raw is not None
    n_trained = sum(row.kind == "transfer" for row in computed.values())
    for row in computed.values():
        n_judged = n_trained if row.kind == "transfer" else 1
        if row is not raw:
            row.against_raw = compare_scores(
                row.scores[metric], raw.scores[metric], folds, n_comparisons=n_judged
            )
        if row.control is not None:
            control = computed[row.control].scores[metric]
            row.against_control = compare_scores(
                row.scores[metric], control, folds, n_comparisons=n_judged
            )


def _compare_few(rows: list[ComparisonRow], position: int, draws: Folds, *, n_numbers: int) -> None:
    """Do the same at one of the few numbers of labels."""
    computed = {row.name: row for row in rows if row.unavailable is None}
    raw = best_raw_at(rows, position)
    n_trained = sum(row.kind == "transfer" for row in computed.values())
    for row in computed.values():
        own = row.few[position]
        n_judged = n_numbers * (n_trained if row.kind == "transfer" else 1)
        if row is not raw:
            own.against_raw = compare_draws(
                own.scores, raw.few[position].scores, draws, n_comparisons=n_judged
            )
        if row.control is not None:
            control = computed[row.control].few[position].scores
            own.against_control = compare_draws(own.scores, control, draws, n_comparisons=n_judged)
