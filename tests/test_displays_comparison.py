"""The drawing of a comparison: every number of the result, in place and to be told apart."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import (
    TransferComparisonDisplay,
    VGGFeatureExtractor,
    compare_transfer,
    load_digit_pair,
)
from sktransfer.displays._palette import row_look
from sktransfer.evaluation.comparison.result import TransferComparison

pytestmark = pytest.mark.usefixtures("no_windows")


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digit_pair(return_X_y=True)
    noise = np.random.default_rng(0).normal(0, 6, (80, 64))
    return X[:80] + noise - (X[:80] + noise).min(), y[:80]


def _extractor() -> VGGFeatureExtractor:
    return VGGFeatureExtractor(
        "block1_pool", weights=None, pooling="max", input_size=32, value_range=(0, 64)
    )


@pytest.fixture(scope="module")
def result(digits: tuple[np.ndarray, np.ndarray]) -> TransferComparison:
    extractors = {"VGG": _extractor().set_params(random_state=0)}
    return compare_transfer(*digits, extractors=extractors, cv=4)


def _lines(ax: Any, marker: str) -> list[Any]:
    return [line for line in ax.lines if line.get_marker() == marker]


def test_folds_means_and_intervals_are_those_of_the_result(result: TransferComparison) -> None:
    display = TransferComparisonDisplay(result).plot()
    ax = display.ax_
    assert display.figure_ is ax.figure
    for row, dots in zip(result.rows, _lines(ax, "."), strict=True):
        np.testing.assert_array_equal(dots.get_xdata(), row.scores["accuracy"])
    means = {
        float(line.get_ydata()[0]): float(line.get_xdata()[0])
        for marker in "sD"
        for line in _lines(ax, marker)
    }
    assert means == {i: pytest.approx(row.mean("accuracy")) for i, row in enumerate(result.rows)}
    # Differences and their intervals stand apart from the scores.
    assert not _lines(ax, "None")
    beside = display.differences_ax_
    (dashed,) = [line for line in beside.lines if line.get_linestyle() == "--"]
    assert dashed.get_xdata()[0] == 0
    bars = [line for line in _lines(beside, "None") if line is not dashed]
    marks = _lines(beside, "s") + _lines(beside, "D")
    others = [row for row in result.rows if row.kind != "raw"]
    for row, bar in zip(others, bars, strict=True):
        difference = row.against_raw
        assert difference is not None
        np.testing.assert_allclose(bar.get_xdata(), [difference.low, difference.high])
        assert difference.mean in [mark.get_xdata()[0] for mark in marks]
    texts = [text.get_text() for text in ax.texts]
    assert texts == [f"{row.name}  {row.mean('accuracy'):.3f}" for row in result.rows]
    assert ax.get_xlabel() == "accuracy\n(4 folds and mean)"
    assert "difference to the best" in beside.get_xlabel()


def test_kinds_differ_in_shape_and_can_be_read_on_white(
    digits: tuple[np.ndarray, np.ndarray], vgg16_blocks: Any
) -> None:
    trained = _extractor().set_params(weights=vgg16_blocks)
    compared = compare_transfer(*digits, extractors={"VGG": trained}, cv=2, few_labels=[])
    ax = TransferComparisonDisplay(compared).plot().ax_
    colors = {marker: {line.get_color() for line in _lines(ax, marker)} for marker in "sDop"}
    assert [len(colors[marker]) for marker in "sDop"] == [1, 1, 1, 1]
    for (color,) in colors.values():
        assert to_rgb(color) @ np.array([0.299, 0.587, 0.114]) < 0.5
    # Every drawing has the same colours for the same kinds.
    assert {row_look(kind)[0] for kind in ("raw", "control", "transfer")} == set.union(
        *colors.values()
    )


def test_a_column_is_wide_enough(result: TransferComparison) -> None:
    display = TransferComparisonDisplay(result).plot()
    figure = display.figure_
    assert figure.get_figwidth() == 3.5
    figure.canvas.draw()
    edges = figure.bbox
    for text in display.ax_.texts:
        box = text.get_window_extent()
        assert edges.x0 <= box.x0
        assert box.x1 <= edges.x1
        assert text.get_fontsize() >= 6
    boxes = [text.get_window_extent() for text in display.ax_.texts]
    assert all(below.y1 < above.y0 for above, below in pairwise(boxes))


def test_rows_that_could_not_be_computed_are_left_out(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Any
) -> None:
    missing = _extractor().set_params(weights=tmp_path / "none.h5")
    result = compare_transfer(*digits, extractors={"a": missing}, optional=["a"], cv=2)
    display = TransferComparisonDisplay(result).plot()
    assert len(display.ax_.texts) == 4
    assert display.ax_.texts[-1].get_text().startswith("a, random weights")


def test_axes_are_taken_and_plotting_twice_is_fine(result: TransferComparison) -> None:
    figure, ax = plt.subplots()
    display = TransferComparisonDisplay(result).plot(ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert display.plot().ax_ is not ax


def test_a_pipeline_gives_extractor_and_classifier(digits: tuple[np.ndarray, np.ndarray]) -> None:
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1))
    pipeline = make_pipeline(_extractor(), *classifier)
    display = TransferComparisonDisplay.from_estimator(
        pipeline, *digits, cv=2, scoring=["balanced_accuracy"]
    )
    names = [row.name for row in display.result.rows]
    assert names[2:] == ["vgg16 random weights, block1_pool max-pooled, 32 px"]
    assert "C=0.1" in display.result.classifier
    assert display.ax_.get_xlabel().startswith("balanced_accuracy\n(")
    with pytest.raises(TypeError, match=r"from_estimator needs a VGGFeatureExtractor"):
        TransferComparisonDisplay.from_estimator(LogisticRegression(), *digits)
    with pytest.raises(TypeError, match=r"'classifier' parameter of compare_transfer"):
        TransferComparisonDisplay.from_estimator(
            make_pipeline(_extractor(), StandardScaler()), *digits
        )
