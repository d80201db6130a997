"""The regressor."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import Tags, check_array, column_or_1d

from sktransfer.finetuning.base import FineTuner
from sktransfer.finetuning.objectives import Regression


class VGGRegressor(RegressorMixin, FineTuner):
    """A VGG network with a head that predicts numbers from images, trained in part.

    The network is cut at `layer`, as by :class:`VGGFeatureExtractor`, and a head stands on the
    features: hidden layers, if any, and one output for each number. `fit` trains the head alone
    first, and then `unfreeze` and all behind it together with the head. What lies before is frozen:
    without augmentation it runs once for every image, through the store of features, and epochs run
    only what trains. The result depends on the images, targets, weights and the seed, and not on
    the order of rows.

    Parameters
    ----------
    layer : str, default='flatten'
        The layer on whose output the head stands.
    unfreeze : str or None, default=None
        From where on the trunk is trained: a block such as ``'block5'``, a layer such as
        ``'block5_conv2'``, or ``'all'``. None trains the head only.
    hidden_layer_sizes : tuple of int, default=()
        Widths of the head's hidden layers, with ReLU. Without any, the head is linear.
    epochs : int, default=20
        Epochs in which all that is not frozen is trained.
    head_epochs : int, default=10
        Epochs before these in which the head is trained alone, so that a head that knows nothing
        does not spoil the trunk. Not used where the whole trunk is frozen.
    optimizer : str or dict, default='adam'
        Name of a Keras optimizer, or its configuration with schedule, clipping and decay, as
        ``keras.optimizers.serialize`` gives it or as in ``{'class_name': 'AdamW', 'config':
        {'learning_rate': 0.001, 'weight_decay': 0.01, 'global_clipnorm': 1.0}}``. Head and trunk
        have one each, new in either phase.
    trunk_learning_rate : float, dict or None, default=1e-5
        Learning rate of the trunk: a number, or what ``keras.optimizers.schedules.serialize`` gives
        for a schedule. None takes that of `optimizer`.
    augmentation : keras.Layer, list of keras.Layer, or None, default=None
        Keras preprocessing layers that change images in training, on RGB values from 0 to 255. Each
        gets a seed from `random_state` whatever its own. The whole network then runs in every
        epoch.
    early_stopping : bool, default=False
        Whether each phase ends once the loss on rows held out, or on `X_val`, has not become
        smaller for `n_iter_no_change` epochs, and goes back to its best epoch.
    validation_fraction : float, default=0.1
        Part of the distinct rows that is held out, where `early_stopping` is set and no `X_val`
        given.
    n_iter_no_change : int, default=5
        Epochs without gain after which a phase ends early.
    warm_start : bool, default=False
        Whether `fit` goes on from the last one's weights, without a phase for the head alone.
        `unfreeze` may differ then, to unfreeze block by block.
    checkpoint : path-like or None, default=None
        A folder for the state of training after every epoch. A run that is killed goes on from
        there when it is started again in the same way, and ends with the same weights; the file is
        removed at its end. Needs `random_state`.
    architecture, weights, pooling, image_shape, value_range, input_size, aspect, interpolation, \
antialias, engine, precision, calibration, cache
        As for :class:`VGGFeatureExtractor`. `engine` and `precision` run what is frozen, and
        predict; training is Keras' in float32.
    batch_size : 'auto' or int, default='auto'
        Images per step of training, and held in memory at once; ``'auto'`` is 32 per step.
    verbose : int, default=0
        Above 0, progress bars.
    random_state : int, RandomState instance or None, default=None
        Seed of the head's weights, the order of rows, held-out rows, augmentation, and of random
        weights. The same seed gives the same weights, bit for bit on a CPU.

    Attributes
    ----------
    history_ : list of dict
        A row for each epoch, over all calls of `partial_fit` and with `warm_start`: ``phase``
        (``'head'`` or ``'blocks'``), ``epoch`` (from 1), ``loss`` and ``score`` (R2) on the
        training rows as they came, ``validation_loss`` and ``validation_score`` (None without
        validation rows), ``learning_rate``, ``trunk_learning_rate`` (None where it is frozen), and
        ``seconds``.
    n_iter_ : int
        Epochs of the last call.
    n_features_in_, feature_names_in_, image_shape_, value_range_, input_size_, n_features_out_, \
engine_, precision_, random_seed_
        As for :class:`VGGFeatureExtractor`.
    weights_sha256_ : str
        SHA-256 of the trunk's kernels and biases after training.

    Raises
    ------
    ValueError, TypeError
        If a parameter, the images or the targets are wrong, or the loss is no finite number. What
        a former call learned is kept.
    OSError
        If weights, image files or a checkpoint cannot be read.

    See Also
    --------
    VGGClassifier : The same for classes.
    VGGFeatureExtractor : The same features, frozen, for any classifier of scikit-learn.
    HistoryDisplay : `history_` as a drawing.
    export_onnx : The fitted model as an ONNX file.

    Notes
    -----
    Equal rows (the same image and target) are trained on once with the sum of their weights, so
    that a weight of two is a row repeated. Features enter the head standardised by what they were
    before training, and divided by the square root of their number, so that a learning rate means
    the same at any width.

    References
    ----------
    J. Yosinski, J. Clune, Y. Bengio, H. Lipson, "How transferable are features in deep neural
    networks?", 2014, https://arxiv.org/abs/1411.1792.

    Examples
    --------
    >>> from sktransfer import VGGRegressor, load_digit_pair
    >>> X, y = load_digit_pair((8, 6), return_X_y=True)
    >>> regressor = VGGRegressor(
    ...     "block1_pool", weights=None, pooling="avg", input_size=32, epochs=2, random_state=0
    ... )
    >>> regressor = regressor.fit(X[:16], X[:16].mean(axis=1))
    >>> regressor.predict(X[16:18]).shape
    (2,)
    """

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
