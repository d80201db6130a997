"""The choice of layer, pooling and input size as an estimator: scikit-learn's grid search."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import is_classifier
from sklearn.model_selection import GridSearchCV, ParameterGrid, check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import column_or_1d, indexable
from sklearn.utils.metadata_routing import process_routing
from sklearn.utils.validation import _num_samples

from sktransfer.extractor import VGGFeatureExtractor
from sktransfer.sweep.grid import (
    BLOCK_ENDS,
    INPUT_SIZES,
    MAX_WIDTH,
    POOLINGS,
    Skipped,
    Variant,
    plan_variants,
)
from sktransfer.sweep.passes import fill_store

# The extractor's parameters that are searched over; those of a variant have the same names.
_CUT = ("layer", "pooling", "input_size")


class LayerSearchCV(GridSearchCV):
    """Search for the layer, pooling and input size that serve a classifier best.

    Before the search, all images pass once through the network for each input size, and every
    layer and pooling is kept in the extractor's store, where folds, candidates and workers find
    it. The search itself is scikit-learn's ``GridSearchCV``, whose parameters and attributes not
    described here are the same.

    Parameters
    ----------
    estimator : Pipeline
        Its first step is a :class:`VGGFeatureExtractor`, its last one the classifier or regressor.
    layers : list of str, default=('block1_pool', ..., 'block5_pool')
        Layers by their Keras names.
    poolings : list of {'avg', 'max'} or None, default=('avg', 'max', None)
        Mean or maximum of each feature map, or None for all values. What is no map is taken as it
        is, once.
    input_sizes : list of int, default=(32, 64, 224)
        Sides in pixels, 32 and up. The cost grows with their square.
    param_grid : dict, list of dict or None, default=None
        Parameters of the other steps, as ``GridSearchCV`` takes them; each is tried with each cut.
    max_width : int or None, default=50000
        Features per image above which a cut is left out; None leaves out none.
    scoring : str, callable, list, tuple, dict or None, default=None
        See ``GridSearchCV``.
    n_jobs : int or None, default=None
        See ``GridSearchCV``; workers share the store.
    refit : bool, str or callable, default=True
        See ``GridSearchCV``.
    cv : int, splitter, iterable or None, default=None
        See ``GridSearchCV``.
    verbose : int, default=0
        See ``GridSearchCV``.
    pre_dispatch : int or str, default='2*n_jobs'
        See ``GridSearchCV``.
    error_score : 'raise' or float, default=nan
        See ``GridSearchCV``.
    return_train_score : bool, default=False
        See ``GridSearchCV``.

    Attributes
    ----------
    best_params_ : dict
        Of the extractor ``layer``, ``pooling`` and ``input_size``, with the name of its step
        before them, and what `param_grid` names.
    best_estimator_ : Pipeline
        The pipeline with these, fitted on all images, unless ``refit=False``.
    cv_results_ : dict of ndarray
        Scores and times of all candidates.
    skipped_ : list of Skipped
        The cuts that were left out, each with its reason.

    Raises
    ------
    TypeError, ValueError
        If a parameter, the labels or the images are wrong.
    OSError
        If weights or image files are not to be had.

    See Also
    --------
    sweep_layers : Scores and costs of all cuts as a table, without an estimator.

    Notes
    -----
    With ``cache=None`` nothing is kept, and every candidate runs the network in every fold. In
    bfloat16 last bits depend on which layers are wanted together, and in int8 without
    `calibration` on the fold: each candidate then computes its features by itself.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sktransfer import LayerSearchCV, VGGFeatureExtractor, load_digit_pair
    >>> X, y = load_digit_pair(return_X_y=True)
    >>> extractor = VGGFeatureExtractor(weights=None, random_state=0)
    >>> search = LayerSearchCV(
    ...     make_pipeline(extractor, LogisticRegression(max_iter=1000)),
    ...     layers=["block1_pool", "block2_pool"],
    ...     poolings=["max"],
    ...     input_sizes=[32],
    ...     cv=2,
    ... ).fit(X[:40], y[:40])
    >>> len(search.cv_results_["params"])
    2
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - scikit-learn's name and form
        **GridSearchCV._parameter_constraints,
        "param_grid": [dict, list, None],
        # Checked together, with the network that they are about.
        "layers": "no_validation",
        "poolings": "no_validation",
        "input_sizes": "no_validation",
        "max_width": "no_validation",
    }

    def __init__(
        self,
        estimator: Pipeline,
        *,
        layers: Sequence[str] = BLOCK_ENDS,
        poolings: Sequence[str | None] = POOLINGS,
        input_sizes: Sequence[int] = INPUT_SIZES,
        param_grid: dict | list[dict] | None = None,
        max_width: int | None = MAX_WIDTH,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: bool | str | Callable = True,
        cv: Any = None,
        verbose: int = 0,
        pre_dispatch: int | str = "2*n_jobs",
        error_score: str | float = np.nan,
        return_train_score: bool = False,
    ) -> None:
        super().__init__(
            estimator,
            param_grid,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )
        self.layers = layers
        self.poolings = poolings
        self.input_sizes = input_sizes
        self.max_width = max_width

    def fit(self, X: Any, y: Any = None, **params: Any) -> LayerSearchCV:
        """Compute all features in one pass per input size, then search.

        Parameters
        ----------
        X : array-like, DataFrame, or list of paths, PIL images or arrays
            Images in any form that :class:`VGGFeatureExtractor` takes; never changed.
        y : array-like of shape (n_images,)
            Labels or targets.
        **params : dict
            What ``GridSearchCV.fit`` takes: `groups`, `sample_weight` and other metadata.

        Returns
        -------
        LayerSearchCV
            The fitted search.
        """
        # All that can be wrong is found before the network runs.
        self._validate_params()
        extractor, variants, skipped = self._plan()
        X, y = indexable(X, y)
        y = self._check_labels(y)
        self._get_scorers()
        if get_config()["enable_metadata_routing"]:
            process_routing(self, "fit", **params)
        if _shares_features(extractor):
            fill_store(extractor, variants, X)
        super().fit(X, y, **params)
        self.skipped_ = skipped
        return self

    def _run_search(self, evaluate_candidates: Callable) -> None:
        """Try every cut with every setting of the other steps, narrow before wide."""
        name = self.estimator.steps[0][0]
        _, variants, _ = self._plan()
        cuts = [
            {f"{name}__{parameter}": getattr(variant, parameter) for parameter in _CUT}
            for variant in variants
        ]
        settings = list(ParameterGrid(self.param_grid or {}))
        evaluate_candidates([cut | setting for cut in cuts for setting in settings])

    def _plan(self) -> tuple[VGGFeatureExtractor, list[Variant], list[Skipped]]:
        who = type(self).__name__
        if not (
            isinstance(self.estimator, Pipeline)
            and isinstance(extractor := self.estimator.steps[0][1], VGGFeatureExtractor)
        ):
            raise TypeError(
                f"The 'estimator' parameter of {who} must be a Pipeline whose first step is a "
                f"VGGFeatureExtractor. Got {self.estimator!r} instead."
            )
        taken = {f"{self.estimator.steps[0][0]}__{parameter}" for parameter in _CUT}
        for grid in (
            [self.param_grid] if isinstance(self.param_grid, dict) else self.param_grid or []
        ):
            if taken & set(grid):
                raise ValueError(
                    f"The 'param_grid' parameter of {who} must leave the cut to 'layers', "
                    f"'poolings' and 'input_sizes'. Got {sorted(taken & set(grid))} in it."
                )
        variants, skipped = plan_variants(
            extractor.architecture,
            self.layers,
            self.poolings,
            self.input_sizes,
            self.max_width,
            who=who,
        )
        return extractor, variants, skipped

    def _check_labels(self, y: Any) -> Any:
        """Check what the search would find out only after the network has run."""
        who = type(self).__name__
        if y is None:
            raise ValueError(f"{who} requires y to be passed, but the target y is None.")
        shape = np.asarray(y).shape
        if len(shape) == 2 and shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if is_classifier(self.estimator) and len(classes := np.unique(np.asarray(y))) < 2:
            raise ValueError(
                f"{who} needs at least two classes. Got 1 class in y: {classes.tolist()}."
            )
        if self.cv is None or isinstance(self.cv, Integral):
            splitter = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the search will say it
                list(splitter.split(np.zeros(_num_samples(y)), y))
        return y


def _shares_features(extractor: VGGFeatureExtractor) -> bool:
    """Tell whether folds and candidates can find features that one pass has computed."""
    if extractor.precision == "bfloat16":  # bits depend on which layers are wanted together
        return False
    if extractor.precision == "int8" and extractor.calibration is None:  # differs by fold
        return False
    return extractor.weights is not None or isinstance(extractor.random_state, Integral)
