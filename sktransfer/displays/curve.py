"""Learning curves, drawn: scores against numbers of labels, with intervals and fitted laws."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.displays._display import ResultDisplay, add_legend, make_axes
from sktransfer.displays._palette import NORMAL, inks, row_look
from sktransfer.evaluation.curves import transfer_curve
from sktransfer.evaluation.curves.estimates import Estimate, are_fractions
from sktransfer.evaluation.curves.result import CurveRow, TransferCurve
from sktransfer.evaluation.probing.naming import name_extractor

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_HEIGHT, _LINE = 2.7, 0.14  # inches: axes with their labels, a line of the legend
_N_NUMBERS = 8  # on the axis of labels
_WIDE, _NARROW = 50, 28  # letters of a name in a line of the legend, below the axes and inside


class TransferCurveDisplay(ResultDisplay):
    """Learning curves on a logarithmic axis of labels.

    Points are means over repeats, bands their 95 % intervals, and dashed lines the fitted power
    laws, extrapolated to twice the labels; a law in doubt is dotted. The axis of labels has its
    ticks at the numbers that were measured. Scores from 0 to 1 have an axis that is logarithmic in
    1 - score, as its name says: 0.98 and 0.99 are as far apart as 0.8 and 0.9.

    It is recommended to use :meth:`from_estimator` to create a display, or to pass a result of
    :func:`transfer_curve`.

    Parameters
    ----------
    curve : TransferCurve
        What :func:`transfer_curve` returned.

    See Also
    --------
    transfer_curve : Computes what is drawn.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sktransfer import TransferCurveDisplay, VGGFeatureExtractor, load_digit_pair
    >>> X, y = load_digit_pair(return_X_y=True)
    >>> random = VGGFeatureExtractor(
    ...     "block1_pool", weights=None, pooling="max", input_size=32, random_state=0
    ... )
    >>> display = TransferCurveDisplay.from_estimator(
    ...     random, X[:40], y[:40], sizes=[4, 8], n_repeats=3
    ... )
    >>> display.ax_.get_xscale()
    'log'
    >>> plt.close(display.figure_)
    """

    def __init__(self, curve: TransferCurve) -> None:
        self.curve = curve

    @staticmethod
    def _compute(X: Any, y: Any, extractor: Any, **params: Any) -> TransferCurve:
        return transfer_curve(X, y, extractors={name_extractor(extractor): extractor}, **params)

    def _draw(self, ax: Axes | None) -> Axes:
        is_own = ax is None
        rows = self.curve.available
        explained = _explain(rows, _WIDE if is_own else _NARROW)
        if ax is None:
            n_lines = sum(1 + str(handle.get_label()).count("\n") for handle in explained)
            ax = make_axes(_HEIGHT + _LINE * n_lines)
            ax.tick_params(labelsize=NORMAL)
        ax.set_xscale("log")
        name = self.curve.metric
        if all(are_fractions(np.array(row.scores)) for row in rows):
            _scale_misses(ax, [mean for row in rows for mean in row.means])
            name += f" (logarithmic in 1 - {name})"
        for row, look in zip(rows, _looks(rows), strict=True):
            _draw_row(ax, row, np.array(self.curve.sizes), _style(*look))
        size: dict[str, Any] = {"fontsize": NORMAL} if is_own else {}
        ax.set_xlabel("labels", **size)
        ax.set_ylabel(name, **size)
        _mark_sizes(ax, self.curve.sizes)
        ax.grid(color=inks().faint, linewidth=0.5)
        ax.set_axisbelow(True)
        add_legend(ax, explained, is_own=is_own)
        return ax


def _looks(rows: list[CurveRow]) -> list[tuple[str, str, bool]]:
    """Return colour, marker, and whether it is filled, of each row: by its kind."""
    kinds = [row.kind for row in rows]
    return [row_look(kind, kinds[:i].count(kind)) for i, kind in enumerate(kinds)]


def _style(color: str, marker: str, is_filled: bool) -> dict[str, Any]:
    return {
        "color": color,
        "linewidth": 1.1,
        "marker": marker,
        "markersize": 3.5,
        "markerfacecolor": color if is_filled else inks().ground,
        "markeredgewidth": 0.9,
    }


def _draw_row(ax: Axes, row: CurveRow, sizes: np.ndarray, style: dict[str, Any]) -> None:
    means = [mean.value for mean in row.means]
    lows, highs = [mean.low for mean in row.means], [mean.high for mean in row.means]
    ax.fill_between(sizes, lows, highs, color=style["color"], alpha=0.15, linewidth=0)
    if row.law is None:
        ax.plot(sizes, means, **style)
        return
    ax.plot(sizes, means, **style, linestyle="none")
    along = np.geomspace(sizes[0], 2 * sizes[-1], 100)
    law_style = {**style, "marker": "", "linestyle": ":" if row.law.doubt else "--"}
    ax.plot(along, row.law.predict(along), **law_style)


def _explain(rows: list[CurveRow], width: int) -> list[Artist]:
    """Name the rows, in lines of `width` letters, and say what bands and lines are."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Artist] = [
        Line2D([], [], linestyle="none", label=textwrap.fill(row.name, width), **_style(*look))
        for row, look in zip(rows, _looks(rows), strict=True)
    ]
    muted = inks().muted
    handles.append(Patch(color=muted, alpha=0.3, linewidth=0, label="95 % interval"))
    doubts = {row.law.doubt is not None for row in rows if row.law is not None}
    for doubt, line, name in ((False, "--", "power law"), (True, ":", "power law, in doubt")):
        if doubt in doubts:
            handles.append(Line2D([], [], color=muted, ls=line, linewidth=1.1, label=name))
    return handles


def _mark_sizes(ax: Axes, sizes: list[int]) -> None:
    """Put a tick at each number of labels, and the number where there is room for it."""
    apart = (sizes[-1] / sizes[0]) ** (1 / _N_NUMBERS)
    shown = [sizes[-1]]
    for n in sizes[-2::-1]:
        if shown[-1] / n >= apart:
            shown.append(n)
    ax.set_xticks(shown, [f"{n:,}" for n in shown])
    ax.set_xticks(sizes, [""] * len(sizes), minor=True)


def _scale_misses(ax: Axes, means: list[Estimate]) -> None:
    """Make the axis logarithmic in what a score lacks to 1."""
    misses = np.array([1 - mean.value for mean in means])
    # A mean without a miss, and the end of an interval beyond 1, stand at the upper edge.
    least = misses[misses > 0].min() / 2 if misses.any() else 0.001
    most = min(1.0, max(10 * least, *(1.1 * (1 - mean.low) for mean in means)))

    def to_axis(scores: np.ndarray) -> np.ndarray:
        return -np.log10(np.maximum(1 - np.asarray(scores, dtype=float), least))

    def to_scores(values: np.ndarray) -> np.ndarray:
        return 1 - 10 ** -np.asarray(values, dtype=float)

    ax.set_yscale("function", functions=(to_axis, to_scores))
    ax.set_ylim(1 - most, 1 - least)
    steps = [round(1 - step / 10**power, 6) for power in range(1, 6) for step in (10, 5, 2)]
    ticks = [step for step in steps if 1 - most <= step <= 1 - least]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.yaxis.minorticks_off()
