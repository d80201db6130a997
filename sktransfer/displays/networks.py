"""Drawing of a sweep across networks: score against cost."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.displays._display import Display, make_axes
from sktransfer.displays._palette import COLORS, NORMAL, SMALL, inks
from sktransfer.evaluation.sweep.across_result import NetworkSweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEIGHT = 2.8
_NAME = 32  # letters of a name


class NetworkSweepDisplay(Display):
    """Drawing of :func:`sweep_networks`: the score of each network against its cost.

    One point for each row, milliseconds per image to the right on a logarithmic scale. A line joins
    the rows of the Pareto front, than which no faster one is as good; the others are paler.
    Whiskers are one standard deviation over the folds.

    Parameters
    ----------
    result : NetworkSweep
        What :func:`sweep_networks` returned, with at least one row.

    See Also
    --------
    sweep_networks : The same as a table, with tested differences.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sktransfer import (
    ...     ImageFeatureExtractor, NetworkSweepDisplay, load_digit_pair, sweep_networks
    ... )
    >>> X, y = load_digit_pair(return_X_y=True)
    >>> network = ImageFeatureExtractor("MobileNetV2", weights=None, random_state=0)
    >>> sweep = sweep_networks(
    ...     X[:40], y[:40], networks={"random": network}, input_sizes=[32], cv=2
    ... )
    >>> display = NetworkSweepDisplay(sweep).plot()
    >>> display.ax_.get_xlabel()
    'milliseconds per image'
    >>> plt.close(display.figure_)
    """

    def __init__(self, result: NetworkSweep) -> None:
        self.result = result

    def _draw(self, ax: Axes | None) -> Axes:
        costs = {id(row): row.milliseconds for row in self.result.rows if row.milliseconds}
        rows = [row for row in self.result.rows if id(row) in costs]
        if not rows:
            raise ValueError(
                f"{type(self).__name__}.plot needs a sweep with at least one row whose cost was "
                f"measured. Got one with {len(self.result.skipped)} skipped."
            )
        ax = make_axes(_HEIGHT) if ax is None else ax
        ink, metric = inks(), self.result.metric
        front = [row for row in self.result.front if row in rows]
        ax.plot(
            [costs[id(row)] for row in front],
            [np.mean(row.scores[metric]) for row in front],
            color=ink.muted,
            lw=1.0,
            zorder=1,
        )
        for row in rows:
            is_on_front = row in front
            scores = np.array(row.scores[metric])
            ax.errorbar(
                costs[id(row)],
                scores.mean(),
                scores.std(),
                color=COLORS[0] if is_on_front else ink.muted,
                marker="o",
                ms=4.5,
                elinewidth=0.7,
                alpha=1 if is_on_front else 0.6,
            )
            name = textwrap.shorten(row.network, _NAME, placeholder="...")
            label = ax.annotate(
                f" {name}, {row.variant.input_size} px",
                (costs[id(row)], scores.mean()),
                fontsize=SMALL,
                color=ink.text,
                xytext=(2, 3),
                textcoords="offset points",
                parse_math=False,  # a dollar in a name is a dollar
            )
            label.set_in_layout(False)  # a long name must not squeeze the axes
        ax.set_xscale("log")
        self._format(ax, metric)
        ax.grid(axis="y", color=ink.faint, linewidth=0.5)
        return ax

    def _format(self, ax: Any, metric: str) -> None:
        ax.set_xlabel("milliseconds per image", fontsize=NORMAL)
        ax.set_ylabel(f"{metric}, mean of {self.result.n_folds} folds", fontsize=NORMAL)
        ax.tick_params(labelsize=SMALL)
        ax.set_axisbelow(True)
        ax.margins(x=0.25)
        ax.spines[["top", "right"]].set_visible(False)
