"""The weights of a cut network as arrays: taken from a mapping, drawn from a seed, and hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sktransfer.networks import AnyCut, Cut, Layer
from sktransfer.networks.pixels import CAFFE, PixelScaling

#: Kernel and bias by layer name.
Weights = dict[str, tuple[np.ndarray, np.ndarray]]


class NamedWeights(dict):
    """Kernels and biases by layer, which are counted where others would be printed.

    Attributes
    ----------
    scaling : PixelScaling
        How the pixels were scaled that they were trained on.
    """

    scaling: PixelScaling = CAFFE

    def __repr__(self) -> str:
        return f"<weights of {len(self)} layers>"


def wanted_shapes(layer: Layer) -> list[tuple[int, ...]]:
    """Return the shapes of a layer's kernel and bias."""
    assert layer.kernel_shape is not None
    return [layer.kernel_shape, layer.kernel_shape[-1:]]


def take_weights(weights: Mapping, cut: Cut, *, who: str = "VGGFeatureExtractor") -> Weights:
    """Take the weights of a cut network from a mapping, as contiguous float32."""
    taken, faults = {}, []
    for layer in cut.weighted_layers:
        pair = [np.ascontiguousarray(values, np.float32) for values in weights.get(layer.name, ())]
        shapes = [values.shape for values in pair]
        if not shapes:
            faults.append(f"no {layer.name}")
        elif shapes != wanted_shapes(layer):
            faults.append(f"{layer.name} of shapes {shapes} instead of {wanted_shapes(layer)}")
        elif not all(np.isfinite(values).all() for values in pair):
            faults.append(f"NaN or infinity in {layer.name}")
        else:
            taken[layer.name] = pair[0], pair[1]
    if faults:
        raise ValueError(
            f"The 'weights' parameter of {who} must map each layer of {cut.architecture.upper()} "
            f"up to {cut.trunk[-1].name!r} to its kernel and bias. Got {'; '.join(faults)}: pass "
            "all of them, or cut before these layers."
        )
    return taken


def draw_weights(cut: Cut, seed: int) -> Weights:
    """Draw random weights: He normal kernels, and biases of zero.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, "Delving Deep into Rectifiers", 2015,
    https://arxiv.org/abs/1502.01852.

    Examples
    --------
    >>> from sktransfer.networks import plan_cut
    >>> from sktransfer.weights import draw_weights
    >>> weights = draw_weights(plan_cut("block1_pool"), seed=0)
    >>> {name: kernel.shape for name, (kernel, bias) in weights.items()}
    {'block1_conv1': (3, 3, 3, 64), 'block1_conv2': (3, 3, 64, 64)}
    """
    weights = {}
    for index, layer in enumerate(cut.weighted_layers):
        assert layer.kernel_shape is not None
        # Drawn as float32, since the largest kernel alone would be 822 MB in float64.
        rng = np.random.default_rng([seed, index])
        kernel = rng.standard_normal(layer.kernel_shape, dtype=np.float32)
        kernel *= np.float32(np.sqrt(2 / np.prod(layer.kernel_shape[:-1])))
        weights[layer.name] = kernel, np.zeros(layer.kernel_shape[-1], np.float32)
    return weights


def hash_weights(arrays: Mapping[str, tuple[np.ndarray, ...]]) -> str:
    """Hash weights, so that equal ones are known again wherever they came from.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer.weights import hash_weights
    >>> hash_weights({"fc1": (np.ones((2, 2), np.float32), np.zeros(2, np.float32))})[:16]
    '490257c523d6ff78'
    """
    sha256 = hashlib.sha256()
    for name, pair in arrays.items():
        for values in pair:
            sha256.update(f"{name} {values.shape}\n".encode())
            # A view, not a copy, of weights as this module gives them on almost every machine.
            sha256.update(np.ascontiguousarray(values, dtype="<f4").data)
    return sha256.hexdigest()


def hash_layers(cut: AnyCut, layers: Iterable[Any], loaded: Any) -> dict[str, str]:
    """Hash the weights up to each layer, of VGG from its arrays and of others from the network."""
    if isinstance(cut, Cut):
        return hash_up_to(cut, layers, loaded)
    return {layer.name: loaded.hash_up_to(layer.name) for layer in layers}


def hash_up_to(
    cut: Cut, layers: Iterable[Layer], weights: Mapping[str, tuple[np.ndarray, ...]]
) -> dict[str, str]:
    """Hash the weights up to each layer, on which its features depend, and on no others."""
    return {
        layer.name: hash_weights(
            {above.name: weights[above.name] for above in cut.weighted_above(layer)}
        )
        for layer in layers
    }
