"""Transfer curves: scores against the number of labels, with and without transfer."""

from __future__ import annotations

import time
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from sktransfer.base import Interval, validate_parameter_constraints
from sktransfer.evaluation.curves.draws import choose_sizes, split
from sktransfer.evaluation.curves.estimates import Design
from sktransfer.evaluation.curves.judging import judge
from sktransfer.evaluation.curves.result import TransferCurve
from sktransfer.evaluation.curves.rows import CurveRow
from sktransfer.evaluation.curves.scoring import Scoring, count_units
from sktransfer.evaluation.probing import (
    Target,
    check_classifier,
    check_target,
    make_linear,
    make_scorer_of,
    predicts,
    raw_pixels,
)
from sktransfer.evaluation.probing.folding import check_seed
from sktransfer.evaluation.probing.metrics import DEFAULT_METRICS
from sktransfer.evaluation.probing.planning import (
    NetworkPlan,
    check_extractors,
    check_n_controls,
    plan_networks,
)
from sktransfer.evaluation.probing.weighting import check_sample_weight, check_takes_weights
from sktransfer.extractor import VGGFeatureExtractor
from sktransfer.features.estimator import FeatureExtractor
from sktransfer.features.fitted import compute_features, read_as
from sktransfer.inputs.images import Images
from sktransfer.results.result import to_plain

_WHO = "transfer_curve"
RAW, UNIT_RAW = "raw pixels", "raw pixels from 0 to 1"


class CurveWarning(UserWarning):
    """A power law fits badly, or does not determine the asymptote of a learning curve."""


