"""Layer sweeps: linear probes on layers x poolings x input sizes, from few forward passes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import _safe_indexing, check_random_state, indexable

from sktransfer.base import name_extractor_in
from sktransfer.evaluation.probing import (
    Folds,
    check_classifier,
    check_labels,
    make_folds,
    make_scorer_of,
    score_folds,
    time_features,
)
from sktransfer.evaluation.probing.cheap import score_cheaply
from sktransfer.evaluation.probing.outcomes import weigh_images
from sktransfer.evaluation.probing.scoring import count_confusion
from sktransfer.evaluation.probing.selection import compare_with_best
from sktransfer.evaluation.sweep.grid import (
    BLOCK_ENDS,
    INPUT_SIZES,
    MAX_WIDTH,
    POOLINGS,
    Skipped,
    Variant,
    plan_variants,
)
from sktransfer.evaluation.sweep.passes import (
    Pass,
    extractor_of,
    fit_passes,
    ignoring_image_warnings,
    plan_passes,
    store_bytes,
    transform_blocks,
)
from sktransfer.evaluation.sweep.result import LayerSweep, SweepRow
from sktransfer.evaluation.sweep.similarity import centred_gram, linear_cka
from sktransfer.extractor import VGGFeatureExtractor
from sktransfer.features.estimator import FeatureExtractor
from sktransfer.inputs.images import read_images
from sktransfer.results.result import to_plain

#: Images on which representations are compared and scored cheaply, at most: their Gram matrices are
#: as large squared.
MAX_CKA_IMAGES = 500
#: Default memory for features at once, in bytes.
MEMORY_BUDGET = 2 << 30
# How often the cost of a cut is measured; the smallest counts.
_TIMED_RUNS = 3


def sweep_layers(
    X: Any,
    y: Any,
    *,
    extractor: FeatureExtractor | None = None,
    layers: Sequence[str] = BLOCK_ENDS,
    poolings: Sequence[str | None] = POOLINGS,
    input_sizes: Sequence[int] = INPUT_SIZES,
    classifier: Any = None,
    cv: Any = 5,
    groups: Any = None,
    scoring: Any = None,
    positive: Any = None,
    max_width: int | None = MAX_WIDTH,
    time_budget: float | None = None,
    memory_budget: int = MEMORY_BUDGET,
    random_state: int | None = 0,
    verbose: int = 0,
) -> LayerSweep:
    """Score linear probes on layers x poolings x input sizes, from few forward passes.

    For each input size, all images pass once through the network, up to the deepest requested
    layer. This pass gives every layer and pooling, and the extractor's store caches them. So an
    interrupted sweep continues where it stopped, and a later search or pipeline finds the features.
    Classifiers are fitted from small inputs to large and from narrow features to wide.

    The best of many rows looks better than it is, because it was chosen. The result says what it is
    worth when the choice is counted (`nested_score`), and which rows cannot be told from it
    (`not_worse`).

    Parameters
    ----------
    X : array-like, DataFrame, or list of paths, PIL images or arrays
        Images in any form that :class:`VGGFeatureExtractor` accepts; never changed.
    y : array-like of shape (n_images,)
        Labels of at least two classes, each with at least as many images as folds.
    extractor : VGGFeatureExtractor, ImageFeatureExtractor or None, default=None
        Sets everything except layer, pooling and input size: network, weights, engine, store. None
        means ``VGGFeatureExtractor()``.
    layers : list of str, default=('block1_pool', ..., 'block5_pool')
        Layers by their Keras names. Of a network other than VGG, the default is the last layer of
        each resolution.
    poolings : list of {'avg', 'max'} or None, default=('avg', 'max', None)
        Mean or maximum of each feature map, or None for all values. Layers without feature maps are
        scored once, as they are.
    input_sizes : list of int, default=(32, 64, 224)
        Sides in pixels, 32 and up; those that a network does not take are listed as skipped. The
        cost grows with their square.
    classifier : estimator or None, default=None
        None means ``LogisticRegression(max_iter=1000)`` with a ``StandardScaler``.
    cv : int, splitter or iterable, default=5
        A number of stratified folds, shuffled by `random_state`; or a scikit-learn splitter, or
        pairs of training and test indices.
    groups : array-like of shape (n_images,) or None, default=None
        Groups of images that must stay together, for splitters that use groups.
    scoring : str, callable, list, dict or None, default=None
        Metrics as for scikit-learn's ``cross_validate``; the first ranks the rows. None means
        accuracy, precision, recall, F1 and ROC AUC.
    positive : object, default=None
        The positive class of two classes, for precision, recall, F1 and ROC AUC; None means the
        second in sorted order.
    max_width : int or None, default=50000
        Features per image above which a variant is skipped; None skips none.
    time_budget : float or None, default=None
        Seconds after which no further work is started; the rest is listed as skipped.
    memory_budget : int, default=2147483648
        Bytes that features may take at the same time. A variant that needs more is skipped.
        Classifiers make additional copies: plan for three times as much.
    random_state : int or None, default=0
        Seed of the folds and of the sample of images for CKA.
    verbose : int, default=0
        Above 0, progress bars.

    Returns
    -------
    LayerSweep
        Scores, width and cost of every variant, linear CKA between them, and what was skipped.

    Raises
    ------
    TypeError, ValueError
        If a parameter, the labels or the images are invalid.
    OSError
        If weights or image files are unavailable.

    See Also
    --------
    LayerSearchCV : An estimator that makes the same choice.
    LayerSweepDisplay : Plot the result.

    Notes
    -----
    With ``cache=None``, or if the store is too small, features that do not fit into memory
    together are computed in further passes.

    References
    ----------
    S. Kornblith, M. Norouzi, H. Lee, G. Hinton, "Similarity of neural network representations
    revisited", 2019, https://arxiv.org/abs/1905.00414 (linear CKA).

    Examples
    --------
    >>> from sktransfer import VGGFeatureExtractor, load_digit_pair, sweep_layers
    >>> X, y = load_digit_pair(return_X_y=True)
    >>> extractor = VGGFeatureExtractor(weights=None, random_state=0)
    >>> sweep = sweep_layers(
    ...     X[:40], y[:40], extractor=extractor, layers=["block1_pool", "block2_pool"],
    ...     poolings=["avg"], input_sizes=[32], cv=2,
    ... )
    >>> [(row.variant.layer, row.variant.width) for row in sweep.rows]
    [('block1_pool', 64), ('block2_pool', 128)]
    """
    who = "sweep_layers"
    budget = _TimeBudget(_check_budget("time_budget", time_budget, Real, who))
    memory_budget = int(_check_budget("memory_budget", memory_budget, Integral, who) or 0)
    extractor = _settle_extractor(extractor, who)
    variants, skipped = plan_variants(extractor, layers, poolings, input_sizes, max_width, who=who)
    (X,) = indexable(X)
    images = read_images(
        X,
        image_shape=extractor.image_shape,
        value_range=extractor.value_range,
        allow_remote=extractor.allow_remote,
        who=who,
    )
    labels = check_labels(y, len(images), positive=positive, who=who)
    folds = make_folds(labels, cv, random_state=random_state, groups=groups, who=who)
    classifier = check_classifier(classifier, who=who)
    scorer = make_scorer_of(labels, scoring, classifier, who=who)
    variants = _that_fit(variants, skipped, len(images), memory_budget, who)
    passes = plan_passes(
        variants,
        len(images),
        store_bytes=store_bytes(extractor),
        memory_bytes=memory_budget,
    )
    del images

    n_cka_images = min(len(labels.y), MAX_CKA_IMAGES)
    chosen = np.random.default_rng(random_state).permutation(len(labels.y))[:n_cka_images]
    few = _restrict(folds, chosen, labels.y)
    sweep = LayerSweep(
        n_images=len(labels.y),
        n_folds=len(folds),
        classes=[to_plain(label) for label in labels.classes],
        positive=to_plain(labels.positive),
        metric="",
        skipped=skipped,
        n_cka_images=n_cka_images,
    )
    # Find weights and check parameters before the first pass is computed.
    fitted = fit_passes(extractor, passes, X)
    grams: list[np.ndarray] = []
    correct: list[np.ndarray] = []
    costs: dict[tuple[str, int], float] = {}
    for extractor, variant, values in _features(fitted, passes, X, sweep, budget, verbose):
        grams.append(centred_gram(values[chosen]))
        place = variant.layer, variant.input_size
        if place not in costs and not budget.is_spent():
            costs[place] = _milliseconds_of(extractor, variant, X, len(labels.y))
        cheap = score_cheaply(values[chosen], labels.y[chosen], few) if few else {}
        bar = str(variant) if verbose else None
        found = score_folds(
            values, labels.y, folds, classifier, scorer, keeps_predictions=True, progress=bar
        )
        del values  # before the next ones are looked at
        tested = [
            (labels.y[test], each) for (_, test), each in zip(folds, found.predicted, strict=True)
        ]
        correct.append(np.concatenate([each == y for y, each in tested]))
        confusion = sum(count_confusion(labels, *each)[:, :-1] for each in tested)
        sweep.metric = next(iter(found.scores))
        sweep.rows.append(
            SweepRow(
                variant,
                found.scores,
                milliseconds=costs.get(place),
                classifier_seconds=found.seconds,
                n_not_converged=found.n_not_converged,
                confusion=np.asarray(confusion).tolist(),
                cheap=cheap,
            )
        )
    best = sweep.best
    if best is not None:
        sweep.cka = linear_cka(grams)
        scores = np.array([row.scores[sweep.metric] for row in sweep.rows])
        weights = weigh_images(sweep.metric, labels.y, folds, groups)
        judged = compare_with_best(scores, correct, sweep.rows.index(best), folds, weights)
        for row, (difference, error) in zip(sweep.rows, judged, strict=True):
            if row is not best:
                row.to_best, row.error = difference, error
    return sweep


def _features(
    fitted: Sequence[FeatureExtractor],
    passes: Sequence[Pass],
    X: Any,
    sweep: LayerSweep,
    budget: _TimeBudget,
    verbose: int,
) -> Iterator[tuple[FeatureExtractor, Variant, np.ndarray]]:
    """Compute the features of one variant after the other, as long as there is time."""
    is_said = False
    for extractor, one_pass in zip(fitted, passes, strict=True):
        for group in one_pass.groups:
            with ignoring_image_warnings(is_said):
                features = _compute(extractor, one_pass, group, X, sweep, budget, verbose)
            is_said = True
            for variant in list(features):
                if not budget.is_spent():
                    yield extractor, variant, features.pop(variant)
                    continue
                reason = f"the time budget of {budget} ran out before its classifier ran"
                sweep.skipped.append(Skipped(variant, reason))


def _milliseconds_of(fitted: FeatureExtractor, variant: Variant, X: Any, n_images: int) -> float:
    """Measure what an image costs an extractor that cuts here and nowhere deeper."""
    known = {} if fitted.value_range_ is None else {"value_range": fitted.value_range_}
    # Speed does not depend on what int8 is calibrated on.
    few = _safe_indexing(X, slice(0, 4))
    calibration = few if fitted.precision == "int8" else None
    with ignoring_image_warnings(True):
        timed = extractor_of(fitted, [variant], cache=None, calibration=calibration, **known)
        timed.fit(few)
        # Other work on the machine can only make it slower.
        seconds = min(time_features(timed, X, n_images)[1] for _ in range(_TIMED_RUNS))
    return 1000 * seconds


def _compute(
    fitted: FeatureExtractor,
    one_pass: Pass,
    group: Sequence[Variant],
    X: Any,
    sweep: LayerSweep,
    budget: _TimeBudget,
    verbose: int,
) -> dict[Variant, np.ndarray]:
    """Compute a group of variants, or nothing if there is no time; the sweep then says so."""
    from tqdm.auto import tqdm

    n = sweep.n_images
    features = {variant: np.empty((n, variant.width), dtype=np.float32) for variant in group}
    blocks = transform_blocks(fitted, X, n)
    n_done = 0
    name = f"{group[0].input_size} px"
    with tqdm(total=n, desc=name, unit="image", disable=not verbose) as progress:
        while n_done < n and not budget.is_spent():
            rows, block = next(blocks)
            for variant, values in features.items():
                values[rows] = block[:, one_pass.columns[variant]]
            progress.update(rows.stop - n_done)
            n_done = rows.stop
    if n_done == n:
        return features
    reason = f"the time budget of {budget} ran out after {n_done:,} of {n:,} images"
    if one_pass.is_kept and n_done:
        reason += "; their features are cached"
    sweep.skipped += [Skipped(variant, reason) for variant in group]
    return {}


def _restrict(folds: Folds, chosen: np.ndarray, y: np.ndarray) -> Folds:
    """Return the folds of some images, by their places, without those that cannot be scored."""
    place = np.full(len(y), -1)
    place[chosen] = np.arange(len(chosen))
    parts = [(place[train], place[test]) for train, test in folds]
    kept = [(train[train >= 0], test[test >= 0]) for train, test in parts]
    own = y[chosen]
    return [(train, test) for train, test in kept if len(test) and len(np.unique(own[train])) > 1]


class _TimeBudget:
    """Seconds from now on; None are as many as it takes."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._start = time.monotonic()

    def is_spent(self) -> bool:
        return self._seconds is not None and time.monotonic() - self._start >= self._seconds

    def __str__(self) -> str:
        return f"{self._seconds:g} s"


