"""Weights of images: how much each counts while a classifier is fitted, and in its scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn import get_config
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter


def check_sample_weight(
    sample_weight: Any, folds: Sequence[tuple[np.ndarray, np.ndarray]], n_images: int, *, who: str
) -> np.ndarray | None:
    """Check that there is a weight for each image, or none at all.

    Parameters
    ----------
    sample_weight : array-like of shape (n_images,) or None
        How much each image counts.
    folds : sequence of tuple of ndarray
        Training and test images, all of which must count for something.
    n_images : int
        How many images there are.
    who : str
        The function named in errors.

    Returns
    -------
    ndarray of shape (n_images,) or None
        The weights, float64.
    """
    if sample_weight is None:
        return None
    try:
        weights = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The 'sample_weight' parameter of {who} must be a number for each image. Got "
            f"others: {error}"
        ) from error
    if weights.shape != (n_images,):
        raise ValueError(
            f"The 'sample_weight' parameter of {who} must be a number for each image. Got "
            f"{n_images} images and weights of shape {weights.shape}."
        )
    if not (np.isfinite(weights).all() and weights.min() >= 0):
        raise ValueError(
            f"The 'sample_weight' parameter of {who} must hold finite numbers from 0 up. Got "
            f"{weights.min():g} to {weights.max():g}."
        )
    if not all(weights[part].any() for fold in folds for part in fold):
        raise ValueError(
            f"The 'sample_weight' parameter of {who} must leave images in the training and the "
            "test part of every fold. Got a part whose weights are all 0."
        )
    return weights


def check_takes_weights(estimator: Any, parameter: str, *, who: str) -> None:
    """Find out whether an estimator can be fitted with weights."""
    if get_config()["enable_metadata_routing"]:
        return  # scikit-learn says what was not requested
    if not _name_weights(estimator):
        raise ValueError(
            f"{who} needs a fit that takes sample_weight where weights are given. Got "
            f"{estimator!r} as {parameter!r}, whose fit does not: choose another one, or leave "
            "sample_weight out."
        )


def fit_weighted(estimator: Any, X: Any, y: Any, weights: np.ndarray | None) -> Any:
    """Fit an estimator, and every step of a pipeline that takes weights, with weights.

    Where scikit-learn's metadata routing is enabled, the requests of the steps decide instead.
    """
    if weights is None:
        return estimator.fit(X, y)
    if get_config()["enable_metadata_routing"]:
        return estimator.fit(X, y, sample_weight=weights)
    return estimator.fit(X, y, **dict.fromkeys(_name_weights(estimator), weights))


def _name_weights(estimator: Any) -> list[str]:
    """List under which names `fit` takes weights; none where what predicts takes none."""
    if isinstance(estimator, Pipeline):
        steps = [step for step in estimator.steps if step[1] not in (None, "passthrough")]
        if not steps or not _name_weights(steps[-1][1]):
            return []
        return [f"{name}__{key}" for name, step in steps for key in _name_weights(step)]
    if isinstance(estimator, GridSearchCV | RandomizedSearchCV):
        return _name_weights(estimator.estimator)
    return ["sample_weight"] if has_fit_parameter(estimator, "sample_weight") else []


def request_weights(estimator: Any) -> Any:
    """Let an estimator ask for weights where scikit-learn routes them."""
    if get_config()["enable_metadata_routing"]:
        estimator.set_fit_request(sample_weight=True)
    return estimator
