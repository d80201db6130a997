"""Fitted estimators with an extractor's parameters: reading images, computing features.

Such an estimator need not be an extractor. `fit` keeps a reader and a runner on it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from sktransfer.base import _check_feature_names_in, _get_output_config, count_features
from sktransfer.features.fitting import FittedNetwork, fit_network
from sktransfer.features.lazy import transform_lazily
from sktransfer.features.runner import Runner
from sktransfer.features.settings import NetworkSettings, Settings
from sktransfer.inputs.forms.streams import is_stream, read_pieces
from sktransfer.inputs.forms.xarrays import lay_out
from sktransfer.inputs.images import Images
from sktransfer.inputs.lazy import is_lazy, stand_in
from sktransfer.inputs.reader import Reader
from sktransfer.inputs.scale import ValueRange
from sktransfer.weights import FittedWeights


def check_parameters(estimator: Any) -> None:
    """Check parameters as `fit` does, as far as they tell without images."""
    estimator._validate_params()
    settings_of(estimator)


def settings_of(estimator: Any) -> Settings | NetworkSettings:
    """Read the settings of an estimator; one that names no network is of VGG."""
    kind = NetworkSettings if hasattr(estimator, "network") else Settings
    return kind.of(estimator)


def learn(estimator: Any, X: Any, *, may_be_lazy: bool = False) -> tuple[Images, FittedNetwork]:
    """Do all that `fit` does; return the images and what was found out about the network."""
    settings = settings_of(estimator)
    X = lay_out(X, settings.who)
    settings.check()  # a layer that does not exist is said before images are read
    if may_be_lazy and is_lazy(X):
        settings.check_lazy()
        images, reader = settings.reader.fit_lazy(X)
    elif may_be_lazy and is_stream(X) and not settings.draws_calibration:
        images, reader = settings.reader.fit_stream(X)
    else:
        images, reader = settings.reader.fit(X)
    count_features(estimator, images, reset=True)
    network = fit_network(settings, images, reader)
    take_on(estimator, reader, network.runner, network.seed)
    return images, network


def draw_again(fitted: Any, random_state: Any, X: Any) -> Any:
    """Return an extractor with other random weights, as if fitted on the same images.

    These are read again only where int8 is calibrated on them.
    """
    again = clone(fitted).set_params(random_state=random_state)
    settings = settings_of(again)
    if settings.draws_calibration:
        return again.fit(X)
    network = fit_network(settings, None, fitted._reader)
    take_over(again, fitted, fitted._reader, network.runner, network.seed)
    return again


def take_over(
    estimator: Any, fitted: Any, reader: Reader, runner: Runner, seed: int | None
) -> None:
    """Compute features by a reader and a runner, as if fitted like another estimator."""
    for name in ("n_features_in_", "feature_names_in_"):
        if hasattr(fitted, name):
            setattr(estimator, name, getattr(fitted, name))
    take_on(estimator, reader, runner, seed)


def take_on(estimator: Any, reader: Reader, runner: Runner, seed: int | None) -> None:
    """Compute features by a reader and a runner from now on."""
    cut, config = runner.cut, runner.config
    estimator.value_range_ = reader.fitted_range
    if reader.fitted_shape is not None:
        estimator.image_shape_ = reader.fitted_shape
    estimator.input_size_ = cut.input_size
    estimator.n_features_out_ = cut.n_features
    estimator.engine_ = config.engine
    estimator.precision_ = config.precision
    estimator.random_seed_ = seed
    estimator.weights_sha256_ = runner.sha256
    estimator._reader = reader
    estimator._runner = runner


def transform(estimator: Any, X: Any) -> np.ndarray:
    """Compute the features of images, those of a Dask collection when it is computed."""
    X = lay_out(X, type(estimator).__name__)
    if is_stream(X):
        # No row depends on what it is computed with.
        pieces = read_pieces(X, type(estimator).__name__)
        return np.concatenate([compute_features(estimator, piece) for piece in pieces])
    if not is_lazy(X):
        return compute_features(estimator, X)
    check_is_fitted(estimator)
    container = _get_output_config("transform", estimator)["dense"]
    if container != "default":
        raise TypeError(
            f"{type(estimator).__name__} returns a Dask array for a Dask collection, and a data "
            f"frame only for images in memory. Got transform_output={container!r}: call "
            "set_output(transform='default'), or pass X.compute()."
        )
    images = estimator._reader.read(stand_in(X, type(estimator).__name__))
    count_features(estimator, images, reset=False)
    estimator._reader.check_lazy(images)
    return transform_lazily(estimator._reader, get_runner(estimator), X)


def learn_and_transform(estimator: Any, X: Any, report: Callable[[int, int], None]) -> np.ndarray:
    """Do all that `fit` does, and compute the features of the same images, read once.

    `report` is told how many more images are done, and of how many.
    """
    if is_lazy(X) or is_stream(X) or is_lazy(lay_out(X, type(estimator).__name__)):
        learn(estimator, X, may_be_lazy=True)
        return transform(estimator, X)
    images, _ = learn(estimator, X)
    runner = get_runner(estimator)
    n_images = len(images)
    return runner.compute(images, estimator.value_range_, lambda n: report(n, n_images))


def name_features(estimator: Any, input_features: Any) -> np.ndarray:
    """Name every feature by layer, place and channel."""
    check_is_fitted(estimator, "n_features_out_")
    _check_feature_names_in(estimator, input_features, generate_names=False)
    return np.asarray(estimator._runner.cut.feature_names(), dtype=object)


def read_fitted(estimator: Any, X: Any) -> tuple[Images, ValueRange | None]:
    """Read images that come after `fit`, and say what is black and white in arrays."""
    check_is_fitted(estimator)
    images = estimator._reader.read(X)
    return images, check_images(estimator, images)


def read_as(estimator: Any, X: Any, *, who: str) -> Images:
    """Read images by the parameters of an estimator, which need not be fitted."""
    remote = estimator.allow_remote
    return Reader(estimator.image_shape, estimator.value_range, who, allow_remote=remote).read(X)


def check_images(estimator: Any, images: Images) -> ValueRange | None:
    """Check images that come after `fit`, and say what is black and white in arrays."""
    count_features(estimator, images, reset=False)
    return estimator._reader.check(images)


def get_reader(estimator: Any) -> Reader:
    """Return what reads images as a fitted extractor does."""
    check_is_fitted(estimator)
    return estimator._reader


def get_runner(estimator: Any) -> Runner:
    """Return what computes the features of a fitted extractor, if that can be done here."""
    check_is_fitted(estimator)
    runner = replace(
        _with_moved_weights(estimator._runner, getattr(estimator, "weights", None)),
        batch_size=estimator.batch_size,
        cache=estimator.cache,
        verbose=estimator.verbose,
    )
    runner.check_engine()
    return runner


def _with_moved_weights(runner: Runner, named: Any) -> Runner:
    """Read the weights of `fit` from the file that the parameter names now; they must be equal."""
    source = runner.weights
    paths = str, os.PathLike
    if not (isinstance(source, FittedWeights) and isinstance(named, paths)):
        return runner
    if not isinstance(source.weights, paths) or source.weights == named:
        return runner
    return replace(runner, weights=replace(source, weights=named))


def compute_features(estimator: Any, X: Any) -> np.ndarray:
    """Compute the features of images in memory as an array, whatever `set_output` says."""
    runner = get_runner(estimator)
    return runner.compute(*read_fitted(estimator, X))
