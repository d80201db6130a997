"""Pixel scaling: channel order, scale, mean and deviation.

It is data, not code, so that it can be compared, shown, and recorded with every feature.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from sktransfer.inputs.scale import is_finite

_ORDERS = ("RGB", "BGR")
_KEYS = ("order", "scale", "mean", "std")


@dataclass(frozen=True)
class PixelScaling:
    """How pixels from 0 to 255 become a network's input: times `scale`, less `mean`, over `std`.

    Attributes
    ----------
    order : {'RGB', 'BGR'}
        The order of the channels, that of `mean` and `std` too.
    scale : float
        The factor.
    mean, std : tuple of float
        One value per channel.
    """

    order: str = "RGB"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    def __str__(self) -> str:
        return (
            f"{self.order}, (pixel * {self.scale:.6g} - {_spell(self.mean)}) / {_spell(self.std)}"
        )


#: As VGG was trained: blue first, the mean of each channel over ImageNet's training images
#: subtracted; ``keras.applications.imagenet_utils.preprocess_input`` in mode "caffe".
CAFFE = PixelScaling("BGR", 1.0, (103.939, 116.779, 123.68))
#: From -1 to 1, and by mean and deviation over ImageNet; Keras' modes "tf" and "torch".
TF = PixelScaling("RGB", 1 / 127.5, (1.0, 1.0, 1.0))
TORCH = PixelScaling("RGB", 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
#: The four that most networks use, by the names of Keras.
USUAL = {
    "caffe": CAFFE,
    "tf": TF,
    "torch": TORCH,
    "none, for networks that scale pixels themselves": PixelScaling(),
}


def _spell(values: tuple[float, ...]) -> str:
    if len(set(values)) == 1:
        return f"{values[0]:.6g}"
    return f"[{', '.join(f'{value:.6g}' for value in values)}]"


def read_scaling(given: Any, who: str) -> PixelScaling:
    """Read the parameter `preprocessing`, a mapping."""
    faults = []
    unknown = sorted(set(map(str, given)) - set(_KEYS)) if isinstance(given, Mapping) else ["it"]
    if unknown:
        faults.append(f"{', '.join(unknown)} is not one of {', '.join(_KEYS)}")
    else:
        order = given.get("order", "RGB")
        scale = given.get("scale", 1.0)
        mean, std = (
            _per_channel(given.get(name, default)) for name, default in (("mean", 0), ("std", 1))
        )
        if order not in list(_ORDERS):
            faults.append(f"order {order!r} is neither 'RGB' nor 'BGR'")
        if not (is_finite(scale) and scale > 0):
            faults.append(f"scale {scale!r} is not a positive number")
        if mean is None:
            faults.append(f"mean {given['mean']!r} is not one number, or three")
        if std is None or min(std) <= 0:
            faults.append(f"std {given['std']!r} is not one positive number, or three")
    if faults:
        raise ValueError(
            f"The 'preprocessing' parameter of {who} must be 'auto' or say how pixels from 0 to "
            "255 become the network's input: times 'scale', minus 'mean', divided by 'std', "
            f"channels in 'order'. Got {given!r}: {'; '.join(faults)}. {show_usual()}"
        )
    return PixelScaling(order, float(scale), mean, std)  # type: ignore[arg-type]


def _per_channel(value: Any) -> tuple[float, ...] | None:
    try:
        values = [value] * 3 if isinstance(value, Real) else list(value)
    except TypeError:
        return None
    return tuple(map(float, values)) if len(values) == 3 and all(map(is_finite, values)) else None


def show_usual() -> str:
    """Write the four usual ways, for an error."""
    ways = [
        f"{{'order': {each.order!r}, 'scale': {_as_fraction(each.scale)}, 'mean': "
        f"{list(each.mean)}, 'std': {list(each.std)}}} ({name})"
        for name, each in USUAL.items()
    ]
    return f"The four usual ones: {'; '.join(ways)}."


def _as_fraction(scale: float) -> str:
    return f"{scale:g}" if scale == round(scale) else f"1 / {1 / scale:g}"


def measure_scaling(preprocess_input: Callable[[np.ndarray], Any], name: str) -> PixelScaling:
    """Find out by example what a function does to pixels, one of Keras' `preprocess_input`.

    A pixel of each colour tells the order and the factor of each channel, and a black one the
    offset; random pixels then check that there is nothing more to it.
    """
    primaries = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)])
    answers = _ask(preprocess_input, primaries)
    slopes = (answers[1:] - answers[0]) / 255  # by colour in, channel out
    order = {(0, 1, 2): "RGB", (2, 1, 0): "BGR"}.get(tuple(np.argmax(np.abs(slopes), axis=0)))
    factors = np.abs(slopes).max(axis=0)
    if order is not None and (factors > 0).all():
        scale, mean, std = _factorize(factors, answers[0])
        found = PixelScaling(order, scale, mean, std)
        pixels = np.random.default_rng(0).integers(0, 256, (64, 3)).astype(np.float64)
        channels = pixels if order == "RGB" else pixels[:, ::-1]
        expected = (channels * scale - np.array(mean)) / np.array(std)
        if np.allclose(_ask(preprocess_input, pixels), expected, rtol=1e-4, atol=1e-3):
            return found
    raise ValueError(
        f"Keras preprocesses images for {name} in a way that is not a scaling of channels. Pass "
        f"preprocessing=. {show_usual()}"
    )


def _ask(preprocess_input: Callable[[np.ndarray], Any], pixels: np.ndarray) -> np.ndarray:
    image = pixels.reshape(1, 1, -1, 3).astype(np.float32)
    return np.asarray(preprocess_input(image), np.float64).reshape(-1, 3)


def _factorize(
    factors: np.ndarray, offsets: np.ndarray
) -> tuple[float, tuple[float, ...], tuple[float, ...]]:
    """Write a factor and an offset per channel as scale, mean and deviation.

    Of the ways to do so the known one is taken where one fits, so that its digits are exact.
    """
    for known in USUAL.values():
        wanted = known.scale / np.array(known.std), -np.array(known.mean) / np.array(known.std)
        if np.allclose((factors, offsets), wanted, rtol=1e-4, atol=1e-4):
            return known.scale, known.mean, known.std
    return 1.0, tuple(-offsets / factors), tuple(1 / factors)
