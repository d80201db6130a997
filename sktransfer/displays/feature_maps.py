"""Pictures of the feature maps of one image at each block."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.base import Interval, validate_parameter_constraints
from sktransfer.displays._display import Display
from sktransfer.displays._extractor import check_extractor
from sktransfer.displays._palette import COLUMN_WIDTH, SMALL
from sktransfer.displays.availability import check_matplotlib
from sktransfer.evaluation.feature_maps import FeatureMaps, compute_feature_maps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Inches of a drawing of column width; what is drawn into axes of another size scales with them.
_GAP = 0.05
_LABEL = 0.2  # the line above a row
_CHANNEL = 0.14  # the line below a map
_BAR, _NUMBER = 0.7, 0.32  # the width of a colour bar, and of the number behind it

_TIMES = " \N{MULTIPLICATION SIGN} "


class FeatureMapDisplay(Display):
    """Pictures of the feature maps of one image at each block.

    First the image as the network gets it, resized and in its value range, then for each layer a
    row with its strongest feature maps: those whose values differ most from place to place, by
    their standard deviation. Within a row all maps share one scale, shown above it as a
    colour bar. Below each map is its channel, numbered as in the extractor's
    `get_feature_names_out`.

    It is recommended to use :meth:`from_estimator` to create a display.

    Parameters
    ----------
    picture : ndarray of shape (height, width, 1 or 3)
        The image as the network gets it, from black as 0 to white as 255.
    maps : list of FeatureMaps
        The strongest maps of each layer.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (1 + n_layers, n_maps)
        Axes of the single pictures: the image first, then a row for each layer. None where no
        picture is.

    See Also
    --------
    ArchitectureDisplay : The layers, drawn.
    EmbeddingDisplay : Many images, placed by their features.

    References
    ----------
    M. D. Zeiler, R. Fergus, "Visualizing and Understanding Convolutional Networks", 2014,
    https://arxiv.org/abs/1311.2901 (what to look for in feature maps).

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sktransfer import FeatureMapDisplay, VGGFeatureExtractor, load_digit_pair
    >>> X, _ = load_digit_pair(return_X_y=True)
    >>> extractor = VGGFeatureExtractor(
    ...     "block2_pool", weights=None, input_size=32, random_state=0
    ... ).fit(X)
    >>> display = FeatureMapDisplay.from_estimator(extractor, X[0], n_maps=3)
    >>> [row.layer.name for row in display.maps], display.maps[0].maps.shape
    (['block1_pool', 'block2_pool'], (3, 16, 16))
    >>> plt.close(display.figure_)
    """

    def __init__(self, picture: np.ndarray, *, maps: Sequence[FeatureMaps]) -> None:
        self.picture = picture
        self.maps = maps

    @classmethod
    def from_estimator(
        cls,
        extractor: Any,
        image: Any,
        *,
        layers: Sequence[str] | None = None,
        n_maps: int = 6,
        cmap: Any = "viridis",
        ax: Axes | None = None,
    ) -> FeatureMapDisplay:
        """Compute and draw the feature maps of one image.

        Parameters
        ----------
        extractor : VGGFeatureExtractor or ImageFeatureExtractor
            Fitted or not; never changed. Fitted, it reads the image in the value range that it
            found in `fit`.
        image : path-like, PIL image, or ndarray of shape (n_values,), (h, w), (h, w, c) or \
