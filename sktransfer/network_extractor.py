"""Features of images from any network, as a scikit-learn transformer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.base import HasMethods, Interval, StrOptions
from sktransfer.engines import ALL_ENGINES
from sktransfer.features.estimator import COMMON_CONSTRAINTS, FeatureExtractor
from sktransfer.features.fitted import get_reader, get_runner, settings_of, take_over
from sktransfer.features.fitting import fit_network
from sktransfer.features.preprocessing import INTERPOLATIONS
from sktransfer.features.store import FeatureStore
from sktransfer.networks.keras_network import KerasNetwork
from sktransfer.networks.outputs import POOLINGS
from sktransfer.weights import PRETRAINED

if TYPE_CHECKING:
    import keras


class ImageFeatureExtractor(FeatureExtractor):
    """Features of images from any pretrained network, cut at a layer.

    Does for the networks of ``keras.applications`` and timm, for Keras models and ONNX files what
    :class:`VGGFeatureExtractor` does for VGG: reads images as scikit-learn users hold them, brings
    them to what the network was trained on, and computes it up to the deepest wanted layer and no
    further, with batch normalization in inference mode. `fit` trains nothing. A row's features
    depend on its own image only, bit for bit on a CPU.

    Parameters
    ----------
    network : str, path-like or keras.Model
        A name of ``keras.applications``, such as ``'ResNet50'``, in any case; a name of timm after
        ``'timm/'``; the path of a ``.keras`` or ``.onnx`` file; or a functional or sequential Keras
        model, which is part of every pickle.
    layer : str, list of str or None, default=None
        The layer whose output is wanted, by its name in the network; :func:`describe_network` lists
        them. The features of several layers are concatenated in the order given, from one forward
        pass. None is the embedding: what comes before the classifier, averaged over all places.
        For a sequence of tokens it is the class token if one comes before the patches of the
        image, and the mean of patches alone; if neither fits, `pooling` must be given. Networks of
        timm pool by themselves.
    weights : 'pretrained', path-like or None, default='pretrained'
        ``'pretrained'`` are those of the model or file, and of a name those for ImageNet, from
        ``$SKTRANSFER_WEIGHTS_DIR`` or by Keras' own function, which takes them from its cache or
        downloads them. A path names a weights file that Keras wrote, or for a name of Keras a
        folder in which Keras' official file lies. For a name of timm they come from timm's cache
        or the hub, and a path names a ``.pth`` or ``.safetensors`` file of tensors. None draws
        random weights (He normal) by `random_state`, as a control.
    preprocessing : 'auto' or mapping, default='auto'
        What the network was trained on: pixels from 0 to 255 times ``'scale'``, minus ``'mean'``,
        divided by ``'std'``, one number or one per channel, in the ``'order'`` ``'RGB'`` or
        ``'BGR'``. ``'auto'`` takes what Keras' `preprocess_input` does for the named network, or
        what timm records. Models and files seldom record it: then it must be given.
    pooling : {'avg', 'max', 'cls'}, None or list of these, default=None
        Whether each feature map becomes its mean or maximum: one value per channel; tokens too, for
        timm's networks without the class token and registers, as timm itself does it. ``'cls'``
        takes the class token, the first one, of layers that give a sequence of tokens. A list gives
        each layer its own; then a layer may be named several times.
    image_shape : tuple of int or None, default=None
        `(h, w)`, `(h, w, c)` or `(c, h, w)` of the images in flat rows and other arrays. None
        means the square that fits the number of columns, grey or RGB.
    value_range : 'auto' or array-like of two floats, default='auto'
        The values of black and white. ``'auto'`` takes them from the dtype (bool 1, uint8 255,
        uint16 65535), from each file's bit depth, or else the smallest of 1, 16, 255, 4095, 65535
        that holds the data seen in `fit`.
    allow_remote : bool, default=False
        Whether paths may be URLs, such as ``https://``, ``s3://`` or ``zip://``, which fsspec
        fetches (``pip install "sktransfer[remote]"``). Each may take a minute and 256 MiB, and is
        tried three times. Pass no addresses that strangers wrote.
    input_size : 'auto', int or tuple of int, default='auto'
        Side in pixels, or height and width, to which images are resized. ``'auto'`` is the size
        that the network was trained at. Networks that end with maps take many sizes.
    aspect : {'auto', 'stretch', 'crop', 'pad'} or float, default='auto'
        What happens to images of another shape: stretched, cut to the largest central part of the
        network's shape, or filled up with black. A share from 0 to 1, such as 0.875, keeps that
        share of the central part, as torchvision's transforms do. ``'auto'`` is what timm records
        for its networks, and ``'stretch'`` for others.
    interpolation : {'auto', 'nearest', 'bilinear', 'bicubic', 'lanczos3', 'lanczos5'}, \
