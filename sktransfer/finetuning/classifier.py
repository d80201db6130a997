"""The classifier."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from sktransfer.finetuning.base import FineTuner
from sktransfer.finetuning.objectives import Classification
from sktransfer.store import FeatureStore


class VGGClassifier(ClassifierMixin, FineTuner):
    """A VGG network with a head that classifies images, trained in part.

    The network is cut at `layer`, as by :class:`VGGFeatureExtractor`, and a head stands on the
    features: hidden layers, if any, and one output for each class. `fit` trains the head alone
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
    class_weight : dict, 'balanced' or None, default=None
        Weight of each class in the loss, beside `sample_weight`; ``'balanced'`` makes all classes
        weigh the same.
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
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    history_ : list of dict
        A row for each epoch, over all calls of `partial_fit` and with `warm_start`: ``phase``
        (``'head'`` or ``'blocks'``), ``epoch`` (from 1), ``loss`` and ``score`` (accuracy) on the
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
    VGGRegressor : The same for numbers.
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
    >>> from sktransfer import VGGClassifier, load_digit_pair
    >>> X, y = load_digit_pair((8, 6), return_X_y=True)
    >>> classifier = VGGClassifier(
    ...     "block1_pool",
    ...     unfreeze="block1_conv2",
    ...     weights=None,
    ...     pooling="avg",
    ...     input_size=32,
    ...     epochs=1,
    ...     head_epochs=2,
    ...     random_state=0,
    ... )
    >>> classifier = classifier.fit(X[:16], y[:16])
    >>> [(row["phase"], row["epoch"]) for row in classifier.history_]
    [('head', 1), ('head', 2), ('blocks', 3)]
    >>> classifier.predict_proba(X[16:18]).shape
    (2, 2)
    """

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
        if hasattr(self, "classes_") and classes is not None:
            given = np.unique(column_or_1d(classes))
            if not np.array_equal(given, self.classes_):
                raise ValueError(
                    f"{type(self).__name__}.partial_fit needs the classes of its first call, "
                    f"{self.classes_.tolist()}. Got {given.tolist()}: pass the same, or None."
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
        labels = column_or_1d(y, warn=True)
        if labels.dtype.kind == "f":  # before scikit-learn casts them, with a warning of NumPy's
            assert_all_finite(labels, input_name="y")
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
            factors = compute_class_weight(
                self.class_weight, classes=self.classes_, y=self.classes_
            )
        return weights * factors[targets]

    def _finish(self, outputs: Any) -> Any:
        from keras import layers

        return layers.Softmax(name="probabilities", dtype="float32")(outputs)
