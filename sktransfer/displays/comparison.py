"""Drawing of a comparison: every fold, the means, and which differences are more than noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.comparison import compare_transfer
from sktransfer.comparison.result import TransferComparison
from sktransfer.displays._matplotlib import check_matplotlib
from sktransfer.displays._palette import BLUE, COLUMN_WIDTH, VERMILION, inks
from sktransfer.probing import METRICS, split_estimator
from sktransfer.probing.planning import name_extractor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colour and marker of each kind of row: told apart without colour, too.
_STYLES = {
    "raw": ("", "s"),  # the grey of the style in force
    "control": (VERMILION, "D"),
    "transfer": (BLUE, "o"),
}
_ROW_HEIGHT, _MARGINS = 0.42, 0.8  # inches


class TransferComparisonDisplay:
    """Drawing of :func:`compare_transfer`: each row's folds, mean, and interval.

    A dashed line marks the mean of the best row of raw pixels. The bar of another row is the 95 %
    interval of its difference to that row, paired by fold: a bar that crosses the line is within
    noise. Scores that cannot exceed 1 have bars that end there. The small dots are folds.

    It is recommended to use :meth:`from_estimator`, or to give the result of
    :func:`compare_transfer`.

    Parameters
    ----------
    result : TransferComparison
        What :func:`compare_transfer` returned.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the drawing.
    figure_ : matplotlib Figure
        Figure that contains it.

    See Also
    --------
    compare_transfer : The same as tables, with a verdict.

    References
    ----------
    M. Okabe, K. Ito, "Color Universal Design", 2008, https://jfly.uni-koeln.de/color/ (the
    palette).

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

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, ax: Axes | None = None, **params: Any
    ) -> TransferComparisonDisplay:
        """Compare an extractor with raw pixels and with random weights, and draw it.

        Parameters
        ----------
        estimator : VGGFeatureExtractor or Pipeline
            An extractor, fitted or not, or a pipeline that begins with one; the steps behind it
            are then the classifier of all rows.
        X : array-like, DataFrame, or list of paths, PIL images or arrays
            Images.
        y : array-like of shape (n_images,)
            Their labels.
        ax : matplotlib Axes, default=None
            Axes to draw in. If `None`, a new figure is created.
        **params : dict
            Passed to :func:`compare_transfer`, such as `cv` or `scoring`.

        Returns
        -------
        TransferComparisonDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If `estimator` is neither, or its last step is no classifier.
        ValueError, OSError
            As :func:`compare_transfer` raises them.
        ImportError
            If matplotlib is not installed.
        """
        who = f"{cls.__name__}.from_estimator"
        check_matplotlib(who)
        extractor, classifier = split_estimator(estimator, who=who)
        if classifier is not None:
            params = {"classifier": classifier} | params
        extractors = {name_extractor(extractor): extractor}
        return cls(compare_transfer(X, y, extractors=extractors, **params)).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> TransferComparisonDisplay:
        """Draw the comparison.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw in, 3.5 inches wide or more. If `None`, a new figure is created, as tall
            as there are rows.

        Returns
        -------
        TransferComparisonDisplay
            The display itself.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        check_matplotlib(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        result = self.result
        metric = result.metrics[0]
        rows = [row for row in result.rows if row.unavailable is None]
        if ax is None:
            height = _MARGINS + _ROW_HEIGHT * len(rows)
            _, ax = plt.subplots(figsize=(COLUMN_WIDTH, height), layout="constrained")
        raw, ink = result.best_raw, inks()
        ax.axvline(raw.mean(metric), color=ink.muted, linestyle="--", linewidth=0.8)
        for place, row in enumerate(rows):
            color, marker = _STYLES[row.kind]
            color = color or ink.muted
            scores = np.array(row.scores[metric])
            # Equal scores would hide each other: they are spread a little, always the same way.
            spread = 0.1 * np.linspace(-1, 1, len(scores))
            ax.plot(scores, place + spread, ".", color=color, markersize=5, alpha=0.45, mew=0)
            difference = row.against_raw
            if difference is not None and not math.isnan(difference.low):
                ends = [raw.mean(metric) + end for end in (difference.low, difference.high)]
                if metric in METRICS:
                    ends = [min(max(end, 0), 1) for end in ends]
                ax.plot(ends, [place] * 2, color=color, linewidth=1.6, solid_capstyle="butt")
            ax.plot(
                scores.mean(), place, marker, color=color, markersize=5, mec=ink.ground, mew=0.5
            )
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
        ax.set_ylim(len(rows) - 0.6, -0.55)
        ax.set_yticks([])
        ax.set_xlabel(
            f"{metric} (dots: {result.n_folds} folds; dashed: best raw row;\n"
            "bars: 95 % interval of the difference to it)",
            fontsize=7,
        )
        ax.tick_params(axis="x", labelsize=7)
        ax.locator_params(axis="x", nbins=5)
        ax.spines[["top", "right", "left"]].set_visible(False)
        self.ax_ = ax
        self.figure_ = ax.figure
        return self
