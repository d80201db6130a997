"""The base of all displays: their axes, how a result is computed, and legends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

from sktransfer.displays._palette import COLUMN_WIDTH, SMALL
from sktransfer.displays.availability import check_matplotlib
from sktransfer.evaluation.probing import split_estimator

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes


class Display:
    """A drawing that a class method makes and ``plot`` draws again."""

    ax_: Any
    figure_: Any
    #: Draws into axes, or where they are None into new ones, and returns them.
    _draw: Any

    def plot(self, *, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw in. If `None`, a new figure is created, as wide and tall as suits the
            drawing.

        Returns
        -------
        Display
            The display itself. Its `ax_` and `figure_` are where it is drawn.

        Raises
        ------
        ValueError
            If there is nothing to draw.
        ImportError
            If matplotlib is not installed.
        """
        return self._plot(ax)

    def _plot(self, ax: Axes | None, **params: Any) -> Self:
        check_matplotlib(f"{type(self).__name__}.plot")
        ax = self._draw(ax, **params)
        self.ax_, self.figure_ = ax, ax.figure
        return self


class ResultDisplay(Display):
    """A display of what a function of this package computes for an extractor."""

    #: Computes the result from images, labels, extractor and further parameters.
    _compute: Any

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, y: Any, *, ax: Axes | None = None, **params: Any
    ) -> Self:
        """Compute the result for an extractor, and draw it.

        Parameters
        ----------
        estimator : VGGFeatureExtractor or Pipeline
            An extractor, fitted or not, or a pipeline of one and a classifier, which then takes
            the place of the default one.
        X : array-like, DataFrame, or list of paths, PIL images or arrays
            Images in any form that :class:`VGGFeatureExtractor` takes.
        y : array-like of shape (n_images,)
            Their labels.
        ax : matplotlib Axes, default=None
            Axes to draw in. If `None`, a new figure is created.
        **params : dict
            Further parameters of the function that computes the result.

        Returns
        -------
        Display
            The display, drawn.

        Raises
        ------
        TypeError
            If `estimator` is neither, or its last step is not a classifier.
        ValueError, OSError
            As the function that computes the result raises them.
        ImportError
            If matplotlib is not installed.
        """
        who = f"{cls.__name__}.from_estimator"
        check_matplotlib(who)
        extractor, classifier = split_estimator(estimator, who=who)
        if classifier is not None:
            params = {"classifier": classifier} | params
        display: Any = cls
        return display(cls._compute(X, y, extractor, **params)).plot(ax=ax)


def make_axes(height: float) -> Axes:
    """Return the axes of a new figure of column width; `height` is in inches."""
    import matplotlib.pyplot as plt

    _, ax = plt.subplots(figsize=(COLUMN_WIDTH, height), layout="constrained")
    return ax


def add_legend(ax: Axes, handles: Sequence[Artist], *, is_own: bool, n_columns: int = 1) -> None:
    """Explain a drawing: below the axes of its own figure, or inside axes that were given."""
    common: dict[str, Any] = {"handles": handles, "ncols": n_columns, "fontsize": SMALL}
    if is_own:  # below, where it hides nothing
        legend = ax.figure.legend(loc="outside lower center", frameon=False, **common)
    else:
        legend = ax.legend(loc="best", framealpha=0.9, **common)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a dollar in a name is a dollar
