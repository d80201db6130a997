"""The network that is trained: VGG16 with BatchNorm behind every convolution, and linear heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.networks import Cut, build, plan_cut
from sktransfer.training.finetuning.network import as_arrays
from sktransfer.training.pretraining.folding import fold_batch_norm
from sktransfer.weights import Weights, draw_weights

if TYPE_CHECKING:
    import keras

ARCHITECTURE = "vgg16"
#: Blocks with their own head for the classes, and the weight of the loss of each. Those of
#: earlier blocks make what these show of use by itself, and bring gradients to the first layers by
#: a short way (deep supervision).
HEADS = {"block2_pool": 0.3, "block3_pool": 0.3, "block4_pool": 0.3, "block5_pool": 1.0}
*_, _LAST = HEADS
_EPSILON = 1e-3


def trunk_at(size: int) -> Cut:
    """Plan what the head sees, and all that is written: the trunk, averaged over the picture."""
    return plan_cut(_LAST, ARCHITECTURE, "avg", size)


def _head_name(block: str) -> str:
    return f"{block}_classes"


def build_network(n_classes: int, precision: str, momentum: float, seed: int) -> keras.Model:
    """Build the network for images of any size, its weights drawn.

    Parameters
    ----------
    n_classes : int
        Width of the output.
    precision : {'float32', 'bfloat16'}
        What convolutions compute in. Weights are float32 in either case.
    momentum : float
        What BatchNorm's moving statistics keep of themselves at each step.
    seed : int
        Seed of the weights.

    Returns
    -------
    keras.Model
        From preprocessed images `(n, size, size, 3)` to the scores of the classes by every head,
        `(n, n_heads, n_classes)`, the last block's last.

    References
    ----------
    C.-Y. Lee et al., "Deeply-Supervised Nets", 2015, https://arxiv.org/abs/1409.5185.
    """
    import keras
    from keras import layers, ops

    from sktransfer.training.pretraining.layers import make_conv, make_norm

    policy = keras.dtype_policies.DTypePolicy(
        "mixed_bfloat16" if precision == "bfloat16" else "float32"
    )
    # PyTorch's own order; Keras copies every map twice to work in the other.
    is_torch = keras.config.backend() == "torch"
    order = "channels_first" if is_torch else "channels_last"
    axis = 1 if is_torch else -1

    scores = []
    tensor = inputs = keras.Input((None, None, 3), dtype="float32", name="input")
    if is_torch:
        tensor = layers.Permute((3, 1, 2), name="to_channels_first", dtype=policy)(tensor)
    cut = trunk_at(32)
    for layer in cut.trunk[1:]:
        common: dict[str, Any] = {"name": layer.name, "dtype": policy}
        if layer.kind == "pool":
            tensor = layers.MaxPooling2D(2, strides=2, data_format=order, **common)(tensor)
            if layer.name in HEADS:
                means = ops.mean(ops.cast(tensor, "float32"), axis=(2, 3) if is_torch else (1, 2))
                # Before it has learned, it finds all classes equally likely.
                head = layers.Dense(
                    n_classes,
                    kernel_initializer="zeros",
                    dtype="float32",
                    name=_head_name(layer.name),
                )
                scores.append(head(means))
            continue
        tensor = make_conv(layer.output_shape[-1], order, **common)(tensor)
        common["name"] = f"{layer.name}_norm"
        tensor = make_norm(axis, momentum, _EPSILON, **common)(tensor)
        tensor = layers.ReLU(name=f"{layer.name}_relu", dtype=policy)(tensor)
    model = keras.Model(inputs, ops.stack(scores, axis=1), name=f"{ARCHITECTURE}_with_norms")
    for name, (kernel, _) in draw_weights(cut, seed).items():
        model.get_layer(name).set_weights([kernel])
    return model


def folded_weights(model: keras.Model) -> Weights:
    """Return the trunk as a plain VGG16."""
    folded = {}
    for layer in trunk_at(32).weighted_layers:
        (kernel,) = as_arrays(model.get_layer(layer.name).weights)
        norm = model.get_layer(f"{layer.name}_norm")
        gamma, beta, mean, variance = as_arrays(
            [norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance]
        )
        folded[layer.name] = fold_batch_norm(kernel, gamma, beta, mean, variance, norm.epsilon)
    return folded


def head_arrays(model: keras.Model) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel and bias of the last block's head."""
    kernel, bias = as_arrays(model.get_layer(_head_name(_LAST)).weights)
    return kernel, bias


def build_plain(weights: Weights, size: int) -> keras.Model:
    """Build the network that everybody else sees: a plain VGG16 with given weights."""
    model = build(trunk_at(size))
    for name, pair in weights.items():
        model.get_layer(name).set_weights(list(pair))
    return model
