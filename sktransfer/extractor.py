"""VGG features of images, as a scikit-learn transformer."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator

from sktransfer.base import Interval, StrOptions
from sktransfer.features.estimator import COMMON_CONSTRAINTS, FeatureExtractor
from sktransfer.features.fitted import get_reader, get_runner, take_over
from sktransfer.features.store import FeatureStore
from sktransfer.networks import ARCHITECTURES, MIN_SIZE, build
from sktransfer.weights import FittedWeights, NamedWeights

if TYPE_CHECKING:
    import keras


class VGGFeatureExtractor(FeatureExtractor):
    """Features of images from a pretrained VGG network, cut at a layer.

    Reads images as scikit-learn users hold them, brings them to what the network was trained on
    (RGB, values from 0 to 255, one size, channel means subtracted), and computes the network up to
    the deepest wanted layer and no further. `fit` trains nothing: it checks the parameters, reads
    shape and value range off the images, and finds the weights, which may download them once.
    A row's features depend on its own image only, bit for bit on a CPU.

    Parameters
    ----------
    layer : str or list of str, default='flatten'
        The layer whose output is wanted, by its Keras name: ``block1_conv1`` to ``block5_pool``,
        ``flatten``, ``fc1``, ``fc2`` or ``predictions``. The features of several layers are
        concatenated in the order given, from one forward pass.
    architecture : {'vgg16', 'vgg19'}, default='vgg16'
        The network.
    weights : 'imagenet', 'synthetic', path-like, mapping or None, default='imagenet'
        ``'imagenet'`` takes Keras' official file from ``$SKTRANSFER_WEIGHTS_DIR`` or Keras' own
        cache, or downloads it there. ``'synthetic'`` takes the file that comes with the package:
        VGG16 up to ``flatten``, trained on images that formulas draw. A path names a weights file
        that Keras wrote, or a ``.pth`` or ``.safetensors`` file with the names of torchvision's
        VGG, whose preprocessing is then used. A mapping gives kernel and bias by layer name, and is
        part of every pickle. None draws random weights (He normal) by `random_state`, as a control.
    pooling : {'avg', 'max'}, None or list of these, default=None
        Whether each feature map becomes its mean or maximum: one value per channel. A list gives
        each layer its own; then a layer may be named several times.
    image_shape : tuple of int or None, default=None
        `(h, w)`, `(h, w, c)` or `(c, h, w)` of the images in flat rows and other arrays. None
        means the square that fits the number of columns, grey or RGB.
    value_range : 'auto' or array-like of shape (2,) or (2, 3), default='auto'
        The values of black and white, or both for each of red, green and blue, as in tensors
        that are normalised by channel. ``'auto'`` takes them from the dtype (bool 1, uint8 255,
        uint16 65535), from each file's bit depth, or else the smallest of 1, 16, 255, 4095, 65535
        that holds the data seen in `fit`.
    allow_remote : bool, default=False
        Whether paths may be URLs, such as ``https://``, ``s3://`` or ``zip://``, which fsspec
        fetches (``pip install "sktransfer[remote]"``). Each may take a minute and 256 MiB, and is
        tried three times. Pass no addresses that strangers wrote.
    input_size : 'auto', int or tuple of int, default='auto'
        Side in pixels, or height and width, 32 and up, to which images are resized. ``'auto'`` is
        224, or what the weights file records as its own, as the synthetic weights do. The dense
        layers need 224.
    aspect : {'stretch', 'crop', 'pad'} or float, default='stretch'
        What happens to images of another shape: stretched, cut to the largest central part of the
        network's shape, or filled up with black. A share from 0 to 1, such as 0.875, keeps that
        share of the central part, as torchvision's transforms do.
    interpolation : {'nearest', 'bilinear', 'bicubic', 'lanczos3', 'lanczos5'}, default='bilinear'
        How values between pixels are found, as in Keras.
    antialias : bool, default=False
        Whether pixels are averaged where an image is made smaller, as in Keras.
    engine : {'auto', 'keras', 'openvino', 'ncnn'}, default='auto'
        What runs the network. ``'auto'`` takes Keras where its backend computes on an accelerator,
        else the engine that a table in the user guide gives for precision and size, if installed
        (``pip install "sktransfer[fast]"``). Name the engine in published work.
    precision : {'float32', 'bfloat16', 'float16', 'int8'}, default='float32'
        What the network computes in; float16 on accelerators only. Features are float32 in any
        case.
    calibration : array-like, DataFrame, or list of paths, PIL images or arrays, default=None
        Up to 128 images that show what values occur in each layer, for ``precision='int8'`` only.
        None takes a random sample of `fit`'s images, so that the folds of a cross-validation
        differ and share no features.
    batch_size : 'auto' or int, default='auto'
        How many images are held in memory at once, decoded and resized; rounded up to the number
        that the network takes at a time. Features do not depend on it.
    cache : 'temporary', path-like, FeatureStore or None, default='temporary'
        Where features are stored, so that no image is computed twice. ``'temporary'`` is a store on
        disk that this process shares with its workers and removes at its end. A path is kept
        between runs. None stores nothing.
    verbose : int, default=0
        Above 0, a progress bar.
    random_state : int, RandomState instance or None, default=None
        Seed of random weights, and of the sample of `fit`'s images on which int8 is calibrated.

    Attributes
    ----------
    n_features_in_ : int
        Number of values per image; unset for lists of images.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, where `X` had names.
    image_shape_ : tuple of int
        `(height, width, n_channels)`; unset for lists of images and for files.
    value_range_ : tuple or None
        The values of black and white in arrays, as two floats or as two tuples of three. None
        after files only: each has its own.
    input_size_ : int or tuple of int
        Side of the resized images, or height and width, in pixels.
    n_features_out_ : int
        Number of features per image.
    preprocessing_ : dict
        What is done to pixels from 0 to 255, as the weights were trained.
    resizing_ : dict
        How images are resized: `size`, `aspect`, `interpolation` and `antialias`.
    weights_sha256_ : str
        SHA-256 of the kernels and biases up to the deepest wanted layer.
    random_seed_ : int or None
        Seed of the random weights; None with weights from a file.
    engine_ : {'keras', 'openvino', 'ncnn'}
        What runs the network.
    precision_ : {'float32', 'bfloat16', 'float16', 'int8'}
        What it computes in.

    Raises
    ------
    ValueError, TypeError
        If a parameter or the images are wrong. The message says what to do.
    OSError
        If weights cannot be found, downloaded or read, or image files cannot be read.
    ImportError
        If the engine is not installed.

    See Also
    --------
    describe_network : The layers and their cost.
    ArchitectureDisplay : The network with the cut, drawn.

    Notes
    -----
    Four-dimensional arrays hold their channels last if the last axis has 1, 3 or 4 entries, and
    first otherwise. The same rule reads `image_shape`.

    References
    ----------
    K. Simonyan, A. Zisserman, "Very Deep Convolutional Networks for Large-Scale Image
    Recognition", 2015, https://arxiv.org/abs/1409.1556.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sktransfer import VGGFeatureExtractor
    >>> X, y = load_digits(return_X_y=True)
    >>> extractor = VGGFeatureExtractor(
    ...     "block1_pool", weights=None, pooling="avg", input_size=32, random_state=0
    ... )
    >>> extractor.fit_transform(X[:5]).shape
    (5, 64)
    >>> extractor.get_feature_names_out()[:2]
    array(['block1_pool_avg_f00', 'block1_pool_avg_f01'], dtype=object)
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - scikit-learn's name and form
        "layer": [str, list, tuple],
        "architecture": [StrOptions(set(ARCHITECTURES))],
        "weights": [str, os.PathLike, Mapping, None],
        "input_size": [
            StrOptions({"auto"}),
            Interval(Integral, MIN_SIZE, None, closed="left"),
            list,
            tuple,
        ],
        **COMMON_CONSTRAINTS,
    }

    def __init__(
        self,
        layer: str | list[str] = "flatten",
        *,
        architecture: str = "vgg16",
        weights: str | os.PathLike | Mapping | None = "imagenet",
        pooling: str | list[str | None] | None = None,
        image_shape: tuple[int, ...] | None = None,
        value_range: str | Iterable[float] = "auto",
        allow_remote: bool = False,
        input_size: str | int | tuple[int, int] = "auto",
        aspect: str | float = "stretch",
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
        self.layer = layer
        self.architecture = architecture
        self.weights = weights
        self.pooling = pooling
        self.image_shape = image_shape
        self.value_range = value_range
        self.allow_remote = allow_remote
        self.input_size = input_size
        self.aspect = aspect
        self.interpolation = interpolation
        self.antialias = antialias
        self.engine = engine
        self.precision = precision
        self.calibration = calibration
        self.batch_size = batch_size
        self.cache = cache
        self.verbose = verbose
        self.random_state = random_state

    def to_keras(self) -> keras.Model:
        """Return the cut network with its weights as a Keras model.

        Returns
        -------
        keras.Model
            From preprocessed images `(n, height, width, 3)` of `input_size_`, as the page
            Preprocessing of the user guide describes them, to the features of each layer.
        """
        runner = get_runner(self)
        model = build(runner.vgg_cut)
        for name, arrays in runner.load_weights().items():
            model.get_layer(name).set_weights(list(arrays))
        return model

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        """Return the constructor's call, without the values of weights in a mapping."""
        shown = copy.copy(self)
        if isinstance(self.weights, Mapping):
            shown.weights = NamedWeights(self.weights)
        return BaseEstimator.__repr__(shown, N_CHAR_MAX)


def with_weights(
    estimator: Any, weights: Mapping[str, tuple[np.ndarray, np.ndarray]]
) -> VGGFeatureExtractor:
    """Return a fitted extractor like another one, which has these weights as its parameter."""
    names = VGGFeatureExtractor._get_param_names()
    params = {name: getattr(estimator, name) for name in names}
    runner, named = get_runner(estimator), NamedWeights(weights)
    named.scaling = runner.scaling
    params |= {"weights": named, "input_size": estimator.input_size_}
    other = VGGFeatureExtractor(**params)
    who = type(other).__name__
    source = FittedWeights(other.weights, None, runner.vgg_cut, estimator.weights_sha256_, who)
    reader = replace(get_reader(estimator), who=who)
    take_over(other, estimator, reader, replace(runner, weights=source, who=who), None)
    return other
