"""Scores by layer, pooling and input size."""

from sktransfer.evaluation.sweep.layers import sweep_layers

__all__ = [
    "sweep_layers",
]
