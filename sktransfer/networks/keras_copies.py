"""Copies of Keras models, and weights given to layers so that they compute with them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras


@contextmanager
def keep_random_state() -> Iterator[None]:
    """Leave Python's random numbers as they were: Keras draws the seeds of layers from them."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


def copy_model(
    model: keras.Model,
    images: keras.KerasTensor | None = None,
    call: Callable[..., Any] | None = None,
) -> keras.Model:
    """Return a functional model of the same layers anew, with the same weights.

    It is for the input `images`, or one like the model's own, and calls each layer by `call`.
    """
    import keras

    if isinstance(model, keras.Sequential):
        model = keras.Model(model.inputs, model.outputs)
    is_listed = isinstance(model.input, list | tuple)
    given = [images] if is_listed and images is not None else images
    with keep_random_state():
        copied = keras.models.clone_model(model, input_tensors=given, call_function=call)
    set_weights(copied, model.get_weights())
    return copied


def set_weights(layer: keras.Layer | keras.Model, values: Sequence[np.ndarray]) -> None:
    """Give a layer or a model its weights.

    Keras' Normalization computes with copies of its mean and variance, which Keras' own
    `set_weights` leaves as they were.
    """
    import keras

    layer.set_weights(list(values))
    for each in list_plain([layer]):
        if isinstance(each, keras.layers.Normalization):
            each.finalize_state()


def list_plain(layers: Iterable[keras.Layer]) -> list[keras.Layer]:
    """List layers, those of models among them in their place."""
    found: list[keras.Layer] = []
    for layer in layers:
        inner = getattr(layer, "layers", None)
        found += list_plain(inner) if inner else [layer]
    return found
