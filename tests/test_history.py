"""Histories of training, as three numbers and as a drawing."""

from __future__ import annotations

from typing import Any

import pytest

from sktransfer import HistoryDisplay, VGGClassifier
from sktransfer.training.finetuning.history import summarise_curve


def _rows(scores: list[float], validation: list[float] | None = None) -> list[dict[str, Any]]:
    return [
        {
            "phase": "head" if i < 2 else "blocks",
            "epoch": i + 1,
            "score": score,
            "loss": 1 - score,
            "validation_score": validation and validation[i],
            "validation_loss": validation and 1 - validation[i],
        }
        for i, score in enumerate(scores)
    ]


@pytest.mark.parametrize(
    ("scores", "start", "slope", "asymptote"),
    [
        ([0.5, 0.7, 0.9, 0.9, 0.9], 0.5, 0.2, 0.9),
        ([0.9, 0.7, 0.5, 0.5, 0.5], 0.9, -0.2, 0.5),
        ([0.7], 0.7, 0.0, 0.7),
        ([0.5, 0.5, 0.5], 0.5, 0.0, 0.5),
        ([0.0] + [1.0] * 8 + [0.8], 0.0, 1.0, 0.9),
    ],
)
def test_start_slope_and_asymptote(
    scores: list[float], start: float, slope: float, asymptote: float
) -> None:
    summary = summarise_curve(scores)
    assert (summary.start, summary.slope, summary.asymptote) == pytest.approx(
        (start, slope, asymptote)
    )


@pytest.mark.usefixtures("no_windows")
def test_curves_are_drawn_by_name() -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    histories = {
        "frozen": _rows([0.5, 0.6, 0.7]),
        "tuned": _rows([0.5, 0.7, 0.9], [0.4, 0.6, 0.8]),
    }
    display = HistoryDisplay(histories).plot()
    (legend,) = display.figure_.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == [
        "frozen",
        "tuned",
        "training images",
        "validation images",
        "layers are unfrozen",
    ]
    assert display.summarise()["tuned"].start == 0.4
    assert display.summarise()["frozen"].start == 0.5
    _, ax = plt.subplots()
    assert display.plot(metric="loss", ax=ax).ax_ is ax
    assert ax.get_ylabel() == "loss"
    with pytest.raises(ValueError, match=r"'metric' parameter of HistoryDisplay\.plot must be one"):
        display.plot(metric="accuracy")
    plt.close("all")


@pytest.mark.usefixtures("no_windows")
def test_trials_of_a_rate_are_no_part_of_the_curve() -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    rows = _rows([0.5, 0.1, 0.1, 0.7, 0.9])
    for row, phase in zip(rows, ["probe", "trial", "trial", "blocks", "blocks"], strict=True):
        row["phase"] = phase
    rows[1]["validation_score"] = 0.2
    display = HistoryDisplay({"tuned": rows}).plot()
    assert display.summarise()["tuned"].slope == pytest.approx(0.2)
    curve, mark = display.ax_.lines
    assert list(curve.get_xdata()) == [1, 2, 3]
    assert list(curve.get_ydata()) == [0.5, 0.7, 0.9]
    assert (list(mark.get_xdata()), list(mark.get_ydata())) == ([2], [0.7])
    plt.close("all")


def test_only_what_was_trained_has_a_history() -> None:
    plt = pytest.importorskip("matplotlib.pyplot")
    with pytest.raises(TypeError, match="must be a fitted ImageClassifier or VGGClassifier"):
        HistoryDisplay.from_estimator(VGGClassifier())
    fitted = VGGClassifier()
    fitted.history_ = _rows([0.5, 0.6])
    assert list(HistoryDisplay.from_estimator(fitted).histories) == ["VGGClassifier"]
    assert list(HistoryDisplay.from_estimator({"a": fitted}).histories) == ["a"]
    plt.close("all")
