"""Images in, VGG features out, as a scikit-learn transformer."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.random import sample_without_replacement
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted, validate_data

from sktransfer import distributed
from sktransfer import value_range as _value_range
from sktransfer import weights as _weights
from sktransfer.engines import (
    ENGINES,
    PRECISIONS,
    Arithmetic,
    batch_shape,
    choose_engine,
    describe_engine,
    get_engine,
)
from sktransfer.images import Images, read_images
from sktransfer.networks import ARCHITECTURES, MIN_SIZE, TRAINED_SIZE, Cut, Layer, plan_cut
from sktransfer.preprocessing import ASPECTS, INTERPOLATIONS, Resizing
from sktransfer.store import FeatureStore
from sktransfer.temporary import find_store, temporary_store
from sktransfer.weights import Weights

if TYPE_CHECKING:
    from sktransfer.computing import Task

# Part of every recipe; a change of what images are turned into, or how, must change it.
_RECIPE_FORMAT = 3
#: What `fit` learns.
LEARNED = (
    "n_features_in_",
    "feature_names_in_",
    "image_shape_",
    "value_range_",
    "input_size_",
    "n_features_out_",
    "weights_sha256_",
    "random_seed_",
    "engine_",
    "precision_",
    "_layer_sha256",
    "_ranges",
)
#: Images on which int8 is calibrated, at most.
MAX_CALIBRATION = 128


class VGGFeatureExtractor(TransformerMixin, BaseEstimator):
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
        ``flatten``, ``fc1``, ``fc2`` or ``predictions``. Of several layers the features are
        concatenated in the order given, from one forward pass.
    architecture : {'vgg16', 'vgg19'}, default='vgg16'
        The network.
    weights : 'imagenet', 'synthetic', path-like, mapping or None, default='imagenet'
        ``'imagenet'`` takes Keras' official file from ``$SKTRANSFER_WEIGHTS_DIR`` or Keras' own
        cache, or downloads it there. ``'synthetic'`` takes the file that comes with the package:
        VGG16 up to ``flatten``, trained on images that formulas draw. A path names a weights file
        that Keras wrote. A mapping gives kernel and bias by layer name, and is part of every
        pickle. None draws random weights (He normal) by `random_state`, as a control.
    pooling : {'avg', 'max'}, None or list of these, default=None
        Whether each feature map becomes its mean or maximum: one value per channel. A list gives
        each layer its own; then a layer may be named several times.
    image_shape : tuple of int or None, default=None
        `(h, w)`, `(h, w, c)` or `(c, h, w)` of the images in flat rows and other arrays. None
        takes the square that the number of columns makes, grey or RGB.
    value_range : 'auto' or tuple of float, default='auto'
        The values of black and white. ``'auto'`` takes them from the dtype (bool 1, uint8 255,
        uint16 65535), from each file's bit depth, or else the smallest of 1, 16, 255, 4095, 65535
        that holds the data seen in `fit`.
    input_size : 'auto' or int, default='auto'
        Side in pixels, 32 and up, to which images are resized. ``'auto'`` is 224, or what the
        weights file records as its own, as the synthetic weights do. The dense layers need 224.
    aspect : {'stretch', 'crop', 'pad'}, default='stretch'
        What happens to images that are no squares: stretched, cut to the central square, or filled
        up with black.
    interpolation : {'nearest', 'bilinear', 'bicubic', 'lanczos3', 'lanczos5'}, default='bilinear'
        How values between pixels are found, as in Keras.
    antialias : bool, default=False
        Whether shrinking averages over the pixels that fall together, as in Keras.
    engine : {'auto', 'keras', 'openvino', 'ncnn'}, default='auto'
        What runs the network. ``'auto'`` takes Keras where there is an accelerator, else what a
        table in the user guide says for precision and size, as far as it is installed
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
        Where features are kept, so that no image is computed twice. ``'temporary'`` is a store on
        disk that this process shares with its workers and removes at its end. A path is kept
        between runs. None keeps nothing.
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
    input_size_ : int
        Side of the resized images, in pixels.
    n_features_out_ : int
        Number of features per image.
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
    describe_network : What the layers are and cost.
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
        "pooling": [StrOptions({"avg", "max"}), None, list, tuple],
        "image_shape": ["array-like", None],
        "value_range": [StrOptions({"auto"}), "array-like"],
        "input_size": [StrOptions({"auto"}), Interval(Integral, MIN_SIZE, None, closed="left")],
        "aspect": [StrOptions(set(ASPECTS))],
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

    def __init__(
        self,
        layer: str | list[str] = "flatten",
        *,
        architecture: str = "vgg16",
        weights: str | os.PathLike | Mapping | None = "imagenet",
        pooling: str | list[str | None] | None = None,
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
        self.layer = layer
        self.architecture = architecture
        self.weights = weights
        self.pooling = pooling
        self.image_shape = image_shape
        self.value_range = value_range
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

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> VGGFeatureExtractor:
        """Check everything, read shape and value range off the images, and find the weights.

        No network is built and no image is computed, unless int8 is to be calibrated.

        Parameters
        ----------
        X : array-like, DataFrame, or list of paths, PIL images or arrays
            Images in any form that the user guide lists; never changed. Of Dask collections only
            shape and dtype are read and nothing is computed, so that a dtype that does not tell
            black and white needs `value_range`.
        y : None
            Ignored; here for scikit-learn's pipelines.

        Returns
        -------
        VGGFeatureExtractor
            The fitted extractor.
        """
        self._learn(X, is_lazy=distributed.is_lazy(X))
        return self

    def _learn(self, X: Any, *, is_lazy: bool = False) -> tuple[Images, Cut, Weights]:
        """Do all that `fit` does; return the images, the cut and its weights."""
        self._check_shape_and_range()
        cut = self._plan(TRAINED_SIZE if self.input_size == "auto" else int(self.input_size))
        images, value_range = self._see_lazy(X) if is_lazy else self._see(X)
        if isinstance(self.weights, str | os.PathLike) and self.input_size == "auto":
            path = self._locate_weights(cut)
            cut = self._plan(_weights.recorded_input_size(path) or TRAINED_SIZE)
        engine = choose_engine(self.engine, self.precision, cut.input_size, who=type(self).__name__)
        seed = self._draw_seed() if self.weights is None else None
        weights = self._load_weights(cut, seed)
        sample, sample_range = None, None
        if self.precision == "int8":
            sample, sample_range = self._calibration_sample(images, value_range)

        # Nothing that a former fit learned changes before all is known to be right.
        former = dict(vars(self))
        self._count_features(images, reset=True)
        self.value_range_ = value_range
        if images.image_shape is not None:
            self.image_shape_ = images.image_shape
        self.input_size_ = cut.input_size
        self.n_features_out_ = cut.n_features
        self.engine_ = engine
        self.precision_ = self.precision
        self.random_seed_ = seed
        self._layer_sha256 = _weights.hash_up_to(cut, cut.layers, weights)
        self.weights_sha256_ = self._layer_sha256[cut.trunk[-1].name]
        self._ranges = None
        if sample is not None:
            try:
                self._ranges = self._calibrate(cut, weights, sample, sample_range)
            except BaseException:
                self.__dict__.clear()
                self.__dict__.update(former)
                raise
        return images, cut, weights

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
            float32, C-contiguous. Of a Dask array, data frame, series or bag, a Dask array: its
            blocks are computed when it is, on whatever computes it.

        Raises
        ------
        OSError
            If image files cannot be read, naming all of them, or the weights are not to be had.
        """
        check_is_fitted(self)
        if distributed.is_lazy(X):
            self._check_lazy(X)
            return distributed.transform_lazily(self, X)
        return self._compute(*self._fitted_network(), *self._read_fitted(X))

    def _see(self, X: Any) -> tuple[Images, tuple[float, float] | None]:
        """Read images for `fit`, and choose what is black and white in arrays."""
        images = self._read(X)
        extents = _value_range.measure(images)
        images.check_files()
        value_range = _value_range.choose(images, extents, self.value_range)
        _value_range.check_alpha(images, value_range)
        return images, value_range

    def _see_lazy(self, X: Any) -> tuple[Images, tuple[float, float] | None]:
        """Do the same by shape and dtype alone."""
        who = type(self).__name__
        if self.precision == "int8" and self.calibration is None:
            raise ValueError(
                f"{who} calibrates int8 on images, and computes none of a Dask collection in fit. "
                "Got calibration=None: pass up to 128 of the images as 'calibration'."
            )
        images = self._read(distributed.stand_in(X, who))
        return images, _value_range.choose_unseen(images, self.value_range)

    def _check_lazy(self, X: Any) -> None:
        """Check what is to be computed later, as far as shape and dtype tell."""
        images = self._read(distributed.stand_in(X, type(self).__name__))
        self._check_known(images)
        if self.value_range_ is None:
            _value_range.by_dtype(images)

    def _read_fitted(self, X: Any) -> tuple[Images, tuple[float, float] | None]:
        """Read images that come after `fit`, and say what is black and white in arrays."""
        images = self._read(X)
        value_range = self._check_new(images)
        images.check_files()
        return images, value_range

    def _check_new(self, images: Images) -> tuple[float, float] | None:
        """Check images against what `fit` saw, and return the range of the arrays among them."""
        self._check_known(images)
        return _settle_range(images, self.value_range_)

    def _check_known(self, images: Images) -> None:
        """Check columns and shape against what `fit` saw."""
        if images.has_columns:  # scikit-learn's words for tables, ours for what is seen as images
            self._count_features(images, reset=False)
        self._check_fitted_shape(images)

    def _fitted_network(self) -> tuple[Cut, Arithmetic]:
        """Return what is computed and in which numbers, if that can be done here."""
        # It may have been fitted where more was installed, or on another processor.
        choose_engine(self.engine_, self.precision_, self.input_size_, who=type(self).__name__)
        arithmetic = Arithmetic(self.engine_, self.precision_, self._ranges)
        return self._plan(self.input_size_), arithmetic

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
        check_is_fitted(self, "n_features_out_")
        _check_feature_names_in(self, input_features, generate_names=False)
        return np.asarray(self._plan(self.input_size_).feature_names(), dtype=object)

    def _read(self, X: Any) -> Images:
        return read_images(
            X,
            image_shape=self.image_shape,
            value_range=self.value_range,
            who=type(self).__name__,
        )

    def _plan(self, input_size: int) -> Cut:
        return plan_cut(
            self.layer, self.architecture, self.pooling, input_size, who=type(self).__name__
        )

    def _check_shape_and_range(self) -> None:
        who = type(self).__name__
        shape = self.image_shape
        if shape is not None and not (
            len(shape) in (2, 3) and all(isinstance(n, Integral) and n > 0 for n in shape)
        ):
            raise ValueError(
                f"The 'image_shape' parameter of {who} must be None or (height, width), (height, "
                "width, n_channels) or (n_channels, height, width) in positive ints. Got "
                f"{shape!r} instead."
            )
        if isinstance(self.value_range, str):
            return
        values = self.value_range
        if not (
            len(values) == 2
            and all(isinstance(v, Real) and np.isfinite(v) for v in values)
            and values[0] != values[1]
        ):
            raise ValueError(
                f"The 'value_range' parameter of {who} must be 'auto' or two different finite "
                f"numbers, (black, white). Got {values!r} instead."
            )

    def _count_features(self, images: Images, *, reset: bool) -> None:
        """Do scikit-learn's book-keeping of the number and the names of features."""
        if reset:
            for name in ("n_features_in_", "feature_names_in_", "image_shape_"):
                self.__dict__.pop(name, None)
        if images.table is None:
            return
        # One column of files and many columns of pixels are not counted against each other.
        is_alike = hasattr(self, "image_shape_") == (images.image_shape is not None)
        if reset or (is_alike and hasattr(self, "n_features_in_")):
            validate_data(self, images.table, reset=reset, skip_check_array=True)

    def _check_fitted_shape(self, images: Images) -> None:
        fitted = getattr(self, "image_shape_", None)
        if fitted is None:
            return
        shapes = [images.image_shape] if images.image_shape else [a.shape for a in images.arrays]
        for shape in shapes:
            if shape != fitted:
                raise ValueError(
                    f"{type(self).__name__} was fitted on images of shape {fitted} (height, width, "
                    f"channels). Got images of shape {shape}: resize or turn them, or fit on a "
                    "list of images, whose sizes may differ."
                )

    def _draw_seed(self) -> int:
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _calibration_sample(
        self, images: Images, value_range: tuple[float, float] | None
    ) -> tuple[Images, tuple[float, float] | None]:
        """Return the images on which int8 is calibrated, and the range of arrays among them."""
        if self.calibration is None:
            n = min(len(images), MAX_CALIBRATION)
            rows = sample_without_replacement(len(images), n, random_state=self._draw_seed())
            return images.take(rows.tolist()), value_range
        given = self._read(self.calibration)
        if len(given) > MAX_CALIBRATION:
            raise ValueError(
                f"The 'calibration' parameter of {type(self).__name__} must hold at most "
                f"{MAX_CALIBRATION} images, which tell the range of every layer. Got {len(given)}: "
                f"pass a random sample."
            )
        given_range = _settle_range(given, value_range)
        given.check_files()
        return given, given_range

    def _calibrate(
        self,
        cut: Cut,
        weights: Weights,
        images: Images,
        value_range: tuple[float, float] | None,
    ) -> tuple[tuple[str, float], ...]:
        """Find the largest input of each layer, which is what the one before it gives."""
        *before, _ = cut.weighted_layers
        if not before:
            return ()
        maxima = Cut(cut.architecture, tuple(before), ("max",) * len(before), cut.input_size)
        self._layer_sha256 |= _weights.hash_up_to(cut, maxima.layers, weights)
        arithmetic = Arithmetic("openvino")
        largest = self._compute(maxima, arithmetic, images, value_range).max(axis=0)
        ends = np.cumsum(maxima.widths)[:-1]
        # A layer that no image excites has no range; any will do.
        highs = [float(high.max()) or 1.0 for high in np.split(largest, ends)]
        following = [layer.name for layer in cut.weighted_layers[1:]]
        return tuple(zip(following, highs, strict=True))

    def _locate_weights(self, cut: Cut) -> Path:
        assert isinstance(self.weights, str | os.PathLike)
        return _weights.locate_weights(self.weights, cut, who=type(self).__name__)

    def _load_weights(self, cut: Cut, seed: int | None) -> Weights:
        if seed is not None:
            return _weights.draw_weights(cut, seed)
        if isinstance(self.weights, Mapping):
            return _weights.take_weights(self.weights, cut, who=type(self).__name__)
        return _weights.read_weights(self._locate_weights(cut), cut, who=type(self).__name__)

    def _load_fitted_weights(self) -> Weights:
        """Load the weights that `fit` saw, and no others under their name."""
        weights = self._load_weights(self._plan(self.input_size_), self.random_seed_)
        sha256 = _weights.hash_weights(weights)
        if sha256 != self.weights_sha256_:
            given = "the mapping" if isinstance(self.weights, Mapping) else repr(self.weights)
            raise ValueError(
                f"{type(self).__name__} was fitted with weights of SHA-256 "
                f"{self.weights_sha256_[:16]}..., and weights={given} now gives "
                f"{sha256[:16]}...: put the former file back, or call fit again."
            )
        return weights

    def _weights_of(self, cut: Cut) -> Weights:
        """Load the weights of a cut that reaches no deeper than the fitted one."""
        weights = self._load_fitted_weights()
        return {layer.name: weights[layer.name] for layer in cut.weighted_layers}

    def _compute(
        self,
        cut: Cut,
        arithmetic: Arithmetic,
        images: Images,
        value_range: tuple[float, float] | None,
    ) -> np.ndarray:
        (features,) = self._compute_in_parts(cut, arithmetic, images, value_range, len(images))
        return features

    def _compute_in_parts(
        self,
        cut: Cut,
        arithmetic: Arithmetic,
        images: Images,
        value_range: tuple[float, float] | None,
        n_images: int,
    ) -> Iterator[np.ndarray]:
        """Compute features, so many images at a time."""
        from tqdm.auto import tqdm

        from sktransfer.computing import compute_features

        store = find_store(self.cache)
        task = self._task(cut, arithmetic, value_range)
        with tqdm(
            total=len(images), unit="image", desc=type(self).__name__, disable=not self.verbose
        ) as progress:
            for start in range(0, len(images), n_images):
                rows = range(start, min(start + n_images, len(images)))
                yield compute_features(images, rows, task, store, progress=progress)

    def _task(
        self, cut: Cut, arithmetic: Arithmetic, value_range: tuple[float, float] | None
    ) -> Task:
        from sktransfer.computing import Task

        return Task(
            cut=cut,
            resizing=Resizing(cut.input_size, self.aspect, self.interpolation, self.antialias),
            get_engine=lambda: get_engine(
                cut,
                self._layer_sha256[cut.trunk[-1].name],
                arithmetic,
                lambda: self._weights_of(cut),
            ),
            step=batch_shape(arithmetic.engine, cut.input_size),
            value_range=value_range,
            batch_size=None if self.batch_size == "auto" else int(self.batch_size),
            recipes=tuple(self._recipe(cut, *output, arithmetic) for output in cut.outputs),
        )

    def _recipe(self, cut: Cut, layer: Layer, pooling: str | None, arithmetic: Arithmetic) -> str:
        """Say everything besides the image that decides the features of a layer, to the bit."""
        recipe = {
            "format": _RECIPE_FORMAT,
            "architecture": self.architecture,
            "layer": layer.name,
            "pooling": pooling,
            "weights": self._layer_sha256[layer.name],
            "input_size": cut.input_size,
            "aspect": self.aspect,
            "interpolation": self.interpolation,
            "antialias": bool(self.antialias),
            "engine": describe_engine(arithmetic, cut, layer),
        }
        return json.dumps(recipe, sort_keys=True)

    def __getstate__(self) -> dict[str, Any]:
        """Have the temporary store ready before a worker may look for it."""
        if isinstance(self.cache, str) and self.cache == "temporary":
            temporary_store()
        return super().__getstate__()

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.three_d_array = True
        # The tag `string` stays off: it would promise that any object column is taken as text.
        return tags


def _settle_range(images: Images, fitted: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return the values of black and white in arrays that come after `fit`."""
    extents = _value_range.measure(images)
    if fitted is None:
        fitted = _value_range.by_dtype(images)
    else:
        _value_range.warn_outside(images, extents, fitted)
    _value_range.check_alpha(images, fitted)
    return fitted
