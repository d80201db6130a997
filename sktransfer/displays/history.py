"""Drawing of losses or scores by epoch: needs neither a framework nor the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sktransfer.displays._matplotlib import check_matplotlib
from sktransfer.finetuning.history import CurveSummary, summarise_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_METRICS = ("score", "loss")
_Rows = Sequence[Mapping[str, Any]]


class HistoryDisplay:
    """Drawing of the history of fine-tuned estimators, side by side.

    Training rows are dashed, validation rows solid, and a dot marks the epoch from which unfrozen
    layers are trained with the head.

    It is recommended to use :meth:`from_estimator` to create a display.

    Parameters
    ----------
    histories : mapping of str to list of dict
        `history_` of each estimator, by its name.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the drawing.
    figure_ : matplotlib Figure
        Figure that contains it.

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
        estimator : VGGClassifier, VGGRegressor, or mapping of str to these
            One, or several by name.
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
                    f"VGGClassifier or VGGRegressor, or a mapping of names to such. Got {each!r}: "
                    "fit it first; of a pipeline, pass the last step."
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
        return {name: summarise_curve(_curve(rows)) for name, rows in self.histories.items()}

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
            The display itself.

        Raises
        ------
        ValueError
            If there is no such metric.
        ImportError
            If matplotlib is not installed.
        """
        who = f"{type(self).__name__}.plot"
        check_matplotlib(who)
        if metric not in _METRICS:
            raise ValueError(
                f"The 'metric' parameter of {who} must be one of {list(_METRICS)}. Got {metric!r} "
                "instead."
            )
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots()
        for name, rows in self.histories.items():
            epochs = [row["epoch"] for row in rows]
            trained = [row[metric] for row in rows]
            (line,) = ax.plot(epochs, trained, "--", linewidth=1, label=f"{name}, training")
            marked = trained
            if rows and rows[-1].get(f"validation_{metric}") is not None:
                marked = [row[f"validation_{metric}"] for row in rows]
                label = f"{name}, validation"
                ax.plot(epochs, marked, color=line.get_color(), linewidth=2, label=label)
            for before, row, value in zip(rows, rows[1:], marked[1:], strict=False):
                if (before["phase"], row["phase"]) == ("head", "blocks"):
                    ax.plot(row["epoch"], value, "o", color=line.get_color())
        ax.set_xlabel("epoch")
        ax.set_ylabel(metric)
        ax.legend(frameon=False)
        self.ax_ = ax
        self.figure_ = ax.figure
        return self


def _curve(rows: _Rows) -> list[float]:
    is_validated = rows[-1].get("validation_score") is not None
    return [row["validation_score" if is_validated else "score"] for row in rows]
