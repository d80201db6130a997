"""The base class of all extractors."""

from __future__ import annotations

import os
from dataclasses import asdict
from numbers import Integral, Real
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags

from sktransfer.base import (
    CallbackSupportMixin,
    Documented,
    Interval,
    StrOptions,
    _fit_context,
    reported,
    unchanged_on_failure,
)
from sktransfer.engines import ENGINES, PRECISIONS
from sktransfer.features.fitted import learn, learn_and_transform, name_features, transform
from sktransfer.features.preprocessing import ASPECTS, INTERPOLATIONS
from sktransfer.features.runner import Runner
from sktransfer.features.store import FeatureStore
from sktransfer.inputs.reader import Reader
from sktransfer.networks.outputs import MAP_POOLINGS

#: Constraints of the parameters that all extractors have in common.
COMMON_CONSTRAINTS: dict = {
    "pooling": [StrOptions(set(MAP_POOLINGS)), None, list, tuple],
    "image_shape": ["array-like", None],
    "value_range": [StrOptions({"auto"}), "array-like"],
    "allow_remote": ["boolean"],
    "aspect": [StrOptions(set(ASPECTS)), Interval(Real, 0, 1, closed="right")],
    "interpolation": [StrOptions(set(INTERPOLATIONS))],
    "antialias": ["boolean"],
    "engine": [StrOptions({"auto", *ENGINES})],
    "precision": [StrOptions(set(PRECISIONS))],
    "calibration": "no_validation",
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "cache": [str, os.PathLike, FeatureStore, None],
    "verbose": ["verbose"],
    "random_state": ["random_state"],
}


# In how many equal steps callbacks hear of the images that are done.
_N_STEPS = 100


class FeatureExtractor(Documented, CallbackSupportMixin, TransformerMixin, BaseEstimator):
    """A transformer that turns images into features of a network, cut at a layer."""

    # What reads images, and what computes their features, as `fit` found them.
    _reader: Reader
    _runner: Runner

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> Self:
        """Check everything, determine shape and value range of the images, and find the weights.

        No network is built and no image is computed, unless int8 is to be calibrated.

        Parameters
        ----------
        X : array-like, DataFrame, or list of paths, PIL images or arrays
            Images in any form that the user guide lists; never changed. Of Dask collections only
            shape and dtype are read and nothing is computed, so `value_range` is needed if the
            dtype does not determine black and white.
        y : None
            Ignored; here for scikit-learn's pipelines.

        Returns
        -------
        self
            The fitted extractor.
        """
        with reported(self, "fit", 0, X, y), unchanged_on_failure(self):
            learn(self, X, may_be_lazy=True)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: Any, y: Any = None) -> np.ndarray:
        """Fit, and compute the features of the same images, which are read once.

        Parameters
        ----------
        X : array-like, DataFrame, or list of paths, PIL images or arrays
            Images in any form that the user guide lists; never changed.
        y : None
            Ignored; here for scikit-learn's pipelines.

        Returns
        -------
        ndarray of shape (n_images, n_features_out)
            As `transform` gives them.
        """
        with reported(self, "fit_transform", _N_STEPS, X, y) as tell, unchanged_on_failure(self):
            done = told = 0

            def report(n_more: int, n_images: int) -> None:
                nonlocal done, told
                done += n_more
                while told < _N_STEPS * done // n_images:
                    told += 1
                    tell("images")

            return learn_and_transform(self, X, report)

    def transform(self, X: Any) -> np.ndarray:
        """Compute the features of images.

        Parameters
        ----------
        X : array-like, DataFrame, or list of paths, PIL images or arrays
            Images in any form that `fit` takes; arrays of the shape seen in `fit`, files and PIL
            images of any size. Never changed.

        Returns
        -------
        ndarray of shape (n_images, n_features_out)
            float32, C-contiguous. For a Dask array, data frame, series or bag, a Dask array: its
            blocks are computed when it is computed, wherever that is.

        Raises
        ------
        TypeError
            If `set_output` or scikit-learn's configuration asks for a data frame from a Dask
            collection, which would compute all of it.
        OSError
            If image files cannot be read, naming all of them, or the weights are unavailable.
        """
        return transform(self, X)

    @property
    def preprocessing_(self) -> dict[str, Any]:
        """What is done to pixels from 0 to 255 before they enter the network."""
        return asdict(self._runner.scaling)

    @property
    def resizing_(self) -> dict[str, Any]:
        """How images are brought to the network's size."""
        return asdict(self._runner.resizing)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Name every feature by layer, place and channel.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Checked against what `fit` saw, and not used otherwise.

        Returns
        -------
        ndarray of str objects
            Such as ``block3_pool_r03_c12_f045`` (row, column, channel), ``block3_pool_avg_f045``
            or ``predictions_0134_crane``; sorting keeps their order within a layer.
        """
        return name_features(self, input_features)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.three_d_array = True
        # The tag `string` stays off: it would promise that any object column is taken as text.
        return tags
