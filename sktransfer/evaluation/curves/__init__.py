"""Scores by the number of labels, with and without transfer."""

from sktransfer.evaluation.curves.curve import CurveWarning, transfer_curve

__all__ = [
    "CurveWarning",
    "transfer_curve",
]
