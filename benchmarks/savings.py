"""What could be left out of the forward pass without changing a feature: counted, not timed."""

from __future__ import annotations

import numpy as np
from measuring import Options, Row

from sktransfer import load_digit_pair
from sktransfer.datasets.loaders import read_labelled_images
from sktransfer.networks import Layer, plan_cut


def count_savings(options: Options) -> list[Row]:
    """Count the multiply-adds of VGG16 to block5_pool at 224 px that one could do without."""
    layers = [layer for layer in plan_cut("block5_pool").trunk if layer.kind == "conv"]
    total = sum(layer.multiply_adds for layer in layers)
    digits = load_digit_pair((8, 6), return_X_y=True)[0].reshape(-1, 8, 8)
    digits_of = {"scikit-learn's digits": digits}
    if options.data:
        digits_of["MNIST's digits"] = read_labelled_images(options.data, digits=(8, 6)).data
    rows = [
        {
            "left_out": "two of the three equal channels of a grey image",
            "of_all_multiply_adds": layers[0].multiply_adds * 2 / 3 / total,
        },
        {
            "left_out": "products with the zeros of padding",
            "of_all_multiply_adds": sum(map(_padding, layers)) / total,
        },
    ]
    for name, images in digits_of.items():
        needed = sum(layer.multiply_adds * _reach(images, layer) for layer in layers)
        rows.append(
            {
                "left_out": f"what sees nothing but the black border of {name}",
                "of_all_multiply_adds": 1 - float(needed) / total,
            }
        )
    return rows


def _padding(layer: Layer) -> float:
    """Count the products of a 3 x 3 convolution whose factor is padding."""
    side = layer.output_shape[0]
    inside = (3 * side - 2) / (3 * side)  # along one axis: the two ends lack one of three
    return layer.multiply_adds * (1 - inside**2)


def _reach(images: np.ndarray, layer: Layer) -> float:
    """Return the mean share of a map that sees anything but the border, by its receptive field."""
    n_images, side = images.shape[:2]
    scale, n_values = 224 / side, layer.output_shape[0]
    shares = np.ones(n_images)
    for axis in (1, 2):
        is_used = (images != images[:, :1, :1]).any(axis=axis)
        first, last = is_used.argmax(axis=1), side - 1 - is_used[:, ::-1].argmax(axis=1)
        # Bilinear resizing spreads a pixel over its neighbours' centres.
        low, high = (first - 0.5) * scale, (last + 1.5) * scale
        centres = (np.arange(n_values) + 0.5) * layer.stride
        half = layer.receptive_field / 2
        sees = (centres + half > low[:, None]) & (centres - half < high[:, None])
        shares *= sees.mean(axis=1)
    return float(shares.mean())
