"""The classifier and the regressor."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.base import ClassifierMixin, RegressorMixin, _fit_context
from sklearn.utils import Tags, check_array, column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.multiclass import check_classification_targets

from sktransfer.finetuning.base import FineTuner
from sktransfer.finetuning.objectives import Classification, Regression
from sktransfer.store import FeatureStore


class VGGClassifier(ClassifierMixin, FineTuner):
    """A VGG network with a head that classifies images, trained in part."""

    _parameter_constraints: dict = {  # noqa: RUF012 - scikit-learn's name and form
        **FineTuner._parameter_constraints,
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    _objective = Classification()

    def __init__(
        self,
        layer: str = "flatten",
        *,
        unfreeze: str | None = None,
        hidden_layer_sizes: tuple[int, ...] = (),
        epochs: int = 20,
        head_epochs: int = 10,
        optimizer: str | dict[str, Any] = "adam",
        trunk_learning_rate: float | dict[str, Any] | None = 1e-5,
        augmentation: Any = None,
        class_weight: str | dict[Any, float] | None = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        checkpoint: str | os.PathLike | None = None,
        architecture: str = "vgg16",
        weights: str | os.PathLike | Mapping | None = "imagenet",
        pooling: str | None = None,
        image_shape: tuple[int, ...] | None = None,
        value_range: str | tuple[float, float] = "auto",
        input_size: str | int = "auto",
        aspect: str = "stretch",
        interpolation: str = "bilinear",
        antialias: bool = False,
        engine: str = "auto",
        precision: str = "float32",
        calibration: Any = None,
        batch_size: str | int = "auto",
        cache: str | os.PathLike | FeatureStore | None = "temporary",
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            layer,
            unfreeze=unfreeze,
            hidden_layer_sizes=hidden_layer_sizes,
            epochs=epochs,
            head_epochs=head_epochs,
            optimizer=optimizer,
            trunk_learning_rate=trunk_learning_rate,
            augmentation=augmentation,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            warm_start=warm_start,
            checkpoint=checkpoint,
            architecture=architecture,
            weights=weights,
            pooling=pooling,
            image_shape=image_shape,
            value_range=value_range,
            input_size=input_size,
            aspect=aspect,
            interpolation=interpolation,
            antialias=antialias,
            engine=engine,
            precision=precision,
            calibration=calibration,
            batch_size=batch_size,
            cache=cache,
            verbose=verbose,
            random_state=random_state,
        )
        self.class_weight = class_weight

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> VGGClassifier:
        """Train the head, then the unfrozen layers with it.

        Parameters
        ----------
        X : array-like, DataFrame, or list of paths, PIL images or arrays
            Images in any form that :class:`VGGFeatureExtractor` takes; never changed.
        y : array-like of shape (n_images,)
            Labels of at least two classes.
        sample_weight : array-like of shape (n_images,), default=None
            Weight of each image in the loss. Two is the same as the image given twice, and zero
            as left out.
        X_val : same as `X`, default=None
            Images that are only scored, after every epoch.
        y_val : array-like of shape (n_validation_images,), default=None
            Their labels.

        Returns
        -------
        VGGClassifier
            The fitted classifier.
        """
        self._train(X, y, sample_weight, X_val, y_val)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None
    ) -> VGGClassifier:
        """Train for one epoch on some images, going on from where the last call ended.

        The first call reads shape and value range off its images, and scales features by them.
        From then on all that `unfreeze` names is trained, with one optimizer throughout.

        Parameters
        ----------
        X : array-like, DataFrame, or list of paths, PIL images or arrays
            Images; never changed.
        y : array-like of shape (n_images,)
            Their labels.
        classes : array-like of shape (n_classes,), default=None
            All labels that any call will bring; needed in the first call only.
        sample_weight : array-like of shape (n_images,), default=None
            Weight of each image in the loss.

        Returns
        -------
        VGGClassifier
            The classifier.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"{type(self).__name__}.partial_fit sees some images at a time and cannot balance "
                "classes. Got class_weight='balanced': pass a dict, or sample_weight."
            )
        self._train(X, y, sample_weight, is_partial=True, classes=classes)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict the class of images.

        Parameters
        ----------
        X : array-like, DataFrame, or list of paths, PIL images or arrays
            Images in any form that `fit` takes.

        Returns
        -------
        ndarray of shape (n_images,)
            The labels.
        """
        outputs = self._outputs(X)
        return self.classes_[outputs.argmax(axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class.

        Parameters
        ----------
        X : array-like, DataFrame, or list of paths, PIL images or arrays
            Images in any form that `fit` takes.

        Returns
        -------
        ndarray of shape (n_images, n_classes)
            Probabilities in the order of `classes_`.
        """
        return softmax(self._outputs(X), axis=1)

    def _check_targets(self, y: Any) -> np.ndarray:
        _check_given(y, type(self).__name__)
        labels = column_or_1d(y, warn=True)
        check_classification_targets(labels)
        return labels

    def _learn_targets(
        self, y: np.ndarray, weights: np.ndarray, classes: Any, *, is_partial: bool
    ) -> None:
        who = type(self).__name__
        known = np.unique(y[weights > 0])
        if is_partial:
            if classes is None:
                raise ValueError(
                    f"The first call of {who}.partial_fit needs all classes. Got classes=None: "
                    "pass the labels that any call will bring."
                )
            known = np.unique(column_or_1d(classes))
        if len(known) < 2:
            raise ValueError(
                f"{who} needs at least two classes with rows of a weight above zero. Got one class "
                f"in y, {known.tolist()}: look at what selected the images."
            )
        self.classes_ = known
        self._n_outputs = len(known)

    def _encode_targets(self, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        codes = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        others = np.unique(y[(self.classes_[codes] != y) & (weights > 0)])
        if len(others):
            raise ValueError(
                f"{type(self).__name__} knows the classes {self.classes_.tolist()}. Got other "
                f"labels in y, {others.tolist()[:10]}: leave them out, or fit anew on all of them."
            )
        return codes.astype(np.int64)

    def _target_weights(self, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
        if self.class_weight is None:
            return weights
        if isinstance(self.class_weight, str):
            sums = np.bincount(targets, weights, minlength=len(self.classes_))
            factors = sums.sum() / (np.count_nonzero(sums) * np.where(sums > 0, sums, 1))
        else:
            factors = np.asarray([self.class_weight.get(label, 1.0) for label in self.classes_])
        return weights * factors[targets]

    def _finish(self, outputs: Any) -> Any:
        from keras import layers

        return layers.Softmax(name="probabilities", dtype="float32")(outputs)


class VGGRegressor(RegressorMixin, FineTuner):
    """A VGG network with a head that predicts numbers from images, trained in part."""

    _objective = Regression()

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> VGGRegressor:
        """Train the head, then the unfrozen layers with it.

        Parameters
        ----------
        X : array-like, DataFrame, or list of paths, PIL images or arrays
            Images in any form that :class:`VGGFeatureExtractor` takes; never changed.
        y : array-like of shape (n_images,) or (n_images, n_outputs)
            What is to be predicted.
        sample_weight : array-like of shape (n_images,), default=None
            Weight of each image in the loss. Two is the same as the image given twice, and zero
            as left out.
        X_val : same as `X`, default=None
            Images that are only scored, after every epoch.
        y_val : array-like of shape (n_validation_images,) or (n_validation_images, n_outputs), \
default=None
            Their targets.

        Returns
        -------
        VGGRegressor
            The fitted regressor.
        """
        self._train(X, y, sample_weight, X_val, y_val)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> VGGRegressor:
        """Train for one epoch on some images, going on from where the last call ended.

        The first call reads shape and value range off its images, and scales features and targets
        by them. From then on all that `unfreeze` names is trained, with one optimizer throughout.

        Parameters
        ----------
        X : array-like, DataFrame, or list of paths, PIL images or arrays
            Images; never changed.
        y : array-like of shape (n_images,) or (n_images, n_outputs)
            What is to be predicted.
        sample_weight : array-like of shape (n_images,), default=None
            Weight of each image in the loss.

        Returns
        -------
        VGGRegressor
            The regressor.
        """
        self._train(X, y, sample_weight, is_partial=True)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predict numbers.

        Parameters
        ----------
        X : array-like, DataFrame, or list of paths, PIL images or arrays
            Images in any form that `fit` takes.

        Returns
        -------
        ndarray of shape (n_images,) or (n_images, n_outputs)
            As `y` was in `fit`.
        """
        values = self._outputs(X) * self._y_scale + self._y_mean
        return values[:, 0] if self._is_single else values

    def _check_targets(self, y: Any) -> np.ndarray:
        who = type(self).__name__
        _check_given(y, who)
        values = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        if values.ndim == 2 and values.shape[1] == 1:
            values = column_or_1d(values, warn=True)
        if values.ndim > 2:
            raise ValueError(
                f"{who} needs targets of shape (n_images,) or (n_images, n_outputs). Got y of "
                f"shape {values.shape}."
            )
        return values

    def _learn_targets(
        self, y: np.ndarray, weights: np.ndarray, classes: Any, *, is_partial: bool
    ) -> None:
        self._is_single = y.ndim == 1
        values = y.reshape(len(y), -1)
        self._n_outputs = values.shape[1]
        self._y_mean = weights @ values / weights.sum()
        scale = np.sqrt(weights @ np.square(values - self._y_mean) / weights.sum())
        self._y_scale = np.where(scale > 0, scale, 1.0)

    def _encode_targets(self, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        values = y.reshape(len(y), -1)
        if values.shape[1] != self._n_outputs:
            raise ValueError(
                f"{type(self).__name__} was fitted on targets with {self._n_outputs} values per "
                f"image. Got {values.shape[1]}: pass as many, or fit anew."
            )
        return (values - self._y_mean) / self._y_scale

    def _finish(self, outputs: Any) -> Any:
        from keras import layers

        return layers.Rescaling(
            self._y_scale.astype(np.float32).tolist(),
            self._y_mean.astype(np.float32).tolist(),
            name="values",
            dtype="float32",
        )(outputs)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _check_given(y: Any, who: str) -> None:
    if y is None:
        raise ValueError(
            f"{who} requires y to be passed, but the target y is None: pass a target for each "
            "image."
        )
