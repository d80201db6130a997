"""Drawing of a comparison: every fold, the means, and which differences are more than noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.displays._display import ResultDisplay, make_axes
from sktransfer.displays._palette import inks, row_look
from sktransfer.evaluation.comparison import compare_transfer
from sktransfer.evaluation.comparison.result import TransferComparison
from sktransfer.evaluation.probing.naming import name_extractor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW_HEIGHT, _MARGINS = 0.42, 0.8  # inches


class TransferComparisonDisplay(ResultDisplay):
    """Drawing of :func:`compare_transfer`: the scores of each row, and its difference beside them.

    On the left are the scores: a small dot for each fold, and a larger mark for their mean. On
    the right is the difference of each row of features to the best row of raw pixels, with its
    95 % interval: one that crosses the dashed line is within noise. Rows as in the article have no
    difference there, because they are compared with another row.

    It is recommended to use :meth:`from_estimator`, or to pass the result of
    :func:`compare_transfer`.

    Parameters
    ----------
    result : TransferComparison
        What :func:`compare_transfer` returned.

    Attributes
    ----------
    ax_, differences_ax_ : matplotlib Axes
        Where scores and differences are drawn.

    See Also
    --------
    compare_transfer : The same as tables, with a verdict.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sktransfer import TransferComparisonDisplay, VGGFeatureExtractor, load_digit_pair
    >>> X, y = load_digit_pair(return_X_y=True)
    >>> random = VGGFeatureExtractor(
    ...     "block1_pool", weights=None, pooling="max", input_size=32, random_state=0
    ... )
    >>> display = TransferComparisonDisplay.from_estimator(random, X[:40], y[:40], cv=2)
    >>> len(display.result.rows)
    4
    >>> plt.close(display.figure_)
    """

    def __init__(self, result: TransferComparison) -> None:
        self.result = result

    @staticmethod
    def _compute(X: Any, y: Any, extractor: Any, **params: Any) -> TransferComparison:
        return compare_transfer(X, y, extractors={name_extractor(extractor): extractor}, **params)

    def _draw(self, ax: Axes | None) -> Axes:
        result = self.result
        metric = result.metrics[0]
        rows = [row for row in result.rows if row.unavailable is None]
        if ax is None:
            ax = make_axes(_MARGINS + _ROW_HEIGHT * len(rows))
        ink = inks()
        beside = _part(ax)
        beside.axvline(0, color=ink.muted, linestyle="--", linewidth=0.8)
        for place, row in enumerate(rows):
            color, marker, _ = row_look(row.kind)
            scores = np.array(row.scores[metric])
            # Equal scores would hide each other: they are spread a little, always the same way.
            spread = 0.1 * np.linspace(-1, 1, len(scores))
            ax.plot(scores, place + spread, ".", color=color, markersize=5, alpha=0.45, mew=0)
            mark: dict[str, Any] = {"color": color, "markersize": 5, "mec": ink.ground, "mew": 0.5}
            ax.plot(scores.mean(), place, marker, **mark)
            difference = row.against_raw
            if row.kind != "article" and difference is not None:
                if not math.isnan(difference.low):
                    ends = difference.low, difference.high
                    beside.plot(ends, [place] * 2, color=color, lw=1.6, solid_capstyle="butt")
                beside.plot(difference.mean, place, marker, **mark)
            label = ax.annotate(
                f"{row.name}  {row.mean(metric):.3f}",
                (0, place - 0.26),
                xycoords=("axes fraction", "data"),
                xytext=(3, 0),
                textcoords="offset points",
                fontsize=6.5,
                color=ink.text,
                va="center",
                bbox={"facecolor": ink.ground, "edgecolor": "none", "pad": 0.8, "alpha": 0.8},
                parse_math=False,  # a dollar in a name is a dollar
            )
            label.set_in_layout(False)  # a long name must not squeeze the axes
        ax.set_xlabel(f"{metric}\n({result.n_folds} folds and mean)", fontsize=7)
        beside.set_xlabel("difference to the best\nraw row (95 % interval)", fontsize=7)
        for each in (ax, beside):
            each.set_ylim(len(rows) - 0.6, -0.55)
            each.set_yticks([])
            each.tick_params(axis="x", labelsize=7)
            each.locator_params(axis="x", nbins=4)
            each.spines[["top", "right", "left"]].set_visible(False)
        beside.xaxis.set_major_formatter(_spell_difference)
        self.differences_ax_ = beside
        return ax


def _part(ax: Axes) -> Axes:
    """Part axes in two, the right one for differences."""
    from mpl_toolkits.axes_grid1 import make_axes_locatable

    beside = make_axes_locatable(ax).append_axes("right", size="80%", pad=0.2)
    # Names of rows reach into it, over its line of no difference.
    beside.patch.set_visible(False)
    ax.patch.set_visible(False)
    ax.set_zorder(beside.get_zorder() + 1)
    return beside


def _spell_difference(value: float, _: float) -> str:
    return f"{value:+.3g}" if value else "0"
