"""Layout of images: the shape of one image in the data, and where its channels are."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from numbers import Integral

#: Grey, RGB, and RGB with alpha.
CHANNELS = (1, 3, 4)
#: A square of as many rows and columns is a picture.
_PICTURE = 16
#: Rows of more columns than this that do not form a square count as a mistake, not as a strip.
MAX_STRIP = 64


class ImageWarning(UserWarning):
    """The layout or the value range of the images was guessed, and the guess may be wrong."""


def check_shape_parameter(shape: Sequence[int] | None, who: str) -> None:
    """Check that the parameter `image_shape` is a shape."""
    if shape is not None and not (
        len(shape) in (2, 3) and all(isinstance(n, Integral) and n > 0 for n in shape)
    ):
        raise ValueError(
            f"The 'image_shape' parameter of {who} must be None or (height, width), (height, "
            "width, n_channels) or (n_channels, height, width) in positive ints. Got "
            f"{shape!r} instead."
        )


def find_layout(
    shape: tuple[int, ...], image_shape: Sequence[int] | None, who: str
) -> tuple[tuple[int, ...], bool]:
    """Decide the shape of one image inside the data, and whether its channels stand first."""
    given = tuple(int(n) for n in image_shape) if image_shape is not None else None
    if given is None:
        _check_many(shape, who)
    if len(shape) == 2:
        if given is None:
            return _guess_layout(shape[1], who), False
        if math.prod(given) != shape[1]:
            raise ValueError(
                f"The 'image_shape' parameter of {who} must multiply to the number of columns. "
                f"Got image_shape={given}, {math.prod(given)} values, with X of shape {shape}. "
                f"{_factor_pairs(shape[1])}"
            )
        return image_layout(given, f"The 'image_shape' parameter of {who}")
    if given is not None:
        check_image_shape(given, shape[1:], f"X of shape {shape}", who)
    if len(shape) == 3 and shape[2] in (3, 4) and shape[1] > 4:
        warnings.warn(
            f"{who} reads X of shape {shape} as {shape[0]} grey images of {shape[1]} x {shape[2]} "
            f"pixels. If it is a single colour image, pass X[None].",
            ImageWarning,
            stacklevel=2,
        )
    return image_layout(shape[1:], f"X given to {who}")


def _check_many(shape: tuple[int, ...], who: str) -> None:
    """Raise an error for what is a single image, and not as many as it has rows of pixels."""
    n, side = shape[:2]
    is_grey = len(shape) == 2 and math.isqrt(side) ** 2 != side
    is_colour = len(shape) == 3 and shape[2] in (3, 4)
    if n == side >= _PICTURE and (is_grey or is_colour):
        raise ValueError(
            f"{who} needs many images. Got X of shape {shape}, which looks like a single one: pass "
            f"X[None]. If it does hold {n} images, set "
            f"image_shape={shape[1:] if is_colour else (1, side)}."
        )


def check_image_shape(given: Sequence[int], shape: tuple[int, ...], where: str, who: str) -> None:
    """Check the shape of an image against the one that the user gave."""
    # Of the same pixels, wherever the channels stand: what holds for rows holds for arrays too.
    if canonical(tuple(given)) != canonical(shape):
        raise ValueError(
            f"The 'image_shape' parameter of {who} must be the shape of each image. Got "
            f"image_shape={tuple(given)} and images of shape {shape} in {where}: leave it at "
            f"None, or set it to {shape}."
        )


def canonical(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Spell the shape of an image as `(height, width, n_channels)`."""
    if len(shape) == 2:
        return (*shape, 1)
    return (*shape[1:], shape[0]) if _channels_first(shape) else shape


def _channels_first(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[2] not in CHANNELS and shape[0] in CHANNELS


def image_layout(shape: tuple[int, ...], what: str) -> tuple[tuple[int, ...], bool]:
    """Find the channels of one image: last if they can be last, else first."""
    if len(shape) == 3 and shape[2] not in CHANNELS and shape[0] not in CHANNELS:
        raise ValueError(
            f"{what} must have 1 (grey), 3 (RGB) or 4 (RGBA) channels, last or first. Got images "
            f"of shape {shape}. Select or combine the channels first, as in X[..., :3]."
        )
    return shape, _channels_first(shape)


def _guess_layout(n_columns: int, who: str) -> tuple[int, ...]:
    side = math.isqrt(n_columns)
    if side * side == n_columns:
        return (side, side)
    side = math.isqrt(n_columns // 3)
    if 3 * side * side == n_columns:
        warnings.warn(
            f"{who} reads rows of {n_columns} columns as RGB images of {side} x {side} pixels with "
            f"the channels last, image_shape=({side}, {side}, 3). If each row holds all red, then "
            f"all green, then all blue values, as CIFAR's files do, set image_shape=(3, {side}, "
            f"{side}); otherwise set image_shape=({side}, {side}, 3) to silence this.",
            ImageWarning,
            stacklevel=2,
        )
        return (side, side, 3)
    if n_columns <= MAX_STRIP:
        warnings.warn(
            f"{who} reads rows of {n_columns} columns, which do not form a square, as strips of 1 "
            f"x {n_columns} pixels: too few pixels for a picture. If they are pictures, set "
            "image_shape=(height, width).",
            ImageWarning,
            stacklevel=2,
        )
        return (1, n_columns)
    raise ValueError(
        f"{who} cannot determine the shape of images from rows of {n_columns} columns, which are "
        "neither a grey nor an RGB square. Set image_shape=(height, width) or (height, width, 3). "
        f"{_factor_pairs(n_columns)}"
    )


def _factor_pairs(n_columns: int) -> str:
    """List the shapes that so many columns can have."""
    choices = []
    for kind, n in (("grey", n_columns), ("RGB", n_columns / 3)):
        if n == int(n):
            n = int(n)
            pairs = [f"{a} x {n // a}" for a in range(1, math.isqrt(n) + 1) if n % a == 0]
            choices.append(f"{kind} {', '.join(reversed(pairs))}")
    return f"{n_columns} columns could be (either way round): {'; '.join(choices)}."
