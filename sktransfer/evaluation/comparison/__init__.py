"""Scores with and without transfer, fold by fold."""

from sktransfer.evaluation.comparison.compare import compare_transfer

__all__ = [
    "compare_transfer",
]
