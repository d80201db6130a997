"""Drawing of a sweep: how good each layer is, by input size and pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.displays._matplotlib import check_matplotlib
from sktransfer.displays._palette import COLORS, COLUMN_WIDTH, NORMAL, SMALL, inks
from sktransfer.networks import list_layers
from sktransfer.probing import split_estimator
from sktransfer.sweep import sweep_layers
from sktransfer.sweep.result import LayerSweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Marker and line of each pooling; input sizes have the colours.
_POOLINGS: dict[str | None, tuple[str, Any]] = {
    "avg": ("o", "-"),
    "max": ("^", (0, (4, 1.5))),
    None: ("s", (0, (1, 1))),
}
# Inches: the drawing, and what names of layers take below it, upright and level.
_HEIGHT = 3.4
_UPRIGHT, _LEVEL = 0.95, 0.42
# Names of more layers than this stand upright, so that none covers its neighbour's.
_MANY_LAYERS = 6


class LayerSweepDisplay:
    """Drawing of :func:`sweep_layers`: the score of each layer, by input size and pooling.

    Layers stand in the order of the network. Input sizes differ in colour, poolings in marker and
    line. A ring marks the best row, and a grey band what the scores of its folds spread over (one
    standard deviation to either side).

    It is recommended to use :meth:`from_estimator`, or to give the result of :func:`sweep_layers`.

    Parameters
    ----------
    result : LayerSweep
        What :func:`sweep_layers` returned, with at least one row.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the drawing.
    figure_ : matplotlib Figure
        Figure that contains it.

    See Also
    --------
    sweep_layers : The same as a table, with what each row costs.

    References
    ----------
    M. Okabe, K. Ito, "Color Universal Design", 2008, https://jfly.uni-koeln.de/color/ (the
    palette).

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sktransfer import LayerSweepDisplay, VGGFeatureExtractor, load_digit_pair
    >>> X, y = load_digit_pair(return_X_y=True)
    >>> extractor = VGGFeatureExtractor(weights=None, random_state=0)
    >>> display = LayerSweepDisplay.from_estimator(
    ...     extractor, X[:40], y[:40], layers=["block1_pool"], input_sizes=[32], poolings=["avg"],
    ...     cv=2,
    ... )
    >>> len(display.result.rows)
    1
    >>> plt.close(display.figure_)
    """

    def __init__(self, result: LayerSweep) -> None:
        self.result = result

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, ax: Axes | None = None, **params: Any
    ) -> LayerSweepDisplay:
        """Sweep over the layers of an extractor's network, and draw it.

        Parameters
        ----------
        estimator : VGGFeatureExtractor or Pipeline
            An extractor, or a pipeline that begins with one; the steps behind it are then the
            classifier.
        X : array-like, DataFrame, or list of paths, PIL images or arrays
            Images.
        y : array-like of shape (n_images,)
            Their labels.
        ax : matplotlib Axes, default=None
            Axes to draw in. If `None`, a new figure is created.
        **params : dict
            Passed to :func:`sweep_layers`, such as `layers` or `input_sizes`.

        Returns
        -------
        LayerSweepDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If `estimator` is neither, or its last step is no classifier.
        ValueError, OSError
            As :func:`sweep_layers` raises them.
        ImportError
            If matplotlib is not installed.
        """
        who = f"{cls.__name__}.from_estimator"
        check_matplotlib(who)
        extractor, classifier = split_estimator(estimator, who=who)
        if classifier is not None:
            params = {"classifier": classifier} | params
        return cls(sweep_layers(X, y, extractor=extractor, **params)).plot(ax=ax)

    def plot(self, *, ax: Axes | None = None) -> LayerSweepDisplay:
        """Draw the sweep.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw in, 3.5 inches wide or more. If `None`, a new figure is created.

        Returns
        -------
        LayerSweepDisplay
            The display itself.

        Raises
        ------
        ValueError
            If the sweep has no row.
        ImportError
            If matplotlib is not installed.
        """
        who = f"{type(self).__name__}.plot"
        check_matplotlib(who)
        best = self.result.best
        if best is None:
            raise ValueError(
                f"{who} needs a sweep with at least one row. Got one whose "
                f"{len(self.result.skipped)} variants were all skipped: raise time_budget."
            )
        import matplotlib.pyplot as plt

        ink = inks()
        metric = self.result.metric
        layers = sorted({row.variant.layer for row in self.result.rows}, key=_depth)
        many = len(layers) > _MANY_LAYERS
        if ax is None:
            height = _HEIGHT + (_UPRIGHT - _LEVEL if many else 0)
            _, ax = plt.subplots(figsize=(COLUMN_WIDTH, height), layout="constrained")
        sizes = sorted({row.variant.input_size for row in self.result.rows})
        places = {layer: place for place, layer in enumerate(layers)}

        scores = np.array(best.scores[metric])
        band = scores.mean() - scores.std(), scores.mean() + scores.std()
        ax.axhspan(*band, color=ink.faint, linewidth=0, zorder=0)
        for size, color in zip(sizes, _colors(len(sizes)), strict=True):
            for pooling, (marker, line) in _POOLINGS.items():
                found = sorted(
                    (places[row.variant.layer], float(np.mean(row.scores[metric])))
                    for row in self.result.rows
                    if (row.variant.input_size, row.variant.pooling) == (size, pooling)
                )
                if found:
                    xs, ys = zip(*found, strict=True)
                    ax.plot(
                        xs,
                        ys,
                        color=color,
                        marker=marker,
                        linestyle=line,
                        linewidth=1.3,
                        markersize=4.5,
                        markeredgecolor=ink.ground,
                        markeredgewidth=0.5,
                    )
        place = places[best.variant.layer], scores.mean()
        ax.plot(*place, "o", markersize=10, markerfacecolor="none", color=ink.text, mew=0.9)
        ax.set_ylabel(f"{metric}, mean of {self.result.n_folds} folds", fontsize=NORMAL)
        ax.set_xlim(-0.3, len(layers) - 0.7)
        names = layers if many else [layer.replace("_", "\n") for layer in layers]
        ax.set_xticks(range(len(layers)), names, rotation=90 if many else 0)
        ax.tick_params(labelsize=SMALL)
        ax.grid(axis="y", color=ink.faint, linewidth=0.5)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
        self._add_legend(ax, sizes, many=many)
        self.ax_ = ax
        self.figure_ = ax.figure
        return self

    def _add_legend(self, ax: Axes, sizes: list[int], *, many: bool) -> None:
        """Explain colours and markers apart, below the drawing, in one column for each kind."""
        from matplotlib.lines import Line2D

        present = {row.variant.pooling for row in self.result.rows}
        colors = [
            Line2D([], [], color=color, linewidth=2.5, label=f"{size} px")
            for size, color in zip(sizes, _colors(len(sizes)), strict=True)
        ]
        forms = [
            Line2D(
                [],
                [],
                color=inks().muted,
                marker=marker,
                linestyle=line,
                markersize=4.5,
                linewidth=1.3,
                label=pooling or "flat (all values)",
            )
            for pooling, (marker, line) in _POOLINGS.items()
            if pooling in present
        ]
        ring = Line2D(
            [],
            [],
            color=inks().text,
            marker="o",
            linestyle="none",
            markersize=8,
            markerfacecolor="none",
            label="best",
        )
        # Columns are filled one after the other: all sizes first, if there are as many rows.
        forms.append(ring)
        blank = Line2D([], [], linestyle="none", label=" ")
        n_rows = max(len(colors), len(forms))
        handles = [
            handle
            for column in (colors, forms)
            for handle in [*column, *[blank] * (n_rows - len(column))]
        ]
        ax.legend(
            handles=handles,
            ncols=2,
            loc="upper center",
            # Below the names of the layers, whose room is in inches and not in shares of the axes.
            bbox_to_anchor=(0.5, -(_UPRIGHT if many else _LEVEL) / ax.bbox.height * ax.figure.dpi),
            fontsize=SMALL,
            frameon=False,
            handlelength=3,
        )


def _depth(layer: str) -> int:
    return next(i for i, each in enumerate(list_layers("vgg19")) if each.name == layer)


def _colors(n: int) -> list[str]:
    return [COLORS[i % len(COLORS)] for i in range(n)]
