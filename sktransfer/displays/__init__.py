"""Drawings in the manner of scikit-learn's displays: made by a class method, drawn by ``plot``.

One module for each display. matplotlib is imported when something is drawn, never before.
"""

from sktransfer.displays.architecture import ArchitectureDisplay
from sktransfer.displays.comparison import TransferComparisonDisplay
from sktransfer.displays.history import HistoryDisplay

__all__ = ["ArchitectureDisplay", "HistoryDisplay", "TransferComparisonDisplay"]