(c, h, w)
            One image in any form that the extractor takes images in.
        layers : list of str or None, default=None
            Convolutional or pooling layers, none deeper than the extractor's own cut, so that
            their weights are available. None takes the last layer of each block of VGG, or of each
            resolution of another network, as far as the cut reaches.
        n_maps : int, default=6
            Feature maps of each layer, 1 to 64.
        cmap : str or matplotlib Colormap, default='viridis'
            Colours from the smallest to the largest value.
        ax : matplotlib Axes, default=None
            Axes to draw in. If `None`, a new figure of column width (3.5 inches) is created.

        Returns
        -------
        FeatureMapDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If `extractor` is neither a VGGFeatureExtractor nor an ImageFeatureExtractor.
        ValueError
            If a layer has no feature maps or lies deeper than the cut, or `image` is not one image.
        OSError
            If the weights or the image file cannot be read.
        ImportError
            If matplotlib is not installed.
        """
        who = f"{cls.__name__}.from_estimator"
        check_matplotlib(who)
        check_extractor(extractor, who, any_network=True)
        validate_parameter_constraints(
            {"n_maps": [Interval(Integral, 1, 64, closed="both")], "layers": [list, tuple, None]},
            {"n_maps": n_maps, "layers": layers},
            caller_name=who,
        )
        picture, maps = compute_feature_maps(extractor, image, layers, n_maps=int(n_maps), who=who)
        return cls(picture, maps=maps).plot(cmap=cmap, ax=ax)

    def plot(self, *, cmap: Any = "viridis", ax: Axes | None = None) -> FeatureMapDisplay:
        """Draw the image and the feature maps.

        Parameters
        ----------
        cmap : str or matplotlib Colormap, default='viridis'
            Colours from the smallest to the largest value.
        ax : matplotlib Axes, default=None
            Axes to draw in; their frame is removed. If `None`, a new figure of column width
            (3.5 inches) is created.

        Returns
        -------
        FeatureMapDisplay
            The display itself. Its `ax_` and `figure_` are where it is drawn.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        return self._plot(ax, cmap=cmap)

    def _draw(self, ax: Axes | None, *, cmap: Any = "viridis") -> Axes:
        import matplotlib.pyplot as plt

        n_columns = max(len(row.channels) for row in self.maps)
        tile = (COLUMN_WIDTH - _GAP) / n_columns - _GAP
        # A single map need not be as wide as the column, nor the image smaller than can be seen.
        tile = min(tile, 1.0)
        first = max(tile, 0.8)
        row_height = _LABEL + tile + _CHANNEL
        height = _LABEL + first + _GAP + len(self.maps) * row_height + _GAP
        if ax is None:
            figure = plt.figure(figsize=(COLUMN_WIDTH, height))
            ax = figure.add_axes((0, 0, 1, 1))
        ax.set_axis_off()
        sheet = _Sheet(ax, height)

        axes = np.full((1 + len(self.maps), n_columns), None, dtype=object)
        axes[0, 0] = sheet.place(_GAP, _LABEL, first)
        side = _TIMES.join(str(n) for n in self.picture.shape[:2])
        sheet.write(_GAP, 0.05, f"input, {side} pixels")
        shown = np.clip(np.rint(self.picture), 0, 255).astype(np.uint8)
        grey = {"cmap": "gray", "vmin": 0, "vmax": 255} if shown.shape[2] == 1 else {}
        axes[0, 0].imshow(shown[..., 0] if grey else shown, interpolation="nearest", **grey)

        n_maps = "map that varies" if n_columns == 1 else f"{n_columns} maps that vary"
        legend = f"of each layer: the {n_maps}\nmost across the image, on the\nscale above its row"
        sheet.write(_GAP + first + 0.15, _LABEL, legend, linespacing=1.3)

        y = _LABEL + first + _GAP
        for i, row in enumerate(self.maps, start=1):
            axes[i, : len(row.channels)] = _draw_row(sheet, row, y, tile, cmap)
            y += row_height
        self.axes_ = axes
        return ax


class _Sheet:
    """Axes on which things stand at so many inches from the left and from the top.

    They are laid out for a width of one column, and scaled to the axes, in whose middle they stand.
    """

    def __init__(self, ax: Axes, height: float) -> None:
        root = ax.get_figure(root=True)
        assert root is not None
        extent = ax.get_window_extent()
        scale = min(extent.width / COLUMN_WIDTH, extent.height / height) / root.dpi
        self._ax = ax
        self._x_unit, self._y_unit = (
            scale * root.dpi / side for side in (extent.width, extent.height)
        )
        self._left = (1 - COLUMN_WIDTH * self._x_unit) / 2
        self._top = (1 + height * self._y_unit) / 2
        self.font_size = SMALL * scale

    def place(self, x: float, y: float, width: float, height: float | None = None) -> Axes:
        """Add axes without a frame, square where no height is given."""
        height = width if height is None else height
        below = self._top - (y + height) * self._y_unit
        bounds = self._left + x * self._x_unit, below, width * self._x_unit, height * self._y_unit
        inner = self._ax.inset_axes(bounds)
        inner.set_axis_off()
        return inner

    def write(self, x: float, y: float, text: str, **kwargs: Any) -> None:
        """Write text that begins here."""
        at = self._left + x * self._x_unit, self._top - y * self._y_unit
        params = {"fontsize": self.font_size, "va": "top", **kwargs}
        self._ax.text(*at, text, transform=self._ax.transAxes, **params)


def _draw_row(sheet: _Sheet, row: FeatureMaps, y: float, tile: float, cmap: Any) -> list[Axes]:
    """Draw the maps of one layer below their scale."""
    low, high = 0.0, float(row.maps.max())  # all layers end with a rectifier
    shape = _TIMES.join(str(n) for n in row.layer.output_shape)
    sheet.write(_GAP, y + 0.06, f"{row.layer.name}, {shape}", weight="bold")
    right = COLUMN_WIDTH - _GAP - _NUMBER
    sheet.write(right + 0.04, y + 0.06, _round(high))
    sheet.write(right - _BAR - 0.04, y + 0.06, _round(low), ha="right")
    bar = sheet.place(right - _BAR, y + 0.06, _BAR, 0.1)
    bar.imshow(np.linspace(0, 1, 64)[None], cmap=cmap, aspect="auto")
    # A layer without activation is drawn in the colour of the smallest value.
    top = high if high > low else low + 1
    axes = []
    for j, (channel, values) in enumerate(zip(row.channels, row.maps, strict=True)):
        x = _GAP + j * (tile + _GAP)
        inner = sheet.place(x, y + _LABEL, tile)
        inner.imshow(values, cmap=cmap, interpolation="nearest", vmin=low, vmax=top)
        below, size = y + _LABEL + tile + 0.01, 0.85 * sheet.font_size
        sheet.write(x + tile / 2, below, f"f{channel}", ha="center", fontsize=size)
        axes.append(inner)
    return axes


def _round(value: float) -> str:
    """Write three digits, and large numbers in full."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
