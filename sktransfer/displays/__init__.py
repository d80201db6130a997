"""Drawings with the interface of scikit-learn's displays: made by class methods, drawn by ``plot``.

One module for each display. matplotlib is imported when something is drawn, never before.
"""

from sktransfer.displays.architecture import ArchitectureDisplay
from sktransfer.displays.comparison import TransferComparisonDisplay
from sktransfer.displays.curve import TransferCurveDisplay
from sktransfer.displays.embedding import EmbeddingDisplay
from sktransfer.displays.feature_maps import FeatureMapDisplay
from sktransfer.displays.history import HistoryDisplay
from sktransfer.displays.networks import NetworkSweepDisplay
from sktransfer.displays.sweep import LayerSweepDisplay

__all__ = [
    "ArchitectureDisplay",
    "EmbeddingDisplay",
    "FeatureMapDisplay",
    "HistoryDisplay",
    "LayerSweepDisplay",
    "NetworkSweepDisplay",
    "TransferComparisonDisplay",
    "TransferCurveDisplay",
]
