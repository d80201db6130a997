"""The history of training: where it starts, how fast it gains, and where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# What the last epochs have in common is the asymptote: their mean over this part of all epochs.
_LAST = 0.2
# Part of the way from start to asymptote after which a curve has risen.
_RISEN = 0.9


@dataclass(frozen=True)
class CurveSummary:
    """A curve of scores by epoch in three numbers.

    Attributes
    ----------
    start : float
        The score after the first epoch.
    slope : float
        Gain per epoch up to the first that has made nine tenths of the way to the asymptote.
    asymptote : float
        The mean over the last fifth of the epochs.
    """

    start: float
    slope: float
    asymptote: float


def summarise_curve(scores: Sequence[float]) -> CurveSummary:
    """Bring a curve down to start, slope and asymptote.

    References
    ----------
    L. Torrey, J. Shavlik, "Transfer Learning", in: Handbook of Research on Machine Learning
    Applications, 2009 (figure 2: higher start, slope and asymptote).

    Examples
    --------
    >>> from sktransfer.training.finetuning.history import summarise_curve
    >>> summarise_curve([0.5, 0.7, 0.9, 0.9, 0.9])
    CurveSummary(start=0.5, slope=0.2, asymptote=0.9)
    """
    n_last = max(1, round(_LAST * len(scores)))
    start, asymptote = float(scores[0]), sum(scores[-n_last:]) / n_last
    way = asymptote - start
    risen = next(
        (i for i, score in enumerate(scores) if i and (score - start) * way >= _RISEN * way**2),
        len(scores) - 1,
    )
    slope = (scores[risen] - start) / risen if risen else 0.0
    return CurveSummary(start, slope, asymptote)
