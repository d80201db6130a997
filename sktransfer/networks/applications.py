"""The networks of ``keras.applications``, found from Keras itself.

Nothing about them is listed here. A network is any function there with the parameters
`include_top` and `weights`; its size is what Keras says when it is asked for another, and its
preprocessing is measured on what the `preprocess_input` beside it does.
"""

from __future__ import annotations

import difflib
import inspect
import math
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from sktransfer.networks.frameworks import claim
from sktransfer.networks.keras_copies import copy_model, keep_random_state
from sktransfer.networks.outputs import as_shape
from sktransfer.networks.pixels import PixelScaling, measure_scaling

if TYPE_CHECKING:
    import keras


# How Keras says in the documentation of a function for which size of images its weights are.
_SIZE_IN_WORDS = r"resolution that is not\s+`?\((\d+), \1, 3\)"


@dataclass(frozen=True)
class Application:
    """One of Keras' networks: the function that builds it, and the module it stands in."""

    name: str
    build: Callable[..., keras.Model]
    module: ModuleType

    def architecture(self, *, is_trained: bool) -> str:
        """Return what tells its graph from all others."""
        is_other = is_trained and self.trained_deviations is not None
        return f"keras.applications.{self.name}{', scaled for its weights' if is_other else ''}"

    @property
    def trained_deviations(self) -> list[float] | None:
        """By whose roots Keras divides pixels once more, in its graph for ImageNet's weights only.

        EfficientNet was trained on pixels divided by the variance, where its layer Normalization
        divides by the deviation (https://github.com/tensorflow/tensorflow/issues/49930).
        """
        return getattr(sys.modules[self.build.__module__], "IMAGENET_STDDEV_RGB", None)

    @property
    def scaling(self) -> PixelScaling:
        """What Keras' `preprocess_input` for this network does."""
        return _scaling_of(self)

    @property
    def input_size(self) -> int:
        """The size that Keras' weights were trained at, in pixels."""
        return _input_size_of(self)


@lru_cache(maxsize=1)
def list_applications() -> dict[str, Application]:
    """Find all networks of the installed Keras, by name."""
    claim("keras")
    from keras import applications

    found = {}
    for name, function in vars(applications).items():
        if inspect.isfunction(function):
            parameters = inspect.signature(function).parameters
            # Its preprocessing stands in the module of its family.
            family = getattr(applications, function.__module__.rpartition(".")[2], None)
            if {"include_top", "weights", "pooling", "input_shape"} <= set(parameters) and family:
                found[name] = Application(name, function, family)
    return dict(sorted(found.items()))


def find_application(name: str, who: str, param: str = "network") -> Application:
    """Find a network by its name in any case, or say which was probably meant."""
    known = list_applications()
    by_lower = {each.lower(): each for each in known}
    if name.lower() in by_lower:
        return known[by_lower[name.lower()]]
    close = difflib.get_close_matches(name.lower(), by_lower, n=3)
    hint = f" Did you mean {' or '.join(repr(by_lower[each]) for each in close)}?" if close else ""
    raise ValueError(
        f"The {param!r} parameter of {who} must be a name of keras.applications, the path of a "
        f".keras or .onnx file that exists, or a Keras model. Got {name!r} instead.{hint} Keras "
        f"has {', '.join(known)}."
    )


@lru_cache
def _scaling_of(application: Application) -> PixelScaling:
    return measure_scaling(application.module.preprocess_input, application.name)


@lru_cache
def _input_size_of(application: Application) -> int:
    try:
        # Refused before anything is built, with the size that Keras' weights need.
        application.build(weights="imagenet", include_top=True, input_shape=(1, 1, 3))
    except ValueError as error:
        # Some only say what they got.
        if size := re.search(r"\((?!1,)(\d+), \1, 3\)", str(error)):
            return int(size[1])
    with keep_random_state():
        own = application.build(weights=None, include_top=True).inputs[0].shape[1]
    if own is None and (size := re.search(_SIZE_IN_WORDS, application.build.__doc__ or "")):
        return int(size[1])
    return int(own)


def build_application(
    application: Application,
    input_size: int | tuple[int, int],
    *,
    is_whole: bool,
    weights: str | None,
    is_trained: bool = False,
    pooling: str = "avg",
    who: str,
) -> keras.Model:
    """Build a network, whole or up to its embedding, with weights as Keras' own function takes.

    With `is_trained` and without weights it has the graph to which ImageNet's weights belong.
    """
    with keep_random_state():
        model = _build(application, input_size, is_whole, weights, pooling, who)
    deviations = application.trained_deviations
    if is_trained and weights is None and deviations is not None:
        return _insert_scaling(model, deviations)
    return model


def _insert_scaling(model: keras.Model, deviations: Sequence[float]) -> keras.Model:
    """Put the scaling that Keras leaves out without ImageNet's weights behind Normalization."""
    import keras

    def call(layer: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        output = layer(*args, **kwargs)
        if isinstance(layer, keras.layers.Normalization):
            return keras.layers.Rescaling([1 / math.sqrt(each) for each in deviations])(output)
        return output

    return copy_model(model, call=call)


def _build(
    application: Application,
    input_size: int | tuple[int, int],
    is_whole: bool,
    weights: str | None,
    pooling: str,
    who: str,
) -> keras.Model:
    shape = (*as_shape(input_size), 3)
    with warnings.catch_warnings():
        # Of sizes at which MobileNet was not trained: its convolutions take any.
        warnings.filterwarnings("ignore", message=".*input_shape.* is undefined or non-square")
        try:
            if is_whole:
                return application.build(weights=weights, include_top=True, input_shape=shape)
            return application.build(
                weights=weights, include_top=False, input_shape=shape, pooling=pooling
            )
        except ValueError as error:
            if weights is None:
                raise ValueError(
                    f"The 'input_size' parameter of {who} must be one that {application.name} "
                    f"takes. Got {shape[0]} x {shape[1]} pixels, and Keras says: "
                    f"{' '.join(str(error).split())}"
                ) from error
            raise
