"""Preprocessing equals Keras' own, leaves its input alone, and treats every image alike."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings, strategies as st
from memory import memory_below

from sktransfer.features import preprocessing
from sktransfer.features.preprocessing import (
    ASPECTS,
    CHANNEL_MEANS_BGR,
    INTERPOLATIONS,
    Resizing,
    preprocess,
    resize,
    to_255,
)

BYTES, DEEP = (0.0, 255.0), (0.0, 65535.0)
BILINEAR = Resizing(32, "stretch", "bilinear", False)
# Growing, shrinking, both at once, one pixel, the size itself; odd and even differences.
SIZES = [(8, 8), (28, 28), (32, 32), (33, 40), (61, 20), (1, 7), (100, 45), (5, 5), (1, 1)]


def _images(height: int, width: int, n_channels: int = 3, n: int = 2) -> np.ndarray:
    rng = np.random.default_rng([height, width, n_channels])
    return rng.integers(0, 256, (n, height, width, n_channels)).astype(np.float32)


def _keras_resize(images: np.ndarray, resizing: Resizing) -> np.ndarray:
    import keras

    resized = keras.ops.image.resize(
        images,
        (resizing.size, resizing.size),
        interpolation=resizing.interpolation,
        antialias=resizing.antialias,
        crop_to_aspect_ratio=resizing.aspect == "crop",
        pad_to_aspect_ratio=resizing.aspect == "pad",
        fill_mode="constant",
        fill_value=0,
        data_format="channels_last",
    )
    return keras.ops.convert_to_numpy(resized)


@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.integers(8, 40), st.integers(8, 40)),
    st.floats(0.2, 1),
)
@settings(max_examples=60, deadline=None)
def test_a_share_is_the_middle_of_the_resized_whole(
    shape: tuple[int, int], size: tuple[int, int], share: float
) -> None:
    images = _images(*shape, n=1)
    found = resize(images, Resizing(size, share, "bicubic", True))
    # torchvision's Resize brings the side that is short for the size to it; CenterCrop follows.
    rows, columns = (int(side / share) for side in size)
    if shape[0] * columns >= shape[1] * rows:
        whole = max(size[0], int(columns * shape[0] / shape[1])), columns
    else:
        whole = rows, max(size[1], int(rows * shape[1] / shape[0]))
    resized = resize(images, Resizing(whole, "stretch", "bicubic", True))
    top, left = (round((n - side) / 2) for n, side in zip(whole, size, strict=True))
    expected = resized[:, top : top + size[0], left : left + size[1]]
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("aspect", ASPECTS)
def test_resizing_equals_keras(aspect: str, interpolation: str, antialias: bool) -> None:
    import keras

    resizing = Resizing(32, aspect, interpolation, antialias)
    # TensorFlow's bicubic kernel without antialiasing is a table of 1,024 entries.
    is_table = interpolation == "bicubic" and not antialias
    is_table &= keras.config.backend() == "tensorflow"
    for height, width in SIZES:
        # Keras pads both sides alike, so that by odd differences its square is one pixel short.
        width += (height - width) % 2 if aspect == "pad" else 0
        images = _images(height, width)
        resized = resize(images, resizing)
        assert resized.dtype == np.float32
        np.testing.assert_allclose(
            resized, _keras_resize(images, resizing), rtol=0, atol=0.25 if is_table else 5e-3
        )


def test_resizing_equals_keras_at_vggs_own_size() -> None:
    images = _images(28, 28, n_channels=1)
    for aspect, antialias in itertools.product(ASPECTS, (False, True)):
        resizing = Resizing(224, aspect, "bilinear", antialias)
        expected = _keras_resize(images, resizing)
        np.testing.assert_allclose(resize(images, resizing), expected, rtol=0, atol=5e-3)


def test_same_size_rgb_equals_keras_preprocess_input() -> None:
    from keras.applications import vgg16, vgg19

    images = _images(32, 32)
    ours = preprocess(to_255(images.astype(np.uint8), BYTES), BILINEAR)
    assert ours.dtype == np.float32
    for module in (vgg16, vgg19):
        np.testing.assert_array_equal(ours, module.preprocess_input(images.copy()))


def test_channels_come_as_blue_green_red_without_their_means() -> None:
    red = np.zeros((1, 4, 4, 3), dtype=np.uint8)
    red[..., 0] = 255
    blue, green, mean_red = CHANNEL_MEANS_BGR
    expected = np.float32([0 - blue, 0 - green, 255 - mean_red])
    np.testing.assert_allclose(
        preprocess(to_255(red, BYTES), BILINEAR)[0, 5, 7], expected, atol=1e-4
    )


@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("aspect", ASPECTS)
def test_an_image_of_the_wanted_size_stays_as_it_is(aspect: str, interpolation: str) -> None:
    images = _images(32, 32)
    assert resize(images, Resizing(32, aspect, interpolation, True)) is images


def test_nearest_repeats_and_skips_pixels() -> None:
    images = np.arange(6, dtype=np.float32).reshape(1, 2, 3, 1)
    resized = resize(images, Resizing(6, "stretch", "nearest", False))[0, ..., 0]
    np.testing.assert_array_equal(resized, images[0, ..., 0].repeat(3, axis=0).repeat(2, axis=1))
    np.testing.assert_array_equal(
        resize(resized[None, ..., None], Resizing(2, "stretch", "nearest", False))[0, ..., 0],
        resized[[1, 4]][:, [1, 4]],
    )


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
def test_an_even_image_stays_even(interpolation: str, antialias: bool) -> None:
    for height, width in SIZES:
        images = np.full((1, height, width, 1), 200, dtype=np.float32)
        resized = resize(images, Resizing(32, "stretch", interpolation, antialias))
        np.testing.assert_allclose(resized, 200, rtol=1e-5)


def test_cropping_takes_the_middle_and_padding_adds_black() -> None:
    image = np.arange(1, 13, dtype=np.float32).reshape(1, 3, 4, 1)
    crop = resize(image, Resizing(3, "crop", "bilinear", False))
    np.testing.assert_array_equal(crop, image[:, :, :3])
    pad = resize(image, Resizing(4, "pad", "bilinear", False))
    np.testing.assert_array_equal(pad[:, :3], image)
    assert not pad[:, 3].any()


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("n_channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.uint16, np.int64])
@pytest.mark.parametrize("shape", [(32, 32), (9, 12)])
def test_input_is_never_changed(
    aspect: str, n_channels: int, dtype: type, shape: tuple[int, int]
) -> None:
    images = _images(*shape, n_channels).astype(dtype)
    before = images.copy()
    images.flags.writeable = False
    preprocess(to_255(images, BYTES), Resizing(32, aspect, "bilinear", False))
    np.testing.assert_array_equal(images, before, strict=True)


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("value_range", [BYTES, (0, 1), (255, 0), (-128, 128)])
def test_grey_equals_its_rgb_copy_bit_for_bit(
    aspect: str, interpolation: str, value_range: tuple[float, float]
) -> None:
    resizing = Resizing(32, aspect, interpolation, True)
    grey = _images(23, 31, n_channels=1)
    as_grey = preprocess(to_255(grey, value_range), resizing)
    as_rgb = preprocess(to_255(np.repeat(grey, 3, axis=3), value_range), resizing)
    np.testing.assert_array_equal(as_grey, as_rgb)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    n_channels=st.sampled_from([1, 3, 4]),
    aspect=st.sampled_from(ASPECTS),
    interpolation=st.sampled_from(INTERPOLATIONS),
    antialias=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_an_image_in_a_batch_equals_itself_alone_bit_for_bit(
    height: int, width: int, n_channels: int, aspect: str, interpolation: str, antialias: bool
) -> None:
    resizing = Resizing(32, aspect, interpolation, antialias)
    images = _images(height, width, n_channels, n=5)
    batch = preprocess(to_255(images, BYTES), resizing)
    alone = np.concatenate([preprocess(to_255(images[[i]], BYTES), resizing) for i in range(5)])
    assert batch.shape == (5, 32, 32, 3)
    assert batch.flags.c_contiguous
    np.testing.assert_array_equal(batch, alone, strict=True)


def _dense_resize(images: np.ndarray, resizing: Resizing) -> np.ndarray:
    """The definition: a padded square, and all weights of each axis, zeros among them."""
    n, height, width, n_channels = images.shape
    if resizing.aspect == "pad" and height != width:
        side = max(height, width)
        top, left = (side - height) // 2, (side - width) // 2
        square = np.zeros((n, side, side, n_channels), dtype=images.dtype)
        square[:, top : top + height, left : left + width] = images
        images = square
    if resizing.aspect == "crop":
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        images = images[:, top : top + side, left : left + side]
    for axis in (1, 2):
        n_in, n_out = images.shape[axis], resizing.size
        if n_in != n_out:
            first = np.moveaxis(images, axis, 0)
            result = _dense_weights(n_in, resizing) @ first.reshape(n_in, -1)
            images = np.moveaxis(result.reshape(n_out, *first.shape[1:]), 0, axis)
    return images


def _dense_weights(n_in: int, resizing: Resizing) -> scipy.sparse.csr_array:
    scale = n_in / resizing.size
    centres = (np.arange(resizing.size) + 0.5) * scale - 0.5
    if resizing.interpolation == "nearest":
        weights = np.arange(n_in) == np.minimum(np.floor(centres + 0.5), n_in - 1)[:, None]
    else:
        stretch = max(scale, 1.0) if resizing.antialias else 1.0
        distances = np.abs(centres[:, None] - np.arange(n_in)[None, :]) / stretch
        weights = preprocessing._KERNELS[resizing.interpolation](distances)
        weights /= weights.sum(axis=1, keepdims=True)
    return scipy.sparse.csr_array(weights.astype(np.float32))


LARGE = [(300, 7), (7, 300), (1, 3000), (500, 2), (64, 32), (32, 20), (20, 32), (90, 160)]


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize("in_strips", [False, True])
def test_padding_by_weights_and_strips_change_no_bit(
    aspect: str,
    interpolation: str,
    antialias: bool,
    in_strips: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    preprocessing._axis.cache_clear()
    if in_strips:
        monkeypatch.setattr(preprocessing, "_STRIP_VALUES", 100)
        monkeypatch.setattr(preprocessing, "_WEIGHTS_AT_ONCE", 1000)
    resizing = Resizing(32, aspect, interpolation, antialias)
    for height, width in (*SIZES, *LARGE):
        pixels = _images(height, width, 4).astype(np.uint8)
        values = to_255(pixels, (3, 190))
        expected = _dense_resize(values, resizing)
        np.testing.assert_array_equal(resize(values, resizing), expected, strict=True)
        np.testing.assert_array_equal(resize(pixels, resizing, (3, 190)), expected, strict=True)


@pytest.mark.parametrize("aspect", ["stretch", "pad"])
@pytest.mark.parametrize(
    ("shape", "interpolation", "antialias", "n_mib"),
    [
        ((200_000, 1), "bilinear", False, 40),
        ((1, 200_000), "lanczos5", False, 40),
        ((1, 200_000), "bilinear", True, 100),
        ((4000, 6000), "bilinear", False, 40),
        ((3000, 3000), "bicubic", True, 40),
    ],
)
def test_resizing_needs_little_memory(
    shape: tuple[int, int], interpolation: str, antialias: bool, aspect: str, n_mib: int
) -> None:
    """A padded square of the first image would take 149 GiB."""
    pixels = np.zeros((1, *shape, 1), dtype=np.uint8)
    with memory_below(n_mib << 20):
        preprocess(pixels, Resizing(32, aspect, interpolation, antialias), BYTES)


def test_memory_layout_does_not_matter() -> None:
    images = _images(20, 14)
    expected = preprocess(to_255(images, BYTES), BILINEAR)
    for same in (np.asfortranarray(images), np.repeat(images, 2, axis=2)[:, :, ::2]):
        np.testing.assert_array_equal(preprocess(to_255(same, BYTES), BILINEAR), expected)


def test_16_bit_grey_keeps_its_depth() -> None:
    values = np.array([0, 1, 32767, 32768, 65534, 65535], dtype=np.uint16).reshape(6, 1, 1, 1)
    mapped = to_255(values, DEEP).ravel()
    assert (np.diff(mapped) > 0).all()
    assert mapped[[0, -1]].tolist() == [0, 255]
    through = preprocess(to_255(values, DEEP), BILINEAR)[:, 0, 0]
    assert (np.diff(through, axis=0) > 0).all()


@pytest.mark.parametrize(
    ("dtype", "black", "white"),
    [
        (bool, 0, 1),
        (np.uint8, 0, 255),
        (np.uint16, 0, 65535),
        (np.float16, 0, 1),
        (np.float32, 0, 1),
        (np.float64, 0, 16),
        (np.int64, 0, 4095),
        (np.int8, -128, 127),
        (np.float64, -1, 1),
        (np.float64, 1, -1),
        (np.uint8, 255, 0),
    ],
)
def test_black_and_white_are_0_and_255(dtype: type, black: float, white: float) -> None:
    pixels = np.array([black, white], dtype=dtype).reshape(1, 1, 2, 1)
    mapped = to_255(pixels, (black, white))
    assert mapped.dtype == np.float32
    np.testing.assert_allclose(mapped.ravel(), [0, 255], atol=1e-4)


def test_values_beyond_the_range_map_linearly() -> None:
    pixels = np.array([-8.0, 8.0, 32.0]).reshape(1, 1, 3, 1)
    np.testing.assert_allclose(to_255(pixels, (0, 16)).ravel(), [-127.5, 127.5, 510])


def test_large_values_keep_their_differences() -> None:
    # float32 has no numbers between 2**24 and 2**24 + 2: mapped in float64 first.
    pixels = np.array([2**24, 2**24 + 1], dtype=np.int64).reshape(1, 1, 2, 1)
    np.testing.assert_allclose(to_255(pixels, (2**24, 2**24 + 1)).ravel(), [0, 255])


@pytest.mark.parametrize(
    ("dtype", "value_range", "full"),
    [(np.uint8, BYTES, 255), (np.uint16, DEEP, 65535), (np.float64, (0, 1), 1)],
)
def test_transparent_images_lie_over_white(
    dtype: type, value_range: tuple[float, float], full: float
) -> None:
    half = full / 2 if full == 1 else full // 2
    pixels = np.array([[[full, 0, half, full], [full, 0, half, 0], [0, 0, 0, half]]], dtype=dtype)[
        None
    ]
    over_white = to_255(pixels, value_range)[0, 0]
    np.testing.assert_allclose(over_white, [[255, 0, 127.5], [255] * 3, [127.5] * 3], atol=0.6)


def test_alpha_is_opaque_at_the_end_of_its_dtype() -> None:
    """12-bit colours in 16 bits, with alpha of 16 bits."""
    pixels = np.array([[[[4095, 0, 0, 65535]]]], dtype=np.uint16)
    np.testing.assert_allclose(to_255(pixels, (0, 4095)).ravel(), [255, 0, 0], atol=1e-3)


@pytest.mark.parametrize("value_range", [(255, 0), (-255, 255), (0, 128)])
def test_an_opaque_image_is_the_image_whatever_the_range(value_range: tuple[float, float]) -> None:
    colour = _images(4, 5).astype(np.uint8)
    opaque = np.concatenate([colour, np.full((2, 4, 5, 1), 255, np.uint8)], axis=3)
    np.testing.assert_allclose(to_255(opaque, value_range), to_255(colour, value_range), atol=1e-3)
