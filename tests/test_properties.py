"""Properties that hold for images of any shape, dtype and range, at any layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sktransfer import VGGFeatureExtractor
from sktransfer.networks import ARCHITECTURES, list_layers

# That a guess of range or layout is doubtful is tested elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::sktransfer.ImageWarning")

DTYPES = ["bool", "uint8", "uint16", "int16", "int32", "int64", "float16", "float32", "float64"]
# What runs in a millisecond per image, and shares few networks.
LAYERS: list[str | list[str]] = ["block1_pool", "block2_conv1", ["block2_pool", "block1_conv2"]]


def _extractor(layer: str | list[str] = "block1_pool", **params: Any) -> VGGFeatureExtractor:
    params = {"pooling": "max", "input_size": 32, "random_state": 0} | params
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
    return draw(npst.arrays(dtype, shape, elements=elements))


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
