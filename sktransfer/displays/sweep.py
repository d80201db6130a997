"""Drawing of a sweep: how good each layer is, by input size and pooling."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.displays._display import ResultDisplay, add_legend, make_axes
from sktransfer.displays._palette import COLORS, NORMAL, SMALL, inks
from sktransfer.evaluation.sweep import sweep_layers
from sktransfer.evaluation.sweep.grid import Size, Variant, sort_key
from sktransfer.evaluation.sweep.result import LayerSweep, SweepRow
from sktransfer.networks import list_layers
from sktransfer.networks.outputs import as_shape, spell_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

# Marker and line of each pooling; input sizes have the colours.
_POOLINGS: dict[str | None, tuple[str, Any]] = {
    "avg": ("o", "-"),
    "max": ("^", (0, (4, 1.5))),
    "cls": ("D", "-."),
    None: ("s", (0, (1, 1))),
}
_FLAT = "flat (all values)"
# Inches: the axes, a line of the legend, and names of layers, upright and level.
_HEIGHT, _LINE = 2.4, 0.14
_UPRIGHT, _LEVEL = 0.95, 0.42
# How far the rows of a layer reach to either side of its place.
_BESIDE = 0.35
# Names of more layers than this stand upright, so that none covers its neighbour's.
_MANY_LAYERS = 6


class LayerSweepDisplay(ResultDisplay):
    """Drawing of :func:`sweep_layers`: the score of each layer, by input size and pooling.

    Layers are in the order of the network. Input sizes differ in colour, poolings in marker and
    line. Points are means, bars one standard deviation of the scores of the folds to either
    side. Rows of one layer are side by side, so that none hides another. A ring marks the
    best row, and a grey band its spread.

    It is recommended to use :meth:`from_estimator`, or to pass the result of :func:`sweep_layers`.

    Parameters
    ----------
    result : LayerSweep
        What :func:`sweep_layers` returned, with at least one row.

    See Also
    --------
    sweep_layers : The same as a table, with what each row costs.

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

    @staticmethod
    def _compute(X: Any, y: Any, extractor: Any, **params: Any) -> LayerSweep:
        return sweep_layers(X, y, extractor=extractor, **params)

    def _draw(self, ax: Axes | None) -> Axes:
        best = self.result.best
        if best is None:
            raise ValueError(
                f"{type(self).__name__}.plot needs a sweep with at least one row. Got one whose "
                f"{len(self.result.skipped)} variants were all skipped: raise time_budget."
            )
        ink = inks()
        metric = self.result.metric
        depths = {row.variant.layer: _depth(row.variant) for row in self.result.rows}
        layers = sorted(depths, key=lambda layer: depths[layer])
        many = len(layers) > _MANY_LAYERS
        sizes = sorted({row.variant.input_size for row in self.result.rows}, key=sort_key)
        explained = self._explain(sizes)
        is_own = ax is None
        if ax is None:
            names_height = _UPRIGHT if many else _LEVEL
            ax = make_axes(_HEIGHT + names_height + _LINE * len(explained) / 2)
        places = {layer: place for place, layer in enumerate(layers)}

        scores = np.array(best.scores[metric])
        band = scores.mean() - scores.std(), scores.mean() + scores.std()
        ax.axhspan(*band, color=ink.faint, linewidth=0, zorder=0)
        edge: dict[str, Any] = {"mec": ink.ground, "mew": 0.5}
        series = [
            (size, pooling)
            for size in sizes
            for pooling in _POOLINGS
            if any(_series(row) == (size, pooling) for row in self.result.rows)
        ]
        colors = dict(zip(sizes, _colors(len(sizes)), strict=True))
        shifts = dict(zip(series, _BESIDE * np.linspace(-1, 1, len(series) + 2)[1:-1], strict=True))
        for (size, pooling), shift in shifts.items():
            marker, line = _POOLINGS[pooling]
            rows = [row for row in self.result.rows if _series(row) == (size, pooling)]
            rows.sort(key=lambda row: places[row.variant.layer])
            xs = [places[row.variant.layer] + shift for row in rows]
            found = np.array([row.scores[metric] for row in rows])
            means, spreads = found.mean(axis=1), found.std(axis=1)
            ax.vlines(xs, means - spreads, means + spreads, color=colors[size], lw=0.7, alpha=0.6)
            ax.plot(xs, means, color=colors[size], marker=marker, ls=line, lw=1.1, ms=4, **edge)
        place = places[best.variant.layer] + shifts[_series(best)], scores.mean()
        ax.plot(*place, "o", markersize=10, markerfacecolor="none", color=ink.text, mew=0.9)
        ax.set_ylabel(f"{metric}, mean of {self.result.n_folds} folds", fontsize=NORMAL)
        ax.set_xlim(-0.4, len(layers) - 0.6)
        names = layers if many else [layer.replace("_", "\n") for layer in layers]
        ax.set_xticks(range(len(layers)), names, rotation=90 if many else 0)
        ax.tick_params(labelsize=SMALL)
        ax.grid(axis="y", color=ink.faint, linewidth=0.5)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
        add_legend(ax, explained, is_own=is_own, n_columns=2)
        return ax

    def _explain(self, sizes: list[Size]) -> list[Line2D]:
        """Explain colours and markers apart, in one column each."""
        from matplotlib.lines import Line2D

        present = {row.variant.pooling for row in self.result.rows}
        ink, key = inks(), partial(Line2D, [], [])
        colors = [
            key(color=color, lw=2.5, label=f"{spell_size(size)} px")
            for size, color in zip(sizes, _colors(len(sizes)), strict=True)
        ]
        forms = [
            key(color=ink.muted, marker=marker, ls=line, ms=4.5, lw=1.3, label=pooling or _FLAT)
            for pooling, (marker, line) in _POOLINGS.items()
            if pooling in present
        ]
        forms.append(key(color=ink.text, marker="o", ls="none", ms=8, mfc="none", label="best"))
        colors.append(key(color=ink.muted, marker="|", ls="none", ms=8, label="spread of folds"))
        # Columns are filled one after the other: the shorter one is filled up.
        blank = key(ls="none", label=" ")
        n_rows = max(len(colors), len(forms))
        columns = (colors, forms)
        return [line for some in columns for line in [*some, *[blank] * (n_rows - len(some))]]


def _series(row: SweepRow) -> tuple[Size, str | None]:
    return row.variant.input_size, row.variant.pooling


def _depth(variant: Variant) -> float:
    """Say how deep a layer lies: VGG's by name, others by what it takes to reach them."""
    names = [layer.name for layer in list_layers("vgg19")]
    if variant.layer in names:
        return names.index(variant.layer)
    return variant.multiply_adds / math.prod(as_shape(variant.input_size))


def _colors(n: int) -> list[str]:
    return [COLORS[i % len(COLORS)] for i in range(n)]
