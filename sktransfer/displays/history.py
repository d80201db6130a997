"""Drawing of losses or scores by epoch: needs neither a framework nor the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sktransfer.displays._display import Display, add_legend, make_axes
from sktransfer.displays._palette import NORMAL, inks, style
from sktransfer.training.finetuning.history import CurveSummary, summarise_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_HEIGHT, _LINE = 2.3, 0.14  # inches: axes with their labels, a line of the legend

_METRICS = ("score", "loss")
_Rows = Sequence[Mapping[str, Any]]


class HistoryDisplay(Display):
    """Drawing of the history of fine-tuned estimators, side by side.

    Training rows are dashed and thin, validation rows solid where there are any. A mark shows
    the epoch from which unfrozen layers are trained with the head. Trials of a learning
    rate are left out, and not counted.

    It is recommended to use :meth:`from_estimator` to create a display.

    Parameters
    ----------
    histories : mapping of str to list of dict
        `history_` of each estimator, by its name.

    See Also
    --------
    VGGClassifier : What is fine-tuned.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sktransfer import HistoryDisplay
    >>> scores = [0.5, 0.7, 0.9, 0.9, 0.9]
    >>> rows = [
    ...     {"phase": "head", "epoch": i, "score": score, "validation_score": None}
    ...     for i, score in enumerate(scores, start=1)
    ... ]
    >>> display = HistoryDisplay({"frozen": rows}).plot()
    >>> display.summarise()["frozen"].asymptote
    0.9
    >>> plt.close(display.figure_)
    """

    def __init__(self, histories: Mapping[str, _Rows]) -> None:
        self.histories = histories

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, metric: str = "score", ax: Axes | None = None
    ) -> HistoryDisplay:
        """Draw the history of fitted estimators.

        Parameters
        ----------
        estimator : ImageClassifier, ImageRegressor, or mapping of str to these
            One, or several by name; those of VGG, too.
        metric : {'score', 'loss'}, default='score'
            What is drawn: accuracy or R2, or the loss.
        ax : matplotlib Axes, default=None
            Axes to draw in. If `None`, a new figure is created.

        Returns
        -------
        HistoryDisplay
            The display, drawn.

        Raises
        ------
        TypeError
            If an estimator has no history.
        ValueError
            If there is no such metric.
        ImportError
            If matplotlib is not installed.
        """
        named = (
            estimator if isinstance(estimator, Mapping) else {type(estimator).__name__: estimator}
        )
        for each in named.values():
            if not hasattr(each, "history_"):
                raise TypeError(
                    f"The 'estimator' parameter of {cls.__name__}.from_estimator must be a fitted "
                    f"ImageClassifier or VGGClassifier, or a regressor, or a mapping of names to "
                    f"these. Got {each!r}: "
                    "fit it first; for a pipeline, pass the last step."
                )
        histories = {name: each.history_ for name, each in named.items()}
        return cls(histories).plot(metric=metric, ax=ax)

    def summarise(self) -> dict[str, CurveSummary]:
        """Return start, slope and asymptote of each curve of scores.

        Returns
        -------
        dict of str to CurveSummary
            On validation rows where there are any, and else on training rows.
        """
        return {
            name: summarise_curve(_curve(_without_trials(rows)))
            for name, rows in self.histories.items()
        }

    def plot(self, *, metric: str = "score", ax: Axes | None = None) -> HistoryDisplay:
        """Draw the curves.

        Parameters
        ----------
        metric : {'score', 'loss'}, default='score'
            What is drawn.
        ax : matplotlib Axes, default=None
            Axes to draw in. If `None`, a new figure is created.

        Returns
        -------
        HistoryDisplay
            The display itself. Its `ax_` and `figure_` are where it is drawn.

        Raises
        ------
        ValueError
            If there is no such metric.
        ImportError
            If matplotlib is not installed.
        """
        return self._plot(ax, metric=metric)

    def _draw(self, ax: Axes | None, *, metric: str = "score") -> Axes:
        if metric not in _METRICS:
            raise ValueError(
                f"The 'metric' parameter of {type(self).__name__}.plot must be one of "
                f"{list(_METRICS)}. Got {metric!r} instead."
            )
        from matplotlib.lines import Line2D
        from matplotlib.ticker import MaxNLocator

        is_own = ax is None
        size: dict[str, Any] = {"fontsize": NORMAL} if is_own else {}
        if ax is None:
            ax = make_axes(_HEIGHT + _LINE * (len(self.histories) + 3))
            ax.tick_params(labelsize=NORMAL)
        is_validated = is_unfrozen = False
        for i, rows in enumerate(self.histories.values()):
            color, marker = style(i)
            rows = _without_trials(rows)
            epochs = list(range(1, len(rows) + 1))
            marked = trained = [row[metric] for row in rows]
            ax.plot(epochs, trained, "--", color=color, linewidth=0.8)
            if rows and rows[-1].get(f"validation_{metric}") is not None:
                is_validated = True
                marked = [row[f"validation_{metric}"] for row in rows]
                ax.plot(epochs, marked, color=color, linewidth=1.5)
            for before, row, epoch, value in zip(
                rows, rows[1:], epochs[1:], marked[1:], strict=False
            ):
                if before["phase"] != "blocks" and row["phase"] == "blocks":
                    is_unfrozen = True
                    ax.plot(epoch, value, marker, color=color, markersize=5)
        ink = inks()
        handles: list[Any] = [
            Line2D([], [], color=style(i)[0], linewidth=1.5, label=name)
            for i, name in enumerate(self.histories)
        ]
        handles.append(Line2D([], [], color=ink.muted, ls="--", lw=0.8, label="training images"))
        if is_validated:
            handles.append(Line2D([], [], color=ink.muted, lw=1.5, label="validation images"))
        if is_unfrozen:
            mark: dict[str, Any] = {"color": ink.muted, "marker": "o", "ls": "none", "ms": 5}
            handles.append(Line2D([], [], label="layers are unfrozen", **mark))
        ax.set_xlabel("epoch", **size)
        ax.set_ylabel(metric, **size)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.grid(color=ink.faint, linewidth=0.5)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
        add_legend(ax, handles, is_own=is_own)
        return ax


def _without_trials(rows: _Rows) -> _Rows:
    return [row for row in rows if row["phase"] != "trial"]


def _curve(rows: _Rows) -> list[float]:
    is_validated = rows[-1].get("validation_score") is not None
    return [row["validation_score" if is_validated else "score"] for row in rows]
