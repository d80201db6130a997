"""Layer sweeps: linear probes on layers x poolings x input sizes, from few forward passes."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import check_random_state, indexable

from sktransfer.base import name_extractor_in
from sktransfer.evaluation.sweep.cuts import MEMORY_BUDGET, Limits, sweep_cuts
from sktransfer.evaluation.sweep.grid import (
    BLOCK_ENDS,
    MAX_WIDTH,
    POOLINGS,
    plan_variants,
)
from sktransfer.evaluation.sweep.result import LayerSweep
from sktransfer.evaluation.sweep.scoring import SweepScoring
from sktransfer.extractor import VGGFeatureExtractor
from sktransfer.features.estimator import FeatureExtractor
from sktransfer.features.fitted import read_as

#: Images on which representations are compared and scored cheaply, at most: their Gram matrices are
#: as large squared.
MAX_CKA_IMAGES = 500


def sweep_layers(
    X: Any,
    y: Any,
    *,
    extractor: FeatureExtractor | None = None,
    layers: Sequence[str] = BLOCK_ENDS,
    poolings: Sequence[str | None] = POOLINGS,
    input_sizes: Sequence[int | tuple[int, int]] | None = None,
    classifier: Any = None,
    cv: Any = 5,
    groups: Any = None,
    scoring: Any = None,
    positive: Any = None,
    max_width: int | None = MAX_WIDTH,
    time_budget: float | None = None,
    memory_budget: int = MEMORY_BUDGET,
    sample_weight: Any = None,
    random_state: int | None = 0,
    verbose: int = 0,
) -> LayerSweep:
    """Score linear probes on layers x poolings x input sizes, from few forward passes.

    For each input size, all images pass once through the network, up to the deepest requested
    layer. This pass gives every layer and pooling, and the extractor's store caches them. So an
    interrupted sweep continues where it stopped, and a later search or pipeline finds the features.
    Classifiers are fitted from small inputs to large and from narrow features to wide.

    The best of many rows looks better than it is, because it was chosen. The result gives its score
    corrected for selection (`nested_score`), and the rows that are not significantly worse
    (`not_worse`).

    Parameters
    ----------
    X : array-like, DataFrame, or list of paths, PIL images or arrays
        Images in any form that :class:`VGGFeatureExtractor` accepts; never changed.
    y : array-like of shape (n_images,) or (n_images, n_labels)
        Labels of at least two classes, each with at least as many images as folds; numbers; or
        columns of 0 and 1 if an image may have several labels. Whole numbers are classes
        unless `classifier` is a regressor.
    extractor : VGGFeatureExtractor, ImageFeatureExtractor or None, default=None
        Sets everything except layer, pooling and input size: network, weights, engine, store. None
        means ``VGGFeatureExtractor()``.
    layers : list of str, default=('block1_pool', ..., 'block5_pool')
        Layers by their Keras names. For a network other than VGG, the default is the last layer of
        each resolution.
    poolings : list of {'avg', 'max', 'cls'} or None, default=('avg', 'max', None)
        Mean or maximum of each feature map, or None for all values. Layers without feature maps are
        scored once, as they are.
    input_sizes : list of int or tuple of int, or None, default=None
        Sides in pixels, 32 and up, or heights and widths; those that a network does not take are
        listed as skipped. The cost grows with the number of pixels. None means 32, 64 and 224, or
        the only size that the network takes.
    classifier : estimator or None, default=None
        Classifier, or regressor of numbers. None means a ``StandardScaler`` with
        ``LogisticRegression(max_iter=1000)``, one for each of several labels, or with ``RidgeCV``
        for numbers.
    cv : int, splitter or iterable, default=5
        A number of folds, shuffled by `random_state` and stratified by classes or labels; or a
        scikit-learn splitter, or pairs of training and test indices.
    groups : array-like of shape (n_images,) or None, default=None
        Groups of images that must stay together, for splitters that use groups.
    scoring : str, callable, list, dict or None, default=None
        Metrics as for scikit-learn's ``cross_validate``; the first ranks the rows. None means
        what it means for :func:`compare_transfer`.
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
    sample_weight : array-like of shape (n_images,) or None, default=None
        How much each image counts, as for :func:`compare_transfer`. Cheap scores and CKA count all
        images alike.
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
    limits = Limits.check(time_budget, memory_budget, who=who)
    extractor = settle_extractor(extractor, who)
    planned = plan_variants(extractor, layers, poolings, input_sizes, max_width, who=who)
    (X,) = indexable(X)
    images = read_as(extractor, X, who=who)
    shared = SweepScoring.check(
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
    del images
    n = len(shared.target.y)
    chosen = np.random.default_rng(random_state).permutation(n)[:MAX_CKA_IMAGES]
    sweep, rated = sweep_cuts(
        X, extractor, planned, shared, limits, chosen=chosen, verbose=verbose, who=who
    )
    best = sweep.best
    if best is not None:
        shared.judge(sweep.rows, sweep.metric, rated, sweep.rows.index(best))
    return sweep


def settle_extractor(extractor: Any, who: str) -> FeatureExtractor:
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
