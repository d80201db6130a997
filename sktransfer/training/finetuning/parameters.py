"""The parameters of fine-tuned estimators: each once, with type, default, check and description."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from sktransfer.base import Documented, Interval, StrOptions
from sktransfer.extractor import VGGFeatureExtractor, with_weights
from sktransfer.features.store import FeatureStore
from sktransfer.network_extractor import ImageFeatureExtractor, with_network

if TYPE_CHECKING:
    import keras

Subject = TypeVar("Subject", bound=Callable)

_TUNING_CONSTRAINTS: dict = {
    "unfreeze": [str, None],
    "hidden_layer_sizes": ["array-like"],
    "epochs": [Interval(Integral, 1, None, closed="left")],
    "head_epochs": [StrOptions({"auto"}), Interval(Integral, 0, None, closed="left")],
    "optimizer": [str, dict],
    "trunk_learning_rate": [
        StrOptions({"auto"}),
        Interval(Real, 0, None, closed="neither"),
        dict,
        None,
    ],
    "augmentation": "no_validation",
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    "warm_start": ["boolean"],
    "checkpoint": [str, os.PathLike, None],
}


# The signature of the constructor, in which scikit-learn finds the parameters, is made of these
# fields, and of those that a subclass adds.
@dataclass(kw_only=True, eq=False, repr=False, match_args=False)
class TuningParameters(Documented, BaseEstimator):
    """The parameters of every classifier and regressor, whatever its network."""

    unfreeze: str | None = None
    hidden_layer_sizes: tuple[int, ...] = ()
    epochs: int = 20
    head_epochs: int | str = "auto"
    optimizer: str | dict[str, Any] = "adam"
    trunk_learning_rate: float | dict[str, Any] | str | None = "auto"
    augmentation: Any = None
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 5
    warm_start: bool = False
    checkpoint: str | os.PathLike | None = None
    pooling: str | None = None
    image_shape: tuple[int, ...] | None = None
    value_range: str | Iterable[float] = "auto"
    allow_remote: bool = False
    input_size: str | int | tuple[int, int] = "auto"
    aspect: str | float = "stretch"
    interpolation: str = "bilinear"
    antialias: bool | str = False
    engine: str = "auto"
    precision: str = "float32"
    calibration: Any = None
    batch_size: str | int = "auto"
    cache: str | os.PathLike | FeatureStore | None = "temporary"
    verbose: int = 0
    random_state: int | np.random.RandomState | None = None


@dataclass(eq=False, repr=False, match_args=False)
class VGGParameters(TuningParameters):
    """The parameters of a classifier or regressor on VGG."""

    layer: str = "flatten"
    _: KW_ONLY
    architecture: str = "vgg16"
    weights: str | os.PathLike | Mapping | None = "imagenet"
    input_size: str | int = "auto"

    _parameter_constraints: ClassVar[dict] = {
        **VGGFeatureExtractor._parameter_constraints,
        **_TUNING_CONSTRAINTS,
        "layer": [str],
    }

    def to_extractor(self) -> VGGFeatureExtractor:
        """Return a fitted extractor of the features that this model's head takes.

        Returns
        -------
        VGGFeatureExtractor
            With the tuned weights as its parameter `weights`, and therefore in its pickles.
        """
        check_is_fitted(self)
        return with_weights(self, self._runner.weights.load())


@dataclass(eq=False, repr=False, match_args=False)
class NetworkParameters(TuningParameters):
    """The parameters of a classifier or regressor on any network of Keras."""

    network: str | os.PathLike | keras.Model
    layer: str | None = None
    _: KW_ONLY
    weights: str | os.PathLike | None = "pretrained"
    preprocessing: str | Mapping = "auto"
    input_size: str | int | tuple[int, int] = "auto"

    _parameter_constraints: ClassVar[dict] = {
        **ImageFeatureExtractor._parameter_constraints,
        **_TUNING_CONSTRAINTS,
        "layer": [str, None],
    }

    def to_extractor(self) -> ImageFeatureExtractor:
        """Return a fitted extractor of the features that this model's head takes.

        Returns
        -------
        ImageFeatureExtractor
            With the tuned Keras model as its parameter `network`, and therefore in its pickles.
        """
        check_is_fitted(self)
        return with_network(self, self._runner.weights.load())


def document(subject: Subject) -> Subject:
    """Put the shared sections into the docstring of a class or a method.

    Each stands where ``{its name}`` is a line.
    """
    text = inspect.cleandoc(subject.__doc__ or "")
    for name, section in _SECTIONS.items():
        text = text.replace(f"{{{name}}}", inspect.cleandoc(section))
    subject.__doc__ = text
    return subject


_SECTIONS = {
    "images": """
    Parameters
    ----------
    X : array-like, DataFrame, or list of paths, PIL images or arrays
        Images in any form that `fit` takes.
    """,
    "what it does": """
    The network is cut at `layer`, as by an extractor, and a head takes the
    features: hidden layers, if any, and linear outputs. A linear head is scikit-learn's logistic
    regression, or ridge regression, on these features; hidden layers are trained. Then `unfreeze`
    and all layers after it are trained together with the head. The layers before it are frozen:
    without augmentation they run once for every image, through the store of features, and epochs
    run only the trained layers. The result depends on the images, targets, weights and the seed,
    and not on the order of rows.
    """,
    "parameters of VGG": """
    layer : str, default='flatten'
        The layer whose output the head takes.
    architecture, weights, pooling, image_shape, value_range, allow_remote, input_size, aspect, \