def transfer_curve(
    X: Any,
    y: Any,
    *,
    extractors: Mapping[str, FeatureExtractor],
    estimators: Mapping[str, Any] | None = None,
    classifier: Any = None,
    sizes: str | Sequence[int] = "auto",
    n_repeats: int = 10,
    test: float | Sequence[int] = 0.25,
    groups: Any = None,
    scoring: Any = None,
    n_controls: int = 3,
    optional: Collection[str] = (),
    on_error: str = "raise",
    sample_weight: Any = None,
    random_state: int | None = 0,
    verbose: int = 0,
) -> TransferCurve:
    """Compare the scores of raw pixels, features and estimators by the number of labels.

    The curves measure the three ways in which transfer can help: a higher start, a higher slope, a
    higher asymptote. In each repeat, a stratified draw holds out images for testing and puts the
    others in an order in which the first n images are always stratified. Smaller draws are part of
    larger ones, and all rows use the same draws. Rows are raw pixels, the same network with random
    weights as a control, each extractor, and each estimator. Features are computed once per image,
    before anything is drawn; the network was not trained on these images, so nothing leaks. The
    differences between all pairs of rows, by all criteria, are tested together (Holm).

    Parameters
    ----------
    X : array-like, DataFrame, or list of paths, PIL images or arrays
        Images in any form that :class:`VGGFeatureExtractor` accepts. Raw pixels use the
        `image_shape` and `value_range` of the first extractor.
    y : array-like of shape (n_images,) or (n_images, n_labels)
        Labels of at least two classes; numbers; or columns of 0 and 1 if an image may have
        several labels. Whole numbers are classes unless `classifier` or an estimator is a
        regressor.
    extractors : mapping of str to VGGFeatureExtractor or ImageFeatureExtractor
        A row for each, under its name. For each configuration with trained weights, a row of the
        same network with random weights is added.
    estimators : mapping of str to estimator or None, default=None
        A row for each classifier, or regressor of numbers, that is fitted on the images themselves,
        such as a pipeline or a :class:`VGGClassifier`, which is fine-tuned from the start on every
        draw.
    classifier : estimator or None, default=None
        Classifier of raw pixels and features, or regressor of numbers. None means a
        ``StandardScaler`` with ``LogisticRegression(max_iter=1000)``, one for each of several
        labels, or with ``RidgeCV`` for numbers; and adds a row of raw pixels from 0 to 1 without
        the scaler, which is often the best way to use raw pixels.
    sizes : 'auto' or array-like of int, default='auto'
        Numbers of labels, over all classes. ``'auto'`` starts at two per class, or at 10 images
        where there are no classes, and doubles up to all training images.
    n_repeats : int, default=10
        Draws for each number of labels; at least 2.
    test : float or array-like of int, default=0.25
        The share of each class to test on, drawn again in each repeat; or the positions of a fixed
        test set.
    groups : array-like of shape (n_images,) or None, default=None
        Images of one group, such as those of one patient, are either learned from or tested on. A
        share in `test` is then met approximately, and the number of test images varies by repeat.
    scoring : str, callable or None, default=None
        One metric, as scikit-learn names them; higher is better. None means accuracy, R2 for
        numbers, and for sets of labels ``label_accuracy``, the share of right labels.
    n_controls : int, default=3
        With how many seeds the random weights of a control are drawn; at least 1. Its scores are
        means over the draws, whose spread counts in intervals and leads: one draw may be a lucky
        one. Each draw costs a pass of all images through the network.
    optional : collection of str, default=()
        Names of extractors that are shown only if their weights are on this machine: nothing is
        downloaded for them. Otherwise the reason is shown in their place.
    on_error : {'raise', 'skip'}, default='raise'
        What happens where an extractor that is not optional cannot be used, because its weights
        cannot be downloaded, say, or an ONNX file has no random weights: an error; or the reason
        stands in its place, as long as another extractor with trained weights remains, or one at
        all where none was given.
    sample_weight : array-like of shape (n_images,) or None, default=None
        How much each image counts, as for :func:`compare_transfer`, for estimators too.
    random_state : int or None, default=0
        Seed of draws, of intervals and of random weights; these are drawn with this seed and the
        following ones.
    verbose : int, default=0
        Above 0, progress bars.

    Returns
    -------
    TransferCurve
        Scores of every row, the criteria with the best rows, and the labels saved.

    Raises
    ------
    ValueError, TypeError
        If labels, sizes, test set or metric are invalid, before any network runs.
    OSError
        If weights that are not optional, or image files, are unavailable; see `on_error`.

    Warns
    -----
    CurveWarning
        If a power law fits badly or does not determine the asymptote; the result says why.

    See Also
    --------
    compare_transfer : The same rows with one number of labels, by cross-validation.
    TransferCurveDisplay : Plot the curves.

    References
    ----------
    L. Torrey, J. Shavlik, "Transfer Learning", Handbook of Research on Machine Learning
    Applications, 2010 (start, slope, asymptote). C. Nadeau, Y. Bengio, "Inference for the
    Generalization Error", Machine Learning 52, 2003 (repeats that share images). S. Holm, "A simple
    sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.

    Examples
    --------
    >>> from sktransfer import VGGFeatureExtractor, load_digit_pair, transfer_curve
    >>> X, y = load_digit_pair(return_X_y=True)
    >>> random = VGGFeatureExtractor(
    ...     "block1_pool", weights=None, pooling="max", input_size=32, random_state=0
    ... )
    >>> curve = transfer_curve(
    ...     X[:40], y[:40], extractors={"random": random}, sizes=[4, 8], n_repeats=3
    ... )
    >>> [row.name for row in curve.rows]
    ['raw pixels', 'raw pixels from 0 to 1', 'random']
    >>> [len(scores) for scores in curve.rows[0].scores]
    [3, 3]
    """
    _check_parameters(extractors, optional, on_error, estimators, scoring, n_repeats)
    first = next(iter(extractors.values()), VGGFeatureExtractor())
    images = read_as(first, X, who=_WHO)
    target = _check_target(y, len(images), classifier, estimators)
    probe = check_classifier(classifier, kind=target.kind, who=_WHO)
    metric = DEFAULT_METRICS[target.kind][0] if scoring is None else scoring
    is_weighted = sample_weight is not None
    scorer = make_scorer_of(target, metric, probe, is_weighted=is_weighted, who=_WHO)
    check_seed(random_state, _WHO)
    rng = check_random_state(random_state)
    splits = split(target, test, n_repeats, rng, groups=groups, who=_WHO)
    n_train = min(len(order) for order, _ in splits)
    numbers = choose_sizes(sizes, target, n_train, who=_WHO)
    draws = [(order[:n], tested) for n in numbers for order, tested in splits]
    weights = check_sample_weight(sample_weight, draws, len(images), who=_WHO)
    if is_weighted:
        _check_take_weights(probe, estimators)
    design = _describe_design(numbers, target, test, splits, groups, weights)

    # Find weights and check parameters before the first row is computed.
    planned = plan_networks(
        X,
        extractors,
        optional=optional,
        on_error=on_error,
        taken=list(estimators or {}),
        n_controls=check_n_controls(n_controls, who=_WHO),
        random_state=random_state,
        verbose=verbose,
    )

    shared = Scoring(target, draws, n_repeats, scorer, weights, verbose)
    pixels = {RAW: probe} | ({UNIT_RAW: make_linear(target.kind)} if classifier is None else {})
    is_said = any(plan.extractors for plan in planned)
    rows = _score_raw(images, first.value_range, is_said, pixels, shared)
    # An estimator may not accept these images: find out before the networks run.
    whole = [
        shared.score(CurveRow(name, "estimator"), [X], estimator)
        for name, estimator in (estimators or {}).items()
    ]
    rows += [_score_network(plan, X, probe, shared) for plan in planned]
    rows += whole

    resampling = int(rng.randint(np.iinfo(np.int32).max))
    found = judge(rows, design, resampling)
    _warn_of_doubts(rows)
    return TransferCurve(
        n_images=design.n_images,
        n_test=design.n_test,
        is_test_fixed=design.is_test_fixed,
        n_repeats=n_repeats,
        classes=[to_plain(label) for label in target.classes],
        metric=_metric_name(metric),
        sizes=design.sizes.tolist(),
        rows=rows,
        criteria=found.criteria,
        savings=found.savings,
        n_comparisons=found.n_comparisons,
        target=target.kind,
        is_weighted=is_weighted,
    )


