"""Properties that hold for images of any shape, dtype and range, at any layer."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from sktransfer import VGGFeatureExtractor
from sktransfer.networks import ARCHITECTURES, list_layers

# That a guess of range or layout is doubtful is tested elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::sktransfer.ImageWarning")

DTYPES = ["bool", "uint8", "uint16", "int16", "int32", "int64", "float16", "float32", "float64"]
# What runs in a millisecond per image, and shares few networks.
LAYERS: list[str | list[str]] = ["block1_pool", "block2_conv1", ["block2_pool", "block1_conv2"]]


def _extractor(layer: str | list[str] = "block1_pool", **params: Any) -> VGGFeatureExtractor:
    params = {"pooling": "max", "input_size": 32, "random_state": 0, "cache": None} | params
    return VGGFeatureExtractor(layer, weights=None, **params)


sides = st.integers(2, 40)
counts = st.integers(1, 5)


@st.composite
def arrays(draw: st.DrawFn, channels: tuple[int, ...] = (0, 1, 3, 4)) -> np.ndarray:
    """Draw `(n, h, w)` where the number of channels is 0, else `(n, h, w, c)`."""
    n_channels = draw(st.sampled_from(channels))
    shape = (draw(counts), draw(sides), draw(sides), *[n_channels][: n_channels > 0])
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    elements = None
    if dtype.kind == "f":
        top = draw(st.sampled_from([1.0, 16.0, 255.0]))
        elements = st.floats(0, top, width=16)
    elif dtype.kind == "i":
        elements = st.integers(0, 255)
    X = draw(npst.arrays(dtype, shape, elements=elements))
    if dtype.kind == "f" and n_channels == 4:
        X[0, 0, 0, 0] = top  # colours tell the range, which alpha above it would contradict
    return X


@given(X=arrays(), layer=st.sampled_from(LAYERS), pooling=st.sampled_from(["avg", "max", None]))
def test_shapes_dtypes_and_names(X: np.ndarray, layer: Any, pooling: str | None) -> None:
    before = X.copy()
    extractor = _extractor(layer, pooling=pooling)
    features = extractor.fit_transform(X)
    assert features.shape == (len(X), extractor.n_features_out_)
    assert features.dtype == np.float32
    assert features.flags.c_contiguous
    assert np.isfinite(features).all()
    names = extractor.get_feature_names_out()
    assert len(set(names)) == len(names) == features.shape[1]
    np.testing.assert_array_equal(X, before, strict=True)


@given(
    architecture=st.sampled_from(sorted(ARCHITECTURES)),
    size=st.integers(32, 224),
    pooling=st.sampled_from(["avg", "max", None]),
    data=st.data(),
)
def test_every_layer_at_every_size_is_as_wide_as_planned(
    architecture: str, size: int, pooling: str | None, data: st.DataObject
) -> None:
    known = [layer for layer in list_layers(architecture, size)[1:] if layer.kind != "dense"]
    known = [layer for layer in known if pooling is None or layer.kind != "flatten"]
    chosen = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
    # fit builds nothing, so that even wide layers are quick.
    extractor = _extractor(
        [layer.name for layer in chosen],
        architecture=architecture,
        input_size=size,
        pooling=pooling,
    )
    X = np.arange(2 * 64, dtype=np.uint8).reshape(2, 64)
    extractor.fit(X)
    widths = [int(np.prod(layer.output_shape)) for layer in chosen]
    if pooling is not None:
        widths = [layer.output_shape[-1] for layer in chosen]
    assert extractor.n_features_out_ == sum(widths)


@given(X=arrays(channels=(0,)))
def test_rows_and_images_are_the_same(X: np.ndarray) -> None:
    as_images = _extractor().fit_transform(X)
    as_rows = _extractor(image_shape=X.shape[1:]).fit_transform(X.reshape(len(X), -1))
    np.testing.assert_array_equal(as_rows, as_images)


@given(X=arrays(channels=(0,)))
def test_grey_equals_its_rgb_copy(X: np.ndarray) -> None:
    colour = np.repeat(X[..., None], 3, axis=3)
    np.testing.assert_array_equal(_extractor().fit_transform(X), _extractor().fit_transform(colour))


@given(X=arrays(channels=(3, 4)).filter(lambda X: X.shape[2] not in (1, 3, 4)))
def test_channels_first_equals_channels_last(X: np.ndarray) -> None:
    first = np.moveaxis(X, -1, 1)
    expected = _extractor().fit_transform(X)
    np.testing.assert_array_equal(_extractor().fit_transform(first), expected)
    np.testing.assert_array_equal(_extractor().fit_transform(np.ascontiguousarray(first)), expected)


@given(X=arrays(), layer=st.sampled_from(LAYERS), data=st.data())
def test_permuting_and_picking_rows_permutes_and_picks_features(
    X: np.ndarray, layer: Any, data: st.DataObject
) -> None:
    extractor = _extractor(layer)
    features = extractor.fit_transform(X)
    positions = st.lists(st.integers(0, len(X) - 1), min_size=1, max_size=20)
    order = data.draw(st.permutations(range(len(X))) | positions)
    np.testing.assert_array_equal(extractor.transform(X[order]), features[order])


@given(X=npst.arrays(np.uint8, st.tuples(counts, sides, sides, st.just(3))))
def test_rescaling_the_range_changes_nothing(X: np.ndarray) -> None:
    expected = _extractor(value_range=(0, 255)).fit_transform(X)
    for black, white in [(0.0, 1.0), (-1.0, 1.0), (10.0, 20.0), (255.0, 0.0)]:
        scaled = black + X.astype(np.float64) / 255 * (white - black)
        features = _extractor(value_range=(black, white)).fit_transform(scaled)
        np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-3)


@given(
    X=npst.arrays(np.uint8, st.tuples(counts, sides, sides, st.just(3))),
    data=st.data(),
)
def test_alpha_is_composed_over_white(X: np.ndarray, data: st.DataObject) -> None:
    opaque = np.full((*X.shape[:3], 1), 255, dtype=np.uint8)
    extractor = _extractor(value_range=(0, 255))
    seen = extractor.fit_transform(np.concatenate([X, opaque], axis=3))
    np.testing.assert_array_equal(seen, extractor.fit_transform(X))
    hidden = extractor.fit_transform(np.concatenate([X, 0 * opaque], axis=3))
    np.testing.assert_array_equal(hidden, extractor.fit_transform(np.full_like(X, 255)))


@given(
    X=npst.arrays(np.uint8, st.tuples(counts, sides, sides)),
    resizing=st.fixed_dictionaries(
        {
            "aspect": st.sampled_from(["stretch", "crop", "pad"]),
            "interpolation": st.sampled_from(
                ["nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"]
            ),
            "antialias": st.booleans(),
            "batch_size": st.integers(1, 5),
        }
    ),
)
def test_every_way_of_resizing_keeps_rows_apart(X: np.ndarray, resizing: dict[str, Any]) -> None:
    extractor = _extractor(value_range=(0, 255), **resizing)
    features = extractor.fit_transform(X)
    assert np.isfinite(features).all()
    for position in range(len(X)):
        alone = extractor.transform(X[position : position + 1])
        np.testing.assert_array_equal(alone[0], features[position])


MORE_DTYPES = [*DTYPES[1:], "int8", "uint32", "uint64", "longdouble", ">i4", ">f8"]


@given(
    X=npst.arrays(np.int64, st.tuples(counts, sides, sides), elements=st.integers(0, 127)),
    dtype=st.sampled_from(MORE_DTYPES),
)
def test_the_same_numbers_are_the_same_picture_in_every_dtype(X: np.ndarray, dtype: str) -> None:
    extractor = _extractor(value_range=(0, 127)).fit(X)
    features = extractor.transform(X.astype(dtype))
    np.testing.assert_allclose(features, extractor.transform(X), rtol=1e-5, atol=1e-3)


@given(
    X=arrays(),
    step=st.sampled_from([-1, 2]),
    axis=st.integers(1, 2),
    order=st.sampled_from("CF"),
)
def test_the_layout_in_memory_does_not_matter(
    X: np.ndarray, step: int, axis: int, order: str
) -> None:
    extractor = _extractor()
    expected = extractor.fit_transform(X)
    strided = np.repeat(X, abs(step), axis=axis)
    if step < 0:
        strided = np.flip(strided, axis).copy(order)
    view = strided[(slice(None),) * axis + (slice(None, None, step),)]
    np.testing.assert_array_equal(view, X)
    view.flags.writeable = False
    np.testing.assert_array_equal(extractor.transform(view), expected)
    np.testing.assert_array_equal(extractor.transform(X.copy(order)), expected)


DEPTHS = {
    "0 to 1": lambda X: X / 255,
    "0 to 1, float32": lambda X: (X / 255).astype(np.float32),
    "0 to 16": lambda X: X / 255 * 16,
    "0 to 255": lambda X: X * 1.0,
    "0 to 255, int32": lambda X: X.astype(np.int32),
    "0 to 4095": lambda X: X / 255 * 4095,
    "0 to 65535": lambda X: X * 257.0,
    "0 to 65535, uint16": lambda X: X * np.uint16(257),
    "-1 to 1": lambda X: X / 127.5 - 1,
    "-128 to 128": lambda X: (X / 127.5 - 1) * 128,
}


@given(
    X=npst.arrays(np.uint8, st.tuples(counts, sides, sides)),
    n_channels=st.sampled_from([0, 1, 3]),
    depth=st.sampled_from(sorted(DEPTHS)),
)
def test_the_automatic_range_of_every_depth_is_the_same_picture(
    X: np.ndarray, n_channels: int, depth: str
) -> None:
    X[0, 0, 0], X[0, 0, 1] = 0, 255
    X = np.repeat(X[..., None], n_channels, axis=3) if n_channels else X
    expected = _extractor().fit_transform(X)
    error = np.linalg.norm(_extractor().fit_transform(DEPTHS[depth](X)) - expected, axis=1)
    assert (error < 1e-3 * np.linalg.norm(expected, axis=1)).all()


@given(X=npst.arrays(np.uint8, st.tuples(counts, sides, sides, st.just(4))))
def test_half_transparent_images_are_those_composed_beforehand(X: np.ndarray) -> None:
    opacity = X[..., 3:] / 255
    composed = np.minimum(X[..., :3] * opacity + 255 * (1 - opacity), 255)
    extractor = _extractor(value_range=(0, 255))
    expected = extractor.fit_transform(composed)
    for same in (X, X.astype(np.float32), X.astype(np.int16)):
        np.testing.assert_allclose(extractor.fit_transform(same), expected, rtol=1e-4, atol=1e-3)


@given(X=arrays(channels=(3,)), white=st.sampled_from([1, 255, 65535]))
def test_opaque_alpha_changes_nothing_in_any_dtype(X: np.ndarray, white: int) -> None:
    dtype = {1: "float64", 255: "uint8", 65535: "uint16"}[white]
    X = X.astype(np.float64).clip(0, white).astype(dtype)
    opaque = np.concatenate([X, np.full((*X.shape[:3], 1), white, dtype)], axis=3)
    extractor = _extractor(value_range=(0, white)).fit(X)
    expected = extractor.transform(X)
    found = _extractor(value_range=(0, white)).fit_transform(opaque)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-3)


images = st.builds(
    lambda shape, seed: np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8),
    st.tuples(sides, sides) | st.tuples(sides, sides, st.sampled_from([1, 3, 4])),
    st.integers(0, 2**32 - 1),
)


@given(items=st.lists(images, min_size=1, max_size=5), data=st.data())
def test_images_of_differing_sizes_are_each_what_they_are_alone(
    items: list[np.ndarray], data: st.DataObject
) -> None:
    # As arrays, and as what Pillow makes of some of them, through memory or a file's bytes.
    extractor = _extractor(value_range=(0, 255)).fit([items[0], np.zeros((1, 1), np.uint8)])
    alone = [extractor.transform([item])[0] for item in items]
    mixed: list[Any] = []
    for item in items:
        kind = data.draw(st.sampled_from(["array", "pil", "png"]))
        pixels = item[..., 0] if item.ndim == 3 and item.shape[2] == 1 else item
        image = Image.fromarray(pixels)
        if kind == "png":
            file = BytesIO()
            image.save(file, "png")
            image = Image.open(file)
        mixed.append(item if kind == "array" else image)
    np.testing.assert_array_equal(extractor.transform(mixed), alone)


@given(
    X=npst.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 6), st.integers(1, 6))),
    batch_size=st.sampled_from(["auto", 1, 16, 17, 33]),
    data=st.data(),
)
def test_cutting_the_input_anywhere_cuts_the_features(
    X: np.ndarray, batch_size: Any, data: st.DataObject
) -> None:
    """Down to images of one pixel, and across the number that the network takes at a time."""
    features = _extractor(value_range=(0, 255)).fit_transform(X)
    extractor = _extractor(value_range=(0, 255), batch_size=batch_size).fit(X)
    cut = data.draw(st.integers(1, len(X)))
    parts = [extractor.transform(part) for part in (X[:cut], X[cut:]) if len(part)]
    np.testing.assert_array_equal(np.concatenate(parts), features)


@given(X=arrays(channels=(3, 4)), data=st.data())
def test_rows_of_either_layout_are_the_same_images(X: np.ndarray, data: st.DataObject) -> None:
    if X.shape[2] in (1, 3, 4):  # channel-first rows of this width would be read as channels last
        X = X[:, :, [*range(X.shape[2]), 0, 0]]
    expected = _extractor().fit_transform(X)
    first = np.moveaxis(X, 3, 1)
    for same in (X, first):
        rows = same.reshape(len(X), -1)
        extractor = _extractor(image_shape=same.shape[1:])
        np.testing.assert_array_equal(extractor.fit_transform(rows), expected)
        assert extractor.image_shape_ == X.shape[1:]


@given(
    X=arrays(),
    network=st.sampled_from([("vgg16", 48), ("vgg19", 32), ("vgg19", 33)]),
    pooling=st.sampled_from(["avg", None]),
)
def test_shapes_and_names_of_both_networks_at_odd_sizes(
    X: np.ndarray, network: tuple[str, int], pooling: str | None
) -> None:
    architecture, size = network
    extractor = _extractor(
        "block2_pool", architecture=architecture, input_size=size, pooling=pooling
    )
    features = extractor.fit_transform(X)
    side = size // 4
    assert features.shape == (len(X), 128 if pooling else side * side * 128)
    assert (features.dtype, features.flags.c_contiguous) == (np.float32, True)
    names = list(extractor.get_feature_names_out())
    assert sorted(set(names)) == names
    assert len(names) == features.shape[1]