default='auto'
        How values between pixels are found, as in Keras. ``'auto'`` is what timm records for its
        networks, and ``'bilinear'`` for others.
    antialias : 'auto' or bool, default='auto'
        Whether shrinking averages over the pixels that fall together, as in Keras. ``'auto'`` does
        so for networks of timm, and not for others.
    engine : {'auto', 'keras', 'openvino', 'torch'}, default='auto'
        What runs the network; PyTorch those of timm only, on the processor. ``'auto'`` takes Keras
        for networks of Keras where its backend computes on an accelerator, else OpenVINO, on the
        processor, if it is installed (``pip install "sktransfer[fast]"``), else Keras or PyTorch.
        Name the engine in published work.
    precision : {'float32', 'bfloat16', 'int8'}, default='float32'
        What the network computes in; bfloat16 and int8 by OpenVINO only. Features are float32 in
        any case.
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
    value_range_ : tuple of float or None
        The values of black and white in arrays. None after files only: each has its own.
    input_size_ : int or tuple of int
        Side of the resized images, or height and width, in pixels.
    n_features_out_ : int
        Number of features per image.
    preprocessing_ : dict
        What is done to pixels, in the form of the parameter `preprocessing`.
    resizing_ : dict
        How images are resized: `size`, `aspect`, `interpolation` and `antialias`.
    weights_sha256_ : str
        SHA-256 of all weights that the wanted layers depend on; of a network of timm, of all that
        it has.
    random_seed_ : int or None
        Seed of the random weights; None with others.
    engine_ : {'keras', 'openvino', 'torch'}
        What runs the network.
    precision_ : {'float32', 'bfloat16', 'int8'}
        What it computes in.

    Raises
    ------
    ValueError, TypeError
        If a parameter, the network or the images are wrong. The message says what to do.
    OSError
        If weights or files cannot be found, downloaded or read.
    ImportError
        If the engine is not installed.

    See Also
    --------
    VGGFeatureExtractor : The same for VGG, with more engines.
    ImageClassifier : The network with a head, trained in part.
    describe_network : The layers and their cost.

    Notes
    -----
    ``ImageFeatureExtractor("VGG16")`` and ``VGGFeatureExtractor()`` compute the same network. The
    second needs no TensorFlow to run it.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sktransfer import ImageFeatureExtractor
    >>> X, y = load_digits(return_X_y=True)
    >>> extractor = ImageFeatureExtractor(
    ...     "MobileNetV2", weights=None, input_size=32, random_state=0
    ... )
    >>> extractor.fit_transform(X[:5]).shape
    (5, 1280)
    >>> extractor.get_feature_names_out()[:2]
    array(['embedding_0000', 'embedding_0001'], dtype=object)
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - scikit-learn's name and form
        "network": [str, os.PathLike, HasMethods(["get_layer", "get_weights"])],
        "layer": [str, list, tuple, None],
        "weights": [str, os.PathLike, None],
        "preprocessing": [StrOptions({"auto"}), Mapping],
        "input_size": [
            StrOptions({"auto"}),
            Interval(Integral, 1, None, closed="left"),
            list,
            tuple,
        ],
        **COMMON_CONSTRAINTS,
        "aspect": [StrOptions({"auto"}), *COMMON_CONSTRAINTS["aspect"]],
        "interpolation": [StrOptions({"auto", *INTERPOLATIONS})],
        "antialias": [StrOptions({"auto"}), "boolean"],
        "pooling": [StrOptions(set(POOLINGS)), None, list, tuple],
        "engine": [StrOptions({"auto", *ALL_ENGINES})],
    }

    def __init__(
        self,
        network: str | os.PathLike | keras.Model,
        layer: str | list[str] | None = None,
        *,
        weights: str | os.PathLike | None = "pretrained",
        preprocessing: str | Mapping = "auto",
        pooling: str | list[str | None] | None = None,
        image_shape: tuple[int, ...] | None = None,
        value_range: str | Iterable[float] = "auto",
        allow_remote: bool = False,
        input_size: str | int | tuple[int, int] = "auto",
        aspect: str | float = "auto",
        interpolation: str = "auto",
        antialias: bool | str = "auto",
        engine: str = "auto",
        precision: str = "float32",
        calibration: Any = None,
        batch_size: str | int = "auto",
        cache: str | os.PathLike | FeatureStore | None = "temporary",
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.network = network
        self.layer = layer
        self.weights = weights
        self.preprocessing = preprocessing
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
            From preprocessed images `(n, height, width, 3)` to the features of each layer.

        Raises
        ------
        TypeError
            If the network is an ONNX file or one of timm, which Keras does not read.
        """
        runner = get_runner(self)
        if getattr(runner.cut, "framework", None) != "keras":
            raise TypeError(
                "Keras does not read ONNX files and networks of timm. Got to_keras() of an "
                f"extractor with network={self.network!r}."
            )
        return runner.load_weights().cut(runner.cut)


def with_network(estimator: Any, network: KerasNetwork) -> ImageFeatureExtractor:
    """Return a fitted extractor like another estimator, of a Keras network with its weights."""
    names = ImageFeatureExtractor._get_param_names()
    params = {name: getattr(estimator, name) for name in names}
    runner = get_runner(estimator)
    params |= {"network": network.model, "weights": PRETRAINED, "input_size": runner.cut.input_size}
    other = ImageFeatureExtractor(**params | {"preprocessing": asdict(runner.scaling)})
    settings, reader = settings_of(other), get_reader(estimator)
    fitted = fit_network(settings, None, reader)
    take_over(other, estimator, replace(reader, who=settings.who), fitted.runner, None)
    return other
