"""Learning curves, drawn: scores against numbers of labels, with intervals and fitted laws."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.curves import transfer_curve
from sktransfer.curves.estimates import Estimate, is_share
from sktransfer.curves.result import CurveRow, TransferCurve
from sktransfer.displays._matplotlib import check_matplotlib
from sktransfer.displays._palette import (
    BLUE,
    COLUMN_WIDTH,
    GREEN,
    NORMAL,
    ORANGE,
    PURPLE,
    SKY,
    SMALL,
    VERMILION,
    inks,
)
from sktransfer.probing import split_estimator
from sktransfer.probing.planning import name_extractor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What is light on white comes last. Markers differ too. Raw pixels, with which all is compared, are
# grey as the style in force has it.
_STYLES = {
    "raw": [("muted", "s", False), ("text", "s", True)],
    "others": [
        (VERMILION, "^", False),
        (BLUE, "o", True),
        (GREEN, "D", True),
        (PURPLE, "v", True),
        (SKY, "P", True),
        (ORANGE, "X", True),
    ],
}
_NAME_WIDTH = 28  # letters of a name in a line of the legend


class TransferCurveDisplay:
    """Learning curves on a logarithmic axis of labels.

    Points are means over repeats, bands their 95 % intervals, and dashed lines the fitted power
    laws, led on to twice the labels; a law in doubt is dotted. Scores from 0 to 1 stand on an axis
    that is logarithmic in what they lack: 0.98 and 0.99 are as far apart as 0.8 and 0.9.

    It is recommended to use :meth:`from_estimator` to create a display, or to pass a result of
    :func:`transfer_curve`.

    Parameters
    ----------
    curve : TransferCurve
        What :func:`transfer_curve` returned.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure that contains them.

    See Also
    --------
    transfer_curve : Computes what is drawn.

    References
    ----------
    M. Okabe, K. Ito, "Color Universal Design", 2008, https://jfly.uni-koeln.de/color/ (the
    palette).

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

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, ax: Axes | None = None, **params: Any
    ) -> TransferCurveDisplay:
        """Compute learning curves and draw them.

        Parameters
        ----------
        estimator : VGGFeatureExtractor or Pipeline
            An extractor, or a pipeline of one and a classifier, which is then fitted on raw pixels
            too. Fitted or not.
        X : array-like, DataFrame, or list of paths, PIL images or arrays
            Images in any form that :class:`VGGFeatureExtractor` takes.
        y : array-like of shape (n_images,)
            Labels of at least two classes.
        ax : matplotlib Axes, default=None
            Axes to draw in. If `None`, a new figure is created.
        **params : dict
            Further parameters of :func:`transfer_curve`.

        Returns
        -------
        TransferCurveDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If `estimator` is neither, or its last step is no classifier.
        ValueError, OSError
            As :func:`transfer_curve` raises them.
        ImportError
            If matplotlib is not installed.
        """
        who = f"{cls.__name__}.from_estimator"
        check_matplotlib(who)
        extractor, classifier = split_estimator(estimator, who=who)
        if classifier is not None:
            params = {"classifier": classifier} | params
        extractors = {name_extractor(extractor): extractor}
        return cls(transfer_curve(X, y, extractors=extractors, **params)).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> TransferCurveDisplay:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw in; 3.5 inches of width are enough. If `None`, a new figure is created.

        Returns
        -------
        TransferCurveDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        is_own = ax is None
        if ax is None:
            _, ax = plt.subplots(figsize=(COLUMN_WIDTH, COLUMN_WIDTH), layout="constrained")
            ax.tick_params(labelsize=NORMAL)
        rows = self.curve.available
        ax.set_xscale("log")
        if all(is_share(np.array(row.scores)) for row in rows):
            _scale_misses(ax, [mean for row in rows for mean in row.means])
        styles = {kind: list(some) for kind, some in _STYLES.items()}
        for row in rows:
            some = styles["raw" if row.kind == "raw" else "others"]
            some.append(some.pop(0))  # the first one again when all are used up
            _draw_row(ax, row, np.array(self.curve.sizes), *some[-1])
        size: dict[str, Any] = {"fontsize": NORMAL} if is_own else {}
        ax.set_xlabel("labels", **size)
        ax.set_ylabel(self.curve.metric, **size)
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.grid(color=inks().faint, linewidth=0.5)
        ax.set_axisbelow(True)
        _add_legend(ax, rows, is_own)
        self.ax_ = ax
        self.figure_ = ax.figure
        return self


def _draw_row(
    ax: Axes, row: CurveRow, sizes: np.ndarray, color: str, marker: str, is_filled: bool
) -> None:
    ink = inks()
    color = getattr(ink, color, color)
    means = [mean.value for mean in row.means]
    lows, highs = [mean.low for mean in row.means], [mean.high for mean in row.means]
    ax.fill_between(sizes, lows, highs, color=color, alpha=0.15, linewidth=0)
    style: dict[str, Any] = {"color": color, "linewidth": 1.1}
    dots: dict[str, Any] = {
        "marker": marker,
        "markersize": 3.5,
        "markerfacecolor": color if is_filled else ink.ground,
        "markeredgewidth": 0.9,
        "label": textwrap.fill(row.name, _NAME_WIDTH),
    }
    if row.law is None:
        ax.plot(sizes, means, **style, **dots)
        return
    law_style = ":" if row.law.doubt else "--"
    ax.plot(sizes, means, linestyle="none", **style, **dots)
    along = np.geomspace(sizes[0], 2 * sizes[-1], 100)
    ax.plot(along, row.law.predict(along), linestyle=law_style, **style)


def _add_legend(ax: Axes, rows: list[CurveRow], is_own: bool) -> None:
    """Name the rows, and say what bands and lines are."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles, names = ax.get_legend_handles_labels()
    handles.append(Patch(color=inks().muted, alpha=0.3, linewidth=0))
    names.append("95 % interval")
    doubts = [row.law.doubt is not None for row in rows if row.law is not None]
    for is_there, line, name in (
        (False in doubts, "--", "power law"),
        (True in doubts, ":", "power law, in doubt"),
    ):
        if is_there:
            handles.append(Line2D([], [], color=inks().muted, ls=line, linewidth=1.1))
            names.append(name)
    common: dict[str, Any] = {"fontsize": SMALL, "handlelength": 2.0}
    if is_own:  # below, where it hides nothing
        common |= {"loc": "outside lower center", "ncols": 2, "frameon": False}
        legend = ax.figure.legend(handles, names, **common)
    else:
        legend = ax.legend(handles, names, loc="lower right", framealpha=0.9, **common)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a dollar in a name is a dollar


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
    ax.minorticks_off()
