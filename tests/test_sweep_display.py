"""The drawing of a sweep: what it shows, and that it can be told apart without colour."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from sktransfer import LayerSweepDisplay, VGGFeatureExtractor, load_digit_pair
from sktransfer.evaluation.sweep.grid import Skipped, Variant
from sktransfer.evaluation.sweep.result import LayerSweep, SweepRow
from sktransfer.networks import list_layers

LAYERS = ("block1_pool", "block2_pool", "block3_pool", "block4_pool", "block5_pool", "flatten")


pytestmark = pytest.mark.usefixtures("no_windows")


def _result(layers: Any = LAYERS, sizes: Any = (32, 64), poolings: Any = ("avg", "max", None)):
    rng = np.random.default_rng(0)
    rows = [
        SweepRow(
            Variant(layer, pooling, size, 64, (1 + place) * size),
            {"accuracy": list(rng.uniform(0.8, 1, 3)), "f1": [0.0] * 3},
            1.0,
            1.0,
            0,
        )
        for size in sizes
        for place, layer in enumerate(layers)
        for pooling in poolings
    ]
    rng.shuffle(rows)
    return LayerSweep(90, 3, [0, 1], 1, "accuracy", rows, cka=np.eye(len(rows)), n_cka_images=90)


def _curves(ax: Any) -> list[Any]:
    return [line for line in ax.lines if line.get_markerfacecolor() != "none"]


def test_every_row_is_a_point_in_the_order_of_the_network() -> None:
    result = _result()
    display = LayerSweepDisplay(result).plot()
    ax = display.ax_
    assert display.figure_ is ax.figure
    names = [label.get_text().replace("\n", "_") for label in ax.get_xticklabels()]
    assert names == list(LAYERS)
    points = sorted(
        (names[round(x)], round(float(y), 9))
        for line in _curves(ax)
        for x, y in zip(*line.get_data(), strict=True)
    )
    assert points == sorted(
        (row.variant.layer, round(float(np.mean(row.scores["accuracy"])), 9)) for row in result.rows
    )
    for line in _curves(ax):
        assert list(line.get_xdata()) == sorted(line.get_xdata())
    assert ax.get_ylabel() == "accuracy, mean of 3 folds"


def test_sizes_differ_in_colour_and_poolings_in_marker_and_line() -> None:
    display = LayerSweepDisplay(_result()).plot()
    curves = _curves(display.ax_)
    assert len(curves) == 6
    assert len({to_hex(line.get_color()) for line in curves}) == 2
    assert len({line.get_marker() for line in curves}) == 3
    assert len({(to_hex(line.get_color()), line.get_marker()) for line in curves}) == 6
    (legend,) = display.figure_.legends
    texts = [text.get_text().strip() for text in legend.get_texts()]
    assert {"32 px", "64 px", "avg", "max", "flat (all values)", "best"} <= set(texts)


def test_the_best_row_has_a_ring() -> None:
    result = _result()
    ax = LayerSweepDisplay(result).plot().ax_
    (ring,) = [line for line in ax.lines if line.get_markerfacecolor() == "none"]
    best = result.best
    assert best is not None
    assert ring.get_ydata()[0] == pytest.approx(np.mean(best.scores["accuracy"]))
    assert LAYERS[round(ring.get_xdata()[0])] == best.variant.layer


@pytest.mark.parametrize("n", [1, 6, 16])
def test_names_of_layers_and_the_legend_do_not_cover_each_other(n: int) -> None:
    layers = [layer.name for layer in list_layers("vgg19")[1 : 1 + n]]
    display = LayerSweepDisplay(_result(layers=layers)).plot()
    assert display.figure_.get_figwidth() == 3.5
    display.figure_.canvas.draw()
    boxes = [label.get_window_extent() for label in display.ax_.get_xticklabels()]
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])
    (legend,) = display.figure_.legends
    below, page = legend.get_window_extent(), display.figure_.bbox
    assert not any(box.overlaps(below) for box in boxes)
    assert page.x0 <= below.x0 and below.x1 <= page.x1 and page.y0 <= below.y0


def test_given_axes_are_drawn_in() -> None:
    figure, ax = plt.subplots()
    display = LayerSweepDisplay(_result(poolings=[None], sizes=[32])).plot(ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    texts = [text.get_text().strip() for text in ax.get_legend().get_texts()]
    assert "avg" not in texts


def test_from_estimator_sweeps_with_the_pipelines_classifier() -> None:
    X, y = load_digit_pair(return_X_y=True)
    extractor = VGGFeatureExtractor(weights=None, random_state=0)
    params = {"layers": ["block1_conv1"], "poolings": ["avg"], "input_sizes": [32], "cv": 2}
    display = LayerSweepDisplay.from_estimator(
        make_pipeline(extractor, GaussianNB()), X[:40], y[:40], scoring="accuracy", **params
    )
    (row,) = display.result.rows
    assert display.ax_.lines[0].get_ydata()[0] == np.mean(row.scores["accuracy"])
    with pytest.raises(TypeError, match=r"LayerSweepDisplay\.from_estimator needs a VGGFeature"):
        LayerSweepDisplay.from_estimator(GaussianNB(), X, y)


def test_a_sweep_without_rows_cannot_be_drawn() -> None:
    result = _result(layers=[])
    result.skipped = [Skipped(Variant("flatten", None, 32, 512, 1), "no time")]
    with pytest.raises(ValueError, match=r"at least one row\. Got one whose 1 variants were all"):
        LayerSweepDisplay(result).plot()
