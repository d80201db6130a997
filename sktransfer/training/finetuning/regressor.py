"""Fine-tuned regressors: `VGGRegressor` and `ImageRegressor`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import Tags, check_array, column_or_1d

from sktransfer.base import _fit_context
from sktransfer.training.finetuning.base import FineTuner
from sktransfer.training.finetuning.objectives import Regression
from sktransfer.training.finetuning.parameters import (
    NetworkParameters,
    VGGParameters,
    document,
)
from sktransfer.training.finetuning.prediction import NumberOutputs


class TunedRegressor(RegressorMixin, FineTuner):
    """The base of the regressors."""

    _objective: ClassVar = Regression()

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on some images, continuing where the last call ended.

        The first call reads shape and value range off its images, and scales features and targets
        by them. From then on all that `unfreeze` names is trained, with one optimizer throughout,
        unless `optimizer`, `trunk_learning_rate` or `unfreeze` changes: then it starts again.

        Parameters
        ----------
        X : array-like, DataFrame, or list of paths, PIL images or arrays
            Images; never changed.
        y : array-like of shape (n_images,) or (n_images, n_outputs)
            The numbers to predict.
        sample_weight : array-like of shape (n_images,), default=None
            Weight of each image in the loss.

        Returns
        -------
        self
            The regressor.
        """
        self._train(X, y, sample_weight, is_partial=True)
        return self

    @document
    def predict(self, X: Any) -> np.ndarray:
        """Predict numbers.

        {images}

        Returns
        -------
        ndarray of shape (n_images,) or (n_images, n_outputs)
            As `y` was in `fit`.
        """
        outputs = self._outputs(X)
        return self._meaning.restore(outputs)

    def _check_targets(self, y: Any) -> np.ndarray:
        who = type(self).__name__
        try:
            values = check_array(
                y,
                ensure_2d=False,
                allow_nd=True,
                ensure_min_samples=0,
                dtype=np.float64,
                input_name="y",
            )
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{who} needs a finite number for each image as y. Got others: {error}"
            ) from error
        if values.ndim == 2 and values.shape[1] == 1:
            values = column_or_1d(values, warn=True)
        if values.ndim not in (1, 2):
            raise ValueError(
                f"{who} needs targets of shape (n_images,) or (n_images, n_outputs). Got y of "
                f"shape {values.shape}."
            )
        return values

    def _learn_targets(
        self, y: np.ndarray, weights: np.ndarray, classes: Any, *, is_partial: bool
    ) -> None:
        self._meaning = NumberOutputs.of(y, weights)
        self._n_outputs = len(self._meaning.mean)

    def _encode_targets(self, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        values = y.reshape(len(y), -1)
        if values.shape[1] != self._n_outputs:
            raise ValueError(
                f"{type(self).__name__} was fitted on targets with {self._n_outputs} values per "
                f"image. Got {values.shape[1]}: pass as many, or fit again."
            )
        return self._meaning.standardise(values)

    def _finish(self, outputs: Any) -> Any:
        from keras import layers

        return layers.Rescaling(
            self._meaning.scale.astype(np.float32).tolist(),
            self._meaning.mean.astype(np.float32).tolist(),
            name="values",
            dtype="float32",
        )(outputs)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


@document
@dataclass(kw_only=True, eq=False, repr=False, match_args=False)
class VGGRegressor(TunedRegressor, VGGParameters):
    """A VGG network with a head that predicts numbers from images, trained in part.

    {what it does}

    Parameters
    ----------
    {parameters of VGG}
    {parameters}

    Attributes
    ----------
    {attributes}

    {errors}

    See Also
    --------
    VGGClassifier : The same for classes.
    ImageRegressor : The same for any network of Keras.
    VGGFeatureExtractor : The same features, frozen, for any regressor of scikit-learn.
    {related}

    {notes}

    Examples
    --------
    >>> from sktransfer import VGGRegressor, load_digit_pair
    >>> X, y = load_digit_pair((8, 6), return_X_y=True)
    >>> regressor = VGGRegressor(
    ...     "block1_pool", weights=None, pooling="avg", input_size=32, random_state=0
    ... )
    >>> regressor = regressor.fit(X[:16], X[:16].mean(axis=1))
    >>> regressor.predict(X[16:18]).shape
    (2,)
    """

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # scikit-learn asks for a training R2 of 0.5 where a single pixel of ten tells the target.
        # Pooling drops where that is. A head that is trained for the default epochs gets 0.15 from
        # pooled maps of block 1, 0.22 to 0.31 of block 2, 0.40 to 0.56 up to block3_conv2, and 0.55
        # and more from block3_conv3 on. Least squares gets 0.44 to 0.58 in block 1, 0.8 in block 2.
        is_early = isinstance(self.layer, str) and self.layer < "block3_conv3"
        tags.regressor_tags.poor_score = self.pooling is not None and is_early
        return tags


@document
@dataclass(kw_only=True, eq=False, repr=False, match_args=False)
class ImageRegressor(TunedRegressor, NetworkParameters):
    """Any network of Keras with a head that predicts numbers from images, trained in part.

    {what it does}
    Layers compute as in inference while they are trained, as Keras' guide "Transfer learning &
    fine-tuning" advises: batch normalization keeps its statistics and weights, and nothing is
    dropped.

    Parameters
    ----------
    {parameters of any network}
    {parameters}

    Attributes
    ----------
    {attributes}

    {errors}

    See Also
    --------
    ImageClassifier : The same for classes.
    VGGRegressor : The same for VGG, with more engines.
    ImageFeatureExtractor : The same features, frozen, for any regressor of scikit-learn.
    {related}

    {notes}

    Examples
    --------
    >>> from sktransfer import ImageRegressor, load_digit_pair
    >>> X, y = load_digit_pair((8, 6), return_X_y=True)
    >>> regressor = ImageRegressor(
    ...     "MobileNetV2", "block_2_add", weights=None, input_size=32, random_state=0
    ... )
    >>> regressor = regressor.fit(X[:16], X[:16].mean(axis=1))
    >>> regressor.predict(X[16:18]).shape
    (2,)
    """

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # As of VGGRegressor: pooling drops where the pixel is that tells the target.
        tags.regressor_tags.poor_score = self.layer is None or self.pooling is not None
        return tags
