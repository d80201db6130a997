"""Grid search over layer, pooling and input size."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.base import is_classifier
from sklearn.model_selection import GridSearchCV, ParameterGrid, check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import column_or_1d, get_tags, indexable
from sklearn.utils.metadata_routing import process_routing

from sktransfer.base import (
    Documented,
    _num_samples,
    name_extractor_in,
    unchanged_on_failure,
)
from sktransfer.engines import JOINT_PRECISIONS
from sktransfer.evaluation.probing import check_labels, check_target
from sktransfer.evaluation.probing.folding import check_enough_images
from sktransfer.evaluation.probing.selection import score_choice
from sktransfer.evaluation.probing.targets import check_length
from sktransfer.evaluation.sweep.candidates import (
    Trial,
    judge_candidates,
    rate_accuracy,
    scores_accuracy,
)
from sktransfer.evaluation.sweep.grid import (
    BLOCK_ENDS,
    MAX_WIDTH,
    POOLINGS,
    Skipped,
    Variant,
    plan_variants,
)
from sktransfer.evaluation.sweep.passes import fill_store
from sktransfer.extractor import VGGFeatureExtractor
from sktransfer.features.estimator import FeatureExtractor
from sktransfer.features.fitted import read_as

# The extractor's parameters that are searched over; those of a variant have the same names.
_CUT = ("layer", "pooling", "input_size")


class LayerSearchCV(Documented, GridSearchCV):
    """Search for the best layer, pooling and input size for a classifier or regressor.

    Before the search, all images pass once through the network for each input size. The
    extractor's store caches every layer and pooling for folds, candidates and workers. The search
    itself is scikit-learn's ``GridSearchCV``; it also has the parameters and attributes that are
    not described here.

    Parameters
    ----------
    estimator : Pipeline
        Its first step is a :class:`VGGFeatureExtractor`, its last step a classifier or regressor.
    layers : list of str, default=('block1_pool', ..., 'block5_pool')
        Layers by their Keras names.
    poolings : list of {'avg', 'max', 'cls'} or None, default=('avg', 'max', None)
        Mean or maximum of each feature map, or None for all values. Layers without feature maps are
        tried once, as they are.
    input_sizes : list of int or tuple of int, or None, default=None
        Sides in pixels, 32 and up, or heights and widths. The cost grows with the number of pixels.
        None means 32, 64 and 224, or the only size that the network takes.
    param_grid : dict, list of dict or None, default=None
        Parameters of the other steps, as for ``GridSearchCV``; each is tried with each cut.
    max_width : int or None, default=50000
        Features per image above which a cut is skipped; None skips none.
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
        ``layer``, ``pooling`` and ``input_size`` of the extractor, prefixed by the name of its
        step, and the parameters in `param_grid`.
    best_estimator_ : Pipeline
        The pipeline with these parameters, fitted on all images, unless ``refit=False``.
    cv_results_ : dict of ndarray
        Scores and times of all candidates.
    nested_score_ : float
        Score of the best candidate, corrected for selection: on every fold the candidate
        that is best on the other folds is scored, and these scores are averaged. `best_score_` is
        higher by luck, the more so the more candidates there are. Only if one metric decides.
    not_worse_ : ndarray of bool of shape (n_candidates,)
        Which candidates of `cv_results_` are not significantly worse than the best one, itself
        included, as in :func:`sweep_layers`. Accuracy is compared image by image, other metrics by
        a corrected t-test over the folds. Candidates that could not be scored are worse. Only if
        one metric decides.
    n_comparisons_ : int
        How many comparisons that counts: all pairs of candidates, any of which could have been the
        best.
    recalls_ : dict
        For every class, the share of its test images that the best candidate found; the lowest is
        that of the worst class. Empty if candidates are not scored by accuracy.
    skipped_ : list of Skipped
        The cuts that were skipped, each with its reason.

    Raises
    ------
    TypeError, ValueError
        If a parameter, the labels or the images are invalid.
    OSError
        If weights or image files are unavailable.

    See Also
    --------
    sweep_layers : Scores and costs of all cuts as a table, without an estimator.

    Notes
    -----
    With ``cache=None`` nothing is cached, and every candidate runs the network in every fold. In
    bfloat16 and float16 the last bits depend on which layers are requested together, and in int8
    without `calibration` features depend on the fold. Then each candidate computes its own
    features.

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

    cv: Any
    scorer_: Any

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
        input_sizes: Sequence[int | tuple[int, int]] | None = None,
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
        y : array-like of shape (n_images,) or (n_images, n_labels)
            What the last step of the pipeline takes: labels, numbers, or columns of 0 and 1.
        **params : dict
            What ``GridSearchCV.fit`` takes: `groups`, and parameters of steps such as
            ``logisticregression__sample_weight``. With scikit-learn's metadata routing, all
            metadata that are requested, such as `sample_weight`, which then weights scores too.

        Returns
        -------
        LayerSearchCV
            The fitted search.
        """
        with unchanged_on_failure(self):
            return self._fit(X, y, params)

    @property
    def nested_score_(self) -> float:
        """The score of the best candidate, corrected for selection."""
        if self._deciding is None:
            raise AttributeError(
                f"{type(self).__name__} has no nested_score_ with several metrics and refit="
                f"{self.refit!r}: name the metric that decides, as in refit='accuracy'."
            )
        return float(score_choice(self._scores_by(self._deciding)).mean())

    @property
    def _deciding(self) -> str | None:
        """The metric that decides, as results name it; None where none does."""
        name = self.refit if self.multimetric_ else "score"
        return name if isinstance(name, str) else None

    def _scores_by(self, name: str) -> np.ndarray:
        """Return the scores of all candidates on all folds."""
        splits = [self.cv_results_[f"split{i}_test_{name}"] for i in range(self.n_splits_)]
        return np.stack(splits, axis=1)

    def _fit(self, X: Any, y: Any, params: dict[str, Any]) -> LayerSearchCV:
        # Find all errors before the network runs.
        self._validate_params()
        extractor, variants, skipped = self._plan()
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        X, y = (indexable(each)[0] for each in (X, y))
        y = self._check_labels(y, len(read_as(extractor, X, who=type(self).__name__)))
        self._get_scorers()
        if get_config()["enable_metadata_routing"]:
            process_routing(self, "fit", **params)
        elif "sample_weight" in params:
            raise ValueError(
                f"{type(self).__name__}.fit takes sample_weight only with scikit-learn's metadata "
                "routing enabled, which weights the scores too. Got it without: pass "
                f"'{self.estimator.steps[-1][0]}__sample_weight' instead."
            )
        if _shares_features(extractor):
            fill_store(extractor, variants, X)
        if isinstance(self.cv, Iterator):
            self.cv = list(self.cv)  # the folds are asked for more than once
        self._trial = trial = Trial(check_cv(self.cv, y, classifier=is_classifier(self.estimator)))
        super().fit(X, y, **params)
        del self._trial
        self.skipped_ = skipped
        if self.scorer_ is rate_accuracy:
            self.scorer_ = super()._get_scorers()[0]
        if self._deciding is not None:
            scores = self._scores_by(self._deciding)
            verdict = judge_candidates(scores, self.best_index_, trial, y)
            self.not_worse_ = verdict.not_worse
            self.n_comparisons_ = verdict.n_comparisons
            self.recalls_ = verdict.recalls
        return self

    def _get_scorers(self) -> tuple[Any, Any]:
        """Score accuracy so that predictions are kept, by which candidates are compared."""
        scorers, decides = super()._get_scorers()
        is_accuracy = scores_accuracy(self.estimator, self.scoring)
        return (rate_accuracy if is_accuracy else scorers), decides

    def _format_results(
        self, candidate_params: Any, n_splits: int, out: Any, more_results: Any = None
    ) -> dict[str, Any]:
        self._trial.scores = [each["test_scores"] for each in out]
        return super()._format_results(candidate_params, n_splits, out, more_results)

    def _run_search(self, evaluate_candidates: Callable, *, callback_ctx: Any = None) -> None:
        """Try every cut with every setting of the other steps, narrow before wide."""
        name = self.estimator.steps[0][0]
        _, variants, _ = self._plan()
        cuts = [
            {f"{name}__{parameter}": getattr(variant, parameter) for parameter in _CUT}
            for variant in variants
        ]
        settings = list(ParameterGrid(self.param_grid or {}))
        candidates = [cut | setting for cut in cuts for setting in settings]
        if callback_ctx is None:  # before scikit-learn 1.9
            evaluate_candidates(candidates, cv=self._trial)
            return
        context = callback_ctx.subcontext(
            task_name="search",
            max_subtasks=len(candidates) * self.n_splits_,
            sequential_subtasks=False,
        ).call_on_fit_task_begin(estimator=self)
        evaluate_candidates(candidates, cv=self._trial, callback_ctx=context)
        context.call_on_fit_task_end(estimator=self)

    def _plan(self) -> tuple[FeatureExtractor, list[Variant], list[Skipped]]:
        who = type(self).__name__
        extractor = self.estimator.steps[0][1] if isinstance(self.estimator, Pipeline) else None
        if not isinstance(extractor, FeatureExtractor):
            raise TypeError(
                f"The 'estimator' parameter of {who} must be a Pipeline whose first step is a "
                f"VGGFeatureExtractor or ImageFeatureExtractor. Got {self.estimator!r} instead."
                f"{name_extractor_in(self.estimator, extractor)}"
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
            extractor,
            self.layers,
            self.poolings,
            self.input_sizes,
            self.max_width,
            who=who,
        )
        return extractor, variants, skipped

    def _check_labels(self, y: Any, n_images: int) -> Any:
        """Check what the search would find out only after the network has run."""
        who = type(self).__name__
        shape = np.asarray(y).shape
        if len(shape) == 2 and shape[1] == 1:
            y = column_or_1d(y, warn=True)
            shape = shape[:1]
        if len(shape) == 2 and _takes_columns(self.estimator):
            check_length(y, n_images, "row", who)
        elif is_classifier(self.estimator):
            labels = check_labels(y, n_images, who=who)
            if self.cv is None or isinstance(self.cv, Integral):
                check_enough_images(labels, check_cv(self.cv).get_n_splits(), who)
        else:
            check_target(y, n_images, predictor=self.estimator, who=who)
        if self.cv is None or isinstance(self.cv, Integral):
            splitter = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the search will say it
                list(splitter.split(np.zeros(_num_samples(y)), y))
        return y


def _takes_columns(estimator: Any) -> bool:
    """Tell whether an estimator predicts several labels or numbers for each image."""
    tags = get_tags(estimator)
    is_multi_label = tags.classifier_tags is not None and tags.classifier_tags.multi_label
    return is_multi_label or tags.target_tags.multi_output


def _shares_features(extractor: FeatureExtractor) -> bool:
    """Tell whether folds and candidates can find features that one pass has computed."""
    # A pass for all layers has other bits.
    if extractor.precision in JOINT_PRECISIONS or not isinstance(extractor, VGGFeatureExtractor):
        return False
    if extractor.precision == "int8" and extractor.calibration is None:  # differs by fold
        return False
    return extractor.weights is not None or isinstance(extractor.random_state, Integral)
