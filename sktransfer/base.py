"""scikit-learn's private names in one place, and estimators that a failed fit leaves unchanged.

scikit-learn checks parameters and wraps outputs by functions that have no public path. All that the
package uses of them is imported here, and from here everywhere else, so that a release of
scikit-learn that moves one changes this module alone. Only `LayerSearchCV`, a subclass of
`GridSearchCV`, uses three more by inheritance: `_parameter_constraints`, `_get_scorers` and
`_run_search`. Tried with scikit-learn 1.6.0 and 1.9.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils import _safe_indexing, assert_all_finite, column_or_1d
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    StrOptions,
    validate_parameter_constraints,
    validate_params,
)
from sklearn.utils._set_output import _get_output_config, _wrap_data_with_container
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_feature_names_in,
    _check_sample_weight,
    _num_samples,
    validate_data,
)

from sktransfer._version import SITE

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # before scikit-learn 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in for that of scikit-learn, which has callbacks from version 1.9 on."""


__all__ = [
    "CallbackSupportMixin",
    "Documented",
    "HasMethods",
    "Interval",
    "InvalidParameterError",
    "StrOptions",
    "_check_feature_names_in",
    "_check_sample_weight",
    "_fit_context",
    "_get_output_config",
    "_num_samples",
    "_safe_indexing",
    "_wrap_data_with_container",
    "as_labels",
    "count_features",
    "is_regression_scorer",
    "name_extractor_in",
    "reported",
    "unchanged_on_failure",
    "validate_parameter_constraints",
    "validate_params",
]


# What other libraries call the poolings.
_POOLINGS = {"average": "avg", "gap": "avg", "gmp": "max", "maximum": "max", "mean": "avg"}
_POOLINGS |= dict.fromkeys(("class", "class_token", "cls_token", "first", "token"), "cls")


class Documented:
    """A public estimator: notebooks link to its page, and names from elsewhere are explained."""

    _doc_link_module = "sktransfer"
    _doc_link_template = SITE + "/generated/sktransfer.{estimator_name}.html"

    def _validate_params(self) -> None:
        pooling = getattr(self, "pooling", None)
        if isinstance(pooling, str):
            # The names are the first of its constraints.
            names, *_ = self._parameter_constraints["pooling"]  # type: ignore[attr-defined]
            known = sorted(names.options)
            lower = pooling.lower()
            meant = _POOLINGS.get(lower, lower)
            if pooling not in known and meant in known:
                raise InvalidParameterError(
                    f"The 'pooling' parameter of {type(self).__name__} must be "
                    f"{', '.join(map(repr, known))} or None. Got {pooling!r} instead. Did "
                    f"you mean {meant!r}?"
                )
        super()._validate_params()  # type: ignore[misc]


@contextmanager
def unchanged_on_failure(estimator: Any) -> Iterator[None]:
    """Give an estimator back all its attributes if the block fails or is interrupted.

    What they refer to is not copied: a fit makes new objects, and never changes learned ones.
    """
    former = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(former)
        raise


@contextmanager
def reported(
    estimator: Any, task: str, n_steps: int | None, X: Any, y: Any = None
) -> Iterator[Callable[[str], None]]:
    """Tell scikit-learn's callbacks that a fit begins and ends, and give what tells of each step.

    To be entered before anything that undoes what a failed fit changed: what is set here has to
    stay until scikit-learn ends the callbacks.
    """
    if not hasattr(estimator, "_init_callback_context"):
        yield lambda name: None
        return
    context = estimator._init_callback_context(task_name=task, max_subtasks=n_steps)
    context.call_on_fit_task_begin(estimator=estimator, X=X, y=y)

    def tell(name: str) -> None:
        step = context.subcontext(task_name=name)
        step.call_on_fit_task_begin(estimator=estimator)
        step.call_on_fit_task_end(estimator=estimator)

    yield tell
    context.call_on_fit_task_end(estimator=estimator, X=X, y=y)


def name_extractor_in(*given: Any) -> str:
    """Say where the extractor is, to end the error about a fine-tuned estimator in its place."""
    kinds = [type(each).__name__ for each in given if hasattr(type(each), "to_extractor")]
    return f" A fitted {kinds[0]} gives one by to_extractor()." if kinds else ""


def is_regression_scorer(scorer: Any) -> bool:
    """Tell whether a scorer of scikit-learn's is made of one of its metrics for regression."""
    function = getattr(scorer, "_score_func", None)
    return getattr(function, "__module__", None) == "sklearn.metrics._regression"


def as_labels(
    y: Any, who: str, *, rule: str = " needs a class for each image as y", warn: bool = False
) -> np.ndarray:
    """Return labels in one dimension; an error where they are no classes, or some are missing.

    The error begins with `who` and the `rule`. With `warn`, a column of labels is taken with
    scikit-learn's warning.
    """
    kinds: set[str] = set()
    try:
        labels = column_or_1d(y, warn=warn)
        if labels.dtype == object:
            kinds = {type(label).__name__ for label in labels}
        if labels.dtype.kind == "f":  # before scikit-learn casts them, with a warning of NumPy's
            assert_all_finite(labels, input_name="y")
        check_classification_targets(labels)
        np.unique(labels)  # what cannot be sorted is no class
    except (TypeError, ValueError) as error:
        fault = str(error)
        if len(kinds) > 1 or "NoneType" in kinds:
            fault = f"values of the types {', '.join(sorted(kinds))}."
        raise ValueError(
            f"{who}{rule}: whole numbers or text, none missing. Got others: {fault}"
        ) from error
    return labels


def count_features(estimator: Any, images: Any, *, reset: bool) -> None:
    """Do scikit-learn's book-keeping of the number and the names of features.

    After `fit` it speaks of tables; what is seen as images is checked against the shape of those.
    """
    if reset:
        for name in ("n_features_in_", "feature_names_in_", "image_shape_"):
            vars(estimator).pop(name, None)
    elif not images.has_columns:
        return
    if images.table is None:
        return
    # One column of files and many columns of pixels are not counted against each other.
    is_alike = hasattr(estimator, "image_shape_") == (images.image_shape is not None)
    if reset or (is_alike and hasattr(estimator, "n_features_in_")):
        validate_data(estimator, images.table, reset=reset, skip_check_array=True)
