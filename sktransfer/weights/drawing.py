"""Random weights for any Keras model, as a control: drawn by NumPy, equal on every backend."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from sktransfer.networks.keras_copies import list_plain
from sktransfer.networks.parts import NOT_LEARNED

if TYPE_CHECKING:
    import keras

# The deviation of what is drawn for weights that are no kernels, such as positions of tokens.
_SMALL = np.float32(0.02)


def draw_model(model: keras.Model, seed: int) -> None:
    """Draw all weights of a model anew, whatever they are.

    Kernels are He normal, in the order of the layers, as :func:`draw_weights` does for VGG; gains
    and variances become 1, biases and means 0.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, "Delving Deep into Rectifiers", 2015,
    https://arxiv.org/abs/1502.01852.
    """
    drawn = 0
    for layer in list_plain(model.layers):
        if layer.__class__.__name__ in NOT_LEARNED:
            continue
        values = []
        for variable, former in zip(layer.weights, layer.get_weights(), strict=True):
            shape = tuple(variable.shape)
            name = variable.name
            if str(variable.dtype).startswith(("int", "uint", "bool")):  # states, such as seeds
                values.append(former)
            elif len(shape) >= 2:
                rng = np.random.default_rng([seed, drawn])
                drawn += 1
                kernel = rng.standard_normal(shape, dtype=np.float32)
                kernel *= _deviation(layer, name, shape)
                values.append(kernel)
            elif any(part in name for part in ("gamma", "scale", "variance")):
                values.append(np.ones(shape, np.float32))
            else:
                values.append(np.zeros(shape, np.float32))
        if values:
            layer.set_weights(values)


def _deviation(layer: keras.Layer, name: str, shape: tuple[int, ...]) -> np.float32:
    if "kernel" not in name:
        return _SMALL
    # A depthwise kernel sees one channel: height x width x channels x multiplier.
    is_depthwise = "depthwise" in name or layer.__class__.__name__ == "DepthwiseConv2D"
    fan_in = math.prod(shape[:-2] if is_depthwise else shape[:-1])
    return np.float32(np.sqrt(2 / max(fan_in, 1)))
