"""What the network makes of one image: the maps are those of the extractor, the strongest first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone

from sktransfer import FeatureMapDisplay, FeatureStore, VGGFeatureExtractor
from sktransfer.evaluation.feature_maps import compute_feature_maps

pytestmark = pytest.mark.usefixtures("no_windows")


@pytest.fixture(scope="module")
def photographs() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 20, 24, 3), dtype=np.uint8)


def extractor(layer: Any = "block2_pool", **params: Any) -> VGGFeatureExtractor:
    return VGGFeatureExtractor(
        layer, **{"weights": None, "input_size": 32, "random_state": 0, **params}
    )


def texts_of(display: FeatureMapDisplay) -> list[str]:
    return [text.get_text() for text in display.ax_.texts]


# -- what is computed


def test_maps_are_the_features_of_the_layer_strongest_first(photographs):
    fitted = extractor().fit(photographs)
    _, (first, last) = compute_feature_maps(fitted, photographs[1], n_maps=5)
    assert [first.layer.name, last.layer.name] == ["block1_pool", "block2_pool"]
    maps = fitted.transform(photographs)[1].reshape(last.layer.output_shape)
    np.testing.assert_array_equal(last.maps, np.moveaxis(maps[..., last.channels], -1, 0))
    spread = maps.std(axis=(0, 1))
    assert last.channels.tolist() == np.argsort(-spread, kind="stable")[:5].tolist()


def test_trained_maps_are_those_of_the_cut(vgg19_blocks, photographs):
    deep = extractor("block3_pool", architecture="vgg19", weights=vgg19_blocks)
    _, maps = compute_feature_maps(deep, photographs[0], n_maps=64)
    assert [found.layer.name for found in maps] == ["block1_pool", "block2_pool", "block3_pool"]
    alone = clone(deep).set_params(layer="block1_pool").fit_transform(photographs)[0]
    alone = alone.reshape(maps[0].layer.output_shape)[..., maps[0].channels]
    # Taken from the middle of a longer network, whose sums an engine may order otherwise.
    np.testing.assert_allclose(np.moveaxis(maps[0].maps, 0, -1), alone, rtol=1e-4, atol=1e-2)


def test_the_picture_is_what_the_network_gets(photographs):
    picture, _ = compute_feature_maps(extractor(interpolation="nearest"), photographs[2])
    rows = np.floor((np.arange(32) + 0.5) * 20 / 32).astype(int)
    columns = np.floor((np.arange(32) + 0.5) * 24 / 32).astype(int)
    np.testing.assert_array_equal(picture, photographs[2][rows][:, columns])


def test_a_fitted_extractor_keeps_its_value_range():
    digits = np.zeros((3, 64))
    digits[1, :5] = 16.0
    fitted = extractor("block1_pool").fit(digits)
    digit = np.full(64, 8.0)
    picture, _ = compute_feature_maps(fitted, digit)
    np.testing.assert_allclose(picture, 127.5)


def test_random_weights_without_a_seed_are_the_fitted_ones(photographs):
    fitted = extractor("block1_pool", random_state=None).fit(photographs)
    _, (maps,) = compute_feature_maps(fitted, photographs[0], n_maps=1)
    whole = fitted.transform(photographs)[0].reshape(maps.layer.output_shape)
    np.testing.assert_array_equal(maps.maps[0], whole[..., maps.channels[0]])


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        ("block1_conv1", ["block1_conv1"]),
        ("block2_conv1", ["block1_pool", "block2_conv1"]),
        (["block2_pool", "block1_conv2"], ["block1_pool", "block2_pool"]),
        ("flatten", [f"block{i}_pool" for i in range(1, 6)]),
    ],
)
def test_the_last_layer_of_each_block_as_far_as_the_cut(photographs, layer, expected):
    _, maps = compute_feature_maps(extractor(layer, pooling=None), photographs[0], n_maps=2)
    assert [found.layer.name for found in maps] == expected


def test_layers_are_shown_in_the_order_of_the_network(photographs):
    names = ["block2_conv2", "block1_conv1"]
    _, maps = compute_feature_maps(extractor(pooling="avg"), photographs[0], names)
    assert [found.layer.name for found in maps] == names[::-1]


def test_all_forms_of_an_image_give_the_same(photographs, tmp_path: Path):
    image = photographs[0]
    Image.fromarray(image).save(tmp_path / "image.png")
    forms = [image, np.moveaxis(image, -1, 0), Image.fromarray(image), tmp_path / "image.png"]
    results = [compute_feature_maps(extractor("block1_pool"), form) for form in forms]
    row = compute_feature_maps(extractor("block1_pool", image_shape=image.shape), image.ravel())
    for picture, (maps,) in [*results, row]:
        np.testing.assert_array_equal(picture, results[0][0])
        np.testing.assert_array_equal(maps.maps, results[0][1][0].maps)


def test_nothing_is_changed_and_nothing_kept(photographs, tmp_path: Path):
    store = FeatureStore(tmp_path)
    fitted = extractor(cache=store, pooling="max").fit(photographs)
    before, image = dict(vars(fitted)), photographs[0].copy()
    compute_feature_maps(fitted, image)
    assert vars(fitted) == before
    np.testing.assert_array_equal(image, photographs[0])
    assert not store.exists()
    unfitted = extractor()
    compute_feature_maps(unfitted, image)
    assert not hasattr(unfitted, "n_features_out_")


# -- what is drawn


def test_the_display_shows_every_map(photographs):
    display = FeatureMapDisplay.from_estimator(extractor(), photographs[0], n_maps=3)
    assert display.axes_.shape == (3, 3)
    assert display.axes_[0, 1:].tolist() == [None, None]
    assert display.figure_ is display.ax_.figure
    shown = display.axes_[2, 1].images[0]
    np.testing.assert_array_equal(shown.get_array(), display.maps[1].maps[1])
    # One scale for a row, or strong and weak maps would look alike.
    limits = {axes.images[0].get_clim() for axes in display.axes_[2]}
    assert limits == {(0.0, float(display.maps[1].maps.max()))}
    texts = texts_of(display)
    assert texts[0] == "input, 32 \N{MULTIPLICATION SIGN} 32 pixels"
    times = "\N{MULTIPLICATION SIGN}"
    assert {f"block1_pool, 16 {times} 16 {times} 64", "0"} < set(texts)
    assert any("the 3 maps that vary\nmost across the image" in text for text in texts)
    for row in display.maps:
        assert {f"f{channel}" for channel in row.channels} < set(texts)


def test_a_grey_image_is_shown_grey_and_a_black_one_black():
    display = FeatureMapDisplay.from_estimator(
        extractor("block1_conv1"), np.zeros((8, 8), np.uint8), n_maps=2
    )
    drawn = display.axes_[0, 0].images[0]
    assert drawn.get_array().shape == (32, 32)
    assert (drawn.norm.vmin, drawn.norm.vmax) == (0, 255)
    display.figure_.canvas.draw()


def test_a_column_wide_and_nothing_beyond_its_edge(photographs):
    display = FeatureMapDisplay.from_estimator(extractor(), photographs[0])
    assert display.figure_.get_size_inches()[0] == 3.5
    page = display.figure_.bbox
    display.figure_.canvas.draw()
    boxes = [text.get_window_extent() for text in display.ax_.texts]
    for i, box in enumerate(boxes):
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_text_and_pictures_fit_into_axes_of_any_shape(photographs):
    display = FeatureMapDisplay.from_estimator(extractor(), photographs[0], n_maps=2)
    figure, (_, right) = plt.subplots(1, 2, figsize=(9, 2))
    assert display.plot(ax=right) is display
    assert display.ax_ is right and display.figure_ is figure
    figure.canvas.draw()
    outer = right.get_window_extent().padded(1)
    for inner in display.axes_[display.axes_ != None]:  # noqa: E711 - element by element
        box = inner.get_window_extent()
        assert outer.x0 <= box.x0 and box.x1 <= outer.x1
        assert outer.y0 <= box.y0 and box.y1 <= outer.y1
        assert box.width == pytest.approx(box.height)


# -- errors


@pytest.mark.parametrize(
    ("image", "layers", "match"),
    [
        (np.zeros((2, 8, 8, 3), np.uint8), None, r"must be one image.*shape \(2, 8, 8, 3\)"),
        (["a.png", "b.png"], None, r"'image' parameter .* Got list of length 2"),
        (None, None, r"'image' parameter of FeatureMapDisplay\.from_estimator .* Got None"),
        (np.zeros((8, 8)), ["block3_pool"], r"no deeper than .* ends at 'block2_pool'\. Got \['bl"),
        (np.zeros((8, 8)), ["flatten"], r"'layers' .* must name convolutional or pooling layers"),
        (np.zeros((8, 8)), ["block1_pol"], r"'layers' parameter .* Did you mean 'block1_pool'\?"),
        (np.zeros((8, 8)), [], r"'layers' parameter of .* must name at least one layer"),
        (np.zeros((8, 8)), "block1_pool", r"'layers' parameter of .* Got 'block1_pool' instead"),
    ],
)
def test_wrong_images_and_layers_are_refused(image, layers, match):
    with pytest.raises(ValueError, match=match):
        FeatureMapDisplay.from_estimator(extractor(), image, layers=layers)
    assert not plt.get_fignums()


@pytest.mark.parametrize("n_maps", [0, 65, 1.5])
def test_wrong_numbers_of_maps_are_refused(n_maps):
    with pytest.raises(ValueError, match=r"'n_maps' parameter of FeatureMapDisplay"):
        FeatureMapDisplay.from_estimator(extractor(), np.zeros((8, 8)), n_maps=n_maps)


def test_what_is_no_extractor_is_refused():
    with pytest.raises(TypeError, match=r"'extractor' parameter of FeatureMapDisplay\.from_est"):
        FeatureMapDisplay.from_estimator(object(), np.zeros((8, 8)))
