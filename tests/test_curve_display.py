"""Curves are drawn from the numbers of the result, with what tells them apart."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from sktransfer import TransferCurveDisplay, VGGFeatureExtractor, load_digit_pair
from sktransfer.displays._palette import row_look
from sktransfer.evaluation.curves.estimates import Design
from sktransfer.evaluation.curves.judging import judge
from sktransfer.evaluation.curves.result import CurveRow, TransferCurve

plt = pytest.importorskip("matplotlib.pyplot")

pytestmark = pytest.mark.usefixtures("no_windows")


def _curve(*, shift: float = 0.0, n_features: int = 1, sizes: int = 6) -> TransferCurve:
    labels = 4 * 2 ** np.arange(sizes)
    noise = np.random.default_rng(0).normal(0, 0.01, (sizes, 5))
    rows = []
    kinds = ["raw", "raw", "control", *["transfer"] * n_features]
    for i, kind in enumerate(kinds):
        means = 0.99 - (0.5 - 0.06 * i) * (labels[:, None] / 4) ** -0.9
        scores = np.clip(means + noise, 0, 1) + shift
        rows.append(CurveRow(f"{kind} {i}", kind, 10, scores.tolist()))
    design = Design(labels, int(labels[-1]) + 50, 50, False)
    found = judge(rows, design, 0)
    judged = found.criteria, found.savings
    return TransferCurve(
        design.n_images, 50, False, 5, [0, 1], "accuracy", labels.tolist(), rows, *judged
    )


def _lines(ax: Any, kind: str) -> list[Any]:
    return [line for line in ax.lines if line.get_linestyle() == kind and len(line.get_xdata())]


def test_points_and_laws_are_those_of_the_result() -> None:
    curve = _curve()
    display = TransferCurveDisplay(curve).plot()
    points = _lines(display.ax_, "None")
    laws = _lines(display.ax_, "--") + _lines(display.ax_, ":")
    assert len(points) == len(laws) == len(display.ax_.collections) == 4
    for row, line in zip(curve.rows, points, strict=True):
        assert line.get_xdata().tolist() == curve.sizes
        assert list(line.get_ydata()) == [mean.value for mean in row.means]
    for row in curve.rows:
        assert row.law is not None
        drawn = [
            line
            for line in laws
            if np.allclose(line.get_ydata(), row.law.predict(line.get_xdata()))
        ]
        assert [line.get_linestyle() for line in drawn] == [":" if row.law.doubt else "--"]
    assert display.ax_.get_xscale() == "log"
    assert display.ax_.get_ylabel() == "accuracy (logarithmic in 1 - accuracy)"
    # Every measured size has a tick, and the largest its number.
    ticks = {*display.ax_.get_xticks(), *display.ax_.get_xticks(minor=True)}
    assert ticks == set(curve.sizes)
    numbers = [label.get_text() for label in display.ax_.get_xticklabels()]
    assert numbers[0] == f"{curve.sizes[-1]:,}"
    assert 3 <= len(numbers) <= 9
    assert display.figure_ is display.ax_.figure


def test_rows_differ_in_colour_and_in_marker() -> None:
    display = TransferCurveDisplay(_curve(n_features=5)).plot()
    points = _lines(display.ax_, "None")
    assert len({line.get_color() for line in points}) == len(points) == 8
    marks = {(line.get_marker(), line.get_markerfacecolor()) for line in points}
    assert len(marks) == len(points)


def test_kinds_have_the_colours_of_every_drawing() -> None:
    curve = _curve(n_features=2)
    points = _lines(TransferCurveDisplay(curve).plot().ax_, "None")
    colors = [line.get_color() for line in points]
    looks = [("raw", 0), ("raw", 1), ("control", 0), ("transfer", 0), ("transfer", 1)]
    assert [row.kind for row in curve.rows] == [kind for kind, _ in looks]
    assert colors == [row_look(*look)[0] for look in looks]


@pytest.mark.parametrize("n_features", [1, 6])
def test_the_legend_of_long_names_is_not_clipped(n_features: int) -> None:
    curve = _curve(n_features=n_features)
    for row in curve.rows:
        row.name = f"vgg19 a_file_of_weights_notop.h5, {row.name} block5_conv4 max-pooled, 224 px"
    figure = TransferCurveDisplay(curve).plot().figure_
    figure.canvas.draw()
    (legend,) = figure.legends
    box, page = legend.get_window_extent(), figure.bbox
    assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0
    assert box.y1 < figure.axes[0].get_window_extent().y0


def test_the_legend_names_rows_and_what_is_drawn() -> None:
    curve = _curve()
    display = TransferCurveDisplay(curve).plot()
    (legend,) = display.figure_.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[:4] == [row.name for row in curve.rows]
    assert "95 % interval" in texts
    assert "power law" in texts


def test_given_axes_are_drawn_in_and_keep_their_size() -> None:
    figure, ax = plt.subplots(figsize=(5, 4))
    display = TransferCurveDisplay(_curve()).plot(ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert figure.get_size_inches().tolist() == [5, 4]
    assert ax.get_legend() is not None


def test_equal_steps_are_equal_parts_of_what_is_missing() -> None:
    ax = TransferCurveDisplay(_curve()).plot().ax_
    to_axis = ax.yaxis.get_transform().transform
    high, middle, low = to_axis(np.array([0.95, 0.9, 0.8]))
    assert high - middle == pytest.approx(middle - low)
    bottom, top = ax.get_ylim()
    assert all(bottom <= tick <= top for tick in ax.get_yticks())


def test_scores_beyond_0_to_1_stand_on_a_plain_axis_joined_by_lines() -> None:
    curve = _curve(shift=-1.0)
    display = TransferCurveDisplay(curve).plot()
    assert display.ax_.get_yscale() == "linear"
    assert len(_lines(display.ax_, "-")) == 4
    assert not _lines(display.ax_, "--")


def test_perfect_scores_are_drawn_at_the_upper_edge() -> None:
    sizes = np.array([4, 8, 16, 32])
    rows = [CurveRow("raw pixels", "raw", 10, np.ones((4, 3)).tolist())]
    found = judge(rows, Design(sizes, 82, 50, False), 0)
    judged = found.criteria, found.savings
    curve = TransferCurve(82, 50, False, 3, [0, 1], "accuracy", sizes.tolist(), rows, *judged)
    display = TransferCurveDisplay(curve).plot()
    display.figure_.canvas.draw()
    bottom, top = display.ax_.get_ylim()
    assert np.isfinite([bottom, top]).all()
    assert bottom < top < 1


def test_drawing_warns_of_nothing(tmp_path: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = TransferCurveDisplay(_curve(n_features=7)).plot().figure_
        for ending in ("png", "svg", "pdf"):
            figure.savefig(tmp_path / f"curve.{ending}")


@pytest.mark.filterwarnings("ignore::sktransfer.CurveWarning")
def test_from_estimator_computes_what_it_draws() -> None:
    X, y = load_digit_pair(return_X_y=True)
    extractor = VGGFeatureExtractor(
        ["block1_conv1", "block1_pool"], weights=None, pooling="max", input_size=32, random_state=0
    )
    params: dict[str, Any] = {"sizes": [4, 8], "n_repeats": 2}
    display = TransferCurveDisplay.from_estimator(extractor, X[:40], y[:40], **params)
    names = [row.name for row in display.curve.rows]
    assert names[-1] == "vgg16 random weights, block1_conv1 + block1_pool max-pooled, 32 px"
    _, ax = plt.subplots()
    pipeline = make_pipeline(extractor, GaussianNB(var_smoothing=0.1))
    other = TransferCurveDisplay.from_estimator(pipeline, X[:40], y[:40], ax=ax, **params)
    assert other.ax_ is ax
    # The classifier of the pipeline sees raw pixels too, once.
    assert [row.name for row in other.curve.rows] == ["raw pixels", names[-1]]
    assert other.curve.rows[-1].scores != display.curve.rows[-1].scores


def test_what_is_no_extractor_is_refused() -> None:
    with pytest.raises(TypeError, match=r"needs a VGGFeatureExtractor or Image.*, or a pipeline"):
        TransferCurveDisplay.from_estimator(VGGFeatureExtractor, [], [])


def test_without_matplotlib_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"TransferCurveDisplay\.plot draws with matplotlib"):
        TransferCurveDisplay(_curve()).plot()
    with pytest.raises(ImportError, match=r"TransferCurveDisplay\.from_estimator draws"):
        TransferCurveDisplay.from_estimator(VGGFeatureExtractor(), [], [])