def _describe_design(
    sizes: np.ndarray,
    target: Target,
    test: Any,
    splits: list[tuple[np.ndarray, np.ndarray]],
    groups: Any,
    weights: np.ndarray | None,
) -> Design:
    tests = [tested for _, tested in splits]
    return Design(
        sizes=sizes,
        n_images=len(target.y),
        n_test=round(float(np.mean([len(tested) for tested in tests]))),
        is_test_fixed=not isinstance(test, Real),
        n_units=min(count_units(tested, groups, weights) for tested in tests),
    )


def _check_target(y: Any, n_images: int, classifier: Any, estimators: Any) -> Target:
    """Find out what is predicted, which a regressor among all that predict may decide."""
    predictors = [classifier, *(estimators or {}).values()]
    regressor = next((each for each in predictors if predicts(each, "numbers")), None)
    target = check_target(y, n_images, predictor=regressor, who=_WHO)
    _check_estimators(estimators, target.kind)
    return target


def _score_raw(
    images: Images, value_range: Any, is_said: bool, probes: Mapping[str, Any], shared: Scoring
) -> list[CurveRow]:
    """Score raw pixels, as they are and from 0 to 1, each by the probe of this name."""
    start = time.perf_counter()
    ways = dict(zip((RAW, UNIT_RAW), raw_pixels(images, value_range, is_said=is_said), strict=True))
    seconds = time.perf_counter() - start
    rows = []
    for name, probe in probes.items():
        row = CurveRow(name, "raw", ways[name].shape[1], feature_seconds=seconds)
        rows.append(_score_first(shared.score, row, ways[name], probe))
    return rows


