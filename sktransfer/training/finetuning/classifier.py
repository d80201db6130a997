"""Fine-tuned classifiers: `VGGClassifier` and `ImageClassifier`."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import log_softmax
from sklearn.base import ClassifierMixin

from sktransfer.base import StrOptions, _fit_context, as_labels
from sktransfer.training.finetuning.base import FineTuner
from sktransfer.training.finetuning.objectives import Classification
from sktransfer.training.finetuning.parameters import (
    NetworkParameters,
    VGGParameters,
    document,
)
from sktransfer.training.finetuning.prediction import Classes

_CLASS_WEIGHT: dict = {"class_weight": [StrOptions({"balanced"}), dict, None]}


def _is_row(label: Any) -> bool:
    return isinstance(label, list | tuple | set | np.ndarray)


@dataclass(kw_only=True, eq=False, repr=False, match_args=False)
class TunedClassifier(ClassifierMixin, FineTuner):
    """The base of the classifiers."""

    class_weight: str | dict[Any, float] | None = None

    _objective: ClassVar = Classification()

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one epoch on some images, continuing where the last call ended.

        The first call reads shape and value range off its images, and scales features by them.
        From then on all that `unfreeze` names is trained, with one optimizer throughout, unless
        `optimizer`, `trunk_learning_rate` or `unfreeze` changes: then it starts again.

        Parameters
        ----------
        X : array-like, DataFrame, or list of paths, PIL images or arrays
            Images; never changed.
        y : array-like of shape (n_images,)
            Their labels.
        classes : array-like of shape (n_classes,), default=None
            All labels that any call will have; needed in the first call only.
        sample_weight : array-like of shape (n_images,), default=None
            Weight of each image in the loss.

        Returns
        -------
        self
            The classifier.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"{type(self).__name__}.partial_fit sees only some images at a time and cannot "
                "balance classes. Got class_weight='balanced': pass a dict, or sample_weight."
            )
        if hasattr(self, "classes_") and classes is not None:
            given = self._read_classes(classes)
            if not np.array_equal(given, self.classes_):
                raise ValueError(
                    f"{type(self).__name__}.partial_fit needs the classes of its first call, "
                    f"{self.classes_.tolist()}. Got {given.tolist()}: pass the same, or None."
                )
        self._train(X, y, sample_weight, is_partial=True, classes=classes)
        return self

    @document
    def predict(self, X: Any) -> np.ndarray:
        """Predict the class of images.

        {images}

        Returns
        -------
        ndarray of shape (n_images,)
            The labels.
        """
        outputs = self._outputs(X)
        return self._meaning.decide(outputs)

    @document
    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict the probability of each class.

        {images}

        Returns
        -------
        ndarray of shape (n_images, n_classes)
            Probabilities in the order of `classes_`.
        """
        outputs = self._outputs(X)
        return self._meaning.share(outputs)

    @document
    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Predict the logarithm of the probability of each class.

        {images}

        Returns
        -------
        ndarray of shape (n_images, n_classes)
            Logarithms in the order of `classes_`, finite where a probability is too small for
            float32.
        """
        return log_softmax(self._outputs(X), axis=1)

    @document
    def decision_function(self, X: Any) -> np.ndarray:
        """Score each class before the softmax.

        {images}

        Returns
        -------
        ndarray of shape (n_images,) or (n_images, n_classes)
            For two classes, the score of the second minus that of the first, above zero where the
            second is predicted; for more, a score for each.
        """
        outputs = self._outputs(X)
        return outputs[:, 1] - outputs[:, 0] if len(self.classes_) == 2 else outputs

    def _check_targets(self, y: Any) -> np.ndarray:
        self._refuse_several(y)
        return as_labels(y, type(self).__name__, warn=True)

    def _refuse_several(self, y: Any) -> None:
        """Refuse one-hot and multi-label targets, with what to do instead."""
        shape = getattr(y, "shape", None)
        if shape is None and isinstance(y, list | tuple) and any(map(_is_row, y)):
            lengths = {len(row) if _is_row(row) else 0 for row in y}
            shape = (len(y), *lengths) if len(lengths) == 1 else (len(y), 0)
        if shape is None or len(shape) != 2 or shape[1] == 1:
            return
        who, cure = type(self).__name__, ""
        if shape[1]:
            values = np.asarray(y)
            one_hot = values.dtype.kind in "buif" and np.isin(values, (0, 1)).all()
            if one_hot and (values.sum(axis=1) == 1).all():
                cure = "these are one-hot, so pass y.argmax(axis=1)"
        raise ValueError(
            f"{who} needs one label for each image: y should be a 1d array. Got y of shape "
            f"{tuple(shape) if shape[1] else f'({shape[0]}, various)'}: "
            + (
                cure
                or "for several labels of an image, fit a classifier on the features of "
                "an extractor, such as OneVsRestClassifier(LogisticRegression())"
            )
            + "."
        )

    def _read_classes(self, classes: Any) -> np.ndarray:
        rule = ".partial_fit needs all labels as classes"
        return np.unique(as_labels(classes, type(self).__name__, rule=rule))

    def _learn_targets(
        self, y: np.ndarray, weights: np.ndarray, classes: Any, *, is_partial: bool
    ) -> None:
        who = type(self).__name__
        known = np.unique(y[weights > 0])
        if is_partial:
            if classes is None:
                raise ValueError(
                    f"The first call of {who}.partial_fit needs all classes. Got classes=None: "
                    "pass all labels that any call will have."
                )
            known = self._read_classes(classes)
        if len(known) < 2:
            raise ValueError(
                f"{who} needs at least two classes with rows of a weight above zero. Got one class "
                f"in y, {known.tolist()}: check how the images were selected."
            )
        self.classes_ = known
        self._meaning = Classes(known)
        self._n_outputs = len(known)

    def _encode_targets(self, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        codes = np.searchsorted(self.classes_, y).clip(max=len(self.classes_) - 1)
        others = np.unique(y[(self.classes_[codes] != y) & (weights > 0)])
        if len(others):
            raise ValueError(
                f"{type(self).__name__} was fitted on the classes {self.classes_.tolist()}. Got "
                f"other labels in y, {others.tolist()[:10]}: leave them out, or fit again on all "
                "of them."
            )
        return codes.astype(np.int64)

    def _target_weights(self, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
        if self.class_weight is None:
            return weights
        if isinstance(self.class_weight, str):
            sums = np.bincount(targets, weights, minlength=len(self.classes_))
            factors = sums.sum() / (np.count_nonzero(sums) * np.where(sums > 0, sums, 1))
        else:
            factors = self._read_class_weight(self.class_weight)
        return weights * factors[targets]

    def _read_class_weight(self, given: dict[Any, float]) -> np.ndarray:
        """Return the weight of each class; without one it is 1, if all names are of classes."""
        who, classes = type(self).__name__, self.classes_.tolist()
        unknown = [label for label in given if label not in classes]
        if unknown and not set(classes) <= set(given):
            raise ValueError(
                f"The 'class_weight' parameter of {who} must name classes of y, which are "
                f"{classes[:10]}. Got {unknown[:10]}, which are not in it: correct their names."
            )
        if not all(isinstance(each, Real) and 0 <= each < np.inf for each in given.values()):
            raise ValueError(
                f"The 'class_weight' parameter of {who} must give finite numbers from 0 up. Got "
                f"{given!r} instead."
            )
        return np.array([float(given.get(label, 1)) for label in classes])

    def _finish(self, outputs: Any) -> Any:
        from keras import layers

        return layers.Softmax(name="probabilities", dtype="float32")(outputs)


@document
@dataclass(kw_only=True, eq=False, repr=False, match_args=False)
class VGGClassifier(TunedClassifier, VGGParameters):
    """A VGG network with a head that classifies images, trained in part.

    {what it does}

    Parameters
    ----------
    {parameters of VGG}
    {parameters}
    class_weight : dict, 'balanced' or None, default=None
        Weight of each class in the loss, besides `sample_weight`; ``'balanced'`` makes all classes
        weigh the same.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    {attributes}

    {errors}

    See Also
    --------
    VGGRegressor : The same for numbers.
    ImageClassifier : The same for any network of Keras.
    VGGFeatureExtractor : The same features, frozen, for any classifier of scikit-learn.
    {related}

    {notes}

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
    ...     epochs=2,
    ...     trunk_learning_rate=1e-5,
    ...     random_state=0,
    ... )
    >>> classifier = classifier.fit(X[:16], y[:16])
    >>> [(row["phase"], row["epoch"]) for row in classifier.history_]
    [('probe', 1), ('blocks', 2), ('blocks', 3)]
    >>> classifier.predict_proba(X[16:18]).shape
    (2, 2)
    """

    _parameter_constraints: ClassVar[dict] = {
        **VGGParameters._parameter_constraints,
        **_CLASS_WEIGHT,
    }


@document
@dataclass(kw_only=True, eq=False, repr=False, match_args=False)
class ImageClassifier(TunedClassifier, NetworkParameters):
    """Any network of Keras with a head that classifies images, trained in part.

    {what it does}
    Layers compute as in inference while they are trained, as Keras' guide "Transfer learning &
    fine-tuning" advises: batch normalization keeps its statistics and weights, and nothing is
    dropped.

    Parameters
    ----------
    {parameters of any network}
    {parameters}
    class_weight : dict, 'balanced' or None, default=None
        Weight of each class in the loss, besides `sample_weight`; ``'balanced'`` makes all classes
        weigh the same.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    {attributes}

    {errors}

    See Also
    --------
    ImageRegressor : The same for numbers.
    VGGClassifier : The same for VGG, with more engines.
    ImageFeatureExtractor : The same features, frozen, for any classifier of scikit-learn.
    {related}

    {notes}

    Examples
    --------
    >>> from sktransfer import ImageClassifier, load_digit_pair
    >>> X, y = load_digit_pair((8, 6), return_X_y=True)
    >>> classifier = ImageClassifier(
    ...     "MobileNetV2",
    ...     "block_2_add",
    ...     unfreeze="block_2",
    ...     weights=None,
    ...     pooling="avg",
    ...     input_size=32,
    ...     epochs=2,
    ...     trunk_learning_rate=1e-5,
    ...     random_state=0,
    ... )
    >>> classifier = classifier.fit(X[:16], y[:16])
    >>> [(row["phase"], row["epoch"]) for row in classifier.history_]
    [('probe', 1), ('blocks', 2), ('blocks', 3)]
    >>> classifier.predict_proba(X[16:18]).shape
    (2, 2)
    """

    _parameter_constraints: ClassVar[dict] = {
        **NetworkParameters._parameter_constraints,
        **_CLASS_WEIGHT,
    }