interpolation, antialias, engine, precision, calibration, cache
        As for :class:`VGGFeatureExtractor`. `engine` and `precision` are for the frozen
        layers and for predictions; Keras trains in float32.
    unfreeze : str or None, default=None
        Where the trained part of the trunk begins: a block such as ``'block5'``, a layer such as
        ``'block5_conv2'``, or ``'all'``. None trains the head only.
    """,
    "parameters of any network": """
    network : str, path-like or keras.Model
        A name of ``keras.applications``, such as ``'ResNet50'``, in any case; the path of a
        ``.keras`` file; or a functional or sequential Keras model. ONNX files and networks of timm
        cannot be trained: put :class:`ImageFeatureExtractor` before an estimator.
    layer : str or None, default=None
        The layer whose output the head takes; None is the embedding.
    weights, preprocessing, pooling, image_shape, value_range, allow_remote, input_size, aspect, \
interpolation, antialias, engine, precision, calibration, cache
        As for :class:`ImageFeatureExtractor`. `engine` and `precision` are for the frozen
        layers and for predictions; Keras trains in float32.
    unfreeze : str or None, default=None
        Where the trained part of the trunk begins: a layer before which a single tensor passes,
        such as the first of a residual or dense block, the beginning of such names, such as
        ``'conv5'`` of ResNet50, or ``'all'``. All that is computed from that tensor is trained,
        except batch normalization. None trains the head only. Another layer is an error that lists
        the places.
    """,
    "parameters": """
    hidden_layer_sizes : tuple of int, default=()
        Widths of the head's hidden layers, with ReLU. Without any, the head is linear.
    epochs : int, default=20
        Epochs in which everything that is not frozen is trained. Not used if that is only a head
        that scikit-learn fits.
    head_epochs : 'auto' or int, default='auto'
        How the head alone is fitted first, so that an untrained one does not spoil the
        trunk. ``'auto'`` fits a head without hidden layers by scikit-learn: a
        :class:`~sklearn.linear_model.LogisticRegression`, whose `C` of 0.01 to 100 has the lowest
        loss in a cross-validation with five folds, or a :class:`~sklearn.linear_model.RidgeCV`.
        If not all rows fit into 64 MiB, it is fitted on as many as fit, and trained for 10 epochs
        on all of them. Hidden layers are trained for 10 epochs. An int trains any head for this
        many epochs with `optimizer`; with a frozen trunk, for `epochs`.
    optimizer : str or dict, default='adam'
        Name of a Keras optimizer, or its configuration with schedule, clipping and decay, as
        ``keras.optimizers.serialize`` gives it or as in ``{'class_name': 'AdamW', 'config':
        {'learning_rate': 0.001, 'weight_decay': 0.01, 'global_clipnorm': 1.0}}``. Head and trunk
        have one each, new in either phase.
    trunk_learning_rate : 'auto', float, dict or None, default='auto'
        Learning rate of the trunk: a number, or what ``keras.optimizers.schedules.serialize`` gives
        for a schedule. None takes that of `optimizer`. ``'auto'`` compares 0.01, 0.1 and 0.3 times
        that of `optimizer` (of a schedule the first, or 0.001 if that is zero): each trains on four
        fifths of the rows for a third of `epochs`, and that with the lowest loss on the other rows
        is taken. It stays the same in later calls with
        `warm_start` and of `partial_fit`, which takes the lowest if there was no trial.
    augmentation : keras.Layer, list of keras.Layer, or None, default=None
        Keras preprocessing layers that change images in training, on RGB values from 0 to 255. Each
        gets a seed from `random_state` whatever its own. The whole network then runs in every
        epoch.
    early_stopping : bool, default=False
        Whether each phase ends once the loss on rows held out, or on `X_val`, has not decreased
        for `n_iter_no_change` epochs, and returns to its best epoch, or to where it
        started if no epoch was better.
    validation_fraction : float, default=0.1
        Part of the distinct rows that is held out, where `early_stopping` is set and no `X_val`
        given.
    n_iter_no_change : int, default=5
        Epochs without gain after which a phase ends early.
    warm_start : bool, default=False
        Whether `fit` continues from the last one's weights, without a phase for the head alone.
        `unfreeze` may differ then, to unfreeze block by block.
    checkpoint : path-like or None, default=None
        A folder for the state of training after every epoch. A run that is killed continues from
        there when it is started again in the same way, and ends with the same weights; the file is
        removed at its end. Needs `random_state`.
    batch_size : 'auto' or int, default='auto'
        Images per step of training, and held in memory at once; ``'auto'`` is 32 per step.
    verbose : int, default=0
        Above 0, progress bars.
    random_state : int, RandomState instance or None, default=None
        Seed of the head's weights, the order of rows, held-out rows, folds, augmentation, and of
        random weights. The same seed gives the same weights, bit for bit on a CPU.
    """,
    "attributes": """
    history_ : list of dict
        A row for each epoch, over all calls of `partial_fit` and with `warm_start`: ``phase``,
        ``epoch`` (from 1), ``loss`` and ``score`` (accuracy of classes, R2 of numbers) on the
        training rows as they came, ``validation_loss`` and ``validation_score`` (None without
        validation rows), ``learning_rate``, ``trunk_learning_rate`` (None where it is frozen), and
        ``seconds``. The phase is ``'head'`` or ``'blocks'``. One row of the phase ``'probe'``, with
        no learning rate, is the head that scikit-learn fitted. A row of the phase ``'trial'`` for
        each learning rate tried is about the end of its trial, with scores of the rows held out.
    n_iter_ : int
        Rows that the last call added to `history_`.
    n_features_in_, feature_names_in_, image_shape_, value_range_, input_size_, n_features_out_, \
preprocessing_, engine_, precision_, random_seed_
        As for the extractor.
    weights_sha256_ : str
        SHA-256 of the trunk's weights after training.
    """,
    "errors": """
    Raises
    ------
    ValueError, TypeError
        If a parameter, the images or the targets are wrong, or the loss is not a finite number.
        What an earlier call learned is kept.
    OSError
        If weights, image files or a checkpoint cannot be read.
    """,
    "related": """
    HistoryDisplay : `history_` as a drawing.
    export_onnx : The fitted model as an ONNX file.
    """,
    "notes": """
    Notes
    -----
    Equal rows (the same image and target) are trained on once with the sum of their weights, so
    a weight of two equals a repeated row. Features enter the head standardised by their statistics
    before training, and divided by the square root of their number, so that a learning rate or a
    `C` means the same at any width. For a head that scikit-learn fits, features of less than the
    mean variance are divided by the root of the mean variance, and are not scaled up.

    References
    ----------
    J. Yosinski, J. Clune, Y. Bengio, H. Lipson, "How transferable are features in deep neural
    networks?", 2014, https://arxiv.org/abs/1411.1792.
    """,
}
