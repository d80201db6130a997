"""Drawing of a sweep across networks: score against cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.displays._display import Display, add_legend, make_axes
from sktransfer.displays._palette import NORMAL, SMALL, inks, style
from sktransfer.evaluation.sweep.across_result import NetworkSweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEIGHT = 2.5
_LINE = 0.16  # of the legend


class NetworkSweepDisplay(Display):
    """Drawing of :func:`sweep_networks`: the score of each network against its cost.

    One point for each row, with a colour and a marker for each network, and milliseconds per image
    on a logarithmic scale. A line joins the rows of the Pareto front: no faster row scores as
    well. Whiskers are one standard deviation over the folds.

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
        from matplotlib.lines import Line2D

        costs = {id(row): row.milliseconds for row in self.result.rows if row.milliseconds}
        rows = [row for row in self.result.rows if id(row) in costs]
        if not rows:
            raise ValueError(
                f"{type(self).__name__}.plot needs a sweep with at least one row whose cost was "
                f"measured. Got one with {len(self.result.skipped)} skipped."
            )
        is_own = ax is None
        if ax is None:
            n_networks = len({row.network for row in rows})
            ax = make_axes(_HEIGHT + _LINE * (1 + n_networks))
        ink, metric = inks(), self.result.metric
        front = [row for row in self.result.front if row in rows]
        ax.plot(
            [costs[id(row)] for row in front],
            [np.mean(row.scores[metric]) for row in front],
            color=ink.muted,
            lw=1.0,
            zorder=1,
        )
        looks = {name: style(i) for i, name in enumerate(dict.fromkeys(r.network for r in rows))}
        for row in rows:
            color, marker = looks[row.network]
            scores = np.array(row.scores[metric])
            ax.errorbar(
                costs[id(row)],
                scores.mean(),
                scores.std(),
                color=color,
                marker=marker,
                ms=4.5,
                elinewidth=0.7,
                mec=ink.ground,
                mew=0.5,
            )
        ax.set_xscale("log")
        self._format(ax, metric)
        ax.grid(axis="y", color=ink.faint, linewidth=0.5)
        keys = [
            Line2D([], [], color=color, marker=marker, ls="none", ms=4.5, label=name)
            for name, (color, marker) in looks.items()
        ]
        keys.append(Line2D([], [], color=ink.muted, lw=1.0, label="Pareto front"))
        add_legend(ax, keys, is_own=is_own)
        return ax

    def _format(self, ax: Any, metric: str) -> None:
        ax.set_xlabel("milliseconds per image", fontsize=NORMAL)
        ax.set_ylabel(f"{metric}, mean of {self.result.n_folds} folds", fontsize=NORMAL)
        ax.tick_params(labelsize=SMALL)
        ax.set_axisbelow(True)
        ax.xaxis.set_major_formatter("{x:g}")
        ax.spines[["top", "right"]].set_visible(False)