def _score_network(plan: NetworkPlan, X: Any, probe: Any, shared: Scoring) -> CurveRow:
    row = CurveRow(plan.name, plan.kind, control=plan.control, unavailable=plan.unavailable)
    if plan.extractors:
        shared.score(row, _compute_in_turn(plan, X, row), probe)
    return row


def _compute_in_turn(plan: NetworkPlan, X: Any, row: CurveRow) -> Iterator[np.ndarray]:
    """Compute the features of one draw after the other, and note width and time of the first."""
    for extractor in plan.extractors:
        start = time.perf_counter()
        features = compute_features(extractor, X)
        if row.n_features is None:
            row.n_features = features.shape[1]
            row.feature_seconds = time.perf_counter() - start
        yield features
        del features  # not two at a time


def _check_parameters(
    extractors: Any, optional: Any, on_error: Any, estimators: Any, scoring: Any, n_repeats: Any
) -> None:
    check_extractors(extractors, optional, on_error, who=_WHO)
    if not isinstance(estimators, Mapping | None):
        raise _wrong_estimators(estimators, "classes")
    names = [RAW, UNIT_RAW, *extractors, *(estimators or {})]
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"{_WHO} needs a different name for every row, and calls two of them {RAW!r} and "
            f"{UNIT_RAW!r}. Got {', '.join(map(repr, twice))} twice: choose another."
        )
    if not (scoring is None or isinstance(scoring, str) or callable(scoring)):
        raise TypeError(
            f"The 'scoring' parameter of {_WHO} must be None or one metric: a name of "
            f"scikit-learn, such as 'accuracy', or a scorer. Got {scoring!r} instead."
        )
    constraints = {"n_repeats": [Interval(Integral, 2, None, closed="left")]}
    validate_parameter_constraints(constraints, {"n_repeats": n_repeats}, caller_name=_WHO)


def _check_estimators(estimators: Any, kind: str) -> None:
    if not all(predicts(each, kind) for each in (estimators or {}).values()):
        raise _wrong_estimators(estimators, kind)


def _check_take_weights(probe: Any, estimators: Any) -> None:
    check_takes_weights(probe, "classifier", who=_WHO)
    for each in (estimators or {}).values():
        check_takes_weights(each, "estimators", who=_WHO)


def _wrong_estimators(estimators: Any, kind: str) -> TypeError:
    what = "regressors, as y holds numbers," if kind == "numbers" else "classifiers"
    return TypeError(
        f"The 'estimators' parameter of {_WHO} must be None or map names to {what} that are fitted "
        f"on images, as in {{'pipeline': make_pipeline(...)}}. Got {estimators!r} instead."
    )


def _score_first(score: Any, row: CurveRow, pixels: np.ndarray, classifier: Any) -> CurveRow:
    """Score raw pixels, which find out what cannot be learned or scored before a network runs."""
    try:
        score(row, [pixels], classifier)
    except ValueError as error:
        raise ValueError(
            f"The classifier of {_WHO} cannot be fitted and scored on every draw of labels: "
            f"{error}. Set sizes higher, or pass another classifier or scoring."
        ) from error
    if not np.isfinite(row.scores).all():
        raise ValueError(
            f"The 'scoring' parameter of {_WHO} must give finite scores on every draw of labels. "
            "It gives NaN or infinity on some: choose another metric, or a test set with every "
            "class."
        )
    return row


def _metric_name(scoring: Any) -> str:
    return scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")


def _warn_of_doubts(rows: list[CurveRow]) -> None:
    doubts = [f"{row.name} ({row.law.doubt})" for row in rows if row.law and row.law.doubt]
    if doubts:
        warnings.warn(
            f"{_WHO} cannot rely on the power law and its asymptote for {'; '.join(doubts)}. Use "
            "more labels, repeats or test images. All other results are valid.",
            CurveWarning,
            stacklevel=3,
        )