def _check_budget(name: str, value: Any, kind: type, who: str) -> Any:
    is_number = isinstance(value, kind) and not isinstance(value, bool)
    if value is None and kind is Real:
        return None
    if not (is_number and value > 0):
        what = "None or seconds" if kind is Real else "a whole number of bytes"
        raise ValueError(
            f"The {name!r} parameter of {who} must be {what} above 0. Got {value!r} instead."
        )
    return value


def _settle_extractor(extractor: Any, who: str) -> FeatureExtractor:
    """Return an extractor whose clones all draw the same random weights."""
    extractor = VGGFeatureExtractor() if extractor is None else extractor
    if not isinstance(extractor, FeatureExtractor):
        raise TypeError(
            f"The 'extractor' parameter of {who} must be None or an instance of "
            f"VGGFeatureExtractor or ImageFeatureExtractor. Got {extractor!r} instead."
            f"{name_extractor_in(extractor)}"
        )
    extractor = clone(extractor)
    seed = extractor.random_state
    if not isinstance(seed, Integral):
        seed = int(check_random_state(seed).randint(np.iinfo(np.int32).max))
    return extractor.set_params(random_state=seed, verbose=0)


def _that_fit(
    variants: list[Variant], skipped: list[Skipped], n_images: int, memory_budget: int, who: str
) -> list[Variant]:
    """Leave out what is too large for the memory, and say so."""
    fit = []
    for variant in variants:
        n_bytes = 4 * variant.width * n_images
        if n_bytes <= memory_budget:
            fit.append(variant)
            continue
        reason = f"{n_bytes:,} bytes, more than memory_budget={memory_budget:,}"
        skipped.append(Skipped(variant, reason))
    if not fit:
        raise ValueError(
            f"{who} has nothing to compute: all variants are skipped. "
            f"{'; '.join(map(str, skipped))}. Raise memory_budget, or pool."
        )
    return fit
