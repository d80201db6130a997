"""Compare raw pixels with network features: the same classifier and folds for both."""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from sktransfer.evaluation.comparison.few import draw_few
from sktransfer.evaluation.comparison.judging import judge_rows
from sktransfer.evaluation.comparison.result import TransferComparison
from sktransfer.evaluation.comparison.rows import RAW_AS_IN_ARTICLE, ComparisonRow
from sktransfer.evaluation.comparison.scoring import ScoredRow, Scoring, one
from sktransfer.evaluation.probing import (
    make_linear,
    raw_pixels,
    time_features,
)
from sktransfer.evaluation.probing.planning import (
    NetworkPlan,
    check_extractors,
    check_n_controls,
    plan_networks,
)
from sktransfer.extractor import VGGFeatureExtractor
from sktransfer.features.estimator import FeatureExtractor
from sktransfer.features.fitted import compute_features, read_as
from sktransfer.inputs.images import Images

#: The classifier of the article: scikit-learn's default, on values as they are.
AS_IN_ARTICLE = LogisticRegression(max_iter=100)


def compare_transfer(
    X: Any,
    y: Any,
    *,
    extractors: Mapping[str, FeatureExtractor],
    classifier: Any = None,
    cv: Any = 10,
    scoring: Any = None,
    groups: Any = None,
    few_labels: str | Sequence[int] = (),
    n_controls: int = 3,
    positive: Any = None,
    target_names: Sequence[str] | None = None,
    optional: Collection[str] = (),
    on_error: str = "raise",
    sample_weight: Any = None,
    random_state: int | None = 0,
    verbose: int = 0,
) -> TransferComparison:
    """Compare raw pixels with network features: same images, folds and classifier.

    For each extractor with trained weights, a control is added: the same network with random
    weights, drawn several times. What the control also reaches cannot be credited to pretraining.
    Each row is compared with the best row of raw pixels and with its control. Accuracy is tested
    image by image (McNemar's test), and so are errors of numbers (a paired t-test); other metrics
    and few labels are tested fold by fold (corrected t-tests). All tests of a comparison are
    corrected together (Holm), and the verdict describes the differences in words. Where classes are
    of unequal size, balanced accuracy is tested beside accuracy.

    By default, the classifier is ``LogisticRegression(max_iter=1000)`` with a ``StandardScaler``,
    and there are three rows of raw pixels: "as in the article", unscaled and with 100 iterations;
    "from 0 to 1", without a scaler and with 1,000 iterations, which is often the best way to use
    raw pixels; and the same classifier as for features. Each row of trained weights is followed by
    a row "as in the article", which is compared with the raw row of that name. Numbers are
    predicted by ``RidgeCV`` behind a ``StandardScaler``, whose penalty is chosen inside each fold,
    sets of labels by a logistic regression for each label, both without rows as in the article.
    With your own classifier there are two rows of raw pixels, the values as they are and from 0 to
    1, and no row as in the article.

    Features are computed once per image, before splitting into folds. The network was not trained
    on these images, so nothing leaks from one fold into another.

    Parameters
    ----------
    X : array-like, DataFrame, or list of paths, PIL images or arrays
        Images in any form that :class:`ImageFeatureExtractor` accepts. The rows of raw pixels use
        the `image_shape` and `value_range` of the first extractor.
    y : array-like of shape (n_images,) or (n_images, n_labels)
        Labels of at least two classes, each with at least as many images as folds; numbers; or
        columns of 0 and 1 if an image may have several labels. Whole numbers are classes
        unless `classifier` is a regressor.
    extractors : mapping of str to VGGFeatureExtractor or ImageFeatureExtractor
        A row for each, under its name, and one for the control of each configuration. To use your
        own control, pass an extractor with ``weights=None`` and otherwise equal parameters.
    classifier : estimator or None, default=None
        Classifier of pixels and features, or regressor of numbers; a pipeline with a scaler if they
        should be scaled.
    cv : int, splitter or iterable, default=10
        A number of folds, shuffled by `random_state` and stratified by classes or labels; or a
        scikit-learn splitter, or pairs of training and test indices.
    scoring : str, callable, list, tuple, dict or None, default=None
        Metrics as for scikit-learn's ``cross_validate``. None means accuracy, precision, recall,
        F1 and ROC AUC; for numbers R2 and the mean absolute and root mean squared errors; for sets
        of labels ``label_accuracy``, the share of right labels, then the share of images with all
        labels right, and macro averages of precision, recall and F1. The first metric ranks the
        rows and is tested.
    groups : array-like of shape (n_images,) or None, default=None
        Images of one group, such as those of one patient, stay in the same fold.
    few_labels : 'auto' or sequence of int, default=()
        Numbers of labels per class with which all rows are also scored, by the first metric. This
        many images of each class are drawn from the training images of every fold. The draws are
        the same for every row, and smaller draws are part of larger ones. ``'auto'`` means 3 and
        10, if every class has at least twice as many training images in every fold. Rows as in the
        article are scored with all labels only. Without classes, this many images are drawn in
        all, and ``'auto'`` means 10 and 30.
    n_controls : int, default=3
        How many times the random weights of a control are drawn, each with its own seed; at least
        1. Its scores are
        means over the draws, and the tests count their spread: one draw may be a lucky one. Each
        draw costs a pass of all images through the network.
    positive : object, default=None
        The positive class of two classes, for precision, recall, F1 and ROC AUC; None means the
        second in sorted order, as in scikit-learn.
    target_names : sequence of str or None, default=None
        Names of the labels, in their sorted order; None shows the labels themselves.
    optional : collection of str, default=()
        Names of extractors that are shown only if their weights are on this machine: nothing is
        downloaded for them. Otherwise the reason is shown in their place.
    on_error : {'raise', 'skip'}, default='raise'
        What happens where an extractor that is not optional cannot be used, because its weights
        cannot be downloaded, say, or an ONNX file has no random weights: an error; or the reason
        stands in its place, as long as another extractor with trained weights remains, or one at
        all where none was given.
    sample_weight : array-like of shape (n_images,) or None, default=None
        How much each image counts, while classifiers are fitted and in all scores and tests. It is
        given to every step of `classifier` whose ``fit`` takes it; with scikit-learn's metadata
        routing enabled, to the steps that request it.
    random_state : int or None, default=0
        Seed of the shuffling and of the controls' weights, which are drawn with this seed and the
        following ones.
    verbose : int, default=0
        Above 0, progress bars.

    Returns
    -------
    TransferComparison
        Scores of every row on every fold, differences, seconds and verdict. ``print`` shows
        tables; ``to_frame``, ``to_markdown``, ``to_json`` and ``to_csv`` convert the result.

    Raises
    ------
    ValueError
        If labels, folds and images do not match, or the classifier does not support the metrics.
    TypeError
        If an extractor or the classifier has the wrong type.
    OSError
        If weights that are not optional, or image files, are unavailable; see `on_error`.

    See Also
    --------
    TransferComparisonDisplay : Plot the result.

    References
    ----------
    Q. McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika 12, 1947. C. Nadeau, Y. Bengio, "Inference for the Generalization
    Error", Machine Learning 52, 2003. S. Holm, "A simple sequentially rejective multiple test
    procedure", Scandinavian Journal of Statistics 6, 1979.

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
    check_extractors(extractors, optional, on_error, who=who)
    first = next(iter(extractors.values()), VGGFeatureExtractor())
    images = read_as(first, X, who=who)
    checked = Scoring.check(
        y,
        len(images),
        classifier=classifier,
        cv=cv,
        groups=groups,
        scoring=scoring,
        positive=positive,
        sample_weight=sample_weight,
        random_state=random_state,
        who=who,
    )
    target, probe = checked.target, checked.classifier
    names = _check_target_names(target_names, target.classes, who)
    draws = draw_few(target, checked.folds, few_labels, random_state=random_state, who=who)
    shared = replace(checked, draws=draws, verbose=verbose)

    # Find weights and check parameters before the first row is computed.
    planned = plan_networks(
        X,
        extractors,
        optional=optional,
        on_error=on_error,
        n_controls=check_n_controls(n_controls, who=who),
        random_state=random_state,
        verbose=verbose,
    )
    is_said = any(plan.extractors for plan in planned)
    has_article = classifier is None and target.kind == "classes"
    scored = _score_raw_pixels(images, first.value_range, is_said, classifier, probe, shared)
    rows = [each.row for each in scored]
    for plan in planned:
        row = ComparisonRow(
            plan.name, plan.kind, control=plan.control, unavailable=plan.unavailable
        )
        if not plan.extractors:
            rows.append(row)
            continue
        found = _score_network(row, plan, X, shared, probe, as_in_article=has_article)
        scored += found
        rows += [each.row for each in found]
    n_tests = judge_rows(rows, scored, shared)
    return TransferComparison(
        **shared.describe(),
        target_names=names,
        metrics=list(rows[0].scores),
        classifier=_say_probe(target.kind) if classifier is None else " ".join(repr(probe).split()),
        rows=rows,
        n_tests=n_tests,
        is_by_images=shared.is_by_images,
    )


def _say_probe(kind: str) -> str:
    return {
        "classes": "logistic regression",
        "numbers": "ridge regression",
        "labels": "logistic regression of each label",
    }[kind]


def _check_target_names(target_names: Any, classes: np.ndarray, who: str) -> list[str]:
    """Return the name of each class, its label where none is given."""
    names = classes.tolist() if target_names is None else list(target_names)
    if len(names) != len(classes):
        raise ValueError(
            f"The 'target_names' parameter of {who} must name each of the {len(classes)} "
            f"classes {classes.tolist()}. Got {names} instead."
        )
    return [str(name) for name in names]


def _score_network(
    row: ComparisonRow,
    plan: NetworkPlan,
    X: Any,
    shared: Scoring,
    probe: Any,
    *,
    as_in_article: bool,
) -> list[ScoredRow]:
    """Score the features of a network, and those of trained weights as in the article too."""
    setup, per_image = time_features(plan.extractors[0], X, len(shared.target.y))
    start = time.perf_counter()
    features = compute_features(plan.extractors[0], X)
    row = replace(
        row,
        setup_seconds=setup,
        seconds_per_image=per_image,
        feature_seconds=time.perf_counter() - start,
    )
    # Features are as wide as 800,000 values per image: not two at a time.
    if plan.kind == "control":
        first = one(features)
        del features
        others = (compute_features(each, X) for each in plan.extractors[1:])
        return [shared.score(row, itertools.chain(first, others), probe)]
    found = [shared.score(row, [features], probe)]
    if as_in_article:
        row = replace(row, name=f"{row.name}, as in the article", kind="article", control=None)
        found.append(shared.score(row, [features], AS_IN_ARTICLE))
    return found


def _score_raw_pixels(
    images: Images,
    value_range: Any,
    is_said: bool,
    classifier: Any,
    probe: Any,
    shared: Scoring,
) -> list[ScoredRow]:
    start = time.perf_counter()
    pixels, unit_pixels = raw_pixels(images, value_range, is_said=is_said)
    seconds = time.perf_counter() - start
    unit_probe = probe
    ways = [("raw pixels", pixels, probe)]
    if classifier is None:
        unit_probe = make_linear(shared.target.kind)
        if shared.target.kind == "classes":
            ways.insert(0, (RAW_AS_IN_ARTICLE, pixels, AS_IN_ARTICLE))
    ways.insert(-1, ("raw pixels from 0 to 1", unit_pixels, unit_probe))
    rows = []
    for name, values, each in ways:
        row = ComparisonRow(name, "raw", seconds_per_image=seconds / len(images))
        rows.append(shared.score(replace(row, feature_seconds=seconds), [values], each))
    return rows
