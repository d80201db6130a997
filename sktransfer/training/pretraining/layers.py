"""Layers that train fast on each backend."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def make_conv(filters: int, order: str, **common: Any) -> keras.Layer:
    """Make a convolution without bias, which BatchNorm would take away again."""
    from keras import layers

    return layers.Conv2D(
        filters,
        3,
        padding="same",
        use_bias=False,
        data_format=order,
        kernel_initializer="zeros",
        **common,
    )


def make_norm(axis: int, momentum: float, epsilon: float, **common: Any) -> keras.Layer:
    """Make a BatchNorm."""
    return _norm_class()(axis=axis, momentum=momentum, epsilon=epsilon, **common)


@lru_cache(maxsize=1)
def _norm_class() -> type[keras.Layer]:
    """Define the layer at first need, since Keras is not imported before."""
    import keras

    backend = keras.config.backend()

    class FusedNorm(keras.layers.BatchNormalization):
        """BatchNorm that trains by the backend's own operation.

        Keras' casts a map to float32 and reads it several times over, which takes as long as
        half the convolutions.
        """

        def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
            if not training or backend not in _FUSED:
                return super().call(inputs, training=training, mask=mask)
            return _FUSED[backend](self, inputs)

    return FusedNorm


def _torch(norm: Any, inputs: Any) -> Any:
    import torch

    if inputs.device.type == "meta":  # where Keras only asks for the shape
        return torch.empty_like(inputs)
    return torch.nn.functional.batch_norm(
        inputs,
        norm.moving_mean.value,
        norm.moving_variance.value,
        norm.gamma.value,
        norm.beta.value,
        training=True,
        momentum=1 - norm.momentum,
        eps=norm.epsilon,
    )


def _tensorflow(norm: Any, inputs: Any) -> Any:
    import tensorflow as tf

    outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        inputs,
        norm.gamma.value,
        norm.beta.value,
        norm.moving_mean.value,
        norm.moving_variance.value,
        epsilon=norm.epsilon,
        is_training=True,
        exponential_avg_factor=1 - norm.momentum,
    )
    norm.moving_mean.assign(mean)
    norm.moving_variance.assign(variance)
    return outputs


_FUSED = {"tensorflow": _tensorflow, "torch": _torch}
